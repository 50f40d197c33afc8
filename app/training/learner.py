"""One network by Keras alone, compiled once and fitted as often as there are folds."""

from __future__ import annotations

from functools import cached_property, lru_cache

import keras
import numpy as np
from numpy.typing import NDArray

from app.domain.spec import NetworkSpec
from app.errors import FitDiverged
from app.training.anchor import Anchor
from app.training.architectures import build_network
from app.training.curves import Curves
from app.training.losses import loss_of
from app.training.report import Report
from app.training.samples import Samples
from app.training.stack.stack import Weights

EVALUATED = 1024  # samples at a time
KEPT = 16  # networks to start from


class Learner:
    """A network that forgets: every fit starts from the same weights and the same random numbers.

    ``learn`` fits it by Keras. Compiling costs seconds, forgetting nothing; so the folds of one backtest share one
    learner.
    """

    def __init__(self, spec: NetworkSpec, columns: int, *, seed: int) -> None:
        self.spec, self.columns, self.seed = spec, columns, seed

    def start(self, anchor: Anchor | None) -> Weights:
        """Return the weights that a fit starts from, as ``get_weights`` orders them."""
        network, weights = _untrained(self.spec, self.columns, self.seed)
        if anchor is None:
            return weights
        network.set_weights(weights)
        anchor.put_into(network)
        anchored: Weights = network.get_weights()
        return anchored

    def network_of(self, weights: Weights) -> keras.Model:
        """Return a network of its own with ``weights``, as ``get_weights`` orders them."""
        network = build_network(self.spec, self.columns, seed=self.seed)
        network.set_weights(weights)
        return network

    def learn(
        self, train: Samples, validation: Samples | None, report: Report, *, anchor: Anchor | None = None
    ) -> tuple[keras.Model, Curves]:
        """Fit on ``train``, stop early by ``validation``, and return a network of its own with the best weights.

        It starts from ``anchor``, and is that when no epoch was better.

        Raises:
            FitDiverged: the loss became NaN or infinite; lower the learning rate.
        """
        for variable, value in self._compiled:
            variable.assign(value)
        if anchor:
            anchor.put_into(self._network)
        keras.utils.set_random_seed(self.seed)
        stopping = self._stopping(validation, starts_well=anchor is not None)
        history = self._network.fit(
            train.inputs,
            train.targets,
            validation_data=(validation.inputs, validation.targets) if validation else None,
            epochs=self.spec.epochs,
            batch_size=self.spec.batch_size,
            callbacks=[_Watch(report, self.spec.epochs), *stopping],
            verbose=0,
        ).history
        best = stopping[0].best_epoch + 1 if stopping else None
        return self.network_of(self._network.get_weights()), _curves(history, best=best)

    @cached_property
    def _network(self) -> keras.Model:
        network = build_network(self.spec, self.columns, seed=self.seed, quick=True)
        network.compile(optimizer_of(self.spec), loss=loss_of(self.spec), jit_compile=False)
        network.optimizer.build(network.trainable_variables)
        return network

    @cached_property
    def _compiled(self) -> list[tuple[keras.Variable, NDArray[np.float32]]]:
        """All that a fit changes, and how it was before the first."""
        state = [*self._network.variables, *self._network.optimizer.variables]
        return [(variable, variable.numpy()) for variable in state]

    def _stopping(self, validation: Samples | None, *, starts_well: bool) -> list[keras.callbacks.EarlyStopping]:
        early = self.spec.early_stopping
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


class LearntNetwork:
    """A network that is there as weights: to build it takes longer than an epoch, and those of folds need not be."""

    def __init__(self, learner: Learner, weights: Weights) -> None:
        self._learner, self._weights = learner, weights

    @cached_property
    def model(self) -> keras.Model:
        """The network as Keras has it."""
        return self._learner.network_of(self._weights)

    def lent(self) -> keras.Model:
        """Return a network that all of its shape have in common, with these weights until the next one borrows it."""
        network, _ = _untrained(self._learner.spec, self._learner.columns, self._learner.seed)
        network.set_weights(self._weights)
        return network


@lru_cache(maxsize=KEPT)
def _untrained(spec: NetworkSpec, columns: int, seed: int) -> tuple[keras.Model, Weights]:
    """Build a network to start from, and its weights; those of many tickers start alike."""
    network = build_network(spec, columns, seed=seed)
    return network, network.get_weights()


def optimizer_of(spec: NetworkSpec) -> keras.optimizers.Optimizer:
    """Return the optimizer of ``spec`` as Keras has it."""
    kinds = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "sgd": keras.optimizers.SGD}
    chosen = spec.optimizer
    momentum = {} if chosen.name == "adam" else {"momentum": chosen.momentum}
    return kinds[chosen.name](learning_rate=chosen.learning_rate, clipnorm=chosen.clip_norm, **momentum)


def _curves(history: dict[str, list[float]], *, best: int | None) -> Curves:
    loss, val_loss = (tuple(float(value) for value in history.get(name, ())) for name in ("loss", "val_loss"))
    return Curves(loss, val_loss, len(loss) if best is None else best)
