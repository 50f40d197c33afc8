"""The end of every network: from its state to what it says about each step."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor, layers, ops

from app.domain.spec import NetworkSpec
from app.domain.student_t import LOWEST_DF

FIRST_DF_EXCESS = 1.2  # exp(1.2) + 2.1 = 5.4 degrees of freedom: what daily returns have
FIRST_LOG_SCALE = -0.15  # a Student-t of these degrees has unit deviation at about exp(-0.15)


def forecast_head(window: KerasTensor, state: KerasTensor, spec: NetworkSpec) -> KerasTensor:
    """Turn ``state`` ``(batch, units)`` or ``(batch, horizon, units)`` into ``(batch, horizon, params)``.

    ``point``: one number a step. ``student_t``: location and log scale in units of recent volatility, and degrees
    of freedom. That head adds a line from the newest bar and starts from zero: an untrained network is the baseline
    that it has to beat, and learns only what recent volatility does not say.
    """
    state = layers.Dropout(spec.dropout, name="head_dropout")(state)
    if spec.head == "point":
        return layers.Reshape((spec.horizon, 1), name="forecast")(_per_step(state, spec.horizon, "glorot_uniform"))
    newest = layers.Dense(spec.horizon, use_bias=False, kernel_initializer="zeros", name="newest_bar")(window[:, -1, :])
    return StudentT(name="forecast")(layers.Add()([_per_step(state, spec.horizon, "zeros"), newest]))


def _per_step(state: KerasTensor, horizon: int, initializer: str) -> KerasTensor:
    """One number a step, ``(batch, horizon)``: from a common state or from each step's own."""
    steps = 1 if len(state.shape) == 3 else horizon
    numbers = layers.Dense(steps, kernel_initializer=initializer, name="steps")(state)
    return layers.Reshape((horizon,))(numbers)


@keras.saving.register_keras_serializable("morrow")
class StudentT(layers.Layer):
    """Log scales ``(batch, horizon)`` become ``(batch, horizon, 3)``: location, log scale, degrees of freedom.

    The location is one drift for all times, in units of the scale: a free mean loses to the last value.
    """

    def build(self, input_shape: tuple[int | None, int]) -> None:
        """Make the drift, a scalar, and one excess of degrees of freedom a step."""
        first = keras.initializers.Constant(FIRST_DF_EXCESS)
        self.drift = self.add_weight(shape=(), initializer="zeros", name="drift")
        self.df_excess = self.add_weight(shape=(input_shape[-1],), initializer=first, name="df_excess")

    def call(self, log_scale: Any) -> Any:
        """Lay the distribution around the drift, which grows with the square root of the step in these units."""
        log_scale = ops.clip(log_scale + FIRST_LOG_SCALE, -5.0, 5.0)
        growth = ops.sqrt(ops.arange(1, log_scale.shape[-1] + 1, dtype=log_scale.dtype))
        location = self.drift * growth * ops.exp(log_scale)
        df = ops.zeros_like(log_scale) + LOWEST_DF + ops.exp(ops.clip(self.df_excess, -5.0, 5.0))
        return ops.stack([location, log_scale, df], axis=-1)
