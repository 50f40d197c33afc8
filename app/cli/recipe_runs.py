"""Every recipe trained over HTTP on a service of its own: orders in, figures out."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.client import Client, JobFailed, JobHandle
from app.client.readiness import wait_until_ready
from app.domain.presets import PRESETS, Preset

FIRST_SEED = 7
_READY_SECONDS = 120.0
_STOP_SECONDS = 60.0

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One preset trained with one seed.

    ``contestants`` are the scorecard's metrics of the model, persistence and drift, ``forecast`` is the stored one.
    ``seconds`` are of the training, ``search_seconds`` of all attempts of the search before it. ``error`` says why
    there is nothing.
    """

    preset: str
    seed: int
    seconds: float
    search_seconds: float | None = None
    contestants: Mapping[str, Mapping[str, float | None]] | None = None
    forecast: Mapping[str, Any] | None = None
    error: str | None = None


def recipes() -> list[Preset]:
    """Return the presets that were shown on a ticker of their own, in the order of their table."""
    return [preset for preset in PRESETS.values() if preset.ticker]


@contextlib.contextmanager
def service(data: Path, *, workers: int) -> Iterator[Client]:
    """Run a whole service on fresh state for as long as the block lasts, each worker's training on one thread."""
    with TemporaryDirectory(prefix="morrow-recipes-") as home:
        port = _free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MORROW_")}
        settings = {
            "MORROW_HOME": home,
            "MORROW_SOURCE": "files",
            "MORROW_FILES_DIR": str(data.resolve()),
            "MORROW_WORKERS": str(workers),
            "MORROW_TRAIN_THREADS": "1",
            "MORROW_PORT": str(port),
            "MORROW_LOG_LEVEL": "error",
        }
        process = subprocess.Popen([sys.executable, "-m", "app", "serve"], env=kept | settings)
        try:
            url = f"http://127.0.0.1:{port}"
            if not wait_until_ready(url, seconds=_READY_SECONDS, give_up=lambda: process.poll() is not None):
                raise ConnectionError("the service did not get ready")
            with Client(url) as client:
                yield client
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the service; its own parts go with it, also when it does not go by itself."""
    process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_all(client: Client, presets: Sequence[Preset], *, seeds: int, tell: Tell) -> list[Run]:
    """Train every preset with ``seeds`` seeds each; searches go first, and their winner is what is trained."""
    searches = {p.name: client.hand_in("tune", {**_order(p), "timeout_seconds": 7200}) for p in presets if p.search}
    waiting = [
        (preset, seed, client.hand_in("train", _order(preset, seed)))
        for preset in presets
        if preset.name not in searches
        for seed in _seeds(seeds)
    ]
    runs: list[Run] = []
    for preset in presets:
        if preset.name in searches:
            waiting += _winner(client, preset, searches[preset.name], seeds=seeds, runs=runs, tell=tell)
    for preset, seed, job in waiting:
        _wait(job)
        spent = searches[preset.name].result.seconds if preset.name in searches else None
        runs.append(_run(client, preset, seed, job, search_seconds=spent))
        tell(f"{preset.name} seed {seed}: {job.state}, {runs[-1].seconds:.0f} s")
    order = [preset.name for preset in presets]
    return sorted(runs, key=lambda run: (order.index(run.preset), run.seed))


def _winner(
    client: Client, preset: Preset, search: JobHandle, *, seeds: int, runs: list[Run], tell: Tell
) -> list[tuple[Preset, int, JobHandle]]:
    """Wait for a search and hand in its winner."""
    _wait(search)
    tell(f"{preset.name} search: {search.state}, {_seconds(search):.0f} s")
    if search.state != "succeeded":
        runs.append(Run(preset=preset.name, seed=FIRST_SEED, seconds=_seconds(search), error=_why(search)))
        return []
    body = search.result.train
    jobs = [(seed, {**body, "spec": {**body["spec"], "seed": seed}}) for seed in _seeds(seeds)]
    return [(preset, seed, client.hand_in("train", order)) for seed, order in jobs]


def _run(client: Client, preset: Preset, seed: int, job: JobHandle, *, search_seconds: float | None) -> Run:
    """Fetch the figures and the forecast of a finished training."""
    run = Run(preset=preset.name, seed=seed, seconds=_seconds(job), search_seconds=search_seconds)
    if job.state != "succeeded":
        return replace(run, error=_why(job))
    ticker, version = str(preset.ticker), job.result["version"]
    card = client.scorecard(ticker, version)
    forecast = client.forecast(ticker, model=version, horizon=preset.spec.get("horizon", 1))
    return replace(run, contestants=card.contestants, forecast=forecast.model_dump(mode="json"))


def _order(preset: Preset, seed: int = FIRST_SEED) -> dict[str, Any]:
    return {"ticker": preset.ticker, "preset": preset.name, "spec": {"seed": seed}, "promote": "never"}


def _seeds(count: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + count)


def _wait(job: JobHandle) -> None:
    """Wait for the end, whatever it is."""
    with contextlib.suppress(JobFailed):
        job.wait()


def _seconds(job: JobHandle) -> float:
    """Seconds of the job's last attempt, as the service noted them."""
    from_, to = job.document.started_at, job.document.finished_at
    return (to - from_).total_seconds() if from_ and to else 0.0


def _why(job: JobHandle) -> str:
    return f"{job.error.code}: {job.error.detail}" if job.error else f"{job.state}: no reason was given"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
