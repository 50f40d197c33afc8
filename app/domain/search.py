"""A search for a better network: what may vary, how trials are chosen, and when to end."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from types import MappingProxyType
from typing import Any

from app.domain.order import Evaluation, TrainingOrder, fewest_samples
from app.domain.presets import preset_of
from app.domain.search_space import Choices, Dimension, Range, Space, as_changes, changed, default_space, parse_space
from app.domain.spec import NetworkSpec
from app.errors import BadRequest, InvalidSpec

METHODS = ("hyperband", "random", "grid")
MOST_GRID_POINTS = 500
BESIDE_BUDGET_SECONDS = 300  # what a job needs beside its budget: bars, libraries, the end of an epoch
VALIDATION_FRACTION = 0.2  # where the order's spec keeps nothing back
FEWEST_COMPARED = 30  # sessions; on fewer the better of two trials is the luckier one

_ENTWINED = ("architecture", "units", "dropout", "window")  # whether one fits depends on the others


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a space is searched.

    ``hyperband`` (Li et al., 2018) begins many trials, ends those that fall behind and lets one in ``factor`` go on,
    up to ``max_epochs``; ``random`` takes ``trials`` points, ``grid`` all of them. ``budget_seconds`` of work end any
    of them. ``seed`` decides which points come, and in which order.
    """

    space: Space
    method: str = "hyperband"
    max_epochs: int = 27
    factor: int = 3
    budget_seconds: int = 1800
    trials: int = 20
    seed: int = 7

    def __post_init__(self) -> None:
        if self.method == "hyperband" and self.max_epochs < self.factor:
            detail = f"Hyperband with a factor of {self.factor} needs as many epochs at least: nothing could go on."
            raise InvalidSpec(detail, pointer="/search/max_epochs", have=self.max_epochs, need=self.factor)
        if self.method == "grid":
            self._refuse_grid()

    @property
    def points(self) -> float:
        """How many points the space has; infinite with a range in it."""
        return math.prod(len(d.values) if isinstance(d, Choices) else math.inf for d in self.space.values())

    @property
    def planned_trials(self) -> int:
        """How many trials the method makes when time allows."""
        planned = {"hyperband": _hyperband_trials(self.max_epochs, self.factor), "random": self.trials}
        return int(min(planned.get(self.method, math.inf), self.points))

    def grid(self) -> list[dict[str, Any]]:
        """Return every point of a space of choices: the index of the choice of each field."""
        sizes = {name: range(len(d.values)) for name, d in self.space.items() if isinstance(d, Choices)}
        return [dict(zip(sizes, point, strict=True)) for point in product(*sizes.values())]

    def to_dict(self) -> dict[str, Any]:
        """Return the search JSON-ready; ``from_dict`` is its inverse."""
        simple = ("method", "max_epochs", "factor", "budget_seconds", "trials", "seed")
        space = {name: dimension.to_json() for name, dimension in self.space.items()}
        return {name: getattr(self, name) for name in simple} | {"space": space}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any], spec: NetworkSpec) -> Search:
        """Build a search over changes of ``spec`` from JSON data; what is left out takes its default.

        ``max_epochs`` is 27 for Hyperband and the spec's own for the others, ``space`` a plain one.

        Raises:
            InvalidSpec: something cannot be searched, or not so; the pointer says what.
        """
        given = {name: value for name, value in body.items() if value is not None}
        if given.get("method", "hyperband") != "hyperband":
            given.setdefault("max_epochs", spec.epochs)
        space = given.pop("space", None)
        parsed = default_space(spec) if space is None else parse_space(space)
        return cls(space=MappingProxyType(parsed), **given)

    def _refuse_grid(self) -> None:
        for name, dimension in self.space.items():
            if isinstance(dimension, Range):
                detail = f"A grid over a range of {name} needs its step."
                raise InvalidSpec(detail, pointer=f"{dimension.pointer}/step", field=name)
        if self.points > MOST_GRID_POINTS:
            detail = f"The grid has {self.points:.0f} points, at most {MOST_GRID_POINTS} are searched."
            raise InvalidSpec(detail, pointer="/search/space", have=int(self.points), need=MOST_GRID_POINTS)


@dataclass(frozen=True, kw_only=True)
class TuningOrder:
    """One job's worth of searching: an order, and what of its spec may vary."""

    order: TrainingOrder
    search: Search

    def __post_init__(self) -> None:
        spec = self.order.spec
        if spec.members:
            raise InvalidSpec("A search looks for one network, not for members.", pointer="/spec/members")
        for name, dimension in self.search.space.items():
            for value in dimension.values:
                self._refuse_unless_valid(name, value, dimension.pointer)
        scaler = self.search.space.get("scaler")
        if scaler and self.search.method == "hyperband" and spec.target.transform == "price":
            detail = "Losses of prices are in units of the scaler: Hyperband cannot compare them across scalers."
            raise InvalidSpec(detail, pointer=scaler.pointer, field="scaler")

    @property
    def ticker(self) -> str:
        """The ticker that a better network is searched for."""
        return self.order.ticker

    @property
    def dedupe_key(self) -> str:
        """Hash of what makes two searches the same work."""
        body = ["tune", self.order.dedupe_key, self.search.to_dict()]
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def windows(self) -> tuple[int, ...]:
        """Every window that a trial may have, shortest first."""
        dimension = self.search.space.get("window")
        if isinstance(dimension, Range):
            return tuple(range(int(dimension.low), int(dimension.high) + 1))
        return tuple(sorted(set(dimension.values))) if dimension else (self.order.spec.window,)

    @property
    def feature_sets(self) -> tuple[tuple[str, ...], ...]:
        """Every set of features that a trial may read."""
        dimension = self.search.space.get("features")
        sets = (tuple(names) for names in dimension.values) if dimension else (self.order.spec.features,)
        return tuple(dict.fromkeys(sets))

    @property
    def widest(self) -> NetworkSpec:
        """The spec that reads whatever any trial reads: all features over the longest window."""
        features = tuple(dict.fromkeys(name for names in self.feature_sets for name in names))
        return replace(self.order.spec, features=features, window=self.windows[-1])

    @property
    def fewest_samples(self) -> int:
        """How few samples leave enough to learn from, and enough sessions to compare trials on."""
        return fewest_samples(trial_spec(self.order.spec), kept=FEWEST_COMPARED)

    def spec_of(self, values: Mapping[str, Any]) -> NetworkSpec:
        """Return the spec that a trial with these values of the space stands for.

        Raises:
            InvalidSpec: these values do not go together.
        """
        return changed(self.order.spec, {**as_changes(values), "epochs": self.search.max_epochs})

    def training_of(self, spec: NetworkSpec, evaluation: Evaluation) -> dict[str, Any]:
        """Return the body of a request that trains ``spec`` as this order would have been, judged by ``evaluation``."""
        body = replace(self.order, evaluation=evaluation).to_dict()
        beside = ("n_windows", "step_size", "refit") if evaluation.kind == "fixed" else ()
        judged = {name: value for name, value in body["evaluation"].items() if value is not None and name not in beside}
        simple = {name: body[name] for name in ("ticker", "preset", "data", "promote")}
        return {**simple, "spec": spec.to_dict(), "evaluation": judged}

    def to_dict(self) -> dict[str, Any]:
        """Return the order JSON-ready; ``from_dict`` is its inverse."""
        return {**self.order.to_dict(), "search": self.search.to_dict()}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> TuningOrder:
        """Build the order from JSON data: its ``search`` overrides single fields of the preset's.

        Raises:
            InvalidSpec, UnknownPreset, UnknownArchitecture: it contradicts itself or names nothing.
        """
        order = TrainingOrder.from_dict(body)
        asked = {name: value for name, value in (body.get("search") or {}).items() if value is not None}
        return cls(
            order=order, search=Search.from_dict({**(preset_of(order.preset).search or {}), **asked}, order.spec)
        )

    def _refuse_unless_valid(self, name: str, value: Any, pointer: str) -> None:
        """Refuse a value with which no trial could be built, whatever it takes of the other fields."""
        entwined = _ENTWINED if name in _ENTWINED else ()
        others = [other for other in entwined if other in self.search.space and other != name]
        refusal: BadRequest | None = None
        for company in product(*(_kinds(self.search.space[other]) for other in others)):
            try:
                changed(self.order.spec, as_changes({name: value, **dict(zip(others, company, strict=True))}))
            except BadRequest as error:
                refusal = refusal or error
            else:
                return
        if refusal:
            refusal.pointer, refusal.facts["choice"] = pointer, value
            raise refusal


def trial_spec(spec: NetworkSpec) -> NetworkSpec:
    """Return ``spec`` as its trials are fitted: with a validation part, and no further than the network reaches.

    What is fed back comes from the same network, one step at a time: that step is what trials are compared by.
    """
    strategy, horizon = ("direct", 1) if spec.strategy == "recursive" else (spec.strategy, spec.horizon)
    fraction = spec.validation_fraction or VALIDATION_FRACTION
    return replace(spec, strategy=strategy, horizon=horizon, validation_fraction=fraction)


def _kinds(dimension: Dimension) -> list[Any]:
    """Return one value of each kind that the fields beside can tell apart: names, lengths, and the largest number."""
    kinds: dict[str | int | None, Any] = {}
    for value in dimension.values:
        if isinstance(value, int | float):
            kinds[None] = max(value, kinds.get(None, value))
        else:
            kinds.setdefault(value if isinstance(value, str) else len(value), value)
    return list(kinds.values())


def _hyperband_trials(max_epochs: int, factor: int) -> int:
    """Return how many trials all brackets of a Hyperband begin with (Li et al., 2018, JMLR 18(185), algorithm 1)."""
    most = 0
    while factor ** (most + 1) <= max_epochs:
        most += 1
    return sum(math.ceil((most + 1) / (s + 1) * factor**s) for s in range(most + 1))
