"""One window, a year fed back, a walk-forward: the runtime that serves beside ``predict``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.processes import ROOT
from tests.bench.rows import Measured, Row, measured, quicker

PREDICT = "Keras predict"
STEPS = 251
ORIGINS = 1000


def section(home: Path) -> Iterator[Row]:
    """Ask in a process of its own, which has TensorFlow."""
    asked = _answers(home)
    for network, name in (("lstm", "LSTM"), ("gru", "GRU"), ("simple_rnn", "SimpleRNN")):
        ours, theirs = asked[f"window {network}"]
        what = f"One window, 4 × {name}(50)"
        yield quicker(what, _ms(ours), PREDICT, _ms(theirs), at_least=200.0)
    for network in ("lstm", "gru"):
        what = f"{STEPS} steps fed back, 4 × {network.upper()}(50)"
        both = asked[f"steps {network}"]
        yield _extrapolated(what, both, "the tutorials' loop", times=STEPS, of="steps", at_least=50.0)
    what = f"{ORIGINS:,} origins in one call, 4 × LSTM(50)"
    both = asked["origins lstm"]
    yield _extrapolated(what, both, "a loop of predict", times=ORIGINS, of="windows", at_least=200.0)
    ours, _ = asked["bars default"]
    yield Row(what="A forecast of the default from bars in memory, features included", ours=_ms(ours), at_most=2)


def _extrapolated(
    what: str, both: tuple[list[float], list[float]], peer: str, *, times: int, of: str, at_least: float
) -> Row:
    """Set our whole answer beside ``times`` as long as one call of the peer takes."""
    ours, theirs = both
    whole = _ms([times * seconds for seconds in theirs])
    note = f"theirs extrapolated from {len(theirs)} {of}"
    return quicker(what, _ms(ours), peer, whole, at_least=at_least, note=note)


def _answers(home: Path) -> dict[str, tuple[list[float], list[float]]]:
    command = [sys.executable, "-m", "tests.bench.peers.answers", str(home)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if ended.returncode:
        raise RuntimeError((ended.stderr.strip().splitlines() or [f"it ended with {ended.returncode}"])[-1])
    said = [json.loads(line) for line in ended.stdout.splitlines()]
    return {one["what"]: (one["ours"], one.get("theirs", [])) for one in said}


def _ms(seconds: Sequence[float]) -> Measured:
    return measured([1000 * one for one in seconds], "ms")
