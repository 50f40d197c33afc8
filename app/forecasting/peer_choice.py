"""Which tickers are worth reading as peers: how closely they moved together, before anything is tested."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from app.dataset.prepare import needed_bars
from app.domain.history import PriceHistory, to_date
from app.domain.order import Evaluation, fewest_samples, fewest_sessions
from app.domain.spec import NetworkSpec
from app.errors import AppError, NoBarsYet, NotEnoughHistory, UnknownTicker
from app.evaluation.correlation import correlation_of
from app.evaluation.splits import split
from app.forecasting.market_data import kept_bars
from app.forecasting.peers import naming_peer, shared_sessions, too_few_shared
from app.forecasting.services import Services
from app.prices.audit import audit
from app.registry import snapshots

MOST_CANDIDATES = 50
UNASKED_CANDIDATES = 20  # each is read and audited while the caller waits
FEWEST_SESSIONS = 3  # two returns; fewer have no correlation

#: A candidate that nobody named must not cost more than this share of the ticker's sessions.
_SHARED = 0.5

_AT = "/query/candidates"
_DEFAULT = NetworkSpec()
_CUT: dict[str, Any] = {
    "first_origin": needed_bars(_DEFAULT) - 1,
    "horizon": _DEFAULT.reach,
    "samples": fewest_samples(_DEFAULT),
}


@dataclass(frozen=True, kw_only=True)
class Window:
    """The sessions to look at; without an ``end`` up to where the default evaluation begins to test."""

    start: date | None = None
    end: date | None = None

    @property
    def need(self) -> int:
        """How many shared sessions that takes."""
        if self.end is not None:
            return FEWEST_SESSIONS
        return fewest_sessions(Evaluation(), **_CUT)

    def end_of(self, history: PriceHistory, peers: dict[str, PriceHistory]) -> date:
        """Return the last session to look at, of those that all share."""
        shared = shared_sessions(history, peers)
        if self.end is not None:
            return to_date(shared[-1])
        first, *_ = split(Evaluation(), shared, **_CUT).folds
        return to_date(shared[first.test.start])


def rank_peers(
    ticker: str, candidates: Sequence[str] | None, *, window: Window, top: int | None, services: Services
) -> dict[str, Any]:
    """Return how ``candidates`` moved with ``ticker``, the ``top`` nearest first, over the sessions that all share.

    Without candidates these are the tickers whose bars are at hand: usable ones, up to a number, that leave at least
    half of the ticker's sessions; ``left_out`` counts the others. No source outside is asked.

    Raises:
        UnknownTicker, NoBarsYet: there are no bars of ``tickers``; ask for others, or train on them first.
        InvalidBars: bars cannot be used; the findings say why.
        NotEnoughHistory: the candidates share ``have`` sessions with the ticker, ``need`` are needed.
    """
    source = _source_of(ticker, services=services)
    known = _at_hand(source, services=services)
    chosen = None if candidates is None else [name for name in dict.fromkeys(candidates) if name != ticker]
    _refuse_missing([ticker, *(chosen or ())], known, source, services=services)
    history = _audited(ticker, source, window, services=services)
    if chosen is None:
        others = [name for name in known if name != ticker]
        peers = _usable(others[:UNASKED_CANDIDATES], history, source, window, services=services)
        left_out = len(others) - len(peers)
    else:
        peers, left_out = {}, 0
        for name in chosen:
            with naming_peer(name, _AT):
                peers[name] = _audited(name, source, window, services=services)
    _refuse_few(history, peers, window)
    until = window.end_of(history, peers)
    return {"ticker": ticker, **correlation_of(history, peers, until=until, top=top), "left_out": left_out}


def _source_of(ticker: str, *, services: Services) -> str:
    """Name the source of the ticker: the service's own when that has it, else that of the newest bars kept here."""
    own = services.settings.source
    if services.source(own).local and ticker in (services.source(own).tickers() or ()):
        return own
    with services.database.read() as tx:
        row = snapshots.latest(tx, ticker, own) or snapshots.latest(tx, ticker)
    return str(row["source"]) if row else own


def _is_local(source: str, *, services: Services) -> bool:
    return source in services.sources and services.sources[source].local


def _at_hand(source: str, *, services: Services) -> list[str]:
    """List the tickers that can be read without asking anybody outside."""
    if _is_local(source, services=services):
        return services.source(source).tickers() or []
    with services.database.read() as tx:
        return snapshots.tickers_of(tx, source)


def _refuse_missing(wanted: Sequence[str], known: Sequence[str], source: str, *, services: Services) -> None:
    missing = sorted(set(wanted).difference(known))
    if not missing:
        return
    at = "/path/ticker" if wanted[0] in missing else _AT
    if _is_local(source, services=services):
        detail = f"The source {source!r} has no ticker {', '.join(missing)}."
        raise UnknownTicker(detail, pointer=at, tickers=missing, source=source)
    detail = f"No bars of {', '.join(missing)} from {source} are kept here yet; training fetches them."
    raise NoBarsYet(detail, pointer=at, tickers=missing, source=source)


def _audited(ticker: str, source: str, window: Window, *, services: Services) -> PriceHistory:
    """Return the bars of ``ticker`` in the window, with a close in each."""
    if _is_local(source, services=services):
        history = services.source(source).history(ticker, now=services.clock())
    else:
        history = kept_bars(ticker, source, services=services).history
    return audit(history.between(window.start, window.end))[0]


def _usable(
    names: Sequence[str], history: PriceHistory, source: str, window: Window, *, services: Services
) -> dict[str, PriceHistory]:
    """Read those of ``names`` that can be used and leave enough sessions that all share."""
    usable: dict[str, PriceHistory] = {}
    shared, need = history.bars.sessions, max(_SHARED * len(history), window.need)
    for name in names:
        with suppress(AppError):  # nobody asked for this one: what is wrong with it is said to who asks
            peer = _audited(name, source, window, services=services)
            left = np.intersect1d(shared, peer.bars.sessions)
            if len(left) >= need:
                usable[name], shared = peer, left
    return usable


def _refuse_few(history: PriceHistory, peers: dict[str, PriceHistory], window: Window) -> None:
    have, need = len(shared_sessions(history, peers)), window.need
    if have >= need:
        return
    if peers:
        raise too_few_shared(history, peers, have=have, need=need, pointer=_AT)
    detail = f"{history.ticker} has {have} sessions there, at least {need} needed."
    raise NotEnoughHistory(detail, have=have, need=need)
