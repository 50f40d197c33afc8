"""A whole training over HTTP, beside the tutorials' hundred epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.processes import resident_megabytes, running, running_api
from tests.bench.race import KERAS, entrants, race
from tests.bench.rows import Row, measured, once, quicker
from tests.bench.training import EPOCH, ROUND

TICKER = "^GSPC"
SESSIONS = "2008-01-01"  # about as many sessions until the bundled history ends as the tutorials train on
EPOCHS = 100  # of the tutorials
ROUNDS = 2


def section(home: Path) -> Iterator[Row]:
    """From the request to the registered version: TensorFlow's start, backtest, fit, export and verdict included."""
    with running_api("app", "api", home=home) as (api, pid, _), running("app", "worker", home=home):
        started = time.perf_counter()
        job = api.train(TICKER, data={"source": "sample", "start": SESSIONS}).wait(poll=0.2)
        ours = once(time.perf_counter() - started, "s")
        version = api.version(TICKER, job.result["version"])
        api.forecast(TICKER)
        held = once(resident_megabytes(pid), "MB")

    tutorial = race(entrants(KERAS, ROUND)[:1], rounds=ROUNDS)[KERAS]
    yield quicker(
        f"The default, request to version, {version.data.rows:,} sessions",
        ours,
        f"{EPOCHS} epochs of 4 × LSTM(50), Keras",
        measured([EPOCHS * EPOCH * seconds for seconds in tutorial.seconds], "s"),
        at_least=10.0,
        note=f"theirs extrapolated from {ROUNDS} half epochs, fit alone",
    )
    for stage, spent in version.seconds.items():
        yield Row(what=f"  of that, {stage}", ours=once(spent, "s"))
    yield Row(what="API, memory after a forecast", ours=held, at_most=160)
