"""Stock Keras: ``fit`` of a ``Sequential``, as the tutorials write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from tests.bench.peers.job import Job, compete, seconds_of

LAYERS = {"lstm": layers.LSTM, "gru": layers.GRU, "simple_rnn": layers.SimpleRNN}


def main(job: Job) -> Callable[[], float]:
    """Return a round; an epoch is that of a model which is traced already, many models are traced in the round."""
    if job.models > 1:
        return lambda: seconds_of(lambda: [fit(network(job), job, model) for model in range(job.models)])
    model = network(job)
    fit(model, job)
    return lambda: seconds_of(lambda: fit(model, job))


def network(job: Job) -> Any:
    """Return the compiled network, untrained."""
    layer = LAYERS[job.network]
    last = len(job.units) - 1
    recurrent = [layer(units, return_sequences=place < last) for place, units in enumerate(job.units)]
    model = keras.Sequential([keras.Input((job.window, job.columns)), *recurrent, layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    return model


def fit(model: Any, job: Job, which: int = 0) -> None:
    """Fit ``model`` on the windows of one ticker."""
    inputs, targets = job.windows(which)
    model.fit(inputs, targets, batch_size=job.batch_size, epochs=job.epochs, verbose=0)


if __name__ == "__main__":
    compete(main)
