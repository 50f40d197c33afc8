"""Many networks of one shape, fitted side by side: as many at a time as pay, the next one where one has ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.domain.spec import NetworkSpec
from app.errors import FitDiverged
from app.training.architectures import build_network
from app.training.curves import Curves
from app.training.failures import without_frames
from app.training.samples import Samples
from app.training.stack.epoch import Data, Epoch, Outcome, Shuffle, State, compile_epoch
from app.training.stack.optimizer import StackedOptimizer

Weights = list[NDArray[np.float32]]
#: What came of one fit: its best weights, or why there are none.
Learnt = tuple[Weights, Curves] | Exception
#: Told the number of the fit, of the epoch, and its losses; raising from here ends all fits.
Tell = Callable[[int, int, dict[str, float]], None]

ROUND = 256  # numbers of samples are filled up to a multiple: fewer sizes to compile for
MOST_AT_ONCE, SMALL = 8, 16  # networks of up to so many units: more of them, or larger ones, outgrow the cache
FITS_A_PLACE = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class Lesson:
    """One fit: the weights to ``start`` from, as Keras gives them, and what to learn from and to validate on.

    ``spec`` says how fast and how long. ``keeps_start``: the start counts among the weights to keep.
    """

    spec: NetworkSpec
    seed: int
    start: Weights
    samples: Samples
    validation: Samples | None
    keeps_start: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Waiting:
    """A fit that waits for its place: how many samples it ``learns`` from and ``validates`` on.

    ``begin`` makes them, and may raise: the fit is over then, and no other.
    """

    learns: int
    validates: int
    begin: Callable[[], Lesson]


class Stack:
    """Networks of one shape that learn side by side, each as if it were alone."""

    def __init__(self, spec: NetworkSpec, columns: int) -> None:
        self._spec, self._columns = spec, columns
        self._shapes = [tuple(weight.shape) for weight in build_network(spec, columns).weights]
        self._epoch: Epoch = compile_epoch(spec, columns)

    def learn(self, fits: Sequence[Waiting], tell: Tell, *, width: int | None = None) -> list[Learnt]:
        """Fit the networks, ``width`` at a time, and return what came of each, in their order.

        Each has its own order of samples, optimizer and early stopping; what is beside it changes its numbers by
        rounding alone. Only those that are being fitted have samples.
        """
        width = min(len(fits), most_at_once(self._spec, len(fits)) if width is None else width)
        # The longest first: none of them is left to go on alone in the end.
        waiting = deque(sorted(range(len(fits)), key=lambda number: -fits[number].learns))
        bench = self._bench_of(width, most=max(one.learns + one.validates for one in fits))
        pupils: list[_Pupil | None] = [None] * width
        results: dict[int, Learnt] = {}
        while len(results) < len(fits):
            for place in range(width):
                if pupils[place] is None and (begun := _begin_next(waiting, fits, results)):
                    pupils[place] = _Pupil(*begun)
                    bench.seat(place, begun[1])
            if any(pupils):
                self._one_epoch(bench, pupils, tell)
            for place, pupil in enumerate(pupils):
                if pupil is not None and pupil.result is not None:
                    results[pupil.number] = pupil.result
                    pupils[place] = None
                    bench.clear(place)
        return [results[number] for number in range(len(fits))]

    def _bench_of(self, width: int, *, most: int) -> _Bench:
        """Make room for ``width`` fits at a time, of ``most`` samples each."""
        spec, room = self._spec, ceil(most / ROUND) * ROUND
        data = Data(
            np.zeros((width, room, spec.window, self._columns), np.float32),
            np.zeros((width, room, len(spec.targets) * spec.reach, 1), np.float32),
            np.zeros(width, np.int32),
            np.zeros(width, np.int32),
            np.zeros(width, np.float32),
        )
        weights = [np.zeros((width, *shape), np.float32) for shape in self._shapes]
        moments = StackedOptimizer(chosen=spec.optimizer).moments
        beside = [[np.zeros_like(weight) for _ in range(moments)] for weight in weights]
        return _Bench(spec.batch_size, data, State(weights, beside, np.zeros(width, np.float32)))

    def _one_epoch(self, bench: _Bench, pupils: Sequence[_Pupil | None], tell: Tell) -> None:
        """Let every pupil learn for an epoch, one that has just sat down be judged as it is if that counts."""
        judged = [pupil is not None and pupil.is_to_be_judged for pupil in pupils]
        if any(judged):
            outcome = bench.run(self._epoch, bench.no_shuffle())
            for place, pupil in enumerate(pupils):
                if pupil is not None and judged[place]:
                    pupil.judge_start(float(outcome.val_loss[place]))
        outcome = bench.run(self._epoch, bench.shuffle(pupils))
        loss, val_loss = np.asarray(outcome.loss), np.asarray(outcome.val_loss)
        for place, pupil in enumerate(pupils):
            if pupil is not None:
                losses = pupil.note(float(loss[place]), float(val_loss[place]), partial(bench.weights_of, place))
                if pupil.losses:
                    tell(pupil.number, len(pupil.losses), losses)


def _begin_next(waiting: deque[int], fits: Sequence[Waiting], results: dict[int, Learnt]) -> tuple[int, Lesson] | None:
    """Begin the first of those ``waiting`` that can begin; those that cannot have an error for a result."""
    while waiting:
        number = waiting.popleft()
        try:
            return number, fits[number].begin()
        except Exception as error:
            results[number] = without_frames(error)
    return None


def most_at_once(spec: NetworkSpec, fits: int) -> int:
    """Return how many of so many ``fits`` of networks of ``spec`` are worth computing side by side.

    Small networks leave much of the processor idle, and take up little of its cache. Each place has some fits to go
    through: none that has ended early holds one up for long.
    """
    most = MOST_AT_ONCE if sum(spec.units) <= SMALL else 1
    return min(most, ceil(fits / FITS_A_PLACE))


@dataclass(eq=False)
class _Pupil:
    """One fit under way: its random numbers, its losses, and the best weights so far."""

    number: int
    lesson: Lesson
    losses: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    result: Learnt | None = None

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.lesson.seed)
        self._best, self._best_epoch, self._best_weights = np.inf, 0, self.lesson.start
        self.is_to_be_judged = self._stops_early and self.lesson.keeps_start

    @property
    def _stops_early(self) -> bool:
        return self.lesson.spec.early_stopping is not None and self.lesson.validation is not None

    def judge_start(self, val_loss: float) -> None:
        """Take the weights that it starts from for the best so far."""
        self._best, self.is_to_be_judged = val_loss, False

    def note(self, loss: float, val_loss: float, weights: Callable[[], Weights]) -> dict[str, float]:
        """Take note of an epoch's losses, keep the best weights, end when that is due; return what to tell."""
        told = {"loss": loss} | ({"val_loss": val_loss} if self.lesson.validation is not None else {})
        epoch = len(self.losses) + 1
        if not np.isfinite(list(told.values())).all():
            self.result = FitDiverged(f"The loss was not a number after epoch {epoch}.", epoch=epoch)
            return told
        self.losses.append(loss)
        if self.lesson.validation is not None:
            self.val_losses.append(val_loss)
        if not self._stops_early:
            self._best_epoch = epoch
        elif val_loss < self._best:
            self._best, self._best_epoch, self._best_weights = val_loss, epoch, weights()
        early = self.lesson.spec.early_stopping
        fell_off = self._stops_early and early is not None and epoch > 1 and epoch - self._best_epoch >= early.patience
        if epoch == self.lesson.spec.epochs or fell_off:
            kept = self._best_weights if self._stops_early else weights()
            self.result = kept, Curves(tuple(self.losses), tuple(self.val_losses), self._best_epoch)
        return told


@dataclass(eq=False)
class _Bench:
    """The places of a stack: the samples and the state of whoever sits there.

    ``given`` and ``state`` are those that an epoch is called with: they stay where TensorFlow has them.
    """

    batch: int
    data: Data
    state: State
    given: Data | None = None

    def seat(self, place: int, lesson: Lesson) -> None:
        """Give a place to a fit that begins."""
        first = 0
        for part in (lesson.samples, lesson.validation):
            if part is not None:
                self.data.inputs[place, first : first + len(part)] = part.inputs
                self.data.targets[place, first : first + len(part)] = part.targets
                first += len(part)
        self.data.learnt[place], self.data.validated[place] = len(lesson.samples), len(lesson.validation or ())
        self.data.rates[place] = lesson.spec.optimizer.learning_rate
        weights, moments, steps = _copied(self.state)
        for weight, beside, start in zip(weights, moments, lesson.start, strict=True):
            weight[place] = start
            for moment in beside:
                moment[place] = 0.0
        steps[place] = 0.0
        self.state, self.given = State(weights, moments, steps), None

    def clear(self, place: int) -> None:
        """Let nobody sit there."""
        self.data.learnt[place] = self.data.validated[place] = 0
        self.given = None

    def run(self, epoch: Epoch, shuffle: Shuffle) -> Outcome:
        """Let everybody read what the shuffle says, and go on from there."""
        if self.given is None:
            self.given = Data(*map(tf.constant, self.data))
        outcome = epoch(self.given, self.state, shuffle)
        self.state = outcome.state
        return outcome

    def shuffle(self, pupils: Sequence[_Pupil | None]) -> Shuffle:
        """Let each read its samples in an order of its own."""
        width, room = self.data.inputs.shape[:2]
        order = np.zeros((width, ceil(room / self.batch) * self.batch), np.int32)
        keys = np.zeros(width, np.uint32)
        for place, pupil in enumerate(pupils):
            if pupil is not None:
                samples = self.data.learnt[place]
                order[place, :samples] = pupil.random.permutation(samples)
                keys[place] = pupil.random.integers(2**32, dtype=np.uint32)
        batches = order.reshape(width, -1, self.batch).swapaxes(0, 1)
        firsts = np.arange(len(batches)) * self.batch
        sizes = np.clip(self.data.learnt - firsts[:, None], 0, self.batch).astype(np.int32)
        return Shuffle(np.ascontiguousarray(batches), sizes, np.array((sizes > 0).any(axis=1).sum(), np.int32), keys)

    def no_shuffle(self) -> Shuffle:
        """Let nobody read anything: the epoch only validates."""
        return self.shuffle([None] * len(self.data.learnt))._replace(batches=np.array(0, np.int32))

    def weights_of(self, place: int) -> Weights:
        """Return the weights of whoever sits there, as Keras takes them."""
        return [np.array(weight)[place] for weight in self.state.weights]


def _copied(state: State) -> State:
    """Return the state as arrays that may be written to."""
    moments = [[np.array(moment) for moment in beside] for beside in state.moments]
    return State([np.array(weight) for weight in state.weights], moments, np.array(state.steps))
