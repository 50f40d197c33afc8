"""Which workers have fallen silent, told by a clock that nobody sets: the wall clock may jump, or differ by host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_LONGEST_GRACE_SECONDS = 2.5  # a heartbeat comes every two seconds, or three times a lease
_GRACE_OF_LEASE = 0.4


@dataclass(frozen=True)
class Lease:
    """A lease as it stands in the registry."""

    job_id: str
    fence: int
    until: datetime


@dataclass
class Silence:
    """What one process saw at its last look; a lease that somebody renews in between is no silent one's.

    ``monotonic`` returns seconds that only ever grow.
    """

    lease_seconds: float
    monotonic: Callable[[], float] = time.monotonic
    _since: dict[Lease, float] = field(default_factory=dict, init=False)

    def among(self, leases: Iterable[Lease], *, now: datetime) -> list[Lease]:
        """Return the leases that are over, by the wall clock's ``now``, and that stood so at an earlier look.

        One that reaches further than a lease can was written before the clock was set back: it is over when it has
        stood unchanged for its length.
        """
        at = self.monotonic()
        longest = now + timedelta(seconds=self.lease_seconds)
        waits = {lease: self._grace if lease.until < now else self.lease_seconds for lease in leases}
        doubtful = {lease: wait for lease, wait in waits.items() if not now <= lease.until <= longest}
        self._since = {lease: self._since.get(lease, at) for lease in doubtful}
        return [lease for lease, wait in doubtful.items() if at - self._since[lease] >= wait]

    @property
    def _grace(self) -> float:
        return min(_LONGEST_GRACE_SECONDS, _GRACE_OF_LEASE * self.lease_seconds)
