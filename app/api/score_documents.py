"""The record summed up by ticker and model, and over all tickers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection

from app.api.pagination import listed, page_of, position_of
from app.api.schemas.common import Ticker
from app.domain.scorecard import Scorecard
from app.domain.version import ModelVersion
from app.errors import NoModelYet
from app.forecasting.document import utc
from app.forecasting.services import Services
from app.registry import aliases, drift, score_sums, versions
from app.registry.score_sums import BASELINE, SUMMED_LEVELS, VERSIONS, Sums

BACKTEST = "backtest"
_LIST = "scores"
_BY_TICKER = TypeAdapter(tuple[Ticker])


def scores_of(ticker: str, *, origin: str, window: int, services: Services) -> dict[str, Any]:
    """Sum up what was forecast of ``ticker`` with this ``origin``, by model and over its models.

    Raises:
        NoModelYet: the ticker has no version, and nothing was ever forecast of it.
    """
    with services.database.read() as tx:
        items, sums = _items(tx, [ticker], origin=origin, window=window)
        if not items and versions.newest(tx, ticker) is None:
            raise NoModelYet(f"{ticker} has no version yet; POST /v1/train makes one.", ticker=ticker)
    return {"origin": origin, "window": window, "overall": _overall(_added(sums)), **listed(items, None)}


def scores_page(*, origin: str, window: int, size: int, token: str | None, services: Services) -> dict[str, Any]:
    """Sum up what was forecast with this ``origin``: by model for a page of tickers, and over all tickers there are.

    Raises:
        InvalidPageToken: the token is not one of this list.
    """
    after = position_of(_LIST, token, _BY_TICKER)[0] if token is not None else None
    with services.database.read() as tx:
        if origin == BACKTEST:
            known = versions.tickers_after(tx, after=after, limit=size + 1)
        else:
            known = score_sums.tickers_after(tx, origin, after=after, limit=size + 1)
        page, following = page_of(known, size=size, list_name=_LIST, position=lambda ticker: (ticker,))
        items, _ = _items(tx, page, origin=origin, window=window)
        overall = {} if origin == BACKTEST else score_sums.overall(tx, origin, window=window)
    return {"origin": origin, "window": window, "overall": _overall(overall), **listed(items, following)}


def _items(
    tx: Connection, tickers: Sequence[str], *, origin: str, window: int
) -> tuple[list[dict[str, Any]], list[Sums]]:
    """Return the models of ``tickers`` as documents, and the sums behind them; a backtest has none."""
    pointed: dict[tuple[str, int | None], list[str]] = defaultdict(list)
    for name, alias, number in aliases.aliased(tx, tickers):
        pointed[name, number].append(alias)
    moved = drift.known(tx, tickers)
    sums: list[Sums] = []
    if origin == BACKTEST:
        items = [_backtested(version) for version in versions.served(tx, tickers)]
    else:
        sums = score_sums.by_model(tx, origin, tickers, window=window)
        items = [_item(row) for row in sums]
    for item in items:
        key = item["ticker"], item["model"]["version"]
        item["model"]["aliases"] = pointed.get(key, [])
        item["drift"] = _drift(moved.get(key))
    return items, sums


def _drift(found: tuple[Any, Mapping[str, Any]] | None) -> dict[str, Any] | None:
    return {"state": found[1]["state"], "checked_at": utc(found[0]), "signs": found[1]["signs"]} if found else None


def _item(row: Sums) -> dict[str, Any]:
    spans = {name: row[name].isoformat() for name in ("first_session", "last_session")}
    return {"ticker": row["ticker"], "model": {"version": row["version"]}, **spans, **_summary(row)}


def _added(sums: Sequence[Sums]) -> dict[str, Sums]:
    """Add up over the models of one ticker what versions said, and what the baseline said."""
    parts = {
        VERSIONS: [row for row in sums if row["version"] is not None],
        BASELINE: [row for row in sums if row["version"] is None],
    }
    names = score_sums.SUMMED
    return {
        model: {"tickers": 1, **{name: sum(row[name] for row in rows) for name in names}}
        for model, rows in parts.items()
        if rows
    }


def _overall(sums: Mapping[str, Sums]) -> list[dict[str, Any]]:
    return [{"model": model, "tickers": row["tickers"], **_summary(row)} for model, row in sums.items()]


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
            for p in SUMMED_LEVELS
        ],
    }


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _backtested(version: ModelVersion) -> dict[str, Any]:
    """What the version's scorecard says of the sessions out of sample, before it was registered."""
    card = Scorecard.from_dict(version.scorecard)
    model = card.contestants["model"]
    return {
        "ticker": version.ticker,
        "model": {"version": version.number},
        "first_session": card.protocol.get("first_session"),
        "last_session": card.protocol.get("last_session"),
        "n": card.skill.n,
        "missing": 0,
        "skill": card.skill.value,
        "crps": model.get("crps"),
        "crps_skill": card.skill.crps,
        "pinball": model.get("pinball"),
        "qlike": model.get("qlike_squared"),
        "coverage": [
            {"level": entry.level, "raw": entry.empirical, "displayed": None, "n": entry.n}
            for entry in card.calibration
        ],
    }
