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
from app.training.report import Share
from app.training.samples import Samples
from app.training.stack.network import stacks
from app.training.stack.stack import Lesson, Stack

#: A network and how its fit went, or why there is none.
Outcome = tuple[keras.Model | LearntNetwork, Curves] | FitDiverged

KEPT_STACKS = 4  # compiled ones; a search goes through many shapes


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What one learner is to learn: from ``samples``, starting from ``anchor``, stopped early by ``validation``.

    ``report`` hears of every epoch under the stage ``fit``.
    """

    learner: Learner
    samples: Samples
    validation: Samples | None
    anchor: Anchor | None
    report: Share


def learn_all(tasks: Sequence[Task], *, at_once: int | None = None) -> list[Outcome]:
    """Fit every task, and return what came of each in their order; that one diverges does not end the others.

    Networks of one shape, such as those of many tickers, folds or seeds, learn side by side, ``at_once`` of them or as
    many as pay.
    """
    alike: dict[tuple[NetworkSpec, int] | int, list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        learner = task.learner
        alike[(_shape(learner.spec), learner.columns) if stacks(learner.spec) else number].append(number)
    outcomes: dict[int, Outcome] = {}
    for shape, numbers in alike.items():
        chosen = [tasks[number] for number in numbers]
        found = _stacked(_stack_of(*shape), chosen, at_once) if isinstance(shape, tuple) else [_alone(chosen[0])]
        outcomes |= dict(zip(numbers, found, strict=True))
        for task in chosen:
            task.report.over()
    return [outcomes[number] for number in range(len(tasks))]


def _shape(spec: NetworkSpec) -> NetworkSpec:
    """Return what networks have in common that differ in their random numbers alone."""
    return replace(spec, seed=0, seeds=1, members=())


@lru_cache(maxsize=KEPT_STACKS)
def _stack_of(spec: NetworkSpec, columns: int) -> Stack:
    return Stack(spec, columns)


def _alone(task: Task) -> Outcome:
    try:
        return task.learner.learn(task.samples, task.validation, task.report, anchor=task.anchor)
    except FitDiverged as error:
        return error


def _stacked(stack: Stack, tasks: Sequence[Task], at_once: int | None) -> list[Outcome]:
    def told(place: int, epoch: int, losses: dict[str, float]) -> None:
        epochs = tasks[place].learner.spec.epochs
        tasks[place].report("fit", epoch / epochs, epoch=epoch, epochs=epochs, **losses)

    learnt = stack.learn([_lesson(task) for task in tasks], told, width=at_once)
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
