"""The end of every network: from its state to what it says about each step of each target."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor, layers, ops

from app.domain.spec import NetworkSpec
from app.domain.student_t import LOWEST_DF

FIRST_DF_EXCESS = 1.2  # exp(1.2) + 2.1 = 5.4 degrees of freedom: what daily returns have
FIRST_LOG_SCALE = -0.15  # a Student-t of these degrees has unit deviation at about exp(-0.15)


def forecast_head(window: KerasTensor, state: KerasTensor, spec: NetworkSpec) -> KerasTensor:
    """Turn ``state`` ``(batch, units)`` or ``(batch, reach, units)`` into ``(batch, targets x reach, params)``.

    All steps of the first target come first. ``point``: one number a step. ``student_t``: location and log scale in
    units of recent volatility, and degrees of freedom. That head adds a line from the newest bar and starts from
    zero: an untrained network is the baseline that it has to beat, and learns only what recent volatility does not
    say.
    """
    numbers = len(spec.targets) * spec.reach
    state = layers.Dropout(spec.dropouts[-1], name="head_dropout")(state)
    if spec.head == "point":
        return layers.Reshape((numbers, 1), name="forecast")(_numbers(state, spec, "glorot_uniform"))
    newest = layers.Dense(numbers, use_bias=False, kernel_initializer="zeros", name="newest_bar")(window[:, -1, :])
    return StudentT(len(spec.targets), name="forecast")(layers.Add()([_numbers(state, spec, "zeros"), newest]))


def _numbers(state: KerasTensor, spec: NetworkSpec, initializer: str) -> KerasTensor:
    """One number a step and target, ``(batch, targets x reach)``: from a common state or from each step's own."""
    targets = len(spec.targets)
    if len(state.shape) == 2:
        return layers.Dense(targets * spec.reach, kernel_initializer=initializer, name="steps")(state)
    by_step = layers.Dense(targets, kernel_initializer=initializer, name="steps")(state)
    return layers.Reshape((targets * spec.reach,))(layers.Permute((2, 1))(by_step))


class StudentT(layers.Layer):
    """Log scales ``(batch, targets x reach)`` become ``(..., 3)``: location, log scale, degrees of freedom.

    The location is one drift a target for all times, in units of the scale: a free mean loses to the last value.
    """

    def __init__(self, targets: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.targets = targets

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Make the drift of each target, and one excess of degrees of freedom a step and target."""
        first = keras.initializers.Constant(FIRST_DF_EXCESS)
        self.drift = self.add_weight(shape=(self.targets,), initializer="zeros", name="drift")
        self.df_excess = self.add_weight(shape=(input_shape[-1],), initializer=first, name="df_excess")

    def call(self, log_scale: Any) -> Any:
        """Lay the distributions around the drift, which grows with the square root of the step in these units."""
        log_scale = ops.clip(log_scale + FIRST_LOG_SCALE, -5.0, 5.0)
        growth = ops.sqrt(ops.arange(1, log_scale.shape[-1] // self.targets + 1, dtype=log_scale.dtype))
        drift = ops.reshape(ops.expand_dims(self.drift, 1) * growth, (-1,))
        location = drift * ops.exp(log_scale)
        df = ops.zeros_like(log_scale) + LOWEST_DF + ops.exp(ops.clip(self.df_excess, -5.0, 5.0))
        return ops.stack([location, log_scale, df], axis=-1)


class MeanForecast(layers.Layer):
    """Several answers ``(batch, targets x reach, params)`` become their mean, parameter by parameter.

    Point heads are averaged as they answer, in scaled prices or log returns in units of volatility; locations and log
    scales as well, so scales by their geometric mean. Of the degrees of freedom it is the mean of ``1 / df``, the
    weight of the tails: the plain mean of 4 and 150 is a normal distribution's 77 and forgets the outliers that one
    of the two expects.
    """

    def call(self, answers: list[Any]) -> Any:
        """Average ``answers``, which have one shape."""
        said = ops.stack(answers)
        mean = ops.mean(said, axis=0)
        if said.shape[-1] == 1:
            return mean
        df = 1.0 / ops.mean(1.0 / said[..., 2:], axis=0)
        return ops.concatenate([mean[..., :2], df], axis=-1)
