"""The live record summed up, as clients read it."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from app.api.schemas.common import Document, Json, Moment


class CoverageOut(Document):
    """Of `n` sessions the share that ended inside the central interval, as the model said it and as displayed."""

    level: float
    raw: float | None
    displayed: float | None
    n: int


class SummaryOut(Document):
    """Rolling scores; null without any session."""

    n: int = Field(description="Sessions that were scored.")
    missing: int = Field(description="Sessions that never came: they are neither right nor wrong.")
    skill: float | None = Field(description="1 - RMSE / RMSE of the last value, of errors relative to the last value.")
    crps: float | None = Field(description="Mean, in log returns.")
    crps_skill: float | None = Field(
        description="1 - CRPS / CRPS of the last value with EWMA-t around it, where both are known."
    )
    pinball: float | None
    qlike: float | None
    coverage: list[CoverageOut]


class ScoredModelOut(Document):
    """Who forecast: a version, with the aliases that point to it now; without one, the baseline."""

    version: int | None
    aliases: list[str]


class SignOut(Document):
    """One sign of drift beside the `limits` from which it warns or alarms."""

    name: str
    state: str = Field(description="`ok`, `warn`, `alarm`, or `too_few` while `n` is less than `need`.")
    measure: str = Field(description="What `value` is: `psi`, or the p-value of a test.")
    value: float | None = Field(
        description="Of `inputs` the population stability index, mean over the columns; null with `too_few` sessions."
    )
    n: int = Field(description="Sessions that it rests on.")
    need: int = Field(description="Sessions without which nothing is said.")
    limits: dict[str, float]
    detail: Json = Field(
        description="Of `inputs` the index of all `columns`, and the `worst`: those that moved most, first; of "
        "`coverage` the `level` and the `empirical` share."
    )


class DriftOut(Document):
    """How far the version's world has moved from what it learnt, as of its last new forecast."""

    state: str = Field(description="The worst of the signs; `too_few` when none of them can be told yet.")
    checked_at: Moment
    signs: list[SignOut]


class ScoresItemOut(SummaryOut):
    """The rolling scores of one model on one ticker."""

    ticker: str
    model: ScoredModelOut
    first_session: date | None
    last_session: date | None
    drift: DriftOut | None


class OverallOut(SummaryOut):
    """The rolling scores over all tickers: of all `versions`, or of the `baseline`."""

    model: str
    tickers: int = Field(description="The most that were scored on one session.")


class ScoresOut(Document):
    """Rolling scores of one origin, by ticker and model, a page of tickers."""

    origin: str
    window: int = Field(description="Newest sessions that count: of each model, and of `overall`.")
    overall: list[OverallOut] = Field(
        description="Over all tickers whatever the page, or over the models of the one asked for; empty for `backtest`."
    )
    items: list[ScoresItemOut]
