"""What no worker has been told of, though it could run: told again."""

from __future__ import annotations

from datetime import timedelta

import structlog

from app.forecasting.services import Services
from app.jobs import queries

_SETTLING = timedelta(seconds=1)
_MOST_AT_ONCE = 1000

log = structlog.get_logger(__name__)


def redeliver(services: Services) -> int:
    """Tell of the jobs that wait where fewer words than jobs do; return how many.

    So come retries, whose time has come, and all that a broker has lost or never got. Each job that waits has a word
    of its own until it is claimed: with as many words as jobs nothing is missing, or will be told once those words that
    say nothing new are through. One look adds a word a job at most, and only where there are fewer words than jobs: it
    leaves fewer than twice as many. Workers that look at the same moment may each add as many; the next look of any
    adds none, and a word too many costs one claim that finds nothing.

    Raises:
        BrokerUnavailable, StoreUnavailable: either is away; come again.
    """
    words = services.delivery.waiting()
    if not words:
        return 0
    with services.database.read() as tx:
        settled = services.now(tx) - _SETTLING  # the word of a newer one may be on its way
        counts = queries.count_due(tx, now=settled)
        jobs: dict[str, int] = dict.fromkeys(words, 0)
        for kind, count in counts.items():
            jobs[services.delivery.queue_of(kind)] += count
        short = [kind for kind in counts if jobs[queue := services.delivery.queue_of(kind)] > words[queue]]
        lacking = queries.list_due(tx, short, now=settled, limit=_MOST_AT_ONCE) if short else []
    services.delivery.send(lacking)
    if lacking:
        log.info("jobs told of again", count=len(lacking))
    return len(lacking)
