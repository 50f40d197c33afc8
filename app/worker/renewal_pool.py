"""A refresh of many tickers in several processes: its work is Python's, of which each does one piece at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from functools import cache
from multiprocessing import get_context

import structlog

from app.bootstrap import open_services
from app.errors import CorruptRecord, UnknownSource, WorkerLost
from app.forecasting.market_data import Feed
from app.forecasting.renewal import Due, Outcome, Outcomes, renew, renew_in_turn
from app.forecasting.services import Services
from app.observability.logs import configure_logging
from app.prices.base import UPLOAD
from app.settings import Settings
from app.worker.parentage import follow

TICKERS_A_PROCESS = 25
"""A process has so many to renew at least: its start takes as long as some twenty of them."""

MOST_PROCESSES = 8
"""Each holds some 150 MB."""

TICKERS_AT_ONCE = 5
"""So many are handed to a process together."""

# No room for processes, no locks between them on this system, or they end as they begin.
_NOT_TO_BE_HAD = (OSError, NotImplementedError, BrokenProcessPool)

_SETTINGS: ContextVar[Settings] = ContextVar("settings")

log = structlog.get_logger(__name__)


def renew_in_processes(due: Sequence[Due], *, services: Services) -> Outcomes:
    """Renew all that is ``due``, in several processes where that pays, else here.

    A process for every 25 tickers, no more than there are cores, 8 at most; their clock is the machine's. Call it from
    a thread that lives as long as they do: ``follow_parent``.

    Raises:
        WorkerLost: one of the processes died; try again later.
    """
    processes = min(len(due) // TICKERS_A_PROCESS, services.cores, MOST_PROCESSES)
    # Another machine is asked by one process: its client knows of one session and of one refusal for all questions.
    if processes < 2 or not all(_is_local(one, services) for one in due):
        yield from renew_in_turn(due, services=services)
        return
    try:
        pool = _started(processes, services.settings)
    except _NOT_TO_BE_HAD as error:
        log.warning("refresh in one process", error=str(error))
        yield from renew_in_turn(due, services=services)
        return
    with pool:
        yield from _renewed_by(pool, due, processes)


def _is_local(one: Due, services: Services) -> bool:
    try:
        return all(name == UPLOAD or services.source(name).local for name in one.sources)
    except (CorruptRecord, UnknownSource):
        return True  # nobody will be asked


def _started(processes: int, settings: Settings) -> ProcessPoolExecutor:
    """Start all processes now, so that it is known whether they can be had."""
    context = get_context("spawn")  # never a fork: see ``app.worker.child``
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(os.getpid(), settings))
    try:
        for _ in range(processes):
            pool.submit(_nothing)
    except (OSError, BrokenProcessPool):
        pool.shutdown()
        raise
    return pool


def _renewed_by(pool: ProcessPoolExecutor, due: Sequence[Due], processes: int) -> Outcomes:
    done = 0
    try:
        for outcome in pool.map(_renew, due, chunksize=TICKERS_AT_ONCE):
            yield outcome
            done += 1
    except BrokenProcessPool as error:
        detail = f"One of {processes} processes of the refresh ended after {done} of {len(due)} tickers."
        cause = str(error.__cause__ or error)[:200]
        raise WorkerLost(detail, processes=processes, have=done, need=len(due), cause=cause) from error


def _begin(parent: int, settings: Settings) -> None:
    follow(parent)
    configure_logging(settings.log_level, settings.log_format)
    _SETTINGS.set(settings)


@cache
def _opened() -> tuple[Services, Feed]:
    """What this process renews with; not opened when it begins, where an error would be told as its death."""
    services = open_services(_SETTINGS.get())
    return services, Feed(services)


def _renew(due: Due) -> Outcome:
    services, feed = _opened()
    return renew(due, feed, services=services)


def _nothing() -> None:
    pass
