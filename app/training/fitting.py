"""Fitting many networks at once: those that can be stacked in stacks, the rest by Keras one after another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import keras

from app.domain.spec import NetworkSpec
from app.errors import FitDiverged
from app.training.anchor import Anchor
from app.training.curves import Curves
from app.training.failures import without_frames
from app.training.learner import Learner, LearntNetwork
from app.training.report import Share
from app.training.samples import Samples
from app.training.stack.network import stacks
from app.training.stack.stack import Lesson, Stack, Waiting

#: A network and how its fit went, or why there is none.
FitResult = tuple[keras.Model | LearntNetwork, Curves] | Exception

KEPT_STACKS = 4  # compiled ones; a search goes through many shapes


@dataclass(frozen=True, eq=False, kw_only=True)
class Material:
    """What to learn from: ``samples``, starting from ``anchor``, stopped early by ``validation``."""

    samples: Samples
    validation: Samples | None
    anchor: Anchor | None


@dataclass(frozen=True, eq=False, kw_only=True)
class FitTask:
    """What one learner is to learn, ``gather``-ed when its fit begins: many may wait, and few have room for all.

    It ``learns`` from and ``validates`` on so many samples. ``report`` hears of every epoch under the stage ``fit``.
    """

    learner: Learner
    learns: int
    validates: int
    gather: Callable[[], Material]
    report: Share


def learn_all(tasks: Sequence[FitTask], *, at_once: int | None = None) -> list[FitResult]:
    """Fit every task, and return what came of each in their order.

    That one diverges, or that what it learns from cannot be gathered, does not end the others; any other error does.

    Networks of one shape, such as those of many tickers, folds or seeds, learn side by side, ``at_once`` of them or as
    many as pay.
    """
    alike: dict[tuple[NetworkSpec, int] | int, list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        learner = task.learner
        alike[(_shape(learner.spec), learner.columns) if stacks(learner.spec) else number].append(number)
    results: dict[int, FitResult] = {}
    for shape, numbers in alike.items():
        chosen = [tasks[number] for number in numbers]
        found = _stacked(_stack_of(*shape), chosen, at_once) if isinstance(shape, tuple) else [_alone(chosen[0])]
        results |= dict(zip(numbers, found, strict=True))
        for task in chosen:
            task.report.over()
    return [results[number] for number in range(len(tasks))]


def _shape(spec: NetworkSpec) -> NetworkSpec:
    """Return what networks have in common whose epochs are the same work.

    They differ in their random numbers, in what they learn from, and in how fast and how long they learn.
    """
    shape = replace(spec, seed=0, seeds=1, members=(), scaler="standard", validation_fraction=0.0, early_stopping=None)
    return replace(shape, epochs=1, optimizer=replace(spec.optimizer, learning_rate=1.0))


@lru_cache(maxsize=KEPT_STACKS)
def _stack_of(spec: NetworkSpec, columns: int) -> Stack:
    return Stack(spec, columns)


def _alone(task: FitTask) -> FitResult:
    try:
        material = task.gather()
    except Exception as error:
        return without_frames(error)
    try:
        return task.learner.learn(material.samples, material.validation, task.report, anchor=material.anchor)
    except FitDiverged as error:
        return error


def _stacked(stack: Stack, tasks: Sequence[FitTask], at_once: int | None) -> list[FitResult]:
    def told(place: int, epoch: int, losses: dict[str, float]) -> None:
        epochs = tasks[place].learner.spec.epochs
        tasks[place].report("fit", epoch / epochs, epoch=epoch, epochs=epochs, **losses)

    waiting = [Waiting(learns=one.learns, validates=one.validates, begin=partial(_lesson, one)) for one in tasks]
    learnt = stack.learn(waiting, told, width=at_once)
    return [
        one if isinstance(one, Exception) else (LearntNetwork(task.learner, one[0]), one[1])
        for task, one in zip(tasks, learnt, strict=True)
    ]


def _lesson(task: FitTask) -> Lesson:
    """Return the task as a stack has it."""
    material = task.gather()
    return Lesson(
        spec=task.learner.spec,
        seed=task.learner.seed,
        start=task.learner.start(material.anchor),
        samples=material.samples,
        validation=material.validation,
        keeps_start=material.anchor is not None,
    )
