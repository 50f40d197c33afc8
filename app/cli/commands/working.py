"""The commands that make versions and forecasts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.options import Changes, Day, PresetName, Promote, Source, Ticker, Universe, Url
from app.cli.reads import reads

commands = typer.Typer()


@commands.command(epilog=reads("train"))
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
    from app.cli import training  # lazy: see the package

    data = {"source": source, "start": start.date() if start else None, "end": end.date() if end else None}
    training.train(ticker, universe=universe, preset=preset, data=data, changes=changes or [], promote=promote, url=url)


@commands.command(epilog=reads("backtest"))
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
    from app.cli import backtesting  # lazy: see the package

    data = {"source": source, "start": start.date() if start else None, "end": end.date() if end else None}
    backtesting.backtest(ticker, preset=preset, data=data, changes=changes or [], once=once, as_json=as_json, url=url)


@commands.command(epilog=reads("tune"))
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
    from app.cli import tuning  # lazy: see the package

    search = {"space": space or [], "method": method, "budget_seconds": budget}
    tuning.tune(ticker, preset=preset, source=source, changes=changes or [], search=search, url=url)


@commands.command(epilog=reads("refresh"))
def refresh(url: Url = None) -> None:
    """Fetch new bars and issue new forecasts for all that is served; without a running worker, in here."""
    from app.cli import refreshing  # lazy: see the package

    refreshing.refresh(url)


@commands.command("import", epilog=reads("import"))
def import_bars(
    ticker: Ticker,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", exists=True, dir_okay=False, show_default=False)],
    url: Url = None,
) -> None:
    """Keep the daily bars of a CSV as source `upload`."""
    from app.cli import showing  # lazy: see the package

    showing.import_bars(ticker, file, url)
