"""The bars of a panel: a folder of CSV files, one a ticker, audited; the adjusted close is a must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.bootstrap import folder_prices
from app.dataset.features import fields_used
from app.dataset.indicators import daily_variance
from app.dataset.prepare import Dataset, prepare
from app.domain.dividends import reinvested
from app.domain.history import Bars
from app.domain.spec import NetworkSpec
from app.errors import AppError
from app.prices.audit import audit

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class PanelTicker:
    """One ticker as networks and classical models read it.

    ``origins`` ``(n,)`` are the rows of ``dataset`` from which the sessions of the test are forecast, one after the
    other. ``closes`` and ``variances`` ``(rows,)`` are the close as quoted and the day's variance by its range, to
    which a dividend adds nothing.
    """

    ticker: str
    dataset: Dataset
    origins: NDArray[np.intp]
    closes: Floats
    variances: Floats

    @property
    def sessions(self) -> NDArray[np.datetime64]:
        """The sessions that are forecast, ``(n,)``."""
        return self.dataset.sessions[self.origins + 1]

    @property
    def actual(self) -> Floats:
        """The total log returns of these sessions, ``(n,)``."""
        return np.asarray(self.dataset.targets[self.origins, 0])

    def between(self, start: date, end: date | None) -> NDArray[np.intp]:
        """Return the origins of the sessions from ``start`` on and, where there is an ``end``, before it."""
        chosen = self.sessions >= np.datetime64(start)
        if end is not None:
            chosen &= self.sessions < np.datetime64(end)
        return self.origins[chosen]


def read_panel(
    folder: Path, spec: NetworkSpec, *, first: date, now: datetime, tell: Callable[[str], None]
) -> tuple[PanelTicker, ...]:
    """Return every ticker of ``folder`` that has a forecast to make for a session from ``first`` on.

    A ticker that starts late is forecast as soon as its window is full. ``tell`` hears of those that are left out.

    Raises:
        SourceUnavailable: the folder cannot be read.
    """
    source = folder_prices(folder)
    panel = []
    for ticker in source.tickers() or []:
        try:
            history, _ = audit(source.history(ticker, now=now), fields=(*fields_used(spec), "adj_close"))
            panel.append(_panel_ticker(ticker, history.bars, spec, first))
        except AppError as error:
            tell(f"{ticker} is left out: {error}")
    return tuple(one for one in panel if len(one.origins))


def _panel_ticker(ticker: str, bars: Bars, spec: NetworkSpec, first: date) -> PanelTicker:
    dataset = prepare(bars, spec)
    start = int(np.searchsorted(dataset.sessions, np.datetime64(first))) - 1
    return PanelTicker(
        ticker=ticker,
        dataset=dataset,
        origins=np.arange(max(start, dataset.first_origin), len(dataset) - 1),
        closes=bars.close,
        variances=daily_variance(reinvested(bars)),
    )
