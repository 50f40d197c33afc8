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
from app.api.hot_answers import HotAnswers, Kept, Made
from app.errors import StoreUnavailable
from app.forecasting.market_data import keep
from app.forecasting.services import Services
from app.prices.csv_text import read_bars
from tests.api.conftest import Clock, serving
from tests.api.rows import NOW, add_forecasts, add_version, csv_of

KEY = ("/v1/forecasts/AAA", b"", False)
ROUTE = "/v1/forecasts/{ticker}"
READY = Ready(b"ten bytes.", '"tag"')
ENTRY = Kept(READY, ROUTE)
ONE, MANY = ("/v1/forecasts/AAA", ""), ("/v1/forecasts", "tickers=AAA,BBB")
ALL, SERIES = ("/v1/forecasts", ""), ("/v1/forecasts/AAA/series", "")

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
    keys = [(f"/v1/forecasts/{ticker}", b"", False) for ticker in "ABC"]
    for key in (*keys, keys[-1]):
        hot.put(key, ENTRY, edition=6)
    assert [hot.get(key) for key in keys] == [None, ENTRY, ENTRY]


def test_what_time_has_changed_is_not_answered() -> None:
    hot = memory()
    hot.put(KEY, Kept(replace(READY, expires_at=NOW), ROUTE), edition=5)
    assert hot.get(KEY) is None
    hot.put(KEY, later := Kept(replace(READY, expires_at=NOW + timedelta(seconds=1)), ROUTE), edition=5)
    assert hot.get(KEY) is later


def test_an_answer_that_many_miss_at_once_is_made_once() -> None:
    hot, made = memory(), []
    hot.look()

    def make() -> Made:
        made.append(1)
        return Made(ready=READY, edition=5)

    async def many() -> list[Ready]:
        return await asyncio.gather(*(hot.answer(KEY, make, route=ROUTE) for _ in range(20)))

    assert asyncio.run(many()) == [READY] * 20
    assert len(made) == 1


def test_while_the_registry_is_away_what_is_in_memory_is_answered_and_nothing_else() -> None:
    def away() -> Any:
        raise StoreUnavailable("away")

    hot = HotAnswers(away, lambda: NOW, look_seconds=0)
    hot.put(KEY, ENTRY, edition=4)
    assert asyncio.run(hot.answer(KEY, away, route=ROUTE)) is READY
    with pytest.raises(StoreUnavailable):
        asyncio.run(hot.answer(("/v1/forecasts/BBB", b"", False), away, route=ROUTE))


def test_who_knows_of_a_later_edition_does_not_wait_for_an_older_answer() -> None:
    hot, may_end = memory(), threading.Event()
    newer = replace(READY, body=b"newer")

    def make_slowly() -> Made:
        may_end.wait(30)
        return Made(ready=READY, edition=5)

    async def overtake() -> tuple[Ready, Ready]:
        first = asyncio.create_task(hot.answer(KEY, make_slowly, route=ROUTE))
        while not hot._being_made:
            await asyncio.sleep(0.001)
        hot.saw(6)
        second = await hot.answer(KEY, lambda: Made(ready=newer, edition=6), route=ROUTE)
        may_end.set()
        return await first, second

    assert asyncio.run(overtake()) == (READY, newer)
    assert hot.get(KEY) == Kept(newer, ROUTE)


@pytest.fixture
def app(services: Services) -> FastAPI:
    for ticker in ("AAA", "BBB", "SERIES"):
        add_version(services, ticker, alias="champion")
    history, _ = read_bars(csv_of(300).encode(), ticker="AAA")
    keep(replace(history, source="files"), services=services, now=NOW)
    return create_app(services)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        *(ONE, MANY, ALL, SERIES, ("/v1/forecasts/aaa", ""), ("/v1/forecasts/AAA", "model=1&horizon=1&level=50,90")),
        *(("/v1/forecasts", query) for query in ("format=columns", "format=csv", "format=csv&page_size=1")),
    ],
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


@pytest.mark.parametrize("accept", ["text/csv", "application/json", "text/csv;q=0.5, application/json;q=0.4"])
def test_what_a_client_prefers_comes_from_memory_as_from_the_route(app: MorrowApi, accept: str) -> None:
    for other in ("text/csv", "application/json"):  # both are in memory by then
        cold(app, request(*ALL, accept=other))
    asked = request(*ALL, accept=accept, **{"x-request-id": "same"})
    answer = hot(app, asked)
    assert answer == cold(app, asked)
    kind = dict(answer[0]["headers"])[b"content-type"]
    assert kind == (b"application/json" if accept == "application/json" else b"text/csv; charset=utf-8")
    twice = request(*ALL, **{"x-request-id": "same"})
    twice["headers"] += [(b"accept", b"text/html"), (b"accept", b"text/csv")]
    assert not answered(app.front, twice)
    assert cold(app, twice) == hot(app, request(*ALL, accept="text/csv", **{"x-request-id": "same"}))


@pytest.mark.parametrize(("path", "query"), [ONE, MANY, ALL, SERIES])
def test_with_foreign_origins_let_in_an_answer_from_memory_is_still_that_of_the_route(
    app: MorrowApi, services: Services, path: str, query: str
) -> None:
    origins = services.settings.model_copy(update={"cors_origins": ("https://elsewhere.example",)})
    open_app = create_app(replace(services, settings=origins))
    for condition in ({}, {"if-none-match": "*"}):
        asked = request(path, query, **{"x-request-id": "same"}, **condition)
        answer = hot(open_app, asked)
        assert answer == cold(open_app, asked)
        assert dict(answer[0]["headers"])[b"vary"] == b"Accept, Authorization, Origin"
        assert dict(hot(app, asked)[0]["headers"])[b"vary"] == b"Accept, Authorization"


def test_what_has_one_form_is_kept_once_whatever_a_client_prefers(app: MorrowApi) -> None:
    for path, query in (ONE, SERIES):
        cold(app, request(path, query, accept="text/csv"))
        assert hot(app, request(path, query, accept="application/json"))
        assert app.state.hot_answers.get((path, query.encode(), False))
        assert not app.state.hot_answers.get((path, query.encode(), True))


def test_a_chart_from_a_session_on_is_not_kept(app: MorrowApi) -> None:
    asked = request(SERIES[0], "since=2026-11-01")
    assert cold(app, asked)[0]["status"] == 200
    assert not app.state.hot_answers.get((SERIES[0], b"since=2026-11-01", False))


def test_a_copy_from_memory_may_be_kept_for_less_and_less(services: Services, clock: Clock) -> None:
    add_version(services, alias="champion")
    app = create_app(services)
    cold(app, request(*ONE))
    ages = []
    for left in (3600, 30, 1, 0.5):
        clock.now = NOW.replace(day=23, hour=21) - timedelta(seconds=left)
        for headers in ({}, {"if-none-match": "*"}):
            ages.append(dict(hot(app, request(*ONE, **headers))[0]["headers"])[b"cache-control"])
    fresh = [f"private, max-age={n}, must-revalidate".encode() for n in (60, 30, 1)]
    assert ages == [age for age in (*fresh, b"no-cache") for _ in range(2)]


@pytest.mark.parametrize(("path", "query"), [ONE, MANY, ALL, SERIES, ("/v1/forecasts/series", "")])
def test_an_answer_from_memory_is_counted_as_that_of_the_route(app: MorrowApi, path: str, query: str) -> None:
    route = path.replace("AAA", "{ticker}").replace("forecasts/series", "forecasts/{ticker}")
    labels = {"method": "GET", "route": route, "status": "200"}

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
