"""What those who listen have yet to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.api.sight import MOST_ENDED, News, Sight
from app.domain.job import Job


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a listener is told at once: an edition if it is another one, and jobs; all seen until ``moment``."""

    edition: int
    is_new_edition: bool
    news: Sequence[News]
    moment: datetime


class Listener:
    """What one client has yet to be told: of each job the newest document alone, however slowly it takes them.

    It hears of all jobs, of those that are over the ``MOST_ENDED`` that ended last, and of editions other than
    ``edition``. Its client reaches the service behind the prefix ``root_path``, is counted as ``owner``, and may listen
    for as long as ``may_go_on`` says.
    """

    def __init__(
        self,
        root_path: str = "",
        *,
        edition: int | None = None,
        owner: str = "",
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.root_path = root_path
        self.owner = owner
        self.may_go_on = may_go_on
        self.is_closed = False
        self._edition = edition
        self._waiting: dict[str, News] = {}
        self._seen: Sight | None = None
        self._wake = asyncio.Event()

    def tell(self, sight: Sight, news: Iterable[News]) -> None:
        """Take note of what a look saw."""
        self._seen = sight
        for one in news:
            if self.is_about(one.job):
                self._waiting.pop(one.job.job_id, None)  # the newest comes last
                self._waiting[one.job.job_id] = one
        self._drop_oldest()
        if self._waiting or self.is_other(sight.edition):
            self._wake.set()

    def is_about(self, job: Job) -> bool:
        """Whether the client wants to hear of ``job``."""
        return True

    def is_other(self, edition: int) -> bool:
        """Whether the client wants to hear of ``edition``, and has not."""
        return edition != self._edition

    async def batch(self, seconds: float) -> Batch | None:
        """Wait for news, ``seconds`` at most; ``None`` when there are none, or no more."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return None
        if self.is_closed or self._seen is None:
            return None
        self._wake.clear()
        edition, is_new = self._seen.edition, self.is_other(self._seen.edition)
        news, self._waiting, self._edition = list(self._waiting.values()), {}, edition
        return Batch(edition=edition, is_new_edition=is_new, news=news, moment=self._seen.moment)

    def close(self) -> None:
        """Let its stream end."""
        self.is_closed = True
        self._wake.set()

    def _drop_oldest(self) -> None:
        """Forget the jobs that ended first, as for who comes back: what a client does not take must not pile up."""
        if len(self._waiting) > MOST_ENDED:
            ended = [job_id for job_id, one in self._waiting.items() if one.job.is_over]
            for job_id in ended[: max(len(ended) - MOST_ENDED, 0)]:
                del self._waiting[job_id]


class JobListener(Listener):
    """A listener that hears of one job alone, and of no edition."""

    def __init__(self, job_id: str, root_path: str = "", **options: Any) -> None:
        super().__init__(root_path, **options)
        self._job_id = job_id

    def is_about(self, job: Job) -> bool:
        """Whether it is the job."""
        return job.job_id == self._job_id

    def is_other(self, edition: int) -> bool:
        """Return ``False``: the client wants to hear of no edition."""
        return False
