"""What a network is fitted to minimise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import ops

from app.domain.distribution import PROBABILITIES
from app.domain.spec import NetworkSpec

Loss = Callable[[Any, Any], Any]


def loss_of(spec: NetworkSpec) -> Loss | str:
    """Return the loss of ``spec`` as Keras takes it."""
    return {"student_t": student_t_nll, "pinball": pinball}.get(spec.loss, spec.loss)


def student_t_nll(actual: Any, said: Any) -> Any:
    """Negative log likelihood of ``actual`` ``(batch, targets x reach, 1)`` under ``said``.

    ``said`` ``(batch, targets x reach, 3)`` holds location, log scale and degrees of freedom. Returns
    ``(batch, targets x reach)``.
    """
    location, log_scale, df = said[..., 0], said[..., 1], said[..., 2]
    units = (actual[..., 0] - location) / ops.exp(log_scale)
    # keras.ops has no lgamma.
    constant = tf.math.lgamma(df / 2) - tf.math.lgamma((df + 1) / 2) + 0.5 * ops.log(df * math.pi)
    return log_scale + constant + (df + 1) / 2 * ops.log1p(units * units / df)


def pinball(actual: Any, said: Any) -> Any:
    """Mean pinball loss of the quantiles ``said`` ``(batch, targets x reach, 11)`` of ``actual``.

    ``actual`` is ``(batch, targets x reach, 1)``. Returns ``(batch, targets x reach)``. Koenker and Bassett,
    Econometrica 46 (1978).
    """
    probabilities = ops.convert_to_tensor(PROBABILITIES, dtype=said.dtype)
    above = actual - said
    return ops.mean(ops.maximum(probabilities * above, (probabilities - 1.0) * above), axis=-1)
