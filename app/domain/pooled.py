"""One network for many tickers: the order for it, and what is known of it afterwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from app.domain.order import POOLED, TrainingOrder
from app.domain.spec import NetworkSpec
from app.errors import InvalidSpec


def of_many_tickers() -> InvalidSpec:
    """Return the refusal of the preset where a network of one ticker is asked for."""
    detail = f"The preset {POOLED!r} is one network for many tickers; train it on a universe and see its scorecards."
    return InvalidSpec(detail, pointer="/preset", preset=POOLED)


@dataclass(frozen=True, kw_only=True)
class PooledOrder:
    """One job's worth of pooled training: the ``orders`` of all tickers, alike but for the ticker, in ticker order."""

    orders: tuple[TrainingOrder, ...]

    def __post_init__(self) -> None:
        if self.orders[0].preset != POOLED:
            raise InvalidSpec(f"A universe is trained with the preset {POOLED!r}.", pointer="/preset")
        _refuse_unless_poolable(self.spec)

    @property
    def ticker(self) -> None:
        """The job is of no single ticker."""
        return

    @property
    def universe(self) -> list[str]:
        """The tickers that the network learns from."""
        return [order.ticker for order in self.orders]

    @property
    def spec(self) -> NetworkSpec:
        """The network's."""
        return self.orders[0].spec

    @property
    def dedupe_key(self) -> str:
        """Hash of what makes two orders the same work."""
        keys = json.dumps([order.dedupe_key for order in self.orders])
        return hashlib.sha256(keys.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the order JSON-ready; ``from_dict`` is its inverse."""
        body = self.orders[0].to_dict()
        del body["ticker"]
        return {**body, "universe": self.universe}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> PooledOrder:
        """Build an order from JSON data, each ticker's as ``TrainingOrder.from_dict`` does.

        Raises:
            InvalidSpec, UnknownPreset, UnknownArchitecture: the order contradicts itself or names nothing.
        """
        tickers = sorted(body["universe"])
        return cls(orders=tuple(TrainingOrder.from_dict({**body, "ticker": ticker}) for ticker in tickers))


@dataclass(frozen=True, kw_only=True)
class Window:
    """Sessions that are forecast out of sample, from ``first`` to ``last``; ``None``: all that come after."""

    first: date
    last: date | None = None


@dataclass(frozen=True, kw_only=True)
class PooledNetwork:
    """What a version says of the pooled network in its bundle.

    It has learnt from the ``universe`` up to ``known_through``. A network of its own, fitted on targets that ended
    before, has forecast each of ``windows``; ``protocol`` says how these were asked for. ``fitted_at`` (ISO, UTC)
    tells older from newer.
    """

    universe: tuple[str, ...]
    fitted_at: str
    known_through: date
    windows: tuple[Window, ...]
    protocol: Mapping[str, Any]

    @property
    def windows_for_others(self) -> tuple[Window, ...]:
        """The windows, and what has come since, which the served network itself has not seen."""
        newest = max(self.known_through, *(window.last or window.first for window in self.windows))
        return (*self.windows, Window(first=newest + timedelta(days=1)))

    def to_dict(self) -> dict[str, Any]:
        """Return what is known JSON-ready; ``from_dict`` is its inverse."""
        return {
            "universe": list(self.universe),
            "fitted_at": self.fitted_at,
            "known_through": self.known_through.isoformat(),
            "windows": [[w.first.isoformat(), w.last.isoformat() if w.last else None] for w in self.windows],
            "protocol": dict(self.protocol),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PooledNetwork:
        """Read back what ``to_dict`` wrote."""
        windows = [
            Window(first=date.fromisoformat(first), last=date.fromisoformat(last) if last else None)
            for first, last in data["windows"]
        ]
        return cls(
            universe=tuple(data["universe"]),
            fitted_at=data["fitted_at"],
            known_through=date.fromisoformat(data["known_through"]),
            windows=tuple(windows),
            protocol=data["protocol"],
        )


def _refuse_unless_poolable(spec: NetworkSpec) -> None:
    """Refuse what would need fits of one ticker alone.

    Raises:
        InvalidSpec: a pooled network forecasts distributions of log returns, all steps at once, from own bars.
    """
    if spec.head == "point":
        detail = f"A pooled network forecasts distributions: student_t or pinball, not {spec.loss}."
        raise InvalidSpec(detail, pointer="/spec/loss")
    if spec.strategy == "recursive":
        raise InvalidSpec("A pooled network answers every step itself.", pointer="/spec/strategy")
    if spec.peers:
        raise InvalidSpec("A pooled network reads the bars of one ticker at a time.", pointer="/spec/peers")
