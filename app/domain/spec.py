"""What a network looks like and how it is fitted, as data: no framework in sight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from app.domain.catalogue import architecture_of
from app.errors import BadRequest, InvalidSpec

TRANSFORMS = ("log_return", "price")
STRATEGIES = ("direct", "recursive", "encoder_decoder")
SCALERS = ("minmax", "standard", "robust")
LOSSES = ("student_t", "pinball", "mse", "mae", "huber")
_HEADS = {"student_t": "student_t", "pinball": "quantiles"}
OPTIMIZERS = ("adam", "rmsprop", "sgd")
ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
MOST_UNITS = 1024  # of one layer

#: What the members of an ensemble may differ in; everything else is what they have in common.
MEMBER_FIELDS = (
    "architecture",
    "units",
    "activation",
    "dropout",
    "loss",
    "optimizer",
    "epochs",
    "batch_size",
    "early_stopping",
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is forecast: a bar field, as a log return from its last value or as the price itself."""

    field: str = "close"
    transform: str = "log_return"


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How the weights move; ``momentum`` counts for ``sgd`` and ``rmsprop``, ``clip_norm`` caps a weight's gradient."""

    name: str = "adam"
    learning_rate: float = 0.002
    momentum: float = 0.0
    clip_norm: float | None = 1.0


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop after ``patience`` epochs without a better validation loss, and keep the best weights."""

    patience: int = 5


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Everything needed to build and fit a network again.

    ``window`` and ``horizon`` count bars. ``targets`` are forecast side by side; the first leads. ``features`` names
    entries of the feature table or columns of the bars, ``peers`` the tickers of which ``peer_features`` (the same
    ones when left out) are read beside. ``strategy``: ``direct`` answers all steps at once, ``encoder_decoder``
    writes them one by one from the state of the window, ``recursive`` answers one step and is fed it back. ``units``
    has one size a recurrent layer, input side first, ``dropout`` one rate for all of them or one each.
    ``validation_fraction`` is the newest part of the training rows, kept for early stopping. ``loss`` ``student_t``
    and ``pinball`` give distribution heads, every other a point head. ``members`` are networks whose answers are
    averaged; they share inputs and outputs with this spec and differ in ``MEMBER_FIELDS``.
    """

    architecture: str = "gru"
    targets: tuple[Target, ...] = (Target(),)
    features: tuple[str, ...] = ("range",)
    peers: tuple[str, ...] = ()
    peer_features: tuple[str, ...] | None = None
    window: int = 20
    horizon: int = 1
    strategy: str = "direct"
    units: tuple[int, ...] = ()
    activation: str = "tanh"
    dropout: float | tuple[float, ...] = 0.0
    scaler: str = "standard"
    loss: str = "student_t"
    optimizer: Optimizer = field(default_factory=Optimizer)
    epochs: int = 30
    batch_size: int = 128
    validation_fraction: float = 0.15
    early_stopping: EarlyStopping | None = field(default_factory=EarlyStopping)
    members: tuple[NetworkSpec, ...] = ()
    seeds: int = 1
    seed: int = 7

    def __post_init__(self) -> None:
        if not self.units:
            object.__setattr__(self, "units", architecture_of(self.architecture).units)
        _refuse_contradictions(self)

    @property
    def target(self) -> Target:
        """The first target: the one a version is judged by."""
        return self.targets[0]

    @property
    def reach(self) -> int:
        """How many steps the network itself answers; what lies further is fed back."""
        return 1 if self.strategy == "recursive" else self.horizon

    @property
    def head(self) -> str:
        """``student_t`` (location, log scale, degrees of freedom per step), ``quantiles`` (eleven) or ``point``."""
        return _HEADS.get(self.loss, "point")

    @property
    def read_of_peers(self) -> tuple[str, ...]:
        """The features read of every peer."""
        return self.features if self.peer_features is None else self.peer_features

    @property
    def networks(self) -> tuple[NetworkSpec, ...]:
        """The networks that are averaged; without members this one alone."""
        return self.members or (self,)

    @property
    def network_name(self) -> str:
        """The architectures that answer, such as ``gru`` or ``lstm+gru``."""
        return "+".join(dict.fromkeys(network.architecture for network in self.networks))

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The dropout after each recurrent layer."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,) * len(self.units)

    @property
    def forecasts_next_close(self) -> bool:
        """Whether the first step is the next session's close, the only target a champion may have."""
        return self.target.field == "close"

    def to_dict(self) -> dict[str, Any]:
        """Return the spec JSON-ready, ``target`` the first of ``targets``; ``from_dict`` is its inverse."""
        body = asdict(self)
        for name in ("targets", "features", "peers", "peer_features", "units", "dropout"):
            body[name] = list(body[name]) if isinstance(body[name], tuple) else body[name]
        members = [{name: member.to_dict()[name] for name in MEMBER_FIELDS} for member in self.members]
        return body | {"target": body["targets"][0], "members": members}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> NetworkSpec:
        """Build a spec from JSON data; what is left out takes its default, in a member that of the whole.

        Raises:
            InvalidSpec: an unknown field, or values that contradict each other.
            UnknownArchitecture: no network is built under that name.
        """
        known = {f.name for f in fields(cls)} | {"target"}
        _refuse_unknown(data, known, at="/spec")
        members = data.get("members") or ()
        shared = {name: value for name, value in data.items() if name != "members"}
        return cls(**_parsed(shared), members=tuple(_member(shared, m, i) for i, m in enumerate(members)))


def _member(shared: Mapping[str, Any], overrides: Mapping[str, Any], index: int) -> NetworkSpec:
    """Build one member: what it overrides, on top of what all have in common."""
    at = f"/spec/members/{index}"
    _refuse_unknown(overrides, set(MEMBER_FIELDS), at=at)
    common = dict(shared)
    if "architecture" in overrides and "units" not in overrides:
        common.pop("units", None)
    if isinstance(common.get("optimizer"), Mapping) and isinstance(overrides.get("optimizer"), Mapping):
        overrides = {**overrides, "optimizer": {**common["optimizer"], **overrides["optimizer"]}}
    try:
        return NetworkSpec(**_parsed({**common, **overrides}))
    except BadRequest as error:
        field, *below = (error.pointer or "").removeprefix("/spec/").split("/")
        if field in MEMBER_FIELDS:  # anything else was said of the whole
            error.pointer = "/".join((at, field, *below))
        raise


def _parsed(data: Mapping[str, Any]) -> dict[str, Any]:
    """Turn JSON values into those of the spec's fields."""
    values = dict(data)
    values |= _parsed_targets(values.pop("target", None), values.get("targets"))
    for name, kind in (("optimizer", Optimizer), ("early_stopping", EarlyStopping)):
        if isinstance(values.get(name), Mapping):
            values[name] = _part(kind, values[name], pointer=f"/spec/{name}")
    for name in ("features", "peers", "peer_features", "units", "dropout"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    return {name: value for name, value in values.items() if value is not None or name in _NULLABLE}


_NULLABLE = ("early_stopping", "peer_features")


def _parsed_targets(target: Any, targets: Any) -> dict[str, Any]:
    """Read ``target`` or ``targets``; both together have to agree."""
    if targets is None and target is None:
        return {}
    several = [target] if targets is None else targets
    made = tuple(
        _part(Target, t, pointer="/spec/target" if targets is None else f"/spec/targets/{i}")
        for i, t in enumerate(several)
    )
    if target is not None and (not made or made[0] != _part(Target, target, pointer="/spec/target")):
        raise InvalidSpec("target is the first of targets; send one of the two.", pointer="/spec/target")
    return {"targets": made}


def _part(kind: type[Any], values: Any, *, pointer: str) -> Any:
    """Build one nested object of the spec, refusing fields it does not have."""
    if isinstance(values, kind):
        return values
    _refuse_unknown(values, {f.name for f in fields(kind)}, at=pointer)
    return kind(**values)


def _refuse_unknown(values: Mapping[str, Any], known: set[str], *, at: str) -> None:
    if unknown := sorted(set(values) - known):
        raise InvalidSpec(f"Unknown field {unknown[0]!r}.", pointer=f"{at}/{unknown[0]}", known=sorted(known))


def _refuse_contradictions(spec: NetworkSpec) -> None:
    """Refuse what cannot be built or fitted, naming the field and the numbers.

    Raises:
        InvalidSpec: two fields contradict each other; change the one that the pointer names.
        UnknownArchitecture: no network is built under that name.
    """
    _check_layers(spec)
    _check_targets(spec)
    _check_inputs(spec)
    _check_members(spec)
    if spec.early_stopping and not spec.validation_fraction:
        _refuse("/spec/early_stopping", "Early stopping watches the validation part; validation_fraction is 0.")


def _check_layers(spec: NetworkSpec) -> None:
    architecture, layers = architecture_of(spec.architecture), len(spec.units)
    if layers > architecture.max_layers:
        detail = f"{spec.architecture} has at most {architecture.max_layers} layer sizes, not {layers}."
        _refuse("/spec/units", detail, have=layers, need=architecture.max_layers)
    if spec.architecture == "stacked_lstm" and layers < 2:
        _refuse("/spec/units", "A stacked LSTM has at least two layers.", have=layers, need=2)
    if isinstance(spec.dropout, tuple) and len(spec.dropout) != layers:
        detail = f"dropout is one rate, or one for each of the {layers} layers."
        _refuse("/spec/dropout", detail, have=len(spec.dropout), need=layers)
    if spec.architecture in {"cnn_lstm", "conv_lstm"} and spec.window < 4:
        _refuse("/spec/window", f"{spec.architecture} convolves over at least 4 bars.", have=spec.window, need=4)
    if spec.architecture == "encoder_decoder" and spec.strategy == "recursive":
        _refuse("/spec/strategy", "An encoder-decoder writes all steps itself; it cannot be recursive.")


def _check_targets(spec: NetworkSpec) -> None:
    if not spec.targets:
        _refuse("/spec/targets", "At least one target is needed.", have=0, need=1)
    named = [target.field for target in spec.targets]
    if twice := next((name for name in named if named.count(name) > 1), None):
        _refuse("/spec/targets", f"The target {twice!r} is named twice.", have=named.count(twice), need=1)
    transforms = {target.transform for target in spec.targets}
    if len(transforms) > 1:
        detail = "Several targets are all log returns or all prices: one loss is over all of them."
        _refuse("/spec/targets", detail, have=len(transforms), need=1)
    if spec.head != "point" and "price" in transforms:
        detail = f"The {spec.loss} loss is over log returns; for transform 'price' use mse, mae or huber."
        _refuse("/spec/loss", detail)
    if spec.head == "quantiles" and spec.strategy == "recursive":
        detail = "Quantiles of one step say nothing of several; with the pinball loss answer every step."
        _refuse("/spec/strategy", detail)


def _check_inputs(spec: NetworkSpec) -> None:
    if not spec.features:
        _refuse("/spec/features", "At least one feature is needed.", have=0, need=1)
    if spec.peers and not spec.read_of_peers:
        _refuse("/spec/peer_features", "At least one feature of each peer is needed.", have=0, need=1)
    if spec.peer_features is not None and not spec.peers:
        _refuse("/spec/peer_features", "There are no peers to read these features of.", have=0, need=1)
    for index, peer in enumerate(spec.peers):
        if peer in spec.peers[:index]:
            _refuse(f"/spec/peers/{index}", f"The peer {peer} is named twice.", have=2, need=1)


def _check_members(spec: NetworkSpec) -> None:
    """Members answer the same question, so their answers can be averaged."""
    if len(spec.members) == 1:
        _refuse("/spec/members", "An ensemble has at least two members.", have=1, need=2)
    for index, member in enumerate(spec.members):
        if member.head != spec.head:
            detail = f"A {member.loss} loss answers other numbers than {spec.loss}: they cannot be averaged."
            _refuse(f"/spec/members/{index}/loss", detail)


def _refuse(pointer: str, detail: str, **facts: Any) -> None:
    raise InvalidSpec(detail, pointer=pointer, **facts)
