"""A remote price source that is left alone while it is down or asks for patience, by all processes together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

import structlog

from app.db.engine import Database
from app.domain.breaker import CLOSED, Breaker, Patience, answered, failed, probing, refused
from app.domain.history import PriceHistory
from app.errors import InvalidBars, NotEnoughHistory, SourceRateLimited, SourceUnavailable, UnknownTicker
from app.prices.base import PriceSource, require_ticker
from app.registry import source_state

log = structlog.get_logger(__name__)


class GuardedPrices:
    """The source behind it, through a breaker that the registry keeps.

    A refresh of any number of tickers asks a source that is down as often as ``patience`` allows, and the rest is
    refused here at once. Not to be asked inside a write transaction: it has its own.
    """

    def __init__(
        self, source: PriceSource, database: Database, *, patience: Patience, clock: Callable[[], datetime]
    ) -> None:
        self._source = source
        self._database = database
        self._patience = patience
        self._clock = clock
        self.name = source.name
        self.local = source.local

    def tickers(self) -> list[str] | None:
        """Return the tickers that the source has, as ``PriceSource.tickers``."""
        return self._source.tickers()

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        """Ask the source, see ``PriceSource.history``, unless it is left alone.

        Raises:
            SourceUnavailable, SourceRateLimited: also while it is left alone, for ``retry_after_seconds`` more.
        """
        require_ticker(ticker, source=self.name)
        asked = self._enter(ticker)
        try:
            history = self._source.history(ticker, start=start, end=end, now=now)
        except SourceUnavailable as error:
            self._note(partial(self._after, error, asked))
            raise
        except (UnknownTicker, InvalidBars, NotEnoughHistory):
            self._note_answer(asked)  # it said something
            raise
        self._note_answer(asked)
        return history

    def _enter(self, ticker: str) -> Breaker:
        """Return the breaker that lets the source be asked; when it is to be tried again, only one caller gets one."""
        with self._database.read() as tx:
            breaker = source_state.get(tx, self.name)
        if breaker.state == CLOSED:
            return breaker
        now = self._now()
        is_let_in = False

        def step(present: Breaker) -> Breaker:
            nonlocal is_let_in
            is_let_in = present.admits(now=now)
            return probing(present, self._patience, now=now) if is_let_in and present.state != CLOSED else present

        if breaker.admits(now=now):
            breaker = self._change(step, now=now)
        if not is_let_in:
            raise _left_alone(self.name, ticker, breaker, now=now)
        return breaker

    def _note_answer(self, asked: Breaker) -> None:
        with self._database.read() as tx:
            unchanged = source_state.get(tx, self.name) == Breaker()
        if not unchanged:  # the usual answer costs no transaction that writes
            self._note(partial(answered, asked=asked))

    def _after(self, error: SourceUnavailable, asked: Breaker, breaker: Breaker) -> Breaker:
        now = self._now()
        if not isinstance(error, SourceRateLimited):
            return failed(breaker, self._patience, asked=asked, code=error.code, now=now)
        seconds = error.facts.get("retry_after_seconds")
        pause = None if seconds is None else timedelta(seconds=seconds)
        return refused(breaker, self._patience, asked=asked, code=error.code, asked_pause=pause, now=now)

    def _note(self, step: Callable[[Breaker], Breaker]) -> None:
        self._change(step, now=self._now())

    def _now(self) -> datetime:
        """Return the present of the clock that all who share the registry go by."""
        with self._database.read() as tx:
            return self._database.now(tx) or self._clock()

    def _change(self, step: Callable[[Breaker], Breaker], *, now: datetime) -> Breaker:
        before = ""

        def told(present: Breaker) -> Breaker:
            nonlocal before
            before = present.state
            return step(present)

        with self._database.write() as tx:
            after = source_state.change(tx, self.name, told, now=now)
        if after.state != before:
            pause = ceil(after.pause(now=now).total_seconds())
            log.warning("source breaker", source=self.name, state=after.state, pause_seconds=pause, code=after.code)
        return after


def _left_alone(source: str, ticker: str, breaker: Breaker, *, now: datetime) -> SourceUnavailable:
    wait = max(ceil(breaker.pause(now=now).total_seconds()), 1)
    facts: dict[str, Any] = {"ticker": ticker, "source": source, "retry_after_seconds": wait}
    if breaker.code == "source_rate_limited":
        return SourceRateLimited(f"{source} asked for patience and is left alone for {wait} s more.", **facts)
    return SourceUnavailable(f"{source} failed again and again and is left alone for {wait} s more.", **facts)
