"""How many cores one training may use."""

from __future__ import annotations

import tensorflow as tf
from threadpoolctl import threadpool_limits


def use_threads(threads: int) -> None:
    """Let TensorFlow use ``threads`` cores in this process, and make its results repeatable; 0 leaves it the choice.

    Only what is called before the first network is built counts: TensorFlow fixes its threads then.
    """
    # SciPy's fits are of a handful of numbers: to hand them to other threads takes longer than to do them.
    threadpool_limits(1, user_api="blas")
    tf.config.experimental.enable_op_determinism()
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
