"""Fitting many networks at once: those that can be stacked in stacks, the rest by Keras one after another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import keras

from app.domain.spec import NetworkSpec
from app.errors import FitDiverged
from app.training.anchor import Anchor
from app.training.curves import Curves
from app.training.learner import Learner, LearntNetwork
from app.training.report import Report, part_of
from app.training.samples import Samples
from app.training.stack.network import stacks
from app.training.stack.stack import Lesson, Stack

#: A network and how its fit went, or why there is none.
Outcome = tuple[keras.Model | LearntNetwork, Curves] | FitDiverged

KEPT_STACKS = 4  # compiled ones; a search goes through many shapes


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What one learner is to learn: from ``samples``, starting from ``anchor``, stopped early by ``validation``."""

    learner: Learner
    samples: Samples
    validation: Samples | None
    anchor: Anchor | None


def learn_all(tasks: Sequence[Task], report: Report, *, at_once: int | None = None) -> list[Outcome]:
    """Fit every task, and return what came of each in their order; that one diverges does not end the others.

    Networks of one shape, such as those of many tickers, folds or seeds, learn side by side, ``at_once`` of them or as
    many as pay. ``report`` hears of every epoch of every task under the stage ``fit``.
    """
    alike: dict[tuple[NetworkSpec, int] | int, list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        learner = task.learner
        alike[(_shape(learner.spec), learner.columns) if stacks(learner.spec) else number].append(number)
    told = _Progress(report, [task.learner.spec.epochs for task in tasks])
    outcomes: dict[int, Outcome] = {}
    for shape, numbers in alike.items():
        chosen = [tasks[number] for number in numbers]
        if isinstance(shape, tuple):
            found = _stacked(_stack_of(*shape), chosen, numbers, told, at_once)
        else:
            found = [_alone(chosen[0], part_of(report, "fit", part=shape, parts=len(tasks)))]
        outcomes |= dict(zip(numbers, found, strict=True))
        told.over(numbers)
    return [outcomes[number] for number in range(len(tasks))]


class _Progress:
    """How far all tasks are together; each counts as much as any other."""

    def __init__(self, report: Report, epochs: Sequence[int]) -> None:
        self._report, self._epochs = report, epochs
        self._done = [0.0] * len(epochs)

    def __call__(self, number: int, epoch: int, losses: dict[str, float]) -> None:
        """Tell of an epoch of the task ``number``."""
        self._done[number] = epoch / self._epochs[number]
        self._report("fit", sum(self._done) / len(self._done), epoch=epoch, epochs=self._epochs[number], **losses)

    def over(self, numbers: Sequence[int]) -> None:
        """Count the tasks that have ended as whole ones."""
        for number in numbers:
            self._done[number] = 1.0


def _shape(spec: NetworkSpec) -> NetworkSpec:
    """Return what networks have in common that differ in their random numbers alone."""
    return replace(spec, seed=0, seeds=1, members=())


@lru_cache(maxsize=KEPT_STACKS)
def _stack_of(spec: NetworkSpec, columns: int) -> Stack:
    return Stack(spec, columns)


def _alone(task: Task, report: Report) -> Outcome:
    try:
        return task.learner.learn(task.samples, task.validation, report, anchor=task.anchor)
    except FitDiverged as error:
        return error


def _stacked(
    stack: Stack, tasks: Sequence[Task], numbers: Sequence[int], told: _Progress, at_once: int | None
) -> list[Outcome]:
    lessons = [_lesson(task) for task in tasks]
    learnt = stack.learn(lessons, lambda place, *news: told(numbers[place], *news), width=at_once)
    return [
        one if isinstance(one, FitDiverged) else (LearntNetwork(task.learner, one[0]), one[1])
        for task, one in zip(tasks, learnt, strict=True)
    ]


def _lesson(task: Task) -> Lesson:
    """Return the task as a stack has it."""
    return Lesson(
        seed=task.learner.seed,
        start=task.learner.start(task.anchor),
        samples=task.samples,
        validation=task.validation,
        keeps_start=task.anchor is not None,
    )
