"""The commands that are the service, and what looks after it."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from app.cli.options import Host, Port
from app.cli.reads import reads

commands = typer.Typer()


@commands.command(epilog=reads("serve"))
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
    from app.cli import serving  # lazy: see the package

    raise typer.Exit(serving.serve(host=host, port=port, workers=workers, first_run=first_run, once=once))


@commands.command(epilog=reads("api"))
def api(host: Host = None, port: Port = None) -> None:
    """Run the API alone."""
    gc.disable()  # what a start makes stays: looking for garbage in it is a sixth of the time; `api` takes it up again
    from app.cli import api_process  # lazy: see the package

    api_process.api(host=host, port=port)


@commands.command(epilog=reads("worker"))
def worker(
    queues: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Queues of the broker to take jobs from.", show_default="MORROW_QUEUES, or all"
        ),
    ] = None,
) -> None:
    """Run one worker: it trains and refreshes, one job or batch of trainings alike at a time."""
    from app.cli import serving  # lazy: see the package

    serving.worker(queues=queues)


@commands.command(epilog=reads("health"))
def health(part: Annotated[str, typer.Argument(metavar="api|worker", show_default=False)]) -> None:
    """End with 0 when the API of this machine is ready, or a worker of it alive; for container health checks."""
    from app.cli import health as asking  # lazy: see the package

    asking.health(part)


@commands.command(epilog=reads("verify"))
def verify() -> None:
    """Check that every forecast ever issued is still as it was; 1 when one was altered, removed or inserted."""
    from app.cli import showing  # lazy: see the package

    showing.verify()
