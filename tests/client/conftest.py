from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.client import AsyncClient, AsyncJobHandle, Client
from tests.api.conftest import clock, services, serving, template  # noqa: F401  # the served API is that of its tests

Open = Callable[..., Any]


class Blocking:
    """An asynchronous client or job as if it were none, so that one test says what holds for both."""

    def __init__(self, one: Any, runner: asyncio.Runner) -> None:
        self._one = one
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._one, name)
        return self._called(found) if callable(found) else found

    def _called(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self._plain(method(*args, **kwargs))

        return call

    def _plain(self, value: Any) -> Any:
        if inspect.isasyncgen(value):
            return self._items(value)
        if inspect.iscoroutine(value):
            value = self._runner.run(value)
        if isinstance(value, list):
            return [self._plain(item) for item in value]
        return Blocking(value, self._runner) if isinstance(value, AsyncJobHandle) else value

    def _items(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                yield self._plain(self._runner.run(anext(items)))
        except StopAsyncIteration:
            return
        finally:
            self._runner.run(items.aclose())


@pytest.fixture(params=["sync", "async"])
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open clients of either kind; they are closed when the test ends."""

    @contextmanager
    def opening() -> Iterator[Open]:
        clients: list[Any] = []
        with asyncio.Runner() as runner:

            def open_client(url: str, **options: Any) -> Any:
                kind = Client if request.param == "sync" else AsyncClient
                clients.append(kind(url, **options))
                return clients[-1] if request.param == "sync" else Blocking(clients[-1], runner)

            yield open_client
            for client in clients:
                closing = client.close()
                if inspect.iscoroutine(closing):
                    runner.run(closing)

    with opening() as open_client:
        yield open_client


@pytest.fixture
def served(services: Any) -> Iterator[str]:  # noqa: F811
    """The address of the API, served on a free port."""
    with serving(services) as url:
        yield url


@pytest.fixture
def morrow(opened: Open, served: str) -> Any:
    """A client of the served API, of either kind."""
    return opened(served)
