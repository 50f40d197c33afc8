"""One network, compiled once and fitted as often as there are folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from app.domain.spec import NetworkSpec
from app.errors import FitDiverged
from app.training.architectures import build_network
from app.training.losses import loss_of

Numbers = NDArray[np.float32]


class Report(Protocol):
    """Told how far the work is; raising from here ends it.

    ``fraction`` of the ``stage`` is done; ``numbers`` may hold ``epoch``, ``epochs``, ``loss`` and ``val_loss``.
    """

    def __call__(self, stage: str, fraction: float, /, **numbers: float) -> None:
        """Take note."""


def part_of(report: Report, stage: str, *, part: int, parts: int) -> Report:
    """Return a report for the piece ``part`` (from 0) of ``parts``, told as progress of the whole ``stage``."""

    def told(_: str, fraction: float, /, **numbers: float) -> None:
        report(stage, (part + fraction) / parts, **numbers)

    return told


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs ``(samples, window, columns)`` and targets ``(samples, reach x targets, 1)``, oldest first."""

    inputs: Numbers
    targets: Numbers

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Curves:
    """Loss of every epoch; ``best_epoch`` counts from 1 and is the one whose weights were kept."""

    loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    best_epoch: int

    def to_dict(self) -> dict[str, Any]:
        """Return the curves in chart-ready columns, JSON-ready."""
        epochs = list(range(1, len(self.loss) + 1))
        return {"epoch": epochs, "loss": self.loss, "val_loss": self.val_loss, "best_epoch": self.best_epoch}


class Learner:
    """A compiled network that forgets: every ``learn`` starts from the same weights and the same random numbers.

    Compiling costs seconds, forgetting nothing; so the folds of one backtest share one learner.
    """

    def __init__(self, spec: NetworkSpec, columns: int, *, seed: int) -> None:
        self._spec, self._columns, self._seed = spec, columns, seed
        self._network = build_network(spec, columns, seed=seed, quick=True)
        self._network.compile(_optimizer(spec), loss=loss_of(spec), jit_compile=False)
        self._network.optimizer.build(self._network.trainable_variables)
        self._state = [*self._network.variables, *self._network.optimizer.variables]
        self._start = [variable.numpy() for variable in self._state]

    def learn(self, train: Samples, validation: Samples | None, report: Report) -> tuple[keras.Model, Curves]:
        """Fit on ``train``, stop early by ``validation``, and return a network of its own with the best weights.

        Raises:
            FitDiverged: the loss became NaN or infinite; lower the learning rate.
        """
        for variable, value in zip(self._state, self._start, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(self._seed)
        history = self._network.fit(
            train.inputs,
            train.targets,
            validation_data=(validation.inputs, validation.targets) if validation else None,
            epochs=self._spec.epochs,
            batch_size=self._spec.batch_size,
            callbacks=[_Watch(report, self._spec.epochs), *self._stopping(validation)],
            verbose=0,
        ).history
        network = build_network(self._spec, self._columns, seed=self._seed)
        network.set_weights(self._network.get_weights())
        return network, _curves(history, stopped_early=bool(self._stopping(validation)))

    def _stopping(self, validation: Samples | None) -> list[keras.callbacks.Callback]:
        early = self._spec.early_stopping
        if early is None or validation is None:
            return []
        return [keras.callbacks.EarlyStopping(patience=early.patience, restore_best_weights=True)]


class _Watch(keras.callbacks.Callback):
    """Reports every epoch and ends a fit that diverged."""

    def __init__(self, report: Report, epochs: int) -> None:
        super().__init__()
        self._report, self._epochs = report, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the losses of the epoch, numbered from 0."""
        losses = {name: float(value) for name, value in (logs or {}).items() if name in {"loss", "val_loss"}}
        if not np.isfinite(list(losses.values())).all():
            raise FitDiverged(f"The loss was not a number after epoch {epoch + 1}.", epoch=epoch + 1)
        self._report("fit", (epoch + 1) / self._epochs, epoch=epoch + 1, epochs=self._epochs, **losses)


def _optimizer(spec: NetworkSpec) -> keras.optimizers.Optimizer:
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}
    chosen = spec.optimizer
    momentum = {} if chosen.name == "adam" else {"momentum": chosen.momentum}
    return kinds[chosen.name](learning_rate=chosen.learning_rate, clipnorm=chosen.clip_norm, **momentum)


def _curves(history: dict[str, list[float]], *, stopped_early: bool) -> Curves:
    loss, val_loss = (tuple(float(value) for value in history.get(name, ())) for name in ("loss", "val_loss"))
    best = int(np.argmin(val_loss)) + 1 if stopped_early else len(loss)
    return Curves(loss, val_loss, best)
