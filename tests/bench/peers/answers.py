"""The same networks asked in turns: Keras' ``predict``, as the tutorials do, and the runtime that serves forecasts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.bootstrap import open_services
from app.dataset.prepare import Dataset, prepare
from app.dataset.scaling import Scaling, Spread, fit_scaler
from app.domain.history import Bars
from app.domain.presets import preset_of
from app.domain.spec import NetworkSpec
from app.forecasting.predictor import Predictor
from app.forecasting.runtime import OnnxNetwork
from app.settings import Settings
from app.training.architectures import build_network
from app.training.onnx_graph import onnx_of
from tests.bench.peers.job import Numbers, seconds_of

TICKER = "^GSPC"
STEPS = 251
ORIGINS = 1000
ROUNDS = 3
PREDICTED = 12  # calls of predict a round

Seconds = dict[str, list[float]]


def main(home: Path) -> Iterator[tuple[str, Seconds]]:
    """Yield what was asked, and the seconds of our whole answer beside those of one call of ``predict``."""
    services = open_services(Settings(home=home))
    bars = services.source("sample").history(TICKER, now=services.clock()).bars
    services.database.close()
    for network in ("lstm", "gru", "simple_rnn"):
        yield f"window {network}", one_window(_tutorials(bars, architecture=network))
    for network in ("lstm", "gru"):
        yield f"steps {network}", steps(_tutorials(bars, architecture=network, strategy="recursive", horizon=STEPS))
    yield "origins lstm", origins(_tutorials(bars, architecture="lstm"))
    default = _asked(bars, NetworkSpec())
    yield "bars default", {"ours": _times(100, lambda: default.predictor.predict(bars))}


@dataclass(frozen=True, eq=False)
class Asked:
    """A network with random weights, in Keras and as a version would serve it, and what it is asked about."""

    model: keras.Model
    runtime: OnnxNetwork
    predictor: Predictor
    dataset: Dataset

    @property
    def window(self) -> Numbers:
        """A window of numbers such as scalers leave."""
        return np.random.default_rng(0).random((1, *self.model.input_shape[1:]), np.float32)


def one_window(asked: Asked) -> Seconds:
    """One window, scaled already."""
    window = asked.window
    return _in_turns(lambda: asked.runtime.run(window), lambda: asked.model.predict(window, verbose=0), times=60)


def steps(asked: Asked) -> Seconds:
    """All steps at once by us, one step of the tutorials' loop: the newest values with the answer behind them."""
    values = asked.window

    def step() -> None:
        nonlocal values
        said = asked.model.predict(values, verbose=0).reshape(1, 1, 1)
        values = np.concatenate([values[:, 1:], said], axis=1)

    return _in_turns(lambda: asked.predictor.foretell(asked.dataset), step, times=3)


def origins(asked: Asked) -> Seconds:
    """A thousand origins in one call by us, one of them by ``predict``."""
    window, at = asked.window, np.arange(len(asked.dataset) - ORIGINS, len(asked.dataset))
    return _in_turns(
        lambda: asked.predictor.predict_at(asked.dataset, at), lambda: asked.model.predict(window, verbose=0), times=3
    )


def _tutorials(bars: Bars, **changed: Any) -> Asked:
    return _asked(bars, NetworkSpec.from_dict({**preset_of("ibm-lstm").spec, **changed}))


def _asked(bars: Bars, spec: NetworkSpec) -> Asked:
    dataset = prepare(bars, spec)
    model = build_network(spec, dataset.features.shape[1])
    runtime = OnnxNetwork(onnx_of(model))
    names_prices = spec.target.transform == "price"
    scaling = Scaling(
        features=fit_scaler(spec.scaler, dataset.features[dataset.first_origin :]),
        target=fit_scaler(spec.scaler, dataset.values[:, None]) if names_prices else None,
        spreads=(Spread(np.ones(spec.horizon), np.full(spec.horizon, 5.0)),),
    )
    return Asked(model, runtime, Predictor(spec, scaling, runtime), dataset)


def _in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], *, times: int) -> Seconds:
    """Time both in turns, so that a busy machine hurts both; what traces and warms up has been called before."""
    _times(3, ours), _times(3, theirs)
    seconds: Seconds = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        seconds["theirs"] += _times(PREDICTED, theirs)
        seconds["ours"] += _times(times, ours)
    return seconds


def _times(times: int, work: Callable[[], Any]) -> list[float]:
    return [seconds_of(work) for _ in range(times)]


if __name__ == "__main__":
    for what, seconds in main(Path(sys.argv[1])):
        sys.stdout.write(json.dumps({"what": what, **seconds}) + "\n")
        sys.stdout.flush()
