"""Following what happens: what to do next, decided without sending or sleeping, so that both clients share it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from app.client.attempts import told_to_wait
from app.client.errors import ClientError, Unavailable, Unreachable

ABSENCE_SECONDS = 60.0  # a service may be away for so long: it restarts
RETRY_SECONDS = 2.0  # until a stream that ended is opened again
LONGEST_SILENCE = 30.0  # a stream that says nothing for so long, not even that it lives, is dead
LONGEST_PAUSE = 30.0  # who is told to come back in an hour would not notice that all is well again


class Watch:
    """The events are followed where there are some; when they break, and where there are none, the job is looked at.

    ``timeout`` and ``absence`` are seconds: for the whole, and for how long nobody need answer, as during a restart.
    ``poll`` are the seconds between looks, or until a stream is opened again, unless the service says otherwise.
    """

    def __init__(self, *, poll: float, absence: float, timeout: float | None = None) -> None:
        self._clock: Callable[[], float] = time.monotonic
        self._deadline = None if timeout is None else self._clock() + timeout
        self._absence = absence
        self._seen = self._clock()
        self._told_to_wait: float | None = None
        self._poll = poll
        self._has_events = True

    def saw(self, told_to_wait: float | None = None) -> None:
        """Note that the service answered, and how long it asks one to wait for the next look."""
        self._seen = self._clock()
        self._told_to_wait = told_to_wait

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Note that the service is there for as long as a stream is open, whether or not it tells anything."""
        self.saw()
        try:
            yield
        finally:
            self.saw()

    def streams(self) -> bool:
        """Return whether to follow events: where there are some, while the time goes on beyond any silence.

        What a stream is silent for is settled when it is opened, and a ping is no silence: the end is met by looks.

        Raises:
            TimeoutError: the time is up.
        """
        return self._has_events and self._left() > LONGEST_SILENCE

    def pause(self) -> float:
        """Return the seconds until the next look; raises as ``streams``."""
        told = self._poll if self._told_to_wait is None else self._told_to_wait
        return min(told, LONGEST_PAUSE, self._left())

    @contextmanager
    def bearing_absence(self) -> Iterator[None]:
        """Let a look or a stream fail for as long as the service may be away.

        Raises:
            Unreachable, Unavailable: it was away for longer.
        """
        try:
            yield
        except (Unreachable, Unavailable) as error:
            if self._clock() - self._seen > self._absence:
                raise
            headers = error.headers if isinstance(error, Unavailable) else {}
            self._told_to_wait = told_to_wait(headers, now=datetime.now(UTC))

    @contextmanager
    def bearing_breaks(self) -> Iterator[None]:
        """Let a stream break; one that there is not, or that tells of something else, is not asked for again."""
        try:
            yield
        except ClientError as error:
            # It may be a restart, or a proxy that lets no connection stay: the next look tells.
            self._has_events = isinstance(error, Unavailable | Unreachable)

    def _left(self) -> float:
        if self._deadline is None:
            return math.inf
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError("The job is not over yet.")
        return left
