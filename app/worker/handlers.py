"""What each kind of job does, in the child that runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from sqlalchemy import Connection

from app.domain.job import Job
from app.domain.order import POOLED, TrainingOrder
from app.domain.pooled import PooledOrder
from app.domain.search import TuningOrder
from app.forecasting.market_data import RawBars, check_order, latest_bars
from app.forecasting.peers import naming_ticker
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.jobs import leases
from app.worker.checkpoints import bars_of, checkpoint_keeper
from app.worker.renewal_pool import renew_in_processes


class Handler(Protocol):
    """A kind's way of working."""

    def __call__(
        self,
        job: Job,
        *,
        services: Services,
        report: Callable[..., None],
        complete: Callable[[Connection, dict[str, Any]], None],
    ) -> None:
        """Do one job; the last transaction calls ``complete(tx, result)``, so that work and end are one.

        Raises:
            AppError: the job failed for a reason; it is written into the job, and tried again if retryable.
        """


def train(
    job: Job,
    *,
    services: Services,
    report: Callable[..., None],
    complete: Callable[[Connection, dict[str, Any]], None],
) -> None:
    """Train, judge and register one version, or one of each ticker of a universe; a pooled network is only adopted."""
    if "universe" in job.payload:
        _train_pool(job, services=services, report=report, complete=complete)
        return
    order, bars = order_and_bars(job, services, report)
    if order.preset == POOLED:
        # Here and not above: SciPy's and scikit-learn's parts are only needed where something is judged.
        from app.training.adopt import adopt_model as work
    else:
        check_order(order, bars)
        # Here and not above: an order that cannot be filled, and a refresh, need not pay for TensorFlow (seconds, half
        # a gigabyte); and Yahoo's client must be loaded first, since TensorFlow's libraries break its TLS otherwise.
        from app.training.threads import use_threads
        from app.training.train import train_model as work

        use_threads(services.training_threads)
    work(
        order,
        bars,
        services=services,
        report=report,
        complete=complete,
        job_id=job.job_id,
        submitted_by=job.submitted_by,
    )


def _train_pool(
    job: Job,
    *,
    services: Services,
    report: Callable[..., None],
    complete: Callable[[Connection, dict[str, Any]], None],
) -> None:
    """Train one network on all tickers of a universe; judge and register it for each."""
    order = PooledOrder.from_dict(job.payload)
    bars: dict[str, RawBars] = {}
    for place, one in enumerate(order.orders):
        report("prices", place / len(order.orders))
        with naming_ticker(one.ticker):
            bars[one.ticker] = latest_bars(one.ticker, one.data.source, services=services)
    # Here and not above: as for training.
    from app.training.threads import use_threads
    from app.training.train_pool import train_pool

    use_threads(services.training_threads)
    train_pool(
        order,
        bars,
        services=services,
        report=report,
        complete=lambda tx, versions: complete(tx, {"versions": versions}),
        job_id=job.job_id,
        submitted_by=job.submitted_by,
    )


def backtest(
    job: Job,
    *,
    services: Services,
    report: Callable[..., None],
    complete: Callable[[Connection, dict[str, Any]], None],
) -> None:
    """Judge what a training would; nothing is registered."""
    order, bars = order_and_bars(job, services, report)
    check_order(order, bars)
    # Here and not above: as for training.
    from app.training.backtest import backtest_model
    from app.training.threads import use_threads

    use_threads(services.training_threads)
    result = backtest_model(order, bars, services=services, report=report)
    with services.database.write() as tx:
        complete(tx, result)


def order_and_bars(job: Job, services: Services, report: Callable[..., None]) -> tuple[TrainingOrder, RawBars]:
    """Return what a job asks for, and the newest bars for it.

    Raises:
        AppError: there are no such bars, now or at all.
    """
    order = TrainingOrder.from_dict(job.payload)
    report("prices", 0.0)
    bars = latest_bars(order.ticker, order.data.source, services=services, peers=order.spec.peers)
    return order, bars


def tune(
    job: Job,
    *,
    services: Services,
    report: Callable[..., None],
    complete: Callable[[Connection, dict[str, Any]], None],
) -> None:
    """Search a better spec, from where an attempt before this one left off; nothing is registered.

    A long search is handed back now and then: a fresh process goes on with it.
    """
    order = TuningOrder.from_dict(job.payload)
    with services.database.read() as tx:
        kept = leases.checkpoint_of(tx, job.job_id)
    report("prices", 0.0)
    asked = order.order
    bars = (
        bars_of(kept, services)
        if kept
        else latest_bars(asked.ticker, asked.data.source, services=services, peers=asked.spec.peers)
    )
    check_order(replace(asked, spec=order.widest), bars, samples=order.fewest_samples)
    # Here and not above: as for training.
    from app.training.threads import use_threads
    from app.training.tuning import tune_model

    use_threads(services.training_threads)
    started = time.monotonic()
    result = tune_model(
        order,
        bars,
        report=report,
        keep=checkpoint_keeper(services, job, bars),
        kept=kept,
        elapsed=lambda: time.monotonic() - started,
    )
    with services.database.write() as tx:
        if result is None:
            leases.release(tx, job.job_id, job.fence, now=services.now(tx))
        else:
            complete(tx, result)


def refresh(
    job: Job,
    *,
    services: Services,
    report: Callable[..., None],
    complete: Callable[[Connection, dict[str, Any]], None],
) -> None:
    """Fetch new bars and issue new forecasts; ``payload.tickers`` ``None`` means all that are served."""
    result = refresh_tickers(job.payload.get("tickers"), services=services, report=report, renew_all=renew_in_processes)
    with services.database.write() as tx:
        complete(tx, result)


HANDLERS: Mapping[str, Handler] = MappingProxyType(
    {"train": train, "backtest": backtest, "tune": tune, "refresh": refresh}
)
