"""Forecasts as clients read them, and the bars that they may bring themselves."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from app.api.schemas.common import NEXT_PAGE, Document, Integer, IsoDate, Json, Moment, Request, Ticker
from app.domain.history import BAR_FIELDS

LEVEL_PATTERN = r"(?:[1-9][0-9]?(?:\.[0-9]{1,4})?|0\.[0-9]{0,3}[1-9])"
LEVELS_PATTERN = f"^{LEVEL_PATTERN}(?:,{LEVEL_PATTERN}){{0,9}}$"
MODEL_PATTERN = "^(?:[a-z][a-z0-9_-]{0,31}|[1-9][0-9]{0,8})$"
MAX_HORIZON = 366
MAX_BARS = 5000

Price = Annotated[float, Field(ge=1e-12, le=1e15)]
Column = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,31}$")]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Level = Annotated[float, Field(ge=0.0001, le=99.9999)]


class BarIn(Request):
    """One session's prices, in the quote currency."""

    session: IsoDate
    open: Price
    high: Price
    low: Price
    close: Price
    volume: float = Field(0.0, ge=0)
    extra: dict[Column, Number] = Field(
        default_factory=dict, max_length=32, description="Further columns by name, such as `weighted_price`."
    )

    @model_validator(mode="after")
    def _high_above_low(self) -> BarIn:
        if self.high < self.low:
            raise ValueError("high is below low")
        return self

    @field_validator("extra")
    @classmethod
    def _beside_the_fields(cls, extra: dict[str, float]) -> dict[str, float]:
        if taken := sorted(extra.keys() & set(BAR_FIELDS)):
            raise ValueError(f"{taken[0]} is a field of the bar, no further column")
        return extra


class BarsForecastIn(Request):
    """The caller's own bars, oldest first; nothing of them is kept."""

    ticker: Ticker
    model: Annotated[str, StringConstraints(pattern=MODEL_PATTERN)] = "champion"
    horizon: Integer = Field(1, ge=1, le=MAX_HORIZON)
    level: list[Level] = Field([80.0, 95.0], min_length=1, max_length=10, description="Intervals, in percent.")
    bars: list[BarIn] = Field(min_length=1, max_length=MAX_BARS)


class IntervalOut(Document):
    """The value ends between `lower` and `upper` with a probability of `level` percent."""

    level: float
    lower: float
    upper: float


class TargetOut(Document):
    """What is forecast: a field of the bars, as a log return from its last value or as the price itself."""

    field: str
    transform: str


class StepOut(Document):
    """One field, `step` sessions ahead; `point` is the median, prices in the quote currency."""

    step: int
    field: str = Field(description="What is forecast: with several targets each has its own steps, one target's first.")
    last_value: float = Field(description="The field at `as_of_session`; of `close` that is `last_close`.")
    target_session: date
    target_close_at: Moment
    point: float
    expected_return: float = Field(
        description="`point / last_value - 1`: of `close` relative to the last close, of any other field to its own "
        "last value."
    )
    volatility: float = Field(description="Standard deviation of the log return from `last_value` to this step.")
    prob_up: float = Field(description="That the field ends above `last_value`.")
    quantiles: dict[str, float] = Field(description="As the model says them.")
    intervals: list[IntervalOut] = Field(
        description="As displayed: those of the first step are calibrated by how the model's earlier ones held."
    )


class SkillOut(Document):
    """How much better than two baselines, out of sample: `1 - error / error of the baseline`, positive is better.

    The points are measured against `vs`, the whole distribution against `crps_vs`.
    """

    vs: str = Field(description="Whom `value` and `ci95` are against: `persistence`, which repeats the last value.")
    metric: str = Field(description="The error in `value`, of the points.")
    value: float | None = Field(description="1 - the point forecasts' error / that of `vs`.")
    ci95: list[float] | None = Field(description="95 % interval of `value`, by stationary bootstrap.")
    dm_p: float | None = Field(
        description="One-sided Diebold-Mariano p-value of the CRPS being lower than that of `crps_vs`: it belongs to "
        "`crps`, not to `value`."
    )
    n: int = Field(description="Sessions.")
    beats_baseline: bool = Field(
        description="Whether `dm_p` is below 0.05 and the RMSE at most 0.5 % above that of `vs`."
    )
    crps: float | None = Field(description="1 - CRPS / CRPS of `crps_vs`.")
    crps_vs: str = Field(
        description="Whom `crps` and `dm_p` are against: `ewma_t`, the last value as wide as lately, which is who "
        "answers without a champion."
    )


class ModelOut(Document):
    """Who forecasts; without a version, the baseline."""

    version: int | None
    alias: str | None
    architecture: str
    preset: str | None
    trained_through: date | None


class DiagnosticsOut(Document):
    """What should make one doubt the forecast."""

    persistence_likeness: float | None = Field(
        description="1 - RMSE of the points to the last value / RMSE to what came, out of sample. 1 repeats the last "
        "value; above 0 the points are nearer to the last value than to the next."
    )
    seed_spread: float | None = Field(
        description="How far apart the averaged networks are, as a share of the volatility; null for one alone."
    )
    inputs_out_of_range: list[str] = Field(description="Columns read that leave what the version learnt from.")


class ForecastOut(Document):
    """The latest stored forecast, and how far it may be believed right now."""

    forecast_id: str
    edition: str | None
    ticker: str
    currency: str | None
    target: TargetOut
    targets: list[TargetOut] = Field(description="All targets in the order of their steps; the first is `target`.")
    state: str = Field(description="`fresh`, `stale`, `degraded` or `baseline`.")
    reasons: list[str]
    origin: str
    as_of_session: date
    issued_at: Moment
    last_close: float
    steps: list[StepOut] = Field(description="All steps of the first target, then all of the next.")
    skill: SkillOut
    calibration: list[Json] = Field(
        description="For each level how often displayed intervals held, `n` sessions of `origin` `backtest` or `live`."
    )
    diagnostics: DiagnosticsOut
    model: ModelOut
    provenance: Json
    calendar: Json
    next_update_at: Moment = Field(
        description="When newer bars are looked for: some time after the next close; again every half hour, as the "
        "service is set, while that session's bar is late; once a day when more than five sessions have closed "
        "without one."
    )


class FailedForecastOut(Document):
    """Why one of several tickers has no forecast."""

    ticker: str
    problem: Json = Field(description="A problem without `request_id`, which is a header of the whole answer.")


class ForecastsOut(Document):
    """Many forecasts at once."""

    edition: str
    complete: bool = Field(description="Whether every ticker asked for has a forecast.")
    next_update_at: Moment | None = Field(description="The earliest of the items.")
    next_page_token: str | None = Field(None, description=NEXT_PAGE)
    items: list[ForecastOut | FailedForecastOut]


class ScoredStepOut(Document):
    """One step with what came of it; null until a refresh has found the session's bar."""

    step: int
    field: str
    target_session: date
    point: float
    prob_up: float
    intervals: list[IntervalOut] = Field(description="As they were displayed when the forecast was issued.")
    state: str = Field(
        description="`pending`, `scored`, or `missing`: a later session has a bar and this one has none."
    )
    actual: float | None = Field(
        description="What came, in the prices of the day of issue: splits since are undone, dividends added back."
    )
    actual_close: float | None = Field(description="The session's close as it is quoted now.")
    scores: Json | None = Field(
        description="`error` of the point, `absolute_error` and `persistence_error` in price units; `crps`, "
        "`crps_ewma_t` and `pinball` in log returns; `pit`; `qlike`; by level whether the displayed interval "
        "held; the `snapshot_id` of the bars it was scored from."
    )


class IssuedOut(Document):
    """A forecast as it was issued."""

    forecast_id: str
    edition: str | None
    issued_at: Moment
    as_of_session: date
    origin: str
    last_close: float
    target: TargetOut
    targets: list[TargetOut]
    model: Json
    steps: list[ScoredStepOut]


class HistoryOut(Document):
    """A page of issued forecasts, newest first."""

    items: list[IssuedOut]
