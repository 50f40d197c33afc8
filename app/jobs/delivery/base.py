"""What is asked of a way of telling workers of jobs, and the one for workers that look themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.domain.job import Job


class Delivery(Protocol):
    """Tells workers of jobs that wait; only ids are carried, and who is told claims the row."""

    def send(self, jobs: Sequence[Job]) -> None:
        """Have each job told of, in the background: it does not wait, and does not fail.

        Call it when the rows are committed. What cannot be told is left to the next round of a worker's upkeep.
        """

    def queue_of(self, kind: str) -> str:
        """Return the queue that jobs of the kind are told of in."""

    def waiting(self) -> Mapping[str, int]:
        """Return how many words wait in each queue; nothing where workers look themselves.

        Raises:
            BrokerUnavailable: the broker does not answer; ask again later.
        """


class Embedded:
    """Workers look into the registry themselves: nobody needs to be told."""

    def send(self, jobs: Sequence[Job]) -> None:
        """Do nothing."""

    def queue_of(self, kind: str) -> str:
        """Return the one queue there is: the registry's."""
        return ""

    def waiting(self) -> Mapping[str, int]:
        """Return nothing."""
        return {}


EMBEDDED = Embedded()
