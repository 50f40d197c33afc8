"""The commands and their options; what they do is imported when one is called, so that ``--help`` is quick."""

from __future__ import annotations

import gc
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from app import __version__
from app.cli.console import describe, give_up
from app.cli.options import Changes, Day, Host, Port, PresetName, Promote, Source, Ticker, Universe, Url
from app.cli.reads import reads
from app.errors import AppError

morrow = typer.Typer(
    help="Where will this instrument close on its next session, and how sure are we?",
    epilog="Every setting is an environment variable MORROW_<NAME>; --help of a command says which it reads.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
jobs = typer.Typer(invoke_without_command=True, epilog=reads("jobs"))
morrow.add_typer(jobs, name="jobs", epilog=reads("jobs"))
bench = typer.Typer(no_args_is_help=True)
morrow.add_typer(bench, name="bench")


def main() -> None:
    """Run the command line; whatever goes wrong ends in one line and exit code 1 (2: asked wrongly)."""
    try:
        morrow()
    except AppError as error:
        give_up(describe(error))
    except ModuleNotFoundError as error:
        give_up(f"{error.name} is not installed; this command needs the extras: pip install 'morrow[api,worker]'")
    except BrokenPipeError:
        # Whoever read our output has left, and what is still buffered has no reader.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(1) from None
    except Exception as error:
        if os.environ.get("MORROW_LOG_LEVEL") == "debug":
            raise
        give_up(f"{type(error).__name__}: {error} (MORROW_LOG_LEVEL=debug shows where)")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"morrow {__version__}")
        raise typer.Exit


@morrow.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@morrow.command(epilog=reads("serve"))
def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=64, help="Worker processes.", show_default="MORROW_WORKERS")
    ] = None,
    first_run: Annotated[
        bool, typer.Option("--first-run", help="Show a forecast; with an empty registry train ^GSPC first.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="With --first-run: end after the forecast.")] = False,
) -> None:
    """Run the whole service: API and workers, until Ctrl-C."""
    from app.cli import serving  # lazy: see above

    raise typer.Exit(serving.serve(host=host, port=port, workers=workers, first_run=first_run, once=once))


@morrow.command(epilog=reads("api"))
def api(host: Host = None, port: Port = None) -> None:
    """Run the API alone."""
    gc.disable()  # what a start makes stays: looking for garbage in it is a sixth of the time; `api` takes it up again
    from app.cli import api_process  # lazy: see above

    api_process.api(host=host, port=port)


@morrow.command(epilog=reads("worker"))
def worker() -> None:
    """Run one worker: it trains and refreshes, one job or batch of trainings alike at a time."""
    from app.cli import serving  # lazy: see above

    serving.worker()


@morrow.command(epilog=reads("train"))
def train(  # noqa: PLR0913  # each is an option
    ticker: Annotated[str | None, typer.Argument(help="The instrument; none with --universe.")] = None,
    preset: PresetName = "default",
    source: Source = None,
    universe: Universe = None,
    start: Day = None,
    end: Day = None,
    changes: Changes = None,
    promote: Promote = None,
    url: Url = None,
) -> None:
    """Train a version of TICKER, or one of each of a universe, and show what it is worth; without a worker, in here."""
    from app.cli import training  # lazy: see above

    data = {"source": source, "start": start.date() if start else None, "end": end.date() if end else None}
    training.train(ticker, universe=universe, preset=preset, data=data, changes=changes or [], promote=promote, url=url)


@morrow.command(epilog=reads("backtest"))
def backtest(  # noqa: PLR0913  # each is an option
    ticker: Ticker,
    preset: PresetName = "default",
    source: Source = None,
    start: Day = None,
    end: Day = None,
    changes: Changes = None,
    once: Annotated[
        bool, typer.Option("--once", help="The cheap mode: fit once and roll the window on, in place of refits.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result of the job.")] = False,
    url: Url = None,
) -> None:
    """Judge a network for TICKER out of sample, beside its rivals; keep nothing. Without a running worker, in here."""
    from app.cli import backtesting  # lazy: see above

    data = {"source": source, "start": start.date() if start else None, "end": end.date() if end else None}
    backtesting.backtest(ticker, preset=preset, data=data, changes=changes or [], once=once, as_json=as_json, url=url)


@morrow.command(epilog=reads("tune"))
def tune(
    ticker: Ticker,
    preset: Annotated[str, typer.Option(help="Set of defaults; some bring a search.")] = "default",
    source: Source = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Fix a field of the spec: --set horizon=5", show_default=False),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=JSON", help="Search a field: --space 'units=[[16], [32]]'", show_default="a plain one"
        ),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="hyperband, random or grid.", show_default="the preset's, else hyperband")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=10, help="Seconds of work.", show_default="the preset's, else 1800")
    ] = None,
    url: Url = None,
) -> None:
    """Search a better network for TICKER and show the leaderboard; without a running worker, in here."""
    from app.cli import tuning  # lazy: see above

    search = {"space": space or [], "method": method, "budget_seconds": budget}
    tuning.tune(ticker, preset=preset, source=source, changes=changes or [], search=search, url=url)


@morrow.command(epilog=reads("refresh"))
def refresh(url: Url = None) -> None:
    """Fetch new bars and issue new forecasts for all that is served; without a running worker, in here."""
    from app.cli import refreshing  # lazy: see above

    refreshing.refresh(url)


@morrow.command(epilog=reads("forecast"))
def forecast(
    ticker: Ticker,
    model: Annotated[str, typer.Option(help="Alias or version number.")] = "champion",
    level: Annotated[
        list[float] | None, typer.Option(min=1, max=99.9, help="Interval in percent.", show_default="80 and 95")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the document of the API.")] = False,
    url: Url = None,
) -> None:
    """Show the latest forecast of TICKER."""
    from app.cli import showing  # lazy: see above

    showing.forecast(ticker, model=model, levels=level or [80.0, 95.0], as_json=as_json, url=url)


@morrow.command(epilog=reads("models"))
def models(
    ticker: Annotated[str | None, typer.Argument(help="Only its versions.", show_default=False)] = None,
    url: Url = None,
) -> None:
    """List the tickers with a model, or the versions of TICKER."""
    from app.cli import showing  # lazy: see above

    showing.versions_of(ticker, url) if ticker else showing.overview(url)


@jobs.callback()
def list_jobs(
    context: typer.Context,
    state: Annotated[
        str | None,
        typer.Option(help="queued, running, succeeded, failed or cancelled.", show_default="all"),
    ] = None,
    url: Url = None,
) -> None:
    """List the newest jobs."""
    from app.cli import showing  # lazy: see above

    if context.invoked_subcommand is None:
        showing.jobs(state, url)
    context.obj = url  # for `jobs --url URL cancel ID`


@jobs.command(epilog=reads("jobs"))
def cancel(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    url: Url = None,
) -> None:
    """Cancel a job that waits or runs."""
    from app.cli import showing  # lazy: see above

    showing.cancel(job_id, url or context.obj)


@morrow.command("import", epilog=reads("import"))
def import_bars(
    ticker: Ticker,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, show_default=False)],
    url: Url = None,
) -> None:
    """Keep the daily bars of a CSV as source `upload`."""
    from app.cli import showing  # lazy: see above

    showing.import_bars(ticker, file, url)


@morrow.command(epilog=reads("verify"))
def verify() -> None:
    """Check that every forecast ever issued is still as it was; 1 when one was altered, removed or inserted."""
    from app.cli import showing  # lazy: see above

    showing.verify()


@morrow.command(epilog=reads("health"))
def health(part: Annotated[str, typer.Argument(metavar="api|worker", show_default=False)]) -> None:
    """End with 0 when the API of this machine is ready, or a worker of it alive; for container health checks."""
    from app.cli import health as asking  # lazy: see above

    asking.health(part)


@bench.callback()
def _bench() -> None:
    """Measure, on data of your own."""


@bench.command(epilog="Reads no settings: the service that it starts has its own.")
def recipes(
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of CSV files, one a ticker.")],
    seeds: Annotated[int, typer.Option(min=1, max=20, help="Trainings of each recipe.")] = 3,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Trainings at a time, on one thread each.")] = 2,
    only: Annotated[list[str] | None, typer.Option(help="Only this recipe.", show_default="all")] = None,
    style: Annotated[str, typer.Option("--format", help="table, markdown or json.")] = "table",
) -> None:
    """Train every tutorial's system, as published and as it should be, and print the figures side by side."""
    from app.cli import bench as measuring  # lazy: see above

    measuring.recipes(data=data, seeds=seeds, workers=workers, only=only or [], style=style)


@bench.command(epilog="Reads no settings and starts no service.")
def panel(
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Folder of CSV files, one a ticker.")],
    first: Annotated[
        datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first session that is forecast.")
    ],
    preset: Annotated[str, typer.Option(help="pooled: one network for all; default: one a ticker.")] = "pooled",
    file: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="Write every prediction here.", show_default=False)
    ] = None,
    style: Annotated[str, typer.Option("--format", help="table or markdown.")] = "table",
) -> None:
    """Forecast every session of many tickers out of sample, and print the network beside GARCH(1,1)-t."""
    from app.cli import bench as measuring  # lazy: see above

    measuring.panel(data=data, first=first.date(), preset=preset, file=file, style=style)
