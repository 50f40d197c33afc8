"""A few HTTP calls to our own API."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

# Our own machine is never behind a proxy.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TIMEOUT_SECONDS = 30.0


class ApiRefused(Exception):
    """The API answered with a problem document, kept in ``problem``."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail"))
        self.problem = problem


class ApiClient:
    """Speaks JSON with the API at ``base_url``."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def get(self, path: str, *, timeout: float = _TIMEOUT_SECONDS) -> Any:
        """Return the answer to ``GET path``.

        Raises:
            ApiRefused: the answer is a problem.
            OSError: nobody answers.
        """
        return self._call(urllib.request.Request(self.base_url + path), timeout)  # noqa: S310  # our own address

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the answer to ``POST path``; raises as ``get`` does."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310  # our own address
            self.base_url + path, data=json.dumps(body).encode(), headers=headers, method="POST"
        )
        return self._call(request, _TIMEOUT_SECONDS)

    def is_ready(self) -> bool:
        """Whether the API answers and says that it is ready."""
        try:
            self.get("/readyz", timeout=4.0)
        except (ApiRefused, OSError):
            return False
        return True

    def wait_until_ready(self, *, seconds: float, give_up: Callable[[], bool], look_seconds: float = 0.1) -> bool:
        """Wait at most ``seconds``, or until ``give_up()``, for the API to be ready; ``look_seconds`` between looks."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not give_up():
            if self.is_ready():
                return True
            time.sleep(look_seconds)
        return False

    def _call(self, request: urllib.request.Request, timeout: float) -> Any:
        try:
            with _OPENER.open(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise ApiRefused(_problem(refusal)) from None


def _problem(refusal: urllib.error.HTTPError) -> dict[str, Any]:
    """Read the problem document; a proxy or another server on the port may have sent anything."""
    fallback = {"code": f"http_{refusal.code}", "detail": f"{refusal.url} answered {refusal.code}."}
    try:
        body = json.load(refusal)
    except ValueError:
        return fallback
    return {**fallback, **body} if isinstance(body, dict) else fallback
