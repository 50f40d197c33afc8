"""The commands that measure, on data of your own."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()
bench = typer.Typer(no_args_is_help=True)
commands.add_typer(bench, name="bench")


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
    from app.cli import bench as measuring  # lazy: see the package

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
    from app.cli import bench as measuring  # lazy: see the package

    measuring.panel(data=data, first=first.date(), preset=preset, file=file, style=style)
