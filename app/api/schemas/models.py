"""Versions, aliases and their proof of skill as clients read them."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from app.api.schemas.common import Document, Json, Links, Moment, Request, Text, VersionNumber


class AliasIn(Request):
    """Where the alias shall point, and why."""

    version: VersionNumber
    reason: Text = ""


class AliasOut(Document):
    """Where an alias points."""

    ticker: str
    alias: str
    version: int
    changed_at: Moment | None
    changed_by: str | None
    reason: str | None
    links: Links


class AliasChangeOut(Document):
    """One change; `version` null means that the alias was taken away."""

    version: int | None
    previous: int | None
    changed_at: Moment
    changed_by: str
    reason: str


class AliasHistoryOut(Document):
    """All changes of an alias, newest first."""

    items: list[AliasChangeOut]


class MetricsOut(Document):
    """The headline of a scorecard; skill is `1 - error / error of persistence`."""

    rmse: float | None
    mae: float | None
    crps: float | None
    hit_rate: float | None
    coverage_80: float | None
    rmse_ratio: float | None = Field(description="RMSE / RMSE of persistence: below 1 is better.")
    skill: float | None
    n: int | None
    beats_baseline: bool | None


class VersionRowOut(Document):
    """A version in a list."""

    version: int
    created_at: Moment
    architecture: str
    preset: str | None
    target: dict[str, str]
    trained_through: date
    aliases: list[str]
    metrics: MetricsOut
    reasons: list[str] = Field(description="Why it may not be champion; empty: it has earned it.")
    links: Links


class ModelRowOut(Document):
    """One ticker: its champion, its latest version and the state of its forecast."""

    ticker: str
    champion: VersionRowOut | None
    latest: VersionRowOut
    metrics: MetricsOut = Field(description="Of the champion, else of the latest version.")
    state: str | None
    reasons: list[str]
    links: Links


class ModelsOut(Document):
    """A page of tickers, in alphabetical order."""

    items: list[ModelRowOut]


class VersionsOut(Document):
    """A page of versions, newest first."""

    ticker: str
    aliases: dict[str, int]
    items: list[VersionRowOut]


class DataOut(Document):
    """What a version was trained on."""

    source: str
    snapshot_id: str
    first_session: date
    last_session: date
    rows: int
    findings: list[Json]


class ArtifactOut(Document):
    """One file of a version."""

    sha256: str
    bytes: int
    url: str


class VersionOut(VersionRowOut):
    """Everything about a version."""

    ticker: str
    spec: Json
    evaluation: Json
    data: DataOut
    artifacts: dict[str, ArtifactOut]
    manifest_sha256: str
    libraries: dict[str, str]
    seconds: dict[str, float]
    job_id: str | None
    code_version: str
    submitted_by: str
    reason: str


class ScorecardOut(Document):
    """Each contestant x each metric out of sample, with skill, tests and calibration."""

    ticker: str
    version: int
    contestants: dict[str, dict[str, float | None]]
    tests: dict[str, dict[str, float | None]]
    skill: Json
    calibration: list[Json]
    protocol: Json
    reasons: list[str]
    earned_champion: bool


class CurvesOut(Document):
    """Loss and validation loss of each epoch, as columns of equal length."""

    epoch: list[int]
    loss: list[float | None]
    val_loss: list[float | None]
    best_epoch: int = Field(description="The epoch whose weights were kept, counted from 1.")


Columns = Annotated[dict[str, list[float | int | str | None]], Field(description="Columns of equal length.")]
