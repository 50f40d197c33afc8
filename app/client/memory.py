"""Answers kept to be asked for again by their ETag: whoever polls is told that nothing has changed."""

from __future__ import annotations

import threading
from typing import Any

from app.client.call import Answer, Call

MOST_BYTES = 32_000_000


class Memory:
    """The latest answers to calls that are remembered, of ``MOST_BYTES`` together; may be shared by threads."""

    def __init__(self) -> None:
        self._answers: dict[Any, Answer] = {}
        self._lock = threading.Lock()

    def get(self, call: Call[Any]) -> Answer | None:
        """Return the answer that was kept of ``call``."""
        return self._answers.get(_key(call)) if call.remembered else None

    def keep(self, call: Call[Any], answer: Answer) -> None:
        """Keep an answer that can be asked for again; the oldest give way to it."""
        if not call.remembered or answer.status != 200 or "etag" not in answer.headers:
            return
        with self._lock:
            self._answers.pop(_key(call), None)
            self._answers[_key(call)] = answer
            while sum(len(kept.body) for kept in self._answers.values()) > MOST_BYTES:
                del self._answers[next(iter(self._answers))]


def _key(call: Call[Any]) -> Any:
    return call.path, *call.params.items()
