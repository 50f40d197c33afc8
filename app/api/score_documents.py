"""The record summed up by ticker and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from sqlalchemy import Connection

from app.domain.scorecard import Scorecard
from app.domain.version import ModelVersion
from app.errors import NoModelYet
from app.forecasting.answer import utc
from app.registry import aliases, drift, scores, versions

BACKTEST = "backtest"

Sums = Mapping[str, Any]


def scores_document(tx: Connection, *, ticker: str | None, origin: str, window: int) -> dict[str, Any]:
    """Sum up what was forecast of ``ticker`` (``None``: of all) with this ``origin``; origins never mix.

    Raises:
        NoModelYet: the ticker has no version, and nothing was ever forecast of it.
    """
    pointed: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, alias, number in aliases.aliased(tx):
        pointed[name, number].append(alias)
    moved = drift.known(tx, ticker)
    if origin == BACKTEST:
        items, overall = [_backtested(version) for version in _served(tx, ticker, pointed)], []
    else:
        sums = scores.summed(tx, origin=origin, ticker=ticker, window=window)
        items, overall = [_item(row) for row in sums], _overall(sums)
    if ticker is not None and not items and versions.newest(tx, ticker) is None:
        raise NoModelYet(f"{ticker} has no version yet; POST /v1/train makes one.", ticker=ticker)
    for item in items:
        key = item["ticker"], item["model"]["version"]
        item["model"]["aliases"] = sorted(pointed.get(key, []))
        item["drift"] = _drift(moved.get(key))
    return {"origin": origin, "window": window, "overall": overall, "items": items}


def _drift(found: tuple[Any, Mapping[str, Any]] | None) -> dict[str, Any] | None:
    return {"state": found[1]["state"], "checked_at": utc(found[0]), "signs": found[1]["signs"]} if found else None


def _item(row: Sums) -> dict[str, Any]:
    spans = {name: row[name].isoformat() for name in ("first_session", "last_session")}
    return {"ticker": row["ticker"], "model": {"version": row["version"]}, **spans, **_summary(row)}


def _overall(sums: Sequence[Sums]) -> list[dict[str, Any]]:
    """Add up over all tickers what versions said, and what the baseline said."""
    parts = {
        "versions": [row for row in sums if row["version"] is not None],
        "baseline": [row for row in sums if row["version"] is None],
    }
    added = []
    for model, rows in parts.items():
        if rows:
            names = [name for name, value in rows[0].items() if isinstance(value, int | float) and name != "version"]
            total = {name: sum(row[name] for row in rows) for name in names}
            added.append({"model": model, "tickers": len({row["ticker"] for row in rows}), **_summary(total)})
    return added


def _summary(row: Sums) -> dict[str, Any]:
    n = row["n"]
    ratio = _share(row["squared_error"], row["squared_persistence_error"])
    relative = _share(row["both_crps"], row["both_crps_ewma_t"])
    return {
        "n": n,
        "missing": row["missing"],
        "skill": None if ratio is None else 1 - sqrt(ratio),
        **{name: _share(row[name], n) for name in ("crps", "pinball", "qlike")},
        "crps_skill": None if relative is None else 1 - relative,
        "coverage": [
            {"level": p, "raw": _share(row[f"raw_{p}"], n), "displayed": _share(row[f"displayed_{p}"], n), "n": n}
            for p in scores.SUMMED_LEVELS
        ],
    }


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _served(tx: Connection, ticker: str | None, pointed: Mapping[tuple[str, int], Sequence[str]]) -> list[ModelVersion]:
    """The versions that aliases point to, and the newest of each ticker."""
    tickers = versions.all_tickers(tx) if ticker is None else [ticker]
    numbers = {key for key in pointed if key[0] in tickers}
    newest = (versions.newest(tx, name) for name in tickers)
    numbers |= {(one.ticker, one.number) for one in newest if one}
    return [versions.get(tx, name, number) for name, number in sorted(numbers)]


def _backtested(version: ModelVersion) -> dict[str, Any]:
    """What the version's scorecard says of the sessions out of sample, before it was registered."""
    card = Scorecard.from_dict(version.scorecard)
    return {
        "ticker": version.ticker,
        "model": {"version": version.number},
        "first_session": card.protocol.get("first_session"),
        "last_session": card.protocol.get("last_session"),
        "n": card.skill.n,
        "missing": 0,
        "skill": card.skill.value,
        "crps": card.contestants["model"].get("crps"),
        "crps_skill": card.skill.crps,
        "pinball": card.contestants["model"].get("pinball"),
        "qlike": card.contestants["model"].get("qlike"),
        "coverage": [
            {"level": entry.level, "raw": entry.empirical, "displayed": None, "n": entry.n}
            for entry in card.calibration
        ],
    }
