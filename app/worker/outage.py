"""A registry that is away, and a worker that waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import structlog

from app.errors import StoreUnavailable

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 10.0

Answer = TypeVar("Answer")

log = structlog.get_logger(__name__)


def once_it_answers(ask: Callable[[], Answer], *, stop: threading.Event) -> Answer | None:
    """Return what ``ask`` says once the registry answers it; ``None`` when ``stop`` is set before."""
    wait = _FIRST_WAIT_SECONDS
    while not stop.is_set():
        try:
            return ask()
        except StoreUnavailable as error:
            log.warning("worker waits for the registry", reason=error.detail)
            stop.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
    return None
