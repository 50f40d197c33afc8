"""Arguments and options that several commands take."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

Ticker = Annotated[str, typer.Argument(help="Ticker, for example MSFT or ^GSPC.", show_default=False)]
Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default="MORROW_HOST")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="MORROW_PORT")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], show_default="open")]
PresetName = Annotated[str, typer.Option(help="Set of defaults.")]
Source = Annotated[str | None, typer.Option(help="yahoo, files, sample or upload.", show_default="MORROW_SOURCE")]
Universe = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="With --preset pooled: the tickers that one network is fitted on."),
]
Promote = Annotated[
    str | None,
    typer.Option(metavar="auto|never", help="Make it champion: if it has earned it, or never.", show_default="auto"),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the spec: --set window=60", show_default=False),
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="MORROW_URL",
        help="Work on the service there, with the key in MORROW_API_KEY; else on the registry of this machine.",
        show_default=False,
    ),
]
