from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from starlette.types import Scope

from app.api.app import create_app
from app.api.documents import Ready
from app.api.front import Front, MorrowApi
from app.api.hot_answers import HotAnswers, Made
from app.forecasting.services import Services
from tests.api.conftest import serving
from tests.api.rows import NOW, add_forecasts, add_version

KEY = ("/v1/forecasts/AAA", b"")
ENTRY = Ready(b"ten bytes.", '"tag"')
ONE, MANY = ("/v1/forecasts/AAA", ""), ("/v1/forecasts", "tickers=AAA,BBB")

Answer = list[dict[str, Any]]


def memory(**options: Any) -> HotAnswers:
    return HotAnswers(lambda: 5, lambda: NOW, **options)


def test_the_memory_forgets_everything_with_a_new_edition_and_takes_nothing_older() -> None:
    hot = memory()
    hot.put(KEY, ENTRY, edition=4)
    assert hot.get(KEY) is ENTRY
    hot.look()
    assert hot.get(KEY) is None
    hot.put(KEY, ENTRY, edition=4)
    assert hot.get(KEY) is None


def test_the_oldest_answers_give_way() -> None:
    hot = memory(capacity_bytes=4000)
    keys = [(f"/v1/forecasts/{ticker}", b"") for ticker in "ABC"]
    for key in (*keys, keys[-1]):
        hot.put(key, ENTRY, edition=6)
    assert [hot.get(key) for key in keys] == [None, ENTRY, ENTRY]


def test_what_time_has_changed_is_not_answered() -> None:
    hot = memory()
    hot.put(KEY, replace(ENTRY, expires_at=NOW), edition=5)
    assert hot.get(KEY) is None
    hot.put(KEY, later := replace(ENTRY, expires_at=NOW + timedelta(seconds=1)), edition=5)
    assert hot.get(KEY) is later


def test_an_answer_that_many_miss_at_once_is_made_once() -> None:
    hot, made = memory(), []
    hot.look()

    def make() -> Made:
        made.append(1)
        return Made(ready=ENTRY, edition=5)

    async def many() -> list[Ready]:
        return await asyncio.gather(*(hot.answer(KEY, make) for _ in range(20)))

    assert asyncio.run(many()) == [ENTRY] * 20
    assert len(made) == 1


def test_who_knows_of_a_later_edition_does_not_wait_for_an_older_answer() -> None:
    hot, may_end = memory(), threading.Event()
    newer = replace(ENTRY, body=b"newer")

    def make_slowly() -> Made:
        may_end.wait(30)
        return Made(ready=ENTRY, edition=5)

    async def overtake() -> tuple[Ready, Ready]:
        first = asyncio.create_task(hot.answer(KEY, make_slowly))
        while not hot._being_made:
            await asyncio.sleep(0.001)
        hot.saw(6)
        second = await hot.answer(KEY, lambda: Made(ready=newer, edition=6))
        may_end.set()
        return await first, second

    assert asyncio.run(overtake()) == (ENTRY, newer)
    assert hot.get(KEY) is newer


@pytest.fixture
def app(services: Services) -> FastAPI:
    add_version(services, "AAA", alias="champion")
    add_version(services, "BBB", alias="champion")
    return create_app(services)


@pytest.mark.parametrize(
    ("path", "query"),
    [ONE, ("/v1/forecasts/aaa", ""), ("/v1/forecasts/AAA", "model=1&horizon=1&level=50,90"), MANY],
)
def test_an_answer_from_memory_is_that_of_the_route_to_the_byte(app: MorrowApi, path: str, query: str) -> None:
    etag = dict(cold(app, request(path, query))[0]["headers"])[b"etag"].decode()
    conditions = {None: 200, etag: 304, f'W/"other", W/{etag}': 304, "*": 304, '"other"': 200}
    for method, (condition, status) in product(("GET", "HEAD"), conditions.items()):
        headers = {"x-request-id": "same"} | ({"if-none-match": condition} if condition else {})
        asked = request(path, query, method=method, **headers)
        answer = hot(app, asked)
        assert answer == cold(app, asked)
        assert answer[0]["status"] == status


@pytest.mark.parametrize(("path", "query"), [ONE, MANY])
def test_an_answer_from_memory_is_counted_as_that_of_the_route(app: MorrowApi, path: str, query: str) -> None:
    labels = {"method": "GET", "route": path.replace("AAA", "{ticker}"), "status": "200"}

    def counted() -> float:
        return REGISTRY.get_sample_value("morrow_http_requests_total", labels) or 0.0

    before = counted()
    cold(app, request(path, query))
    between = counted()
    hot(app, request(path, query))
    assert between > before
    assert counted() > between


@pytest.mark.parametrize(
    "asked",
    [
        {"method": "POST"},
        {"content-length": "2"},
        {"transfer-encoding": "chunked"},
        {"origin": "https://elsewhere.example"},
        {"query": "x=1"},
        {"path": "/v1/forecasts/NOPE"},
    ],
)
def test_what_is_unusual_is_left_to_the_routes(services: Services, asked: dict[str, str]) -> None:
    add_version(services, alias="champion")
    origins = services.settings.model_copy(update={"cors_origins": ("https://elsewhere.example",)})
    app = create_app(replace(services, settings=origins))
    assert isinstance(app, MorrowApi)
    cold(app, request("/v1/forecasts/AAA", asked.get("query", "")))
    assert hot(app, request(*ONE))
    assert not answered(app.front, request(**{"path": ONE[0], "query": "", **asked}))


def test_thousands_of_requests_meet_fifty_editions_without_a_failure(services: Services) -> None:
    for ticker in ("AAA", "BBB"):
        add_version(services, ticker, alias="champion")
    publish(services, 0)
    seen: set[int] = set()
    over = threading.Event()
    with serving(services) as address:
        clients = [Poller(address, path, seen, over) for path in (ONE[0], f"{MANY[0]}?{MANY[1]}") * 4]
        for client in clients:
            client.start()
        for number in range(1, 51):
            edition = publish(services, number)
            while number % 10 == 0 and edition not in seen and not over.is_set():
                time.sleep(0.01)
        while sum(client.answers for client in clients) < 3000 and not over.is_set():
            time.sleep(0.01)
        over.set()
        for client in clients:
            client.join()
    assert [client.failure for client in clients] == [None] * len(clients)
    assert len(seen) >= 5


def publish(services: Services, number: int) -> int:
    """Publish the forecasts numbered ``number`` of both tickers, and return their edition."""
    issued_at, values = NOW + timedelta(seconds=number), {"close": 100.0 + number}
    first, _ = add_forecasts(services, ["AAA", "BBB"], values=values, issued_at=issued_at)
    return int(first.edition)


class Poller(threading.Thread):
    """Asks over one connection until it is ``over``, which a failure ends for all, and looks at every answer."""

    def __init__(self, address: str, path: str, seen: set[int], over: threading.Event) -> None:
        super().__init__()
        self.answers = 0
        self.failure: Exception | None = None
        self._path, self._seen, self._over = path, seen, over
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"))
        self._etag, self._edition = "", 0

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._ask()
                self._connection.auto_open = False
        except Exception as failure:
            self.failure = failure
            self._over.set()
        finally:
            self._connection.close()

    def _ask(self) -> None:
        headers = {"If-None-Match": self._etag} if self.answers % 3 == 0 else {}
        self._connection.request("GET", self._path, headers=headers)
        answer = self._connection.getresponse()
        body = answer.read()
        self.answers += 1
        if answer.status == 304:
            assert answer.headers["ETag"] == self._etag
            return
        assert answer.status == 200
        self._etag = answer.headers["ETag"]
        assert self._etag.strip('"') == hashlib.sha256(body).hexdigest()[:32]
        document = json.loads(body)
        items = document.get("items", [document])
        (edition,) = {int(item["edition"]) for item in items}
        assert len({item["last_close"] for item in items}) == 1
        assert edition >= self._edition
        self._edition = edition
        self._seen.add(edition)


def request(path: str, query: str, *, method: str = "GET", **headers: str) -> Scope:
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": ""},
        **{"method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode()},
        **{"headers": [(b"host", b"localhost"), *fields], "server": ("localhost", 80), "client": ("localhost", 1)},
    }


def cold(app: MorrowApi, scope: Scope) -> Answer:
    """Return what the framework and the routes send, whatever is in memory."""
    messages: Answer = []
    asyncio.run(FastAPI.__call__(app, dict(scope), received(iter([b""])), sent_to(messages)))
    return messages


def hot(app: MorrowApi, scope: Scope) -> Answer:
    """Return what the front sends once it need not look for another edition first."""
    while not (messages := answered(app.front, scope)):
        cold(app, scope)
    return messages


def answered(front: Front, scope: Scope) -> Answer:
    """Return what the front sends, nothing when it leaves the request to the routes."""
    messages: Answer = []
    assert asyncio.run(front.answer(dict(scope), sent_to(messages))) == bool(messages)
    return messages


def received(bodies: Iterator[bytes]) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(bodies, b""), "more_body": False}

    return receive


def sent_to(messages: Answer) -> Any:
    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    return send
