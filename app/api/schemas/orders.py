"""A training order as it comes in; single fields are checked here, contradictions by the domain."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from app.api.schemas.common import Integer, IsoDate, Request, Ticker, integral
from app.api.schemas.forecasts import MAX_HORIZON
from app.domain.catalogue import ARCHITECTURES
from app.domain.order import POOLED
from app.domain.pooled import of_many_tickers
from app.domain.presets import PRESETS
from app.domain.spec import MOST_UNITS

Name = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,31}$")]
Units = Annotated[int, Field(ge=1, le=MOST_UNITS), BeforeValidator(integral)]
Rate = Annotated[float, Field(ge=0, le=0.9)]
Rates = Annotated[list[Rate], Field(min_length=1, max_length=8)]
Dropout = Annotated[
    Annotated[Rate, Tag("one")] | Annotated[Rates, Tag("many")],
    Discriminator(lambda value: "many" if isinstance(value, list) else "one"),
]


def _one_of(names: Any) -> dict[str, Any]:
    """Name the choices in the documentation, and only there: the domain refuses others with what it knows."""
    return {"enum": sorted(names)}


def _without_defaults(schema: dict[str, Any]) -> None:
    """Show no defaults: what is left out is as in the whole."""
    for field in schema["properties"].values():
        field.pop("default", None)


class TargetIn(Request):
    """What is forecast."""

    field: Name = Field("close", description="A field of the bars.")
    transform: Literal["log_return", "price"] = "log_return"


class OptimizerIn(Request):
    """How the weights move."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: float = Field(0.002, gt=0, le=1)
    momentum: float = Field(0.0, ge=0, lt=1, description="Counts for sgd and rmsprop.")
    clip_norm: float | None = Field(1.0, gt=0, le=1e6, description="The longest gradient of a weight; null: any.")


class EarlyStoppingIn(Request):
    """Stop after `patience` epochs without a better validation loss."""

    patience: Integer = Field(5, ge=1, le=1000)


class _NetworkIn(Request):
    """What the members of an ensemble may differ in."""

    architecture: str = Field("gru", max_length=64, json_schema_extra=_one_of(ARCHITECTURES))
    units: list[Units] = Field([8], min_length=1, max_length=8, description="One size a layer, input side first.")
    activation: Literal["tanh", "relu", "sigmoid", "linear"] = "tanh"
    dropout: Dropout = Field(0.0, description="One rate for all layers, or one a layer.")
    loss: Literal["student_t", "pinball", "mse", "mae", "huber"] = Field(
        "student_t",
        description="`student_t` and `pinball` forecast distributions, the latter by eleven quantiles; the others a "
        "point, its spread from the past.",
    )
    optimizer: OptimizerIn = OptimizerIn()
    epochs: Integer = Field(30, ge=1, le=1000)
    batch_size: Integer = Field(128, ge=1, le=8192)
    early_stopping: EarlyStoppingIn | None = EarlyStoppingIn()


class MemberIn(_NetworkIn):
    """One network of an ensemble; what is left out is as in the whole."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class SpecIn(_NetworkIn):
    """Single fields over those of the preset; the defaults shown are those of the preset `default`."""

    target: TargetIn = Field(TargetIn(), description="The one target; several are `targets`.")
    targets: list[TargetIn] = Field(
        [TargetIn()],
        min_length=1,
        max_length=8,
        description="Forecast side by side; a version is judged by the first.",
    )
    features: list[Name] = Field(
        ["range"], min_length=1, max_length=32, description="Named features, or columns of the bars as they stand."
    )
    peers: list[Ticker] = Field(
        [], max_length=32, description="Tickers whose bars the network reads too.", examples=[["AAPL", "GOOG"]]
    )
    peer_features: list[Name] | None = Field(
        None, min_length=1, max_length=32, description="What it reads of each peer; null: the same features."
    )
    window: Integer = Field(20, ge=2, le=1000, description="Bars that the network reads.")
    horizon: Integer = Field(1, ge=1, le=MAX_HORIZON, description="Sessions that it looks ahead.")
    strategy: Literal["direct", "recursive", "encoder_decoder"] = Field(
        "direct",
        description="`direct` answers all steps at once, `encoder_decoder` writes them one by one, `recursive` answers "
        "one step and is fed it back.",
    )
    scaler: Literal["minmax", "standard", "robust"] = "standard"
    validation_fraction: float = Field(0.15, ge=0, le=0.5, description="Newest part of the training rows.")
    members: list[MemberIn] = Field(
        [], max_length=5, description="Two to five networks whose answers are averaged; none: this network alone."
    )
    seeds: Integer = Field(1, ge=1, le=10)
    seed: Integer = Field(7, ge=0, le=2**31 - 1)


class DataIn(Request):
    """Where the bars come from; without a source, the one this service is set to."""

    source: Name | None = Field(None, description="`yahoo`, `files`, `sample`, or `upload` for uploaded bars.")
    start: IsoDate | None = Field(None, description="First session.")
    end: IsoDate | None = Field(None, description="Last session.")


class WalkForward(Request):
    """The last `n_windows` x `step_size` sessions, fitted anew before each window when `refit`."""

    kind: Literal["walk_forward"] = "walk_forward"
    n_windows: Integer = Field(4, ge=1, le=20)
    step_size: Integer = Field(250, ge=1, le=1000, description="Sessions a window.")
    refit: bool = True


class FixedUntil(Request):
    """Fitted once on what ends with `train_end`, scored on the rest."""

    kind: Literal["fixed"]
    train_end: IsoDate


class FixedShare(Request):
    """Fitted once, scored on the newest `test_fraction`."""

    kind: Literal["fixed"]
    test_fraction: float = Field(gt=0, lt=1)


def _kind_of_evaluation(value: Any) -> str | None:
    """Tell the kinds apart: by their fields on the way in, by their class on the way out."""
    if isinstance(value, FixedUntil | FixedShare):
        return "fixed_until" if isinstance(value, FixedUntil) else "fixed_share"
    kind = value.get("kind", "walk_forward") if isinstance(value, dict) else "walk_forward"
    if kind == "fixed":
        return "fixed_until" if "train_end" in value else "fixed_share"
    return "walk_forward" if kind == "walk_forward" else None


EvaluationIn = Annotated[
    Annotated[WalkForward, Tag("walk_forward")]
    | Annotated[FixedUntil, Tag("fixed_until")]
    | Annotated[FixedShare, Tag("fixed_share")],
    Discriminator(
        _kind_of_evaluation,
        custom_error_type="unknown_kind",
        custom_error_message="The kind of an evaluation is walk_forward or fixed",
    ),
]


class _Order(Request):
    preset: str = Field("default", max_length=64, json_schema_extra=_one_of(PRESETS))
    spec: SpecIn = SpecIn()
    data: DataIn = DataIn()
    evaluation: EvaluationIn = WalkForward()
    priority: Integer = Field(0, ge=-100, le=100, description="Higher goes first.")
    timeout_seconds: Integer | None = Field(None, ge=10, le=86400, description="Absent: as this service is set.")

    @model_validator(mode="before")
    @classmethod
    def _refuse_a_universe(cls, value: Any) -> Any:
        # Else the answer would be that a ticker is missing, which would not help.
        asked = value if isinstance(value, dict) and "universe" not in cls.model_fields else {}
        if "universe" in asked and asked.get("preset") == POOLED:
            raise of_many_tickers()
        return value


class _One(Request):
    ticker: Ticker


class _Many(Request):
    tickers: list[Ticker] = Field(min_length=1, max_length=500, json_schema_extra={"uniqueItems": True})

    @field_validator("tickers")
    @classmethod
    def _unique(cls, tickers: list[str]) -> list[str]:
        return _named_once(tickers)


def _named_once(tickers: list[str]) -> list[str]:
    if twice := next((ticker for ticker in tickers if tickers.count(ticker) > 1), None):
        raise ValueError(f"A ticker is named twice: {twice}")
    return tickers


class _Training(_Order):
    promote: Literal["auto", "never"] = "auto"


class TrainOne(_Training, _One):
    """Train one ticker; everything but the ticker has a default."""


class TrainMany(_Training, _Many):
    """Train several tickers alike, one job each."""


class TrainPool(_Training):
    """Train one network on the bars of several tickers: one job, one version a ticker, each judged alone."""

    preset: Literal["pooled"]
    universe: list[Ticker] = Field(min_length=2, max_length=200, json_schema_extra={"uniqueItems": True})

    @field_validator("universe")
    @classmethod
    def _unique(cls, universe: list[str]) -> list[str]:
        return _named_once(universe)


class BacktestOne(_Order, _One):
    """Judge the network of an order for one ticker; everything but the ticker has a default."""


class BacktestMany(_Order, _Many):
    """Judge the network of an order for each of several tickers, one job each."""


class RefreshIn(Request):
    """Nothing: a refresh is one for all tickers."""


def _one_or_many(value: Any) -> str:
    named = "tickers" in value if isinstance(value, dict) else isinstance(value, _Many)
    return "many" if named else "one"


def _kind_of_training(value: Any) -> str:
    named = "universe" in value if isinstance(value, dict) else isinstance(value, TrainPool)
    return "pool" if named else _one_or_many(value)


TrainIn = Annotated[
    Annotated[TrainOne, Tag("one")] | Annotated[TrainMany, Tag("many")] | Annotated[TrainPool, Tag("pool")],
    Discriminator(_kind_of_training),
]

BacktestIn = Annotated[
    Annotated[BacktestOne, Tag("one")] | Annotated[BacktestMany, Tag("many")],
    Discriminator(_one_or_many),
]
