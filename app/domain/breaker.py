"""When a remote source may be asked: a circuit breaker as plain values; time is passed in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

CLOSED, HALF_OPEN, OPEN = "closed", "half_open", "open"

#: A pause is never longer than this, whatever the source asks for.
LONGEST_PAUSE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How much is borne of a source.

    ``failures`` in a row open the breaker; the first pause is ``first_pause``, each after a probe that failed twice as
    long, up to ``longest_pause``. That is also the pause after a refusal that names none. A probe that says nothing
    for ``probe`` is given up.
    """

    failures: int = 5
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(minutes=15)
    probe: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """``closed``: ask; ``open``: do not before ``until``; ``half_open``: one asks, others wait for it up to ``until``.

    ``failures`` in a row are counted while closed, ``openings`` since it was closed last. ``code`` is the error that
    opened it.
    """

    state: str = CLOSED
    failures: int = 0
    openings: int = 0
    until: datetime | None = None
    code: str | None = None

    def admits(self, *, now: datetime) -> bool:
        """Whether somebody may ask; of one that is not closed, who asks has to be its ``probing``."""
        return self.state == CLOSED or self.until is None or now >= self.until

    def pause(self, *, now: datetime) -> timedelta:
        """Return how long to wait before trying again."""
        return max(self.until - now, timedelta(0)) if self.until else timedelta(0)


def probing(breaker: Breaker, patience: Patience, *, now: datetime) -> Breaker:
    """Return the breaker while one asks to see whether the source is back: that one's ``asked``, and nobody else's."""
    return replace(breaker, state=HALF_OPEN, until=now + patience.probe)


def answered(breaker: Breaker, *, asked: Breaker) -> Breaker:
    """Return the breaker after an answer to who was let in by ``asked``.

    One that comes late, from before it opened or of a probe that was given up, does not close it.
    """
    return breaker if breaker.state == OPEN or _is_anothers(breaker, asked) else Breaker()


def failed(breaker: Breaker, patience: Patience, *, asked: Breaker, code: str, now: datetime) -> Breaker:
    """Return the breaker after an outage that met who was let in by ``asked``; late ones count no more."""
    if breaker.state == OPEN or _is_anothers(breaker, asked):
        return breaker
    failures = breaker.failures + 1
    if breaker.state == CLOSED and failures < patience.failures:
        return replace(breaker, failures=failures)
    # Doubled by hand, not by a power: after years of outage that would be a number without a date.
    pause = patience.first_pause
    for _ in range(breaker.openings):
        if pause >= patience.longest_pause:
            break
        pause *= 2
    return _opened(breaker, min(pause, patience.longest_pause), code=code, now=now)


def refused(
    breaker: Breaker, patience: Patience, *, asked: Breaker, code: str, asked_pause: timedelta | None, now: datetime
) -> Breaker:
    """Return the breaker after the source asked who was let in by ``asked`` for patience: open at once.

    It is for ``asked_pause`` if the source said so. While another's probe is under way, that one will hear it too.
    """
    if _is_anothers(breaker, asked):
        return breaker
    pause = patience.longest_pause if asked_pause is None else asked_pause
    pause = min(max(pause, timedelta(seconds=1)), LONGEST_PAUSE)
    if breaker.state == OPEN and breaker.until and breaker.until >= now + pause:
        return breaker
    return _opened(breaker, pause, code=code, now=now)


def _is_anothers(breaker: Breaker, asked: Breaker) -> bool:
    """Whether a probe is under way, and who was let in by ``asked`` is not that one; no two begin at one moment."""
    return breaker.state == HALF_OPEN and asked != breaker


def _opened(breaker: Breaker, pause: timedelta, *, code: str, now: datetime) -> Breaker:
    more = 0 if breaker.state == OPEN else 1
    return Breaker(state=OPEN, failures=0, openings=breaker.openings + more, until=now + pause, code=code)
