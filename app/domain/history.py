"""Daily bars of one instrument, oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidBars, InvalidSpec

Floats = NDArray[np.float64]
Sessions = NDArray[np.datetime64]

TRADED_FIELDS = ("open", "high", "low", "close")
PRICE_FIELDS = (*TRADED_FIELDS, "adj_close")
BAR_FIELDS = (*PRICE_FIELDS, "volume")


@dataclass(frozen=True, eq=False)
class Bars:
    """Columns of equal length, one row a session, oldest first; NaN where the source has no value.

    ``sessions`` are exchange-local dates (``datetime64[D]``), strictly increasing. ``open`` to
    ``close`` are split-adjusted prices in the quote currency, ``adj_close`` is also
    dividend-adjusted, ``volume`` counts units traded. ``extra`` holds further columns by name.
    """

    sessions: Sessions
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    adj_close: Floats
    volume: Floats
    extra: Mapping[str, Floats] = field(default_factory=lambda: MappingProxyType({}))

    def __len__(self) -> int:
        return len(self.sessions)

    def column(self, name: str) -> Floats:
        """Return the column ``name`` as ``(bars,)``.

        Raises:
            InvalidSpec: there is no such column; ask for one of those named in the error.
        """
        if name in BAR_FIELDS:
            values: Floats = getattr(self, name)
            return values
        if name in self.extra:
            return self.extra[name]
        known = [*BAR_FIELDS, *sorted(self.extra)]
        raise InvalidSpec(f"The bars have no field {name!r}. Known: {', '.join(known)}.", field=name, known=known)

    def rows(self, selection: slice | NDArray[np.bool_] | NDArray[np.intp]) -> Bars:
        """Return the selected rows, in their order."""
        columns = {name: getattr(self, name)[selection] for name in ("sessions", *BAR_FIELDS)}
        return Bars(**columns, extra={name: values[selection] for name, values in self.extra.items()})


@dataclass(frozen=True, kw_only=True)
class Action:
    """A split or a dividend, effective before the open of ``session``.

    ``value`` is the ratio of new to old shares for a ``split``, the amount per share for a ``dividend``.
    """

    session: date
    kind: str
    value: float


@dataclass(frozen=True, eq=False, kw_only=True)
class PriceHistory:
    """Bars and what is known about them; every bar is of a finished session.

    ``price_basis`` is ``split_adjusted``, ``as_traded`` or ``unknown``. ``timezone`` (IANA) and
    ``instrument`` (``EQUITY``, ``INDEX``, ``CURRENCY``, ``CRYPTOCURRENCY``, ``FUTURE``, ``ETF``)
    are as the source names them, ``None`` when it does not say.
    """

    ticker: str
    source: str
    bars: Bars
    currency: str | None = None
    timezone: str | None = None
    instrument: str | None = None
    price_basis: str = "unknown"
    actions: tuple[Action, ...] = ()

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def first_session(self) -> date:
        """The oldest session."""
        return to_date(self.bars.sessions[0])

    @property
    def last_session(self) -> date:
        """The newest session."""
        return to_date(self.bars.sessions[-1])

    @property
    def last_close(self) -> float:
        """The newest close that is a price: an order for another field may leave the last bar without one.

        Raises:
            InvalidBars: there is none.
        """
        closes = self.bars.close[self.bars.close > 0]
        if not len(closes):
            raise InvalidBars(f"The bars of {self.ticker} have no close.", ticker=self.ticker, have=0, need=1)
        return float(closes[-1])

    def between(self, start: date | None = None, end: date | None = None) -> PriceHistory:
        """Return the sessions ``start <= session <= end``; ``None`` leaves that side open."""
        days = self.bars.sessions
        keep = np.ones(len(days), dtype=bool)
        if start is not None:
            keep &= days >= np.datetime64(start)
        if end is not None:
            keep &= days <= np.datetime64(end)
        return replace(self, bars=self.bars.rows(keep))

    def head(self, bars: int) -> PriceHistory:
        """Return the oldest ``bars`` bars: what was known when the last of them had closed."""
        return replace(self, bars=self.bars.rows(slice(0, bars)))


def to_date(session: np.datetime64) -> date:
    """Turn one ``datetime64[D]`` into a ``date``."""
    return date.fromisoformat(str(session.astype("datetime64[D]")))
