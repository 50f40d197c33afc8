"""Pooled training, top to bottom: from a universe to one registered, judged version of each ticker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from app.artifacts.bundle import Bundle
from app.domain.pooled import PooledNetwork, PooledOrder
from app.domain.scorecard import Scorecard
from app.domain.version import ModelVersion
from app.evaluation.backtest import Backtest
from app.evaluation.verdict import judge
from app.forecasting.market_data import RawBars
from app.forecasting.pooled import Member, Pool, make_pool
from app.forecasting.services import Services
from app.training.fit import make_learners
from app.training.fitted import FittedNetwork
from app.training.pack import pack, pack_folds
from app.training.play import play_member
from app.training.pooled import fit_pooled, split_by_dates
from app.training.register import Candidate, Champion, CompleteAll, champion_of, register_all
from app.training.report import Report
from app.training.stopwatch import Stopwatch
from app.training.walk import fit_windows


def train_pool(
    order: PooledOrder,
    bars: Mapping[str, RawBars],
    *,
    services: Services,
    report: Report,
    complete: CompleteAll,
    job_id: str | None,
    submitted_by: str,
) -> list[ModelVersion]:
    """Train one network on the bars of all tickers, judge it on each alone, keep a version of each.

    The steps are those of ``train_model``. All versions become visible in one transaction with the job's end, or none.

    Raises:
        InvalidBars, NotEnoughHistory: the order cannot be filled, because of ``ticker``; leave that out.
        StoreUnavailable: try again later.
        FitDiverged, ParityFailed: the network is no good; change the spec.
        WorkerLost: another worker has taken the job over; nothing of this attempt remains.
    """
    watch = Stopwatch(report)

    with watch.stage("dataset"):
        pool = make_pool(order, bars)
        learners = make_learners(pool.datasets[0])

    with watch.stage("backtest"):
        networks = fit_windows(pool, learners, report)

    with watch.stage("judge"):
        judged = _judge_all(pool, networks, services, report)

    with watch.stage("fit"):
        once = order.orders[0].evaluation.kind == "fixed"
        network = networks[-1] if once else fit_pooled(pool.datasets, learners, report)

    with watch.stage("export"):
        bundles = _pack_all(pool, judged, network, networks)

    known = PooledNetwork(
        universe=tuple(order.universe),
        fitted_at=services.clock().isoformat(),
        known_through=network.known_through,
        windows=pool.windows,
        protocol=pool.protocol,
    )
    candidates = [_candidate(one, bundle, known, watch.seconds) for one, bundle in zip(judged, bundles, strict=True)]
    return register_all(candidates, services=services, complete=complete, job_id=job_id, submitted_by=submitted_by)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Judged:
    """One ticker of the universe, and what the network is worth on it alone."""

    member: Member
    champion: Champion | None
    played: tuple[Backtest, ...]
    scorecard: Scorecard


def _judge_all(pool: Pool, networks: Sequence[FittedNetwork], services: Services, report: Report) -> list[_Judged]:
    judged = []
    for place, member in enumerate(pool.members):
        report("judge", place / len(pool.members))
        champion = champion_of(member.order.ticker, services=services)
        played = play_member(member, [network.predict for network in networks])
        scorecard = judge(played, member.order.spec, champion_crps=champion.crps if champion else None)
        judged.append(_Judged(member=member, champion=champion, played=played, scorecard=scorecard))
    return judged


def _pack_all(
    pool: Pool, judged: Sequence[_Judged], network: FittedNetwork, networks: Sequence[FittedNetwork]
) -> list[Bundle]:
    """Pack the network once a ticker, with what it has learnt from of that, and those of the windows."""
    before = network.known_through + timedelta(days=1)
    learnt = split_by_dates(pool.datasets, before=before).learn
    folds = pack_folds(networks, pool.datasets[0])
    return [
        pack(
            replace(network, learnt=origins),
            one.member.dataset,
            one.scorecard,
            one.played,
            sessions=one.member.history.bars.sessions,
            folds=folds,
        )
        for one, origins in zip(judged, learnt, strict=True)
    ]


def _candidate(one: _Judged, bundle: Bundle, known: PooledNetwork, seconds: Mapping[str, float]) -> Candidate:
    return Candidate(
        order=one.member.order,
        market=one.member.market,
        history=one.member.history.between(end=known.known_through),
        scorecard=one.scorecard,
        bundle=bundle,
        judged_against=one.champion,
        seconds=seconds,
        pooled=known,
    )
