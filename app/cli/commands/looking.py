"""The commands that show what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.options import Ticker, Url
from app.cli.reads import reads

commands = typer.Typer()
jobs = typer.Typer(invoke_without_command=True, epilog=reads("jobs"))
commands.add_typer(jobs, name="jobs", epilog=reads("jobs"))


@commands.command(epilog=reads("forecast"))
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
    from app.cli import showing  # lazy: see the package

    showing.forecast(ticker, model=model, levels=level or [80.0, 95.0], as_json=as_json, url=url)


@commands.command(epilog=reads("models"))
def models(
    ticker: Annotated[str | None, typer.Argument(help="Only its versions.", show_default=False)] = None,
    url: Url = None,
) -> None:
    """List the tickers with a model, or the versions of TICKER."""
    from app.cli import showing  # lazy: see the package

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
    from app.cli import showing  # lazy: see the package

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
    from app.cli import showing  # lazy: see the package

    showing.cancel(job_id, url or context.obj)
