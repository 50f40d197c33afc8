"""Trainings that share a process: fitted side by side, each with an end of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from app.domain.job import Job
from app.domain.order import TrainingOrder
from app.errors import WorkerLost
from app.forecasting.market_data import RawBars, check_order
from app.forecasting.services import Services
from app.worker.handlers import order_and_bars


@dataclass(frozen=True, kw_only=True)
class Task:
    """A claimed job, who is told how far it is, and how it ends well: as part of the caller's transaction."""

    job: Job
    report: Callable[..., None]
    complete: Callable[[Connection, dict[str, Any]], None]


class TogetherHandler(Protocol):
    """A way of doing several jobs at once."""

    def __call__(self, tasks: Sequence[Task], *, services: Services, failed: Callable[[Job, Exception], None]) -> None:
        """Do all; ``failed(job, error)`` takes note of one that came to nothing, and the others go on."""


_OF_ONE = frozenset({"prices", "dataset", "backtest", "export"})  # stages of each job alone; fits are of all together


def in_company(report: Callable[..., None]) -> Callable[..., None]:
    """Return a report that a lost or cancelled job does not use to end a fit: it is the fit of the others too.

    The first report of a stage of its own ends that job.
    """

    def told(stage: str, fraction: float, **facts: Any) -> None:
        try:
            report(stage, fraction, **facts)
        except WorkerLost:
            if stage in _OF_ONE:
                raise

    return told


def train_together(tasks: Sequence[Task], *, services: Services, failed: Callable[[Job, Exception], None]) -> None:
    """Train, judge and register a version each; networks of one shape learn side by side."""
    ready: list[tuple[Task, TrainingOrder, RawBars]] = []
    for task in tasks:
        try:
            order, bars = order_and_bars(task.job, services, task.report)
            check_order(order, bars)
        except Exception as error:
            failed(task.job, error)
        else:
            ready.append((task, order, bars))
    if not ready:
        return
    # Here and not above: as for one training.
    from app.training.threads import use_threads
    from app.training.train import Training, train_models

    use_threads(services.training_threads)
    trainings = [
        Training(
            order=order,
            bars=bars,
            report=task.report,
            complete=task.complete,
            job_id=task.job.job_id,
            submitted_by=task.job.submitted_by,
        )
        for task, order, bars in ready
    ]
    results = train_models(trainings, services=services)
    for (task, _, _), result in zip(ready, results, strict=True):
        if isinstance(result, Exception):
            failed(task.job, result)
