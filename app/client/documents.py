"""Answers that are tables at heart, with a way to a data frame; all else is as in ``app.api.schemas``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from app.api.schemas.common import Document
from app.api.schemas.forecasts import FailedForecastOut, ForecastOut, ForecastsOut
from app.api.schemas.market import BarsOut
from app.api.schemas.models import CurvesOut, FittedOut, PathOut, PredictionsOut, ScorecardOut
from app.api.schemas.series import ChartAheadOut, ChartBarsOut, ChartIssuedOut, ForecastColumnsOut, SeriesOut
from app.client import frames

if TYPE_CHECKING:
    import pandas as pd


class Columns(Document):
    """A table, a list a column."""

    _index: ClassVar[str]

    def to_frame(self) -> pd.DataFrame:
        """Return the columns, by the one that counts or dates the rows."""
        return frames.of_columns(self, index=self._index)


class Forecast(ForecastOut):
    """The latest stored forecast, and how far it may be believed right now."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row a step."""
        return frames.of_forecasts([self])


class Forecasts(ForecastsOut):
    """Many forecasts at once."""

    items: list[Forecast | FailedForecastOut]  # type: ignore[assignment]  # the same documents, with a method more

    def to_frame(self) -> pd.DataFrame:
        """Return one row a step of each ticker that has a forecast."""
        return frames.of_forecasts([item for item in self.items if isinstance(item, Forecast)])


class ForecastColumns(ForecastColumnsOut):
    """Many forecasts at once, a list a column."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row a ticker, step and field, and one of each ticker that has a ``problem``."""
        return frames.of_table(self.columns)


class ChartBars(ChartBarsOut, Columns):
    """The closes as they are quoted now, oldest first."""

    _index = "session"


class ChartIssued(ChartIssuedOut, Columns):
    """What was forecast of each session, oldest first."""

    _index = "target_session"


class ChartAhead(ChartAheadOut, Columns):
    """The steps of the latest forecast."""

    _index = "step"


class Series(SeriesOut):
    """One chart of a ticker's close, all prices as the bars are quoted now."""

    bars: ChartBars
    issued: ChartIssued
    ahead: ChartAhead


class Edition(Document):
    """Forecasts may have changed: those asked for from now on are of this edition or a later one."""

    edition: str


class Scorecard(ScorecardOut):
    """Each contestant x each metric out of sample, with skill, tests and calibration."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row a contestant, one column a metric."""
        return frames.of_contestants(self.contestants)


class Fitted(FittedOut, Columns):
    """One row a session that the network has learnt from."""

    _index = "session"


class Predictions(PredictionsOut, Columns):
    """One row a session that the network had not seen."""

    _index = "session"


class PredictedPath(PathOut, Columns):
    """One row a step of the first forecast out of sample."""

    _index = "step"


class Curves(CurvesOut, Columns):
    """Loss and validation loss of each epoch, as a frame of several averaged networks those of the first."""

    _index = "epoch"


class Bars(BarsOut):
    """The newest bars kept of a ticker, oldest first."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row a session; further columns of the source are columns too."""
        return frames.of_bars(self.items)
