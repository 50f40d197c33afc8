"""What a network looks like and how it is fitted, as data: no framework in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from app.domain.catalogue import architecture_of
from app.errors import InvalidSpec

TRANSFORMS = ("log_return", "price")
SCALERS = ("minmax", "standard", "robust")
LOSSES = ("student_t", "mse", "mae", "huber")
OPTIMIZERS = ("adam", "rmsprop", "sgd")
ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is forecast: a bar field, as a log return from its last value or as the price itself."""

    field: str = "close"
    transform: str = "log_return"


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How the weights move; ``momentum`` counts for ``sgd`` and ``rmsprop``."""

    name: str = "adam"
    learning_rate: float = 0.002
    momentum: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop after ``patience`` epochs without a better validation loss, and keep the best weights."""

    patience: int = 5


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Everything needed to build and fit a network again.

    ``window`` and ``horizon`` count bars. ``features`` names entries of the feature table, ``units``
    has one size a recurrent layer, input side first. ``validation_fraction`` is the newest part of
    the training rows, kept for early stopping. ``loss`` ``student_t`` gives a distribution head,
    every other a point head.
    """

    architecture: str = "gru"
    target: Target = field(default_factory=Target)
    features: tuple[str, ...] = ("range",)
    window: int = 20
    horizon: int = 1
    strategy: str = "direct"
    units: tuple[int, ...] = ()
    activation: str = "tanh"
    dropout: float = 0.0
    scaler: str = "standard"
    loss: str = "student_t"
    optimizer: Optimizer = field(default_factory=Optimizer)
    epochs: int = 30
    batch_size: int = 128
    validation_fraction: float = 0.15
    early_stopping: EarlyStopping | None = field(default_factory=EarlyStopping)
    seeds: int = 1
    seed: int = 7

    def __post_init__(self) -> None:
        if not self.units:
            object.__setattr__(self, "units", architecture_of(self.architecture).units)
        _refuse_contradictions(self)

    @property
    def head(self) -> str:
        """``student_t`` (location, log scale, degrees of freedom per step) or ``point``."""
        return "student_t" if self.loss == "student_t" else "point"

    @property
    def forecasts_next_close(self) -> bool:
        """Whether the first step is the next session's close, the only target a champion may have."""
        return self.target.field == "close"

    def to_dict(self) -> dict[str, Any]:
        """Return the spec JSON-ready; ``from_dict`` is its inverse."""
        return asdict(self) | {"features": list(self.features), "units": list(self.units)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkSpec:
        """Build a spec from JSON data; what is left out takes its default.

        Raises:
            InvalidSpec: an unknown field, or values that contradict each other.
            UnknownArchitecture: no network is built under that name.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise InvalidSpec(f"Unknown spec field {unknown[0]!r}.", pointer=f"/spec/{unknown[0]}", known=sorted(known))
        values = dict(data)
        for name, kind in (("target", Target), ("optimizer", Optimizer), ("early_stopping", EarlyStopping)):
            if isinstance(values.get(name), Mapping):
                values[name] = _part(kind, values[name], pointer=f"/spec/{name}")
        for name in ("features", "units"):
            if name in values:
                values[name] = tuple(values[name] or ())
        return cls(**values)


def _part(kind: type[Any], values: Mapping[str, Any], *, pointer: str) -> Any:
    """Build one nested object of the spec, refusing fields it does not have."""
    known = sorted(f.name for f in fields(kind))
    if unknown := sorted(set(values) - set(known)):
        raise InvalidSpec(f"Unknown field {unknown[0]!r}.", pointer=f"{pointer}/{unknown[0]}", known=known)
    return kind(**values)


def _refuse_contradictions(spec: NetworkSpec) -> None:
    """Check what no single field can say alone."""
    architecture = architecture_of(spec.architecture)
    if spec.loss == "student_t" and spec.target.transform == "price":
        _refuse(
            "/spec/loss",
            "The student_t loss is over log returns; for transform 'price' use mse, mae or huber.",
        )
    if len(spec.units) > architecture.max_layers:
        _refuse(
            "/spec/units",
            f"{spec.architecture} has at most {architecture.max_layers} layer sizes, not {len(spec.units)}.",
            have=len(spec.units),
            need=architecture.max_layers,
        )
    if spec.architecture == "stacked_lstm" and len(spec.units) < 2:
        _refuse("/spec/units", "A stacked LSTM has at least two layers.", have=len(spec.units), need=2)
    if spec.architecture in {"cnn_lstm", "conv_lstm"} and spec.window < 4:
        _refuse("/spec/window", f"{spec.architecture} convolves over at least 4 bars.", have=spec.window, need=4)
    if not spec.features:
        _refuse("/spec/features", "At least one feature is needed.", have=0, need=1)
    if spec.early_stopping and not spec.validation_fraction:
        _refuse("/spec/early_stopping", "Early stopping watches the validation part; validation_fraction is 0.")


def _refuse(pointer: str, detail: str, **facts: int) -> None:
    raise InvalidSpec(detail, pointer=pointer, **facts)
