"""The tutorials' network, four layers of 50 units, trained by us, by stock Keras and by PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.bench.peers.job import Job
from tests.bench.race import KERAS, OURS, PYTORCH, Raced, entrants, race
from tests.bench.rows import Measured, Row, measured, quicker

SAMPLES = 2709
#: Half of them make a round: more rounds in less time.
ROUND = Job(network="lstm", units=(50, 50, 50, 50), window=60, columns=1, samples=1344, batch_size=32)
ROUNDS = 3
#: An epoch in rounds, counted in batches.
EPOCH = -(-SAMPLES // ROUND.batch_size) / (ROUND.samples // ROUND.batch_size)


def section(_: Path) -> Iterator[Row]:
    """Train LSTM and GRU; seconds are those that the whole machine needs for an epoch of one model."""
    for network in ("lstm", "gru"):
        job = replace(ROUND, network=network)
        raced = race([one for peer in (OURS, KERAS, PYTORCH) for one in entrants(peer, job)], rounds=ROUNDS)
        ours = raced[OURS]
        for peer, goal in ((KERAS, 5.0), (PYTORCH, 1.5)):
            theirs = raced.get(peer)
            yield quicker(
                f"Epoch of 4 × {network.upper()}(50), {SAMPLES:,} samples",
                an_epoch(ours),
                f"{peer.name}, {theirs.entrant.form}" if theirs else peer.name,
                an_epoch(theirs) if theirs else None,
                at_least=goal,
                note=f"ours {ours.entrant.form}; from half epochs",
            )


def an_epoch(raced: Raced) -> Measured:
    """Return the seconds of an epoch."""
    return measured([seconds * EPOCH for seconds in raced.seconds], "s")
