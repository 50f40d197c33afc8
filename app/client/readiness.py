"""Is a service there? Asked by health checks, so nothing but the HTTP library is loaded."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx2

from app.client.addresses import connection_to

_TIMEOUT_SECONDS = 4.0


def is_ready(url: str) -> bool:
    """Whether the API at ``url`` answers and says that it is ready."""
    with _client(url) as http:
        return _says_ready(http)


def wait_until_ready(url: str, *, seconds: float, give_up: Callable[[], bool], look_seconds: float = 0.1) -> bool:
    """Wait at most ``seconds``, or until ``give_up()``, for the API to be ready; ``look_seconds`` between looks."""
    deadline = time.monotonic() + seconds
    with _client(url) as http:
        while time.monotonic() < deadline and not give_up():
            if _says_ready(http):
                return True
            time.sleep(look_seconds)
    return False


def _client(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, timeout=_TIMEOUT_SECONDS, **connection_to(url))


def _says_ready(http: httpx2.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx2.RequestError:
        return False
