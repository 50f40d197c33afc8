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
    state: str = Field(description="`ok`, `warn` or `alarm`; `ok` with fewer than `need` sessions.")
    measure: str
    value: float | None
    n: int
    need: int
    limits: dict[str, float]
    detail: Json


class DriftOut(Document):
    """How far the version's world has moved from what it learnt, as of its last new forecast."""

    state: str = Field(description="The worst of the signs.")
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
    tickers: int


class ScoresOut(Document):
    """Rolling scores of one origin, by ticker and model."""

    origin: str
    window: int = Field(description="Newest sessions of each model that count.")
    overall: list[OverallOut]
    items: list[ScoresItemOut]
