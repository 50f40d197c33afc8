"""The end of every network: from its state to what it says about each step of each target."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops
from scipy.special import stdtrit

from app.domain.distribution import MEDIAN, PROBABILITIES
from app.domain.spec import NetworkSpec
from app.domain.student_t import LOWEST_DF

FIRST_DF_EXCESS = 1.2  # exp(1.2) + 2.1 = 5.4 degrees of freedom: what daily returns have
FIRST_LOG_SCALE = -0.15  # a Student-t of these degrees has unit deviation at about exp(-0.15)
LOG_BOUND = 5.0  # of log scales and of excesses of degrees of freedom, either way
STUDENT_T_PARAMS = 3  # location, log scale, degrees of freedom
GAPS = len(PROBABILITIES) - 1
SHAPE_RIDGE = 1e-4

#: Adds gaps up: those from the median to a quantile, below it with a minus sign, ``(10, 11)``.
LADDER = np.array(
    [[float(MEDIAN <= gap < place) - float(place <= gap < MEDIAN) for place in range(GAPS + 1)] for gap in range(GAPS)],
    np.float32,
)


def forecast_head(window: KerasTensor, state: KerasTensor, spec: NetworkSpec) -> KerasTensor:
    """Turn ``state`` ``(batch, units)`` or ``(batch, reach, units)`` into ``(batch, targets x reach, params)``.

    All steps of the first target come first. ``point``: one number a step. ``student_t``: location and log scale in
    units of recent volatility, and degrees of freedom. ``quantiles``: eleven, in the same units. The two distribution
    heads add a line from the newest bar and start from zero: an untrained network is the baseline that it has to beat,
    and learns only what recent volatility, or the line that it is anchored on, does not say.
    """
    numbers = len(spec.targets) * spec.reach
    state = layers.Dropout(spec.dropouts[-1], name="head_dropout")(state)
    if spec.head == "point":
        return layers.Reshape((numbers, 1), name="forecast")(_numbers(state, spec, "glorot_uniform"))
    first = keras.initializers.Constant(FIRST_LOG_SCALE)
    newest = layers.Dense(numbers, kernel_initializer="zeros", bias_initializer=first, name="newest_bar")
    log_scale = layers.Add()([_numbers(state, spec, "zeros", use_bias=False), newest(window[:, -1, :])])
    if spec.head == "student_t":
        return StudentT(len(spec.targets), name="forecast")(log_scale)
    return Quantiles(len(spec.targets), name="forecast")([log_scale, _gap_shifts(state, spec)])


def _numbers(state: KerasTensor, spec: NetworkSpec, initializer: str, *, use_bias: bool = True) -> KerasTensor:
    """One number a step and target, ``(batch, targets x reach)``: from a common state or from each step's own."""
    targets = len(spec.targets)
    common = len(state.shape) == 2
    steps = layers.Dense(
        targets * spec.reach if common else targets, kernel_initializer=initializer, use_bias=use_bias, name="steps"
    )
    if common:
        return steps(state)
    return layers.Reshape((targets * spec.reach,))(layers.Permute((2, 1))(steps(state)))


def _gap_shifts(state: KerasTensor, spec: NetworkSpec) -> KerasTensor:
    """What the state says of each gap between two quantiles, ``(batch, targets x reach, 10)``."""
    targets = len(spec.targets)
    common = len(state.shape) == 2
    shape = layers.Dense(
        targets * GAPS * (spec.reach if common else 1),
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(SHAPE_RIDGE),
        use_bias=False,
        name="shape",
    )
    if common:
        return layers.Reshape((targets * spec.reach, GAPS))(shape(state))
    by_target = layers.Permute((2, 1, 3))(layers.Reshape((spec.reach, targets, GAPS))(shape(state)))
    return layers.Reshape((targets * spec.reach, GAPS))(by_target)


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
        return student_t_answers(log_scale, self.drift, self.df_excess)

    def anchor(self, drift: np.ndarray, df: np.ndarray) -> None:
        """Start from the drift of each target ``(targets,)`` and degrees of freedom ``(targets x reach,)``."""
        self.drift.assign(drift)
        self.df_excess.assign(np.log(np.maximum(df - LOWEST_DF, np.exp(-LOG_BOUND))))


class Quantiles(layers.Layer):
    """Log scales ``(batch, targets x reach)`` and shifts of gaps ``(..., 10)`` become quantiles ``(..., 11)``.

    The gaps between neighbours are positive whatever is learnt, and are added up from the median outwards: quantiles
    never cross. The median is one drift a target for all times, in units of the scale.
    """

    def __init__(self, targets: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.targets = targets

    def build(self, input_shape: list[tuple[int, ...]]) -> None:
        """Make the drift of each target, and the gaps of each step and target."""
        numbers = input_shape[0][-1]
        self.drift = self.add_weight(shape=(self.targets,), initializer="zeros", name="drift")
        first = keras.initializers.Constant(first_gaps(np.full(numbers, LOWEST_DF + np.exp(FIRST_DF_EXCESS))))
        self.gaps = self.add_weight(shape=(numbers, GAPS), initializer=first, name="gaps")

    def call(self, inputs: list[Any]) -> Any:
        """Lay the quantiles around the drift, which grows with the square root of the step in these units."""
        log_scale, shifts = inputs
        return quantile_answers(log_scale, shifts, self.drift, self.gaps)

    def anchor(self, drift: np.ndarray, df: np.ndarray) -> None:
        """Start from the drift of each target ``(targets,)`` and degrees of freedom ``(targets x reach,)``."""
        self.drift.assign(drift)
        self.gaps.assign(first_gaps(df))


def student_t_answers(log_scale: Any, drift: Any, df_excess: Any) -> Any:
    """Return location, log scale and degrees of freedom, ``(..., targets x reach, 3)``.

    ``log_scale`` ``(..., targets x reach)``, ``drift`` ``(..., targets)`` and ``df_excess`` ``(..., targets x reach)``
    may have other axes in front that fit each other.
    """
    log_scale = ops.clip(log_scale, -LOG_BOUND, LOG_BOUND)
    location = _grown(drift, log_scale.shape[-1]) * ops.exp(log_scale)
    df = ops.zeros_like(log_scale) + LOWEST_DF + ops.exp(ops.clip(df_excess, -LOG_BOUND, LOG_BOUND))
    return ops.stack([location, log_scale, df], axis=-1)


def quantile_answers(log_scale: Any, shifts: Any, drift: Any, gaps: Any) -> Any:
    """Return the quantiles, ``(..., targets x reach, 11)``.

    ``shifts`` and ``gaps`` are ``(..., targets x reach, 10)``. The others, and the axes in
    front, are as for ``student_t_answers``.
    """
    scale = ops.expand_dims(ops.exp(ops.clip(log_scale, -LOG_BOUND, LOG_BOUND)), -1)
    around = ops.matmul(ops.softplus(gaps + shifts), ops.convert_to_tensor(LADDER))
    return scale * (ops.expand_dims(_grown(drift, log_scale.shape[-1]), -1) + around)


def first_gaps(df: np.ndarray) -> np.ndarray:
    """Return what ``softplus`` turns into the gaps of a Student-t, one of ``df`` ``(numbers,)`` each, ``(..., 10)``."""
    gaps = np.diff(stdtrit(df[:, None], np.array(PROBABILITIES)), axis=-1)
    return np.asarray(np.log(np.expm1(gaps)), dtype=np.float32)


def _grown(drift: Any, numbers: int) -> Any:
    """The drift of each target and step, ``(..., targets x reach)``, in units of a scale that grows with √k."""
    growth = ops.sqrt(ops.arange(1, numbers // drift.shape[-1] + 1, dtype=drift.dtype))
    return ops.reshape(ops.expand_dims(drift, -1) * growth, (*drift.shape[:-1], numbers))


class MeanForecast(layers.Layer):
    """Several answers ``(batch, targets x reach, params)`` become their mean, parameter by parameter.

    Point heads are averaged as they answer, in scaled prices or log returns in units of volatility; quantiles too;
    locations and log scales as well, so scales by their geometric mean. Of the degrees of freedom it is the mean of
    ``1 / df``, the weight of the tails: the plain mean of 4 and 150 is a normal distribution's 77 and forgets the
    outliers that one of the two expects.
    """

    def call(self, answers: list[Any]) -> Any:
        """Average ``answers``, which have one shape."""
        said = ops.stack(answers)
        mean = ops.mean(said, axis=0)
        if said.shape[-1] != STUDENT_T_PARAMS:
            return mean
        df = 1.0 / ops.mean(1.0 / said[..., 2:], axis=0)
        return ops.concatenate([mean[..., :2], df], axis=-1)
