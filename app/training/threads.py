"""How many cores one training may use."""

from __future__ import annotations

import tensorflow as tf


def use_threads(threads: int) -> None:
    """Let TensorFlow use ``threads`` cores in this process, and make its results repeatable; 0 leaves it the choice.

    Only what is called before the first network is built counts: TensorFlow fixes its threads then.
    """
    tf.config.experimental.enable_op_determinism()
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
