"""One network, compiled once and fitted as often as there are folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from app.domain.spec import NetworkSpec
from app.errors import FitDiverged
from app.training.anchor import Anchor
from app.training.architectures import build_network
from app.training.losses import loss_of
from app.training.report import Report
from app.training.samples import Samples

EVALUATED = 1024  # samples at a time


@dataclass(frozen=True)
class Curves:
    """Loss of every epoch; ``best_epoch`` is the one whose weights were kept, from 1; 0 when the start was best."""

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

    def learn(
        self, train: Samples, validation: Samples | None, report: Report, *, anchor: Anchor | None = None
    ) -> tuple[keras.Model, Curves]:
        """Fit on ``train``, stop early by ``validation``, and return a network of its own with the best weights.

        It starts from ``anchor``, and is that when no epoch was better.

        Raises:
            FitDiverged: the loss became NaN or infinite; lower the learning rate.
        """
        for variable, value in zip(self._state, self._start, strict=True):
            variable.assign(value)
        if anchor:
            anchor.put_into(self._network)
        keras.utils.set_random_seed(self._seed)
        stopping = self._stopping(validation, starts_well=anchor is not None)
        history = self._network.fit(
            train.inputs,
            train.targets,
            validation_data=(validation.inputs, validation.targets) if validation else None,
            epochs=self._spec.epochs,
            batch_size=self._spec.batch_size,
            callbacks=[_Watch(report, self._spec.epochs), *stopping],
            verbose=0,
        ).history
        network = build_network(self._spec, self._columns, seed=self._seed)
        network.set_weights(self._network.get_weights())
        return network, _curves(history, best=stopping[0].best_epoch + 1 if stopping else None)

    def _stopping(self, validation: Samples | None, *, starts_well: bool) -> list[keras.callbacks.EarlyStopping]:
        early = self._spec.early_stopping
        if early is None or validation is None:
            return []
        if starts_well:
            return [_NoWorseThanTheStart(validation, patience=early.patience)]
        return [keras.callbacks.EarlyStopping(patience=early.patience, restore_best_weights=True)]


class _NoWorseThanTheStart(keras.callbacks.EarlyStopping):
    """Early stopping that counts the weights before the first epoch among those to keep."""

    def __init__(self, validation: Samples, *, patience: int) -> None:
        super().__init__(patience=patience, restore_best_weights=True)
        self._validation = validation

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Look at the weights that the fit starts from."""
        super().on_train_begin(logs)
        inputs, targets = self._validation.inputs, self._validation.targets
        self.best = float(self.model.evaluate(inputs, targets, batch_size=EVALUATED, verbose=0))
        self.best_weights, self.best_epoch = self.model.get_weights(), -1


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


def _curves(history: dict[str, list[float]], *, best: int | None) -> Curves:
    loss, val_loss = (tuple(float(value) for value in history.get(name, ())) for name in ("loss", "val_loss"))
    return Curves(loss, val_loss, len(loss) if best is None else best)
