"""Real prices without a network: the S&P 500 and the NASDAQ, 1999 to 2018, from the ``arch`` package."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from app.domain.history import Bars, PriceHistory
from app.errors import UnknownTicker
from app.prices.base import finished, require_ticker

_TICKERS = ("^GSPC", "^IXIC")


class SamplePrices:
    """The price source ``sample``."""

    name = "sample"
    local = False  # the package behind it is heavy to import

    def tickers(self) -> list[str]:
        """Return the two tickers."""
        return list(_TICKERS)

    def history(
        self, ticker: str, *, start: date | None = None, end: date | None = None, now: datetime
    ) -> PriceHistory:
        """Return the bars of one of the two indices; see ``PriceSource.history``."""
        table = self._query(ticker)
        history = self._normalise(ticker, table)
        return finished(history, now=now).between(start, end)

    def _query(self, ticker: str) -> Any:
        if require_ticker(ticker, source=self.name) not in _TICKERS:
            raise UnknownTicker(
                f"The sample holds {' and '.join(_TICKERS)}, not {ticker}.",
                ticker=ticker,
                source=self.name,
                known=list(_TICKERS),
            )
        return _table(ticker)

    def _normalise(self, ticker: str, table: Any) -> PriceHistory:
        columns = {name: table[_heading(name)].to_numpy(dtype=np.float64) for name in _FIELDS}
        return PriceHistory(
            ticker=ticker,
            source=self.name,
            bars=Bars(sessions=table.index.to_numpy().astype("datetime64[D]"), **columns),
            currency="USD",
            timezone="America/New_York",
            instrument="INDEX",
            price_basis="split_adjusted",
        )


_FIELDS = ("open", "high", "low", "close", "adj_close", "volume")


def _heading(name: str) -> str:
    return name.replace("_", " ").title()


@lru_cache(maxsize=2)
def _table(ticker: str) -> Any:
    """Load the index's table."""
    # Late, because arch brings statsmodels and SciPy along: over a second that only sample data need.
    from arch.data import nasdaq, sp500

    return (sp500 if ticker == "^GSPC" else nasdaq).load()
