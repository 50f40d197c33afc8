"""Which trial comes next, and which falls behind: Optuna asks and is told, and can be put together again."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from app.domain.search import TuningOrder
from app.domain.search_space import WHOLE, Choices, Dimension, as_changes
from app.domain.spec import NetworkSpec
from app.errors import InvalidSpec

COMPLETE, PRUNED, DIVERGED, SKIPPED = "complete", "pruned", "diverged", "skipped"
MOST_IDLE_DRAWS = 200  # in a row, before the space counts as exhausted

_STATES = {
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    DIVERGED: TrialState.FAIL,
    SKIPPED: TrialState.FAIL,
}
_RUNG = "completed_rung_"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that is over: ``complete`` | ``pruned`` | ``diverged`` | ``skipped`` (not worth a fit).

    ``params`` is the point as Optuna names it, ``losses`` are the validation losses of its epochs, ``rungs`` those
    that Hyperband compared. ``value`` is what complete trials are ranked by.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    value: float | None = None
    losses: tuple[float, ...] = ()
    rungs: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """How many epochs it was fitted for."""
        return len(self.losses)

    def to_dict(self) -> dict[str, Any]:
        """Return the trial JSON-ready; ``from_dict`` is its inverse."""
        return asdict(self) | {"losses": list(self.losses)}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Trial:
        """Read back what ``to_dict`` wrote."""
        return cls(**{**body, "losses": tuple(body["losses"])})


class Draw:
    """A point to be tried."""

    def __init__(self, trial: optuna.Trial, spec: NetworkSpec) -> None:
        self._trial, self.spec = trial, spec
        self.losses: list[float] = []

    @property
    def number(self) -> int:
        """Its place in the order of all draws, from 0."""
        return self._trial.number

    @property
    def params(self) -> dict[str, Any]:
        """The point as Optuna names it."""
        return self._trial.params

    def fell_behind(self, loss: float) -> bool:
        """Take note of the validation loss after one more epoch; tell whether another is not worth it."""
        self.losses.append(loss)
        self._trial.report(loss, step=len(self.losses))
        return len(self.losses) < self.spec.epochs and self._trial.should_prune()


class Study:
    """All trials of a search; put together from those that are over it goes on as if it had never been away.

    Every draw has random numbers of its own, by its number, so no draw depends on how many came before it in the
    same process.
    """

    def __init__(self, order: TuningOrder, over: Iterable[Trial] = ()) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._order, search = order, order.search
        self._distributions = {name: _distribution(name, search.space[name]) for name in sorted(search.space)}
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if search.method == "hyperband":
            pruner = optuna.pruners.HyperbandPruner(1, search.max_epochs, search.factor)
        # Hyperband deals trials to its brackets by the study's name and their numbers.
        self._study = optuna.create_study(study_name=f"search-{search.seed}", pruner=pruner)
        self._points = _shuffled_grid(order) if search.method == "grid" else None
        self._seen: set[NetworkSpec] = set()
        self.trials: list[Trial] = []
        for trial in over:
            self._restore(trial)

    @property
    def over(self) -> list[Trial]:
        """The trials that were fitted."""
        return [trial for trial in self.trials if trial.state != SKIPPED]

    @property
    def best(self) -> Trial | None:
        """The best trial so far, of those that are complete."""
        complete = [trial for trial in self.trials if trial.value is not None]
        return min(complete, key=lambda trial: (trial.value, trial.number), default=None)

    def draw(self) -> Draw | None:
        """Return a point that was not tried before and makes a valid spec; ``None`` when there seems to be none."""
        for _ in range(MOST_IDLE_DRAWS):
            if self._points is not None and len(self.trials) >= len(self._points):
                return None
            trial = self._ask()
            try:
                spec = self._order.spec_of(self.values_of(trial.params))
            except InvalidSpec:  # each choice is valid alone; these do not go together
                spec = None
            if spec is not None and spec not in self._seen:
                return Draw(trial, spec)
            self._study.tell(trial, state=TrialState.FAIL)
            self.trials.append(Trial(number=trial.number, state=SKIPPED, params=trial.params))
        return None

    def tell(self, draw: Draw, state: str, *, value: float | None = None, seconds: float) -> None:
        """Take note of how the trial ended."""
        self._study.tell(draw.number, value, state=_STATES[state], skip_if_finished=False)
        attributes = self._study.get_trials(deepcopy=False)[draw.number].system_attrs
        trial = Trial(
            number=draw.number,
            state=state,
            params=draw.params,
            value=value,
            losses=tuple(draw.losses),
            rungs={name: loss for name, loss in attributes.items() if name.startswith(_RUNG)},
            seconds=round(seconds, 3),
        )
        self.trials.append(trial)
        self._seen.add(draw.spec)

    def values_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the space that Optuna's ``params`` stand for."""
        space = self._order.search.space
        return {name: _value(space[name], param) for name, param in params.items()}

    def changes_of(self, trial: Trial) -> dict[str, Any]:
        """Return what the trial changed in the order's spec."""
        return as_changes(self.values_of(trial.params))

    def spec_of(self, trial: Trial) -> NetworkSpec:
        """Return the spec that the trial stands for."""
        return self._order.spec_of(self.values_of(trial.params))

    def _ask(self) -> optuna.Trial:
        number = len(self.trials)
        if self._points is not None:
            self._study.enqueue_trial(self._points[number])
        own = zlib.crc32(f"{self._order.search.seed}/{number}".encode())
        self._study.sampler = optuna.samplers.RandomSampler(seed=own)
        return self._study.ask(self._distributions)

    def _restore(self, trial: Trial) -> None:
        self._study.add_trial(
            create_trial(
                state=_STATES[trial.state],
                value=trial.value,
                params=dict(trial.params),
                distributions=self._distributions,
                intermediate_values=dict(enumerate(trial.losses, start=1)),
                system_attrs=dict(trial.rungs),
            )
        )
        self.trials.append(trial)
        if trial.state != SKIPPED:
            self._seen.add(self.spec_of(trial))


def _distribution(name: str, dimension: Dimension) -> BaseDistribution:
    """Return what Optuna draws from; of choices it draws the index, for it knows no lists."""
    if isinstance(dimension, Choices):
        return CategoricalDistribution(tuple(range(len(dimension.values))))
    if name in WHOLE:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _value(dimension: Dimension, param: Any) -> Any:
    return dimension.values[param] if isinstance(dimension, Choices) else param


def _shuffled_grid(order: TuningOrder) -> list[dict[str, Any]]:
    """Return all points, so mixed that those tried before the budget ends are of all regions."""
    points = order.search.grid()
    return [points[index] for index in np.random.default_rng(order.search.seed).permutation(len(points))]
