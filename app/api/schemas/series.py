"""Forecasts in columns: of many tickers, and of one chart."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from app.api.schemas.common import NEXT_PAGE, Document, Moment


class ForecastColumnsOut(Document):
    """Many forecasts at once, a list a column, all equally long: one row a ticker, step and field.

    In order: `ticker`, `problem` (a code) and its `detail`; `state`, `reasons`, `origin`, `as_of_session`, `issued_at`,
    `last_close`, `currency`; `step`, `field`, `last_value`, `target_session`, `target_close_at`, `point`,
    `expected_return`, `volatility`, `prob_up`; `lower_80`, `upper_80` and so on for each level asked for; `skill`,
    `skill_crps`, `dm_p`, `skill_n`, `beats_baseline`; of the first level asked for `coverage_80_live`,
    `coverage_80_live_n`, `coverage_80_backtest`, `coverage_80_backtest_n`; `version`, `alias`, `architecture`,
    `preset`, `trained_through`; `approximate`, `next_update_at`. In the row of a problem all but the first three are
    null.
    """

    edition: str
    complete: bool = Field(description="Whether every ticker asked for has a forecast.")
    next_update_at: Moment | None = Field(description="The earliest of the rows.")
    next_page_token: str | None = Field(None, description=NEXT_PAGE)
    columns: dict[str, list[object]]


class ChartBarsOut(Document):
    """The closes as they are quoted now, oldest first."""

    session: list[date]
    close: list[float | None]


class ChartIssuedOut(Document):
    """What was forecast of each session, oldest first: one row a session, the last that was issued for it.

    `lower_80`, `upper_80` and so on stand between `point` and `actual`, for each level asked for.
    """

    target_session: list[date]
    as_of_session: list[date]
    issued_at: list[Moment]
    origin: list[str]
    version: list[int | None] = Field(description="null: the baseline answered.")
    architecture: list[str]
    last_close: list[float] = Field(
        description="The close of `as_of_session` for who issued it, on the scale of the bars as `point` is."
    )
    point: list[float]
    actual: list[float | None] = Field(
        description="The close as it is quoted now, null until it is scored. After a split it is another number than "
        "that of `/history`, which stays in the prices of the day of issue."
    )
    state: list[str] = Field(description="`pending`, `scored` or `missing`.")


class ChartAheadOut(Document):
    """The steps of the latest forecast; `lower_80`, `upper_80` and so on for each level asked for."""

    step: list[int]
    target_session: list[date]
    target_close_at: list[Moment]
    point: list[float]


class ChartChangeOut(Document):
    """The alias moved; `session` is the last one shown by that day, null before all of them."""

    at: Moment
    session: date | None
    version: int | None = Field(description="null: the alias was taken away.")
    previous: int | None
    by: str
    reason: str


class SeriesOut(Document):
    """One chart of a ticker's close; all prices as the bars are quoted now: splits are undone, dividends are not."""

    ticker: str
    currency: str | None
    edition: str
    field: str
    source: str
    next_update_at: Moment
    bars: ChartBarsOut
    issued: ChartIssuedOut
    ahead: ChartAheadOut
    changes: list[ChartChangeOut] = Field(description="Of the alias, oldest first; empty for a version number.")
