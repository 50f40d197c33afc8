"""Scores added up, by model over its newest sessions and by session over all tickers; both kept as scores settle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Label,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
)

from app.db.tables import score_days, score_sums, scores
from app.db.upsert import insert
from app.domain.score import SCORED, Score

#: Newest sessions of each model over which sums are kept; those over another window are added up when asked for.
KEPT_WINDOW = 250
#: The levels whose coverage is summed up, in percent.
SUMMED_LEVELS = (80, 90, 95)
#: Who forecast, in the sums over all tickers.
VERSIONS, BASELINE = "versions", "baseline"

# Written into the statement, not bound: only so does the planner see that a partial index fits.
_SETTLED = and_(scores.c.leads, scores.c.state != literal("pending", literal_execute=True))
_OF_MODEL = (_SETTLED, scores.c.origin == bindparam("origin"), scores.c.ticker == bindparam("ticker"))
_LATEST = (scores.c.issued_at.desc(), scores.c.forecast_id.desc())
_NEEDED = ("state", "last_value", "error", "persistence_error", "crps", "crps_ewma_t", "pinball", "pit", "qlike")
_COLUMNS = tuple(scores.c[name] for name in (*_NEEDED, *(f"inside_{p}" for p in SUMMED_LEVELS)))

#: What is added up; ``summed`` says what it means.
SUMMED = tuple(column.name for column in score_days.c if not column.primary_key and column.name != "tickers")

Sums = dict[str, Any]
Days = dict[tuple[str, str, date], Sums]


def of_model(origin: str, ticker: str, version: int | None) -> tuple[ColumnElement[bool], ...]:
    """Return what picks the settled first steps of a model's leading target; version ``None`` is the baseline."""
    return _SETTLED, scores.c.origin == origin, scores.c.ticker == ticker, scores.c.version == version


def newest_sessions(model: Sequence[ColumnElement[bool]], window: int | BindParameter[int]) -> ColumnElement[bool]:
    """Return what picks the newest ``window`` sessions of a model; the index tells where they begin."""
    sessions = select(scores.c.target_session).distinct().where(*model)
    newest = sessions.order_by(scores.c.target_session.desc()).limit(window).subquery()
    return scores.c.target_session >= select(func.min(newest.c.target_session)).scalar_subquery()


@contextmanager
def followed(tx: Connection, settled: Sequence[Score]) -> Iterator[None]:
    """Carry over into the sums what the block makes of the ``settled`` steps; the caller holds their tickers."""
    leading = [score for score in settled if score.leads]
    models = {(score.origin, score.ticker, score.version) for score in leading}
    touched = sorted({(ticker, origin) for origin, ticker, _ in models})
    sessions = {
        key: {score.target_session for score in leading if (score.ticker, score.origin) == key} for key in touched
    }
    before = [_days(tx, *key, days) for key, days in sessions.items()]
    yield
    for origin, ticker, version in sorted(models, key=lambda model: (*model[:2], model[2] or 0)):
        _keep_model(tx, origin, ticker, version)
    changes: Days = {}
    for known, (key, days) in zip(before, sessions.items(), strict=True):
        _add(changes, _days(tx, *key, days), sign=1)
        _add(changes, known, sign=-1)
    _keep_days(tx, changes)


def tickers_after(tx: Connection, origin: str, *, after: str | None, limit: int) -> list[str]:
    """Return the tickers behind ``after`` of which something settled is known, in order."""
    known = select(score_sums.c.ticker).distinct().where(score_sums.c.origin == origin)
    if after is not None:
        known = known.where(score_sums.c.ticker > after)
    return list(tx.execute(known.order_by(score_sums.c.ticker).limit(limit)).scalars())


def by_model(tx: Connection, origin: str, tickers: Sequence[str], *, window: int) -> list[Sums]:
    """Return ``summed`` of every model of ``tickers``, with ``ticker`` and ``version``, the baseline first."""
    kept = select(score_sums).where(score_sums.c.origin == origin, score_sums.c.ticker.in_(tickers))
    rows = [dict(row._mapping) for row in tx.execute(kept.order_by(score_sums.c.ticker, score_sums.c.version))]
    named = [row | {"version": row["version"] or None} for row in rows]
    if window == KEPT_WINDOW:
        return named
    return [
        row | (summed(tx, origin=origin, ticker=row["ticker"], version=row["version"], window=window) or {})
        for row in named
    ]


def summed(tx: Connection, *, origin: str, ticker: str, version: int | None, window: int) -> Sums | None:
    """Return sums over the newest ``window`` sessions of a model, ``None`` without any.

    ``n`` sessions came and ``missing`` never did, from ``first_session`` to ``last_session``. Squared errors are
    relative to the last value. ``both_crps`` sums the CRPS where that of persistence is known too, over ``n_both``
    sessions; ``raw_80`` and ``displayed_80`` count the sessions that ended inside the band. Of several forecasts of
    one session the one issued last counts.
    """
    wanted = {"origin": origin, "ticker": ticker, "version": version, "window": window}
    row = tx.execute(_summed(is_baseline=version is None), wanted).one()
    return dict(row._mapping) if row.first_session else None


def overall(tx: Connection, origin: str, *, window: int) -> dict[str, Sums]:
    """Return sums over all tickers and the newest ``window`` sessions of any: of all versions, and of the baseline.

    ``tickers`` is the most that were forecast for one session.
    """
    found = {}
    for model in (VERSIONS, BASELINE):
        row = tx.execute(_overall(), {"origin": origin, "model": model, "window": window}).one()
        if row.tickers is not None:
            found[model] = dict(row._mapping)
    return found


@cache
def _overall() -> Select[Any]:
    """Return the statement behind ``overall``; making it takes longer than the database needs to answer it."""
    days = select(score_days).where(
        score_days.c.origin == bindparam("origin"), score_days.c.model == bindparam("model")
    )
    newest = days.order_by(score_days.c.target_session.desc()).limit(bindparam("window")).subquery()
    totals = (func.sum(newest.c[name]).label(name) for name in SUMMED)
    return select(func.max(newest.c.tickers).label("tickers"), *totals)


@cache
def _summed(*, is_baseline: bool) -> Select[Any]:
    """Return the statement behind ``summed``; made once, for a refresh sends it for every model."""
    model = (*_OF_MODEL, scores.c.version.is_(None) if is_baseline else scores.c.version == bindparam("version"))
    issue = func.row_number().over(partition_by=scores.c.target_session, order_by=_LATEST)
    issued = select(scores.c.target_session, *_COLUMNS, issue.label("issue"))
    counted = issued.where(*model, newest_sessions(model, bindparam("window"))).subquery()
    session = counted.c.target_session
    spans = (func.min(session).label("first_session"), func.max(session).label("last_session"))
    return select(*spans, *_totals(counted)).where(counted.c.issue == 1)


def _totals(counted: Subquery) -> list[Label[Any]]:
    column = counted.c
    came = column.state == SCORED
    both = and_(came, column.crps_ewma_t.is_not(None))
    off, off_persistence = (column[name] / column.last_value for name in ("error", "persistence_error"))
    held = [(p, func.abs(2 * column.pit - 1) <= p / 100, column[f"inside_{p}"]) for p in SUMMED_LEVELS]
    sums = {
        "n": _count(came),
        "missing": case((came, 0), else_=1),
        "squared_error": case((came, off * off)),
        "squared_persistence_error": case((came, off_persistence * off_persistence)),
        **{name: case((came, column[name])) for name in ("crps", "pinball", "qlike")},
        "n_both": _count(both),
        "both_crps": case((both, column.crps)),
        "both_crps_ewma_t": case((both, column.crps_ewma_t)),
        **{f"raw_{p}": _count(raw) for p, raw, _ in held},
        **{f"displayed_{p}": _count(displayed) for p, _, displayed in held},
    }
    return [func.coalesce(func.sum(value), 0).label(name) for name, value in sums.items()]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _days(tx: Connection, ticker: str, origin: str, sessions: set[date]) -> Days:
    """Return what the ticker adds to the sums over all tickers on these ``sessions``."""
    found = {}
    for row in tx.execute(_added(), {"origin": origin, "ticker": ticker, "sessions": sorted(sessions)}):
        sums = dict(row._mapping)
        found[origin, sums.pop("model"), sums.pop("target_session")] = sums
    return found


@cache
def _added() -> Select[Any]:
    """Return the statement behind ``_days``; made once, for a refresh sends it twice a ticker."""
    model = case((scores.c.version.is_(None), BASELINE), else_=VERSIONS).label("model")
    alike = (func.coalesce(scores.c.version, 0), scores.c.target_session)
    issue = func.row_number().over(partition_by=alike, order_by=_LATEST).label("issue")
    issued = select(scores.c.target_session, *_COLUMNS, model, issue).where(*_OF_MODEL)
    counted = issued.where(scores.c.target_session.in_(bindparam("sessions", expanding=True))).subquery()
    keys = counted.c.model, counted.c.target_session
    added = select(*keys, cast(1, Integer).label("tickers"), *_totals(counted)).where(counted.c.issue == 1)
    return added.group_by(*keys)


def _add(changes: Days, found: Mapping[tuple[str, str, date], Sums], *, sign: int) -> None:
    for key, sums in found.items():
        known = changes.setdefault(key, dict.fromkeys(sums, 0))
        changes[key] = {name: known[name] + sign * value for name, value in sums.items()}


def _keep_model(tx: Connection, origin: str, ticker: str, version: int | None) -> None:
    sums = summed(tx, origin=origin, ticker=ticker, version=version, window=KEPT_WINDOW)
    if sums is not None:
        kept = insert(tx, score_sums).values(origin=origin, ticker=ticker, version=version or 0, **sums)
        tx.execute(kept.on_conflict_do_update(index_elements=["origin", "ticker", "version"], set_=sums))


def _keep_days(tx: Connection, changes: Days) -> None:
    # In order: else two writers could wait for each other.
    for (origin, model, session), sums in sorted(changes.items(), key=lambda change: change[0]):
        row = insert(tx, score_days).values(origin=origin, model=model, target_session=session, **sums)
        more = {name: score_days.c[name] + row.excluded[name] for name in sums}
        tx.execute(row.on_conflict_do_update(index_elements=["origin", "model", "target_session"], set_=more))
