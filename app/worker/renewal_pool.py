"""A refresh of many tickers in several processes: its work is Python's, of which each does one piece at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context

from app.bootstrap import open_services
from app.errors import WorkerLost
from app.forecasting.market_data import Feed
from app.forecasting.renewal import Due, Outcome, renew, renew_in_turn
from app.forecasting.services import Services
from app.observability.logs import configure_logging
from app.settings import Settings
from app.worker.parentage import follow

TICKERS_A_PROCESS = 25
"""So many are to be renewed by each process at least: its start takes as long as some ten of them."""

MOST_PROCESSES = 8
"""Each holds some 150 MB."""

_AT_ONCE = 5  # tickers handed to a process together


def renew_beside(due: Sequence[Due], *, services: Services) -> Iterator[Outcome]:
    """Renew all that is ``due`` in as many processes as there are cores, here when it is too little for that.

    A peer's bars are asked for once a process.

    Raises:
        WorkerLost: one of the processes died; try again later.
    """
    processes = min(len(due) // TICKERS_A_PROCESS, os.cpu_count() or 1, MOST_PROCESSES)
    if processes < 2:
        yield from renew_in_turn(due, services=services)
        return
    context = get_context("spawn")  # never a fork: see ``app.worker.child``
    with ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(os.getpid(),)) as pool:
        try:
            yield from pool.map(_renew, due, chunksize=_AT_ONCE)
        except BrokenProcessPool as error:
            raise WorkerLost("A process of the refresh died.") from error


def _begin(parent: int) -> None:
    follow(parent)
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)


@cache
def _opened() -> tuple[Services, Feed]:
    """What this process renews with, as long as it lives."""
    services = open_services(Settings())
    return services, Feed(services)


def _renew(due: Due) -> Outcome:
    services, feed = _opened()
    return renew(due, feed, services=services)
