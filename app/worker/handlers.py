"""What each kind of job does, in the child that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from sqlalchemy import Connection

from app.domain.job import Job
from app.domain.order import TrainingOrder
from app.forecasting.market_data import check_order, latest_bars
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services


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
    """Train, judge and register one version."""
    order = TrainingOrder.from_dict(job.payload)
    report("prices", 0.0)
    bars = latest_bars(order.ticker, order.data.source, services=services)
    check_order(order, bars.history)
    # Here and not above: an order that cannot be filled, and a refresh, need not pay for TensorFlow (seconds, half
    # a gigabyte); and Yahoo's client must be loaded first, since TensorFlow's libraries break its TLS otherwise.
    from app.training.threads import use_threads
    from app.training.train import train_model

    use_threads(services.training_threads)
    train_model(
        order,
        bars,
        services=services,
        report=report,
        complete=complete,
        job_id=job.job_id,
        submitted_by=job.submitted_by,
    )


def refresh(
    job: Job,
    *,
    services: Services,
    report: Callable[..., None],
    complete: Callable[[Connection, dict[str, Any]], None],
) -> None:
    """Fetch new bars and issue new forecasts; ``payload.tickers`` ``None`` means all that are served."""
    result = refresh_tickers(job.payload.get("tickers"), services=services, report=report)
    with services.database.write() as tx:
        complete(tx, result)


HANDLERS: Mapping[str, Handler] = MappingProxyType({"train": train, "refresh": refresh})
