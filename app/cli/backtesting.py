"""``morrow backtest``: hand in an order to be judged, follow it, and show every contestant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.api.schemas.orders import BacktestOne
from app.cli.console import out, table
from app.cli.places import place
from app.cli.training import data_of, fields_of, give_up_on

COLUMNS = ("contestant", "RMSE", "CRPS", "gain", "p", "best", "in 90 %", "QLIKE")


def backtest(
    ticker: str,
    *,
    preset: str,
    data: Mapping[str, Any],
    changes: Sequence[str],
    once: bool,
    as_json: bool,
    url: str | None,
) -> None:
    """Judge as an order over HTTP would be, under a progress bar; Ctrl-C cancels the job.

    ``data`` holds ``source``, ``start`` and ``end``; what is ``None`` has a default.
    """
    body = _body(ticker, preset=preset, data=data_of(**data), changes=changes, once=once)
    with place(url) as at:
        result = at.outcome("backtest", body, title=f"Judging {body.ticker}")
    if as_json:
        out.print(json.dumps(result, indent=2), markup=False, soft_wrap=True)
        return
    out.print(table(*COLUMNS, rows=[_row(name, result) for name in result["contestants"]]))
    out.print(_words(result), markup=False, soft_wrap=True)


def _body(ticker: str, *, preset: str, data: dict[str, Any], changes: Sequence[str], once: bool) -> BacktestOne:
    """Check the options by the same rules as a request body."""
    body = {"ticker": ticker, "preset": preset, "data": data}
    if changes:
        body["spec"] = fields_of(changes)
    if once:
        body["evaluation"] = {"kind": "walk_forward", "refit": False}
    try:
        return BacktestOne.model_validate_json(json.dumps(body))
    except ValidationError as refusal:
        give_up_on(refusal)


def _row(name: str, result: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Return what one contestant came to; losses are lower where it is better."""
    scored, test = result["contestants"][name], result["tests"].get(name, {})
    chosen = result["confidence_set"]
    return (
        name,
        _number(scored["rmse_ratio"], ".4f"),
        _number(scored["crps"], ".5f"),
        _number(test.get("crps_gain"), "+z.2%"),
        _number(test.get("dm_p"), ".3f"),
        None if chosen is None else ("yes" if name in chosen["included"] else "no"),
        _number(scored["coverage_90"], ".1%"),
        _number(scored["qlike_squared"], ".4f"),
    )


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def _words(result: Mapping[str, Any]) -> str:
    """Say how it was judged, how it ended and what it cost."""
    how, skill = result["protocol"], result["skill"]
    fits = f"fitted anew {how['fits']} times" if how["refit"] else "fitted once, the window rolled on"
    against = ", ".join(result["reasons"])
    verdict = "It would have earned champion." if result["earned_champion"] else f"It would not be champion: {against}."
    spent = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in result["seconds"].items())
    return (
        f"{skill['n']} sessions, {how['first_session']} to {how['last_session']}, {fits}. "
        "RMSE is a ratio to persistence, gain by how much lower the model's CRPS is, p how likely by luck; "
        "best is who may be, at 90 %.\n"
        f"{verdict} Nothing was registered. ({spent})"
    )
