"""What reading the bars of other tickers means: shared sessions, and refusals that say whose bars they are about."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from functools import reduce

import numpy as np

from app.domain.history import PriceHistory, Sessions, to_date
from app.errors import AppError, NotEnoughHistory


def shared_sessions(history: PriceHistory, peers: Mapping[str, PriceHistory]) -> Sessions:
    """Return the sessions that ``history`` and all ``peers`` have, oldest first."""
    return reduce(np.intersect1d, (one.bars.sessions for one in (history, *peers.values())))


def until_shared(history: PriceHistory, peers: Mapping[str, PriceHistory], *, need: int) -> PriceHistory:
    """Return ``history`` up to the last session that all ``peers`` have too; without peers as it is.

    Raises:
        NotEnoughHistory: they have none in common, ``need`` are needed; choose other peers.
    """
    if not peers:
        return history
    shared = shared_sessions(history, peers)
    if not len(shared):
        raise too_few_shared(history, peers, have=0, need=need)
    return history.between(end=to_date(shared[-1]))


def too_few_shared(
    history: PriceHistory, peers: Mapping[str, PriceHistory], *, have: int, need: int, pointer: str = "/spec/peers"
) -> NotEnoughHistory:
    """Say how few sessions the peers share with the ticker, and from when to when each has any."""
    spans = ", ".join(f"{one.ticker} {one.first_session} to {one.last_session}" for one in (history, *peers.values()))
    detail = f"{history.ticker} shares {have} sessions with {', '.join(peers)}, at least {need} needed ({spans})."
    return NotEnoughHistory(detail, pointer=pointer, have=have, need=need, peers=list(peers))


@contextmanager
def naming_peer(peer: str, pointer: str) -> Iterator[None]:
    """Let every refusal inside say that it is about ``peer``, whom ``pointer`` names in the request."""
    try:
        yield
    except AppError as error:
        raise _about(error, peer, pointer, peer=peer) from error


@contextmanager
def naming_ticker(ticker: str, pointer: str | None = None) -> Iterator[None]:
    """Let every refusal inside say that it is about ``ticker``, whom ``pointer`` names in the request."""
    try:
        yield
    except AppError as error:
        raise _about(error, ticker, error.pointer or pointer, ticker=ticker) from error


def _about(error: AppError, name: str, pointer: str | None, **fact: str) -> AppError:
    named = copy(error)
    named.detail = error.detail if _names(error.detail, name) else f"{name}: {error.detail}"
    named.args = (named.detail,)
    named.facts = {**error.facts, **fact}
    named.pointer = pointer
    return named


def _names(detail: str, name: str) -> bool:
    """Whether ``detail`` has the ticker as a word of its own."""
    return re.search(rf"(?<![\w^.=&-]){re.escape(name)}(?![\w^=&-])", detail) is not None


def at_peer(index: int) -> str:
    """Return the pointer to the peer ``index`` of a spec."""
    return f"/spec/peers/{index}"
