"""A panel of tickers, one small network each, as the preset ``default`` has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.bench.peers.job import Job
from tests.bench.race import KERAS, OURS, PYTORCH, Raced, a_core_each, race
from tests.bench.rows import Measured, Row, measured, more

TICKERS = 32
JOB = Job(network="gru", units=(8,), window=20, columns=9, samples=2700, batch_size=64, epochs=30)
#: A peer trains one ticker after the other, so that a few in each process tell its pace.
FEW = 2


def section(_: Path) -> Iterator[Row]:
    """Train all tickers, building and compiling included, the start of the libraries not.

    One process a core: with networks as small as these, threads have nothing to share.
    """
    ours = a_core_each(OURS, JOB)
    ours = replace(ours, job=replace(ours.job, models=TICKERS // ours.processes))
    peers = [a_core_each(peer, replace(JOB, models=FEW)) for peer in (KERAS, PYTORCH)]
    raced = race([ours, *peers], rounds=1)
    for peer, goal in ((KERAS, 10.0), (PYTORCH, 5.0)):
        theirs = raced.get(peer)
        yield more(
            f"Models an hour, {TICKERS} tickers × GRU(8), {JOB.epochs} epochs",
            _an_hour(raced[OURS]),
            peer.name,
            _an_hour(theirs) if theirs else None,
            at_least=goal,
            note=f"{ours.form} each; theirs extrapolated from {FEW * ours.processes} tickers",
        )


def _an_hour(raced: Raced) -> Measured:
    return measured([3600 * raced.entrant.job.models / seconds for seconds in raced.seconds], "1/h")
