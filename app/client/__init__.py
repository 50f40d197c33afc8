"""The Morrow API from Python: ``Client`` and ``AsyncClient``.

    with Client("http://127.0.0.1:8000") as morrow:
        morrow.train("MSFT", data={"source": "yahoo"}).wait(progress=True)
        print(morrow.forecast("MSFT").steps[0].point)

``app.client.calls`` says what is sent and how it is read, ``sync_sending`` and ``async_sending`` send it; documents are
those of ``app.api.schemas``. Needs neither FastAPI nor TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.client.async_client import AsyncClient
    from app.client.client import Client
    from app.client.documents import Edition
    from app.client.errors import (
        ApiError,
        ClientError,
        Conflict,
        Denied,
        Invalid,
        JobCancelled,
        JobFailed,
        NotFound,
        Unavailable,
        Unexpected,
        Unreachable,
    )
    from app.client.frames import of_history as history_frame
    from app.client.jobs import AsyncJobHandle, JobHandle

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJobHandle",
    "Client",
    "ClientError",
    "Conflict",
    "Denied",
    "Edition",
    "Invalid",
    "JobCancelled",
    "JobFailed",
    "JobHandle",
    "NotFound",
    "Unavailable",
    "Unexpected",
    "Unreachable",
    "history_frame",
]

_ELSEWHERE = {
    "AsyncClient": ("async_client", "AsyncClient"),
    "AsyncJobHandle": ("jobs", "AsyncJobHandle"),
    "Client": ("client", "Client"),
    "Edition": ("documents", "Edition"),
    "JobHandle": ("jobs", "JobHandle"),
    "history_frame": ("frames", "of_history"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a health check needs none of the schemas, which take most of the time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _ELSEWHERE.get(name, ("errors", name))
    return getattr(import_module(f"app.client.{module}"), attribute)
