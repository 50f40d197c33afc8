"""Versions, aliases and their proof of skill as clients read them."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from app.api.schemas.common import Document, Json, Links, Moment, Request, Text, VersionNumber
from app.api.schemas.forecasts import TargetOut

Metrics = dict[str, float | None]
Values = list[float | None]


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
    """The headline of a scorecard; `skill` is 1 - RMSE / RMSE of persistence."""

    rmse: float | None
    mae: float | None
    crps: float | None
    hit_rate: float | None
    coverage_80: float | None
    rmse_ratio: float | None = Field(description="RMSE / RMSE of persistence: below 1 is better.")
    skill: float | None
    n: int | None
    beats_baseline: bool | None = Field(
        description="Whether the CRPS is lower than that of `ewma_t` beyond luck, and the RMSE no worse than that of "
        "`persistence`."
    )


class VersionRowOut(Document):
    """A version in a list."""

    version: int
    created_at: Moment
    architecture: str = Field(description="What answers, such as `gru`, or `lstm+gru` where several are averaged.")
    preset: str | None
    target: TargetOut
    targets: list[TargetOut] = Field(description="All targets; the first is `target`, by which the version is judged.")
    source: str = Field(description="Where the bars it was trained on come from.")
    trained_through: date
    aliases: list[str]
    metrics: MetricsOut
    reasons: list[str] = Field(description="Why it may not be champion; empty: it has earned it.")
    damaged_at: Moment | None = Field(
        description="When its files were first found damaged; null: they are not known to be."
    )
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
    peers: Json | None = Field(
        description="Of a version that reads peers: `snapshots`, the snapshot of each by ticker, and `correlation` "
        "with the ticker on the training window."
    )


class ArtifactOut(Document):
    """One file of a version."""

    sha256: str
    bytes: int
    url: str


class VersionOut(VersionRowOut):
    """Everything about a version."""

    ticker: str
    spec: Json = Field(description="The full spec, `target` being the first of `targets`.")
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


class _CardOut(Document):
    ticker: str
    contestants: dict[str, Metrics] = Field(
        description="Of the first target: `model`, `persistence`, `ewma_t`, `drift`, `moving_average`, `garch_t`, "
        "`gjr_t` and, where there are daily ranges, `har_range_t`. `rmse` and `mae` in price units and `crps` in log "
        "returns a session ahead, `…_step_n` n sessions ahead; `rmse_path` over all steps of the first forecast, when "
        "it looks further than one. `…_ratio` and `skill` (with its 95 % interval) are against `persistence`."
    )
    targets: dict[str, dict[str, Metrics]] = Field(description="The same of each further target, by its field.")
    tests: dict[str, Metrics] = Field(description="Of the model against each: Diebold-Mariano, by the CRPS.")
    confidence_set: Json | None = Field(
        description="Which contestants may be the best (`included`), with each one's `p`; null with few sessions."
    )
    pit: dict[str, list[float]] = Field(
        description="Share of sessions in each tenth of what each contestant foretold; `lower` is where a tenth begins."
    )
    skill: Json = Field(
        description="As in a forecast: `value` with `ci95` of the points against `vs`, `crps` with `dm_p` of the "
        "distributions against `crps_vs`; these are two baselines."
    )
    calibration: list[Json]
    protocol: Json = Field(description="`refit` false: fitted once, the window rolled on; `fits` says how often.")
    reasons: list[str]
    earned_champion: bool


class ScorecardOut(_CardOut):
    """Each contestant x each metric out of sample, with skill, tests and calibration."""

    version: int


class TestedOut(Document):
    """What a backtest was made on; `peers` are the snapshots of the peers by ticker."""

    source: str
    snapshot_id: str | None
    first_session: date
    last_session: date
    rows: int
    peers: dict[str, str | None]


class BacktestOut(_CardOut):
    """The result of a job of kind `backtest`: the scorecard that a training would get, and where the time went."""

    preset: str
    spec: Json
    evaluation: Json
    data: TestedOut
    seconds: dict[str, float] = Field(description="Wall time by stage.")


class CurveOut(Document):
    """Loss and validation loss of each epoch, as columns; `val_loss` is empty where nothing was kept to validate on."""

    epoch: list[int]
    loss: list[float | None]
    val_loss: list[float | None]
    best_epoch: int = Field(description="The epoch whose weights were kept, counted from 1; 0: those before the first.")


class MemberCurveOut(CurveOut):
    """That of one of several networks whose answers are averaged."""

    architecture: str
    seed: int


class CurvesOut(CurveOut):
    """That of the network; where several are averaged that of the first, and `members` has those of all."""

    members: list[MemberCurveOut] = Field(default_factory=list, description="Absent when one network answers alone.")


class _PricesOut(Document):
    actual: Values = Field(description="What came; null where that is not known.")
    predicted: Values = Field(description="The median.")
    lower_80: Values
    upper_80: Values
    lower_95: Values
    upper_95: Values


class FittedOut(_PricesOut):
    """One row a session that the network has learnt from, forecast a session ahead; prices in the quote currency."""

    session: list[date] = Field(description="The target session, oldest first.")
    last_value: Values = Field(description="The field a session before: what repeating it would say.")


class PredictionsOut(FittedOut):
    """One row a session that the network had not seen, forecast a session ahead.

    Each further target adds a pair of columns, named `high_actual` and `high_predicted` after its field.
    """

    pit: Values = Field(default_factory=list, description="Probability that was given to ending at or below what came.")
    crps: Values = Field(description="The loss of the forecast distribution, in log returns.")
    crps_persistence: Values = Field(description="That of the last value, as wide as usual.")
    crps_ewma_t: Values = Field(description="That of the last value, as wide as lately.")


class PathOut(_PricesOut):
    """One row a step of the first forecast out of sample, all made from the same last session."""

    step: list[int]
    session: list[date | None] = Field(description="The target session; null where that is not known.")
