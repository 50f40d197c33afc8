"""A registry that hangs: whoever is answered from memory does not wait for it, nor takes the threads of others."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.api import hot_answers, keyring
from app.api.documents import Ready
from app.api.hot_answers import HotAnswers, Kept, Made
from app.api.keyring import Keyring
from app.domain.access import AccessKey
from tests.api.rows import NOW

ROUTE = "/v1/forecasts/{ticker}"
KEY = ("/v1/forecasts/AAA", b"", False)
READY = Ready(b"ten bytes.", '"tag"')


class Registry:
    """Answers once it may, and remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()

    def read_edition(self) -> int:
        self.asked += 1
        self.may_answer.wait(2)
        return 5


def never() -> Made:
    raise AssertionError("the answer is in memory")


def test_while_a_look_hangs_nobody_starts_another_and_all_are_answered_from_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hot_answers, "_PATIENCE_SECONDS", 0.05)
    registry = Registry()
    hot = HotAnswers(registry.read_edition, lambda: NOW, look_seconds=0)
    hot.put(KEY, Kept(READY, ROUTE), edition=5)

    async def ask_often() -> None:
        for _ in range(10):
            assert await hot.answer(KEY, never, route=ROUTE) is READY
            assert hot.at_hand(KEY) == Kept(READY, ROUTE)
        assert (registry.asked, registry.may_answer.is_set()) == (1, False)
        registry.may_answer.set()
        while hot._is_looking():
            await asyncio.sleep(0.01)
        assert await hot.answer(KEY, never, route=ROUTE) is READY
        assert registry.asked == 2

    asyncio.run(ask_often())


def test_a_look_that_fails_in_a_way_nobody_foresaw_is_logged_and_fails_nobody() -> None:
    def mangled() -> int:
        raise ValueError("no number")

    hot = HotAnswers(mangled, lambda: NOW, look_seconds=0)
    hot.put(KEY, Kept(READY, ROUTE), edition=5)
    with capture_logs() as logs:
        assert asyncio.run(hot.answer(KEY, never, route=ROUTE)) is READY
    assert [line["event"] for line in logs] == ["edition_cannot_be_read"]


def test_the_first_to_ask_waits_for_a_start_that_is_busy(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "_PATIENCE_SECONDS", 0.01)
    read = Keyring._read

    def slowly(self: Keyring, known: int | None) -> tuple[int, dict[str, AccessKey]] | None:
        time.sleep(0.3)
        return read(self, known)

    monkeypatch.setattr(Keyring, "_read", slowly)
    assert client.get("/v1/jobs").status_code == 200
