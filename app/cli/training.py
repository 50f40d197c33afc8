"""``morrow train``: hand in an order, follow it, and say what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NoReturn

from pydantic import ValidationError

from app.api.schemas.orders import TrainOne, TrainPool
from app.cli.console import give_up, out
from app.cli.forecast_table import forecast_table
from app.cli.place import Place
from app.cli.places import place


def train(
    ticker: str | None,
    *,
    universe: str | None,
    preset: str,
    data: Mapping[str, Any],
    changes: Sequence[str],
    promote: str | None,
    url: str | None,
) -> None:
    """Train as an order over HTTP would, under a progress bar; Ctrl-C cancels the job.

    ``data`` holds ``source``, ``start`` and ``end``; what is ``None`` has a default, ``promote`` as well.
    """
    if (ticker is None) == (universe is None):
        give_up("give a TICKER, or --preset pooled with --universe A,B,C", code=2)
    named: dict[str, Any] = (
        {"ticker": ticker} if universe is None else {"universe": [name.strip() for name in universe.split(",")]}
    )
    if promote is not None:
        named["promote"] = promote
    body = _body(named, preset=preset, data=data_of(**data), changes=changes)
    what = f"{len(named['universe'])} tickers" if isinstance(body, TrainPool) else body.ticker
    with place(url) as at:
        result = at.outcome("train", body, title=f"Training {what}")
        for made in result.get("versions", [result]):
            _show(made, at)


def data_of(source: str | None, start: date | None, end: date | None) -> dict[str, Any]:
    """Return the options that were given as an order's ``data``."""
    given = {"source": source, "start": start and start.isoformat(), "end": end and end.isoformat()}
    return {name: value for name, value in given.items() if value is not None}


def fields_of(changes: Sequence[str], *, option: str = "--set") -> dict[str, Any]:
    """Turn ``optimizer.learning_rate=0.01`` into nested objects; values are JSON, or else text."""
    spec: dict[str, Any] = {}
    for change in changes:
        path, sign, text = change.partition("=")
        if not sign or not path:
            give_up(f"{option} {change}: not of the form KEY=VALUE", code=2)
        *parents, name = path.split(".")
        part = spec
        for parent in parents:
            part = part.setdefault(parent, {})
        try:
            part[name] = json.loads(text)
        except ValueError as error:
            if text.startswith(("[", "{")):
                give_up(f"{option} {change}: the value is no JSON, {error}", code=2)
            part[name] = text
    return spec


def give_up_on(refusal: ValidationError) -> NoReturn:
    """Say in one line what of a body was refused."""
    give_up("; ".join(f"{'.'.join(map(str, e['loc']))}: {_in_words(e)}" for e in refusal.errors()), code=2)


def _in_words(error: Mapping[str, Any]) -> str:
    return "there is no such field" if error["type"] == "extra_forbidden" else str(error["msg"])


def _body(named: dict[str, Any], *, preset: str, data: dict[str, Any], changes: Sequence[str]) -> TrainOne | TrainPool:
    """Check the options by the same rules as a request body."""
    spec = fields_of(changes)
    body = {**named, "preset": preset, "data": data} | ({"spec": spec} if spec else {})
    schema = TrainPool if "universe" in named else TrainOne
    try:
        return schema.model_validate_json(json.dumps(body))
    except ValidationError as refusal:
        give_up_on(refusal)


def _show(made: Mapping[str, Any], at: Place) -> None:
    """Say what a version is worth and what it forecasts."""
    reasons = ", ".join(made["reasons"])
    verdict = "is champion now" if made["promoted"] else f"is not champion: {reasons or 'promotion was not asked for'}"
    out.print(f"Version {made['version']} of {made['ticker']} {verdict}.", markup=False, soft_wrap=True)
    out.print(forecast_table(at.forecast(made["ticker"], model=str(made["version"]), levels=[80.0, 95.0])))
