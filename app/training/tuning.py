"""Searching, top to bottom: from an order and a space to a leaderboard and the best spec."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras

from app.domain.search import TuningOrder, trial_spec
from app.errors import FitDiverged, InvalidSpec, TimeLimitExceeded
from app.evaluation.backtest import BASELINE
from app.forecasting.market_data import RawBars
from app.training.fit import fit_network, make_learners
from app.training.report import Report
from app.training.search_ground import Ground, lay_ground, mean_crps
from app.training.search_study import COMPLETE, DIVERGED, PRUNED, Draw, Study, Trial

Keep = Callable[[dict[str, Any]], None]

KEEP_SECONDS = 5.0
TRIALS_A_PROCESS = 100  # each network leaves some megabytes behind in TensorFlow that nothing frees
LONGEST_LEADERBOARD = 100


class _FellBehind(Exception):
    """The trial is not worth another epoch."""


class _OutOfTime(Exception):
    """The budget was used up in the middle of a trial."""


def tune_model(
    order: TuningOrder,
    bars: RawBars,
    *,
    report: Report,
    keep: Keep,
    kept: Mapping[str, Any] | None,
    elapsed: Callable[[], float],
) -> dict[str, Any] | None:
    """Fit one network a trial on ``bars``, compare them, and return what came out, JSON-ready (``SearchOut``).

    ``None`` after a hundred trials: the rest is for a fresh process. ``keep`` is given a checkpoint after every trial
    and, for the time spent, every few seconds; an attempt that gets the last one as ``kept``, and the same bars, goes
    on from there and tries nothing twice. ``elapsed`` are the seconds of this attempt; those of all attempts count.

    Raises:
        InvalidBars, NotEnoughHistory, InvalidSpec: the order cannot be filled; it is no use to try again.
        TimeLimitExceeded: the budget ended before the first trial did; give more.
        FitDiverged: no trial came to a network; search smaller learning rates.
    """
    # Every trial brings a network of its own, and TensorFlow would warn of each that it has to be traced.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    report("dataset", 0.0)
    ground = lay_ground(order, bars)
    study = Study(order, map(Trial.from_dict, kept["trials"] if kept else ()))
    budget = _Budget(order.search.budget_seconds, kept["seconds"] if kept else 0.0, elapsed, study, keep)
    finished = _search(order, ground, study, budget, report)
    budget.keep()
    return _result(order, ground, study, budget) if finished else None


class _Budget:
    """The time of a search over all its attempts, and the checkpoint that carries it from one to the next."""

    def __init__(self, seconds: float, before: float, elapsed: Callable[[], float], study: Study, keep: Keep) -> None:
        self.seconds = seconds
        self._before, self._elapsed, self._study, self._keep = before, elapsed, study, keep
        self._kept_at = before

    @property
    def spent(self) -> float:
        """Seconds of work so far."""
        return self._before + self._elapsed()

    @property
    def used_up(self) -> bool:
        """Whether the search has to end."""
        return self.spent >= self.seconds

    def tick(self) -> None:
        """Keep the time now and then, so that a trial that is never finished costs what it cost."""
        if self.spent - self._kept_at >= KEEP_SECONDS:
            self.keep()

    def keep(self) -> None:
        """Keep everything that is over."""
        self._kept_at = self.spent
        self._keep({"seconds": round(self._kept_at, 3), "trials": [trial.to_dict() for trial in self._study.trials]})


def _search(order: TuningOrder, ground: Ground, study: Study, budget: _Budget, report: Report) -> bool:
    """Try points until the method has had all its trials, the space is exhausted or the budget is used up.

    Returns whether that has come about.
    """
    before = len(study.over)
    while len(study.over) < order.search.planned_trials and not budget.used_up:
        if len(study.over) - before >= TRIALS_A_PROCESS:
            return False
        draw = study.draw()
        if draw is None:
            return True
        begun = budget.spent
        try:
            state, value = _try(draw, ground, _watch(draw, order, study, budget, report))
        except _OutOfTime:
            return True
        finally:
            keras.utils.clear_session()  # networks pile up otherwise, and no trial is to know of those before
        study.tell(draw, state, value=value, seconds=budget.spent - begun)
        budget.keep()
    return True


def _try(draw: Draw, ground: Ground, report: Report) -> tuple[str, float | None]:
    """Fit the network of one point; return how that ended and, of a whole trial, its mean CRPS."""
    dataset = ground.dataset(trial_spec(draw.spec))
    try:
        network = fit_network(dataset, ground.train, make_learners(dataset), report, at_once=1)
        value = mean_crps(network, dataset, ground.kept)
    except _FellBehind:
        return PRUNED, None
    except FitDiverged:
        return DIVERGED, None
    return (COMPLETE, value) if math.isfinite(value) else (DIVERGED, None)


def _watch(draw: Draw, order: TuningOrder, study: Study, budget: _Budget, report: Report) -> Report:
    """Return the report of one trial's fit: it tells how far the search is, and ends the fit when that is due."""
    planned = order.search.planned_trials
    first_network = True

    def told(_: str, fraction: float, /, **numbers: float) -> None:
        nonlocal first_network
        done, best = len(study.over), study.best
        whole = max((done + fraction) / planned, min(budget.spent / budget.seconds, 1.0))
        figures = {"best": best.value} if best and best.value is not None else {}
        report("tune", whole, trial=done + 1, trials=planned, **numbers, **figures)
        budget.tick()
        if budget.used_up:
            raise _OutOfTime
        # With several seeds the losses begin anew with each: trials are compared by the first.
        first_network = first_network and numbers["epoch"] == len(draw.losses) + 1
        if first_network and draw.fell_behind(numbers["val_loss"]):
            raise _FellBehind

    return told


def _result(order: TuningOrder, ground: Ground, study: Study, budget: _Budget) -> dict[str, Any]:
    best = study.best
    if best is None:
        raise _nothing_to_show(order, study, budget)
    spec = study.spec_of(best)
    return {
        "method": order.search.method,
        "metric": "crps",
        "trials": len(study.over),
        "planned_trials": order.search.planned_trials,
        "pruned": sum(trial.state == PRUNED for trial in study.over),
        "seconds": round(budget.spent, 3),
        "budget_used_up": budget.used_up,
        "validation": {
            "sessions": len(ground.sessions),
            "first_session": str(ground.sessions[0]),
            "last_session": str(ground.sessions[-1]),
        },
        "baseline": {"name": BASELINE, "value": ground.baseline},
        "leaderboard": _leaderboard(study),
        "best_spec": spec.to_dict(),
        "train": order.training_of(spec, ground.evaluation),
    }


def _leaderboard(study: Study) -> list[dict[str, Any]]:
    """The best first; of the trials that were ended those that came farthest."""
    return [
        {
            "rank": rank,
            "value": trial.value,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            "state": trial.state,
            "changes": study.changes_of(trial),
        }
        for rank, trial in enumerate(sorted(study.over, key=_place)[:LONGEST_LEADERBOARD], start=1)
    ]


def _place(trial: Trial) -> tuple[float, ...]:
    if trial.value is not None:
        return 0, trial.value, trial.number
    last = trial.losses[-1] if trial.losses else math.inf
    return (1, -trial.epochs, last) if trial.state == PRUNED else (2, trial.number)


def _nothing_to_show(order: TuningOrder, study: Study, budget: _Budget) -> Exception:
    trials = len(study.over)
    if not trials and budget.used_up:
        detail = f"The {budget.seconds:g} seconds of the search were over before its first trial was."
        return TimeLimitExceeded(detail, budget_seconds=budget.seconds, trials=trials)
    if not trials:
        detail = "No two choices of the space go together."
        return InvalidSpec(detail, pointer="/search/space", fields=list(order.search.space))
    return FitDiverged(f"All {trials} trials diverged.", trials=trials)
