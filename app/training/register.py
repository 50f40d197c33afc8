"""A judged network becomes a version: published, registered, forecast, promoted when it has earned it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.metadata import version as library_version
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection

from app import __version__
from app.artifacts.base import manifest_sha256
from app.artifacts.bundle import Bundle, bundle_key, to_files
from app.domain.forecast import Forecast
from app.domain.history import PriceHistory
from app.domain.order import TrainingOrder
from app.domain.pooled import PooledNetwork
from app.domain.scorecard import Scorecard
from app.domain.version import CHALLENGER, CHAMPION, RIVAL_REASONS, DataFacts, ModelVersion
from app.errors import Conflict, CorruptArtifact, StoreUnavailable
from app.evaluation.correlation import correlation_of
from app.forecasting.forecast import forecast_to_serve
from app.forecasting.market_data import MarketData
from app.forecasting.refresh import next_look
from app.forecasting.services import Services
from app.registry import aliases, editions, forecasts, tickers, versions

Complete = Callable[[Connection, dict[str, Any]], None]
CompleteAll = Callable[[Connection, list[dict[str, Any]]], None]

_MOST_TAKEN = 100  # numbers in a row that a store may be ahead

LIBRARIES = ("keras", "numpy", "onnxruntime", "scikit-learn", "scipy")


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The present champion, with its out-of-sample CRPS by ISO session; ``None`` when its files are damaged."""

    number: int
    crps: Mapping[str, float] | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """A trained and judged network on its way to become a version.

    ``history`` are the bars it was trained on, ``market`` all that are known. ``judged_against`` is the
    champion that its scorecard was compared with. ``pooled`` is there when the network is one for many tickers.
    """

    order: TrainingOrder
    market: MarketData
    history: PriceHistory
    scorecard: Scorecard
    bundle: Bundle
    judged_against: Champion | None
    seconds: Mapping[str, float]
    pooled: PooledNetwork | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Made:
    """A published version, and the forecasts that become visible with it: its own, and the baseline's."""

    candidate: Candidate
    version: ModelVersion
    issued: tuple[Forecast, Forecast]


def champion_of(ticker: str, *, services: Services) -> Champion | None:
    """Return the ticker's champion to compare with, ``None`` without one.

    Raises:
        StoreUnavailable: disk or database refuse; try again later.
    """
    with services.database.read() as tx:
        number = aliases.current(tx, ticker, CHAMPION)
        if number is None:
            return None
        version = versions.get(tx, ticker, number)
    try:
        data = services.artifacts.read(
            version.location, "predictions.json", sha256=version.artifacts["predictions.json"]["sha256"]
        )
    except CorruptArtifact:
        return Champion(number=number, crps=None)
    said = json.loads(data)
    return Champion(number=number, crps=dict(zip(said["session"], said["crps"], strict=True)))


def register(
    candidate: Candidate, *, services: Services, complete: Complete, job_id: str | None, submitted_by: str
) -> ModelVersion:
    """Publish the bundle; then register version, forecast and alias, and end the job, in one transaction.

    Raises:
        StoreUnavailable: disk or database refuse; try again later.
        WorkerLost: the job is no longer ours; nothing remains.
    """
    (version,) = register_all(
        [candidate],
        services=services,
        complete=lambda tx, results: complete(tx, results[0]),
        job_id=job_id,
        submitted_by=submitted_by,
    )
    return version


def register_all(
    candidates: Sequence[Candidate],
    *,
    services: Services,
    complete: CompleteAll,
    job_id: str | None,
    submitted_by: str,
) -> list[ModelVersion]:
    """Publish all bundles; then register versions, forecasts and aliases, and end the job, in one transaction.

    ``candidates`` are of one ticker each, in ticker order.

    Raises:
        StoreUnavailable, WorkerLost: as ``register``; of no candidate anything remains.
    """
    keys: list[str] = []
    committing = False
    try:
        made = [_publish(one, keys, services, job_id=job_id, submitted_by=submitted_by) for one in candidates]
        with services.database.write() as tx:
            complete(tx, _enter(tx, made, services))
            committing = True
    except BaseException:
        # A commit that failed may have happened all the same: files that no row names are left to the sweep.
        if not committing:
            for key in keys:
                with suppress(StoreUnavailable):  # the sweep does it, and what happened first is what counts
                    services.artifacts.delete(key)
        raise
    return [one.version for one in made]


def _publish(
    candidate: Candidate, keys: list[str], services: Services, *, job_id: str | None, submitted_by: str
) -> _Made:
    """Publish the bundle under a number of its own, note its key, and forecast by it."""
    market = candidate.market
    number, manifest = _publish_as_next(candidate, services)
    key = bundle_key(candidate.order.ticker, number)
    keys.append(key)
    version = _version(candidate, number, key, manifest, services, job_id=job_id, submitted_by=submitted_by)
    # By the files just published, as serving will.
    own = forecast_to_serve(market, version, services=services)
    baseline = forecast_to_serve(market.alone, None, services=services)
    return _Made(candidate=candidate, version=version, issued=(own, baseline))


def _publish_as_next(candidate: Candidate, services: Services) -> tuple[int, Mapping[str, Any]]:
    """Publish the bundle under the next number that is free; return that and the manifest.

    A registry that was restored is behind its store, which has versions that this registry has yet to count.

    Raises:
        Conflict: it is behind by more than that; train again, which goes on from there, or let the sweep run first.
    """
    ticker, files = candidate.order.ticker, to_files(candidate.bundle)
    for _ in range(_MOST_TAKEN):
        with services.database.write() as tx:
            number = versions.reserve_number(tx, ticker)
        with suppress(Conflict):
            return number, services.artifacts.publish(bundle_key(ticker, number), files)
    raise Conflict(f"The model store has the next {_MOST_TAKEN} versions of {ticker} already.", ticker=ticker)


def _version(
    candidate: Candidate,
    number: int,
    key: str,
    manifest: Mapping[str, Any],
    services: Services,
    *,
    job_id: str | None,
    submitted_by: str,
) -> ModelVersion:
    history, order = candidate.history, candidate.order
    return ModelVersion(
        ticker=order.ticker,
        number=number,
        created_at=services.clock(),
        order={**order.to_dict(), **({"pooled": candidate.pooled.to_dict()} if candidate.pooled else {})},
        data=DataFacts(
            source=order.data.source,
            snapshot_id=candidate.market.snapshot_id or "",
            first_session=history.first_session,
            last_session=history.last_session,
            rows=len(history),
            findings=tuple(finding.to_dict() for finding in candidate.market.findings),
            peers=_peers(candidate),
        ),
        scorecard=candidate.scorecard.to_dict(),
        location=key,
        artifacts=manifest["files"],
        manifest_sha256=manifest_sha256(manifest),
        libraries={"python": platform.python_version(), **{name: library_version(name) for name in LIBRARIES}},
        seconds=candidate.seconds,
        job_id=job_id,
        code_version=__version__,
        submitted_by=submitted_by,
        reason=f"training with preset {order.preset}",
    )


def _peers(candidate: Candidate) -> dict[str, Any] | None:
    """Which bars of peers were read, and how closely they moved together before anything was tested."""
    market = candidate.market
    if not market.peers:
        return None
    tested_from = date.fromisoformat(candidate.scorecard.protocol["first_session"])
    correlation = correlation_of(candidate.history, market.peers, until=tested_from - timedelta(days=1))
    return {"snapshots": dict(market.peer_snapshots), "correlation": correlation}


def _enter(tx: Connection, made: Sequence[_Made], services: Services) -> list[dict[str, Any]]:
    """Write everything that makes the versions visible, in one edition; return a result each."""
    for one in made:  # tickers before the edition, in order, as everywhere: else two writers could wait for each other
        tickers.lock(tx, one.version.ticker)
    results = [_admit(tx, one, now=services.clock()) for one in made]
    edition, now = editions.next_edition(tx), services.clock()
    for one in made:
        champion = aliases.current(tx, one.version.ticker, CHAMPION)
        for forecast in one.issued if champion is None else one.issued[:1]:
            forecasts.store(tx, forecast.published(edition, now=now))
        tickers.set_next_update(tx, one.version.ticker, next_look(one.issued[0], now=now, services=services))
    return results


def _admit(tx: Connection, one: _Made, *, now: datetime) -> dict[str, Any]:
    """Register one version and point the alias to it that it has earned; return its result."""
    version, ticker = one.version, one.version.ticker
    versions.register(tx, version)
    champion = aliases.current(tx, ticker, CHAMPION)
    reasons = _reasons(one.candidate, champion)
    if not reasons:
        aliases.point(tx, ticker, CHAMPION, version.number, by=version.submitted_by, reason="earned it", now=now)
    challenges = bool(reasons) and set(reasons) <= RIVAL_REASONS
    if challenges:
        reason = f"to be compared live with version {champion}"
        aliases.point(tx, ticker, CHALLENGER, version.number, by=version.submitted_by, reason=reason, now=now)
    return {
        "ticker": ticker,
        "version": version.number,
        "promoted": not reasons,
        "challenger": challenges,
        "reasons": list(reasons),
        "url": f"/v1/models/{quote(ticker, safe='')}/versions/{version.number}",
    }


def _reasons(candidate: Candidate, champion: int | None) -> tuple[str, ...]:
    """What speaks against promotion, as machine codes; empty when the version becomes champion."""
    asked = () if candidate.order.promote == "auto" else ("promotion_not_asked",)
    judged_against = candidate.judged_against.number if candidate.judged_against else None
    raced = () if champion == judged_against else ("champion_changed_meanwhile",)
    return (*candidate.scorecard.reasons, *asked, *raced)
