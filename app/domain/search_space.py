"""What a search may vary: fields of a spec, each with its choices or its range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.overrides import merged_spec
from app.domain.spec import MOST_UNITS, NetworkSpec
from app.errors import InvalidSpec

MOST_CHOICES = 100
LARGEST = 1e9  # no field goes so far; whole numbers beyond would not even be floats

WHOLE = ("window", "batch_size")
WITH_RANGE = (*WHOLE, "dropout", "optimizer.learning_rate", "optimizer.momentum", "optimizer.clip_norm")
_WORDS = ("architecture", "units", "activation", "features", "scaler", "optimizer.name")
SEARCHABLE = tuple(sorted((*WITH_RANGE, *_WORDS)))

_OTHER_QUESTION = "it changes what the trials are compared by"
_OTHER_ROWS = "it changes which rows the trials are compared on"
_LUCK = "it would choose the luckiest draw, not the best network"
_WHY_NOT = {
    **dict.fromkeys(("target", "targets", "horizon", "strategy", "loss"), _OTHER_QUESTION),
    **dict.fromkeys(("peers", "peer_features", "validation_fraction"), _OTHER_ROWS),
    **dict.fromkeys(("seed", "seeds"), _LUCK),
    "epochs": "they are what the method deals out; max_epochs bounds them",
    "early_stopping": "ending trials early is the method's part",
    "members": "a search looks for one network",
}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """One of ``values``; ``pointer`` says where the request named them."""

    values: tuple[Any, ...]
    pointer: str = field(default="/search/space", compare=False)

    def to_json(self) -> list[Any]:
        """Return the choices as a request names them."""
        return list(self.values)


@dataclass(frozen=True, kw_only=True)
class Range:
    """Any number from ``low`` to ``high``, both included; ``log``: each order of magnitude as likely as another."""

    low: float
    high: float
    log: bool = False
    pointer: str = field(default="/search/space", compare=False)

    @property
    def values(self) -> tuple[float, float]:
        """The ends."""
        return self.low, self.high

    def to_json(self) -> dict[str, Any]:
        """Return the range as a request names it."""
        return {"low": self.low, "high": self.high, "log": self.log}


Dimension = Choices | Range
Space = Mapping[str, Dimension]


def parse_space(body: Mapping[str, Any]) -> dict[str, Dimension]:
    """Read a space from JSON data; ``{"optimizer": {"name": [..]}}`` is the same as ``{"optimizer.name": [..]}``.

    A range with a step becomes the choices that it means.

    Raises:
        InvalidSpec: a field that there is not, or that cannot be searched, or choices and ranges that are none.
    """
    space: dict[str, Dimension] = {}
    for name, value, pointer in _flat(body):
        _refuse_unsearchable(name, pointer)
        if name in space:
            raise InvalidSpec(f"{name} is named twice.", pointer=pointer, field=name)
        space[name] = _range(name, value, pointer) if isinstance(value, Mapping) else _choices(name, value, pointer)
    if not space:
        raise InvalidSpec("The space is empty: there is nothing to search.", pointer="/search/space", have=0, need=1)
    return space


def default_space(spec: NetworkSpec) -> dict[str, Dimension]:
    """Return what is searched when nobody says: layer sizes from half to four times those of ``spec``, and the fit."""
    scaled = ([min(max(1, round(units * factor)), MOST_UNITS) for units in spec.units] for factor in (0.5, 1, 2, 4))
    sizes = [list(units) for units in dict.fromkeys(map(tuple, scaled))]
    fit = {"dropout": [0.0, 0.1, 0.2], "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    return parse_space({"units": sizes, **fit})


def as_changes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted fields into nested ones: what a request has under ``spec``."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        parent, _, child = name.rpartition(".")
        if parent:
            nested.setdefault(parent, {})[child] = value
        else:
            nested[name] = value
    return nested


def changed(spec: NetworkSpec, changes: Mapping[str, Any]) -> NetworkSpec:
    """Return ``spec`` with the nested ``changes``, as an order would lay them over a preset.

    Raises:
        InvalidSpec, UnknownArchitecture: the changes contradict each other or the rest.
    """
    body = {name: value for name, value in spec.to_dict().items() if name != "target"}
    return NetworkSpec.from_dict(merged_spec(body, changes))


def _flat(body: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Give every field with its dotted name and where it stands."""
    for name, value in body.items():
        at = f"/search/space/{_escaped(name)}"
        if name == "optimizer" and isinstance(value, Mapping):
            yield from ((f"{name}.{child}", below, f"{at}/{_escaped(child)}") for child, below in value.items())
        else:
            yield name, value, at


def _escaped(name: str) -> str:
    """Return ``name`` as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _refuse_unsearchable(name: str, pointer: str) -> None:
    if name in SEARCHABLE:
        return
    known = list(SEARCHABLE)
    if why := _WHY_NOT.get(name.partition(".")[0]):
        raise InvalidSpec(f"{name} cannot be searched: {why}.", pointer=pointer, field=name, known=known)
    detail = f"There is no field {name!r} to search. Known: {', '.join(known)}."
    raise InvalidSpec(detail, pointer=pointer, field=name, known=known)


def _choices(name: str, values: Any, pointer: str) -> Choices:
    if not isinstance(values, list | tuple):
        detail = f"The choices of {name} are a list, or a range with low and high."
        raise InvalidSpec(detail, pointer=pointer, field=name)
    if not 0 < len(values) <= MOST_CHOICES:
        detail = f"{name} has {len(values)} choices; from 1 to {MOST_CHOICES} can be searched."
        raise InvalidSpec(detail, pointer=pointer, have=len(values), need=1 if not values else MOST_CHOICES)
    return Choices(values=tuple(values), pointer=pointer)


def _range(name: str, body: Mapping[str, Any], pointer: str) -> Dimension:
    if name in _WORDS:
        raise InvalidSpec(f"{name} has no range; list its choices.", pointer=pointer, field=name)
    parts = ("low", "high", "step", "log")
    if unknown := sorted(set(body) - set(parts)):
        detail = f"A range has no {unknown[0]!r}."
        raise InvalidSpec(detail, pointer=f"{pointer}/{unknown[0]}", known=list(parts))
    low, high = (_number(name, body.get(part), f"{pointer}/{part}") for part in ("low", "high"))
    log = body.get("log", False)
    if not isinstance(log, bool):
        raise InvalidSpec("log is true or false.", pointer=f"{pointer}/log", field=name)
    if low >= high:
        raise InvalidSpec(f"{name}: low is not below high.", pointer=f"{pointer}/low", low=low, high=high)
    if log and low <= 0:
        detail = f"{name}: a logarithmic range begins above 0."
        raise InvalidSpec(detail, pointer=f"{pointer}/low", low=low)
    if "step" not in body:
        return Range(low=low, high=high, log=log, pointer=pointer)
    if log:
        raise InvalidSpec(f"{name}: a range has a step or is logarithmic.", pointer=f"{pointer}/step", field=name)
    return _steps(name, low, high, _number(name, body["step"], f"{pointer}/step"), pointer)


def _steps(name: str, low: float, high: float, step: float, pointer: str) -> Choices:
    if step <= 0:
        raise InvalidSpec(f"{name}: the step is not above 0.", pointer=f"{pointer}/step", step=step)
    steps = (high - low) / step * (1 + 1e-12)
    if steps >= MOST_CHOICES:
        choices = math.floor(steps) + 1
        detail = f"{name} has {choices} choices; at most {MOST_CHOICES} can be searched."
        raise InvalidSpec(detail, pointer=f"{pointer}/step", have=choices, need=MOST_CHOICES)
    values = [low + number * step for number in range(math.floor(steps) + 1)]
    return Choices(values=tuple(v if name in WHOLE else round(v, 12) for v in values), pointer=pointer)


def _number(name: str, value: Any, pointer: str) -> float:
    """Return a finite number, a whole one where the field takes no other."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        detail = f"{name}: a range has numbers for low, high and step."
        raise InvalidSpec(detail, pointer=pointer, field=name)
    if name not in WHOLE:
        return float(value)
    if value != int(value):
        raise InvalidSpec(f"{name} takes whole numbers.", pointer=pointer, have=value)
    return int(value)
