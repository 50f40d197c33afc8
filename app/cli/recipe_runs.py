"""Every recipe trained over HTTP on a service of its own: orders in, figures out."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from app.cli.client import ApiClient
from app.domain.presets import PRESETS, Preset

FIRST_SEED = 7
_READY_SECONDS = 120.0
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 60.0
_SEARCH, _TRAIN = "/v1/tune", "/v1/train"

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
def service(data: Path, *, workers: int) -> Iterator[ApiClient]:
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
            client = ApiClient(f"http://127.0.0.1:{port}")
            if not client.wait_until_ready(seconds=_READY_SECONDS, give_up=lambda: process.poll() is not None):
                raise ConnectionError("the service did not get ready")
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


def run_all(client: ApiClient, presets: Sequence[Preset], *, seeds: int, tell: Tell) -> list[Run]:
    """Train every preset with ``seeds`` seeds each; searches go first, and their winner is what is trained."""
    searches = {p.name: client.post(_SEARCH, {**_order(p), "timeout_seconds": 7200}) for p in presets if p.search}
    waiting = [
        (preset, seed, client.post(_TRAIN, _order(preset, seed)))
        for preset in presets
        if preset.name not in searches
        for seed in _seeds(seeds)
    ]
    runs: list[Run] = []
    for preset in presets:
        if preset.name in searches:
            waiting += _winner(client, preset, searches[preset.name], seeds=seeds, runs=runs, tell=tell)
    for preset, seed, job in waiting:
        done = _wait(client, job)
        spent = searches[preset.name]["result"]["seconds"] if preset.name in searches else None
        runs.append(_run(client, preset, seed, done, search_seconds=spent))
        tell(f"{preset.name} seed {seed}: {done['state']}, {runs[-1].seconds:.0f} s")
    order = [preset.name for preset in presets]
    return sorted(runs, key=lambda run: (order.index(run.preset), run.seed))


def _winner(
    client: ApiClient, preset: Preset, search: dict[str, Any], *, seeds: int, runs: list[Run], tell: Tell
) -> list[tuple[Preset, int, dict[str, Any]]]:
    """Wait for a search and hand in its winner; ``search`` becomes the finished job."""
    search.update(_wait(client, search))
    tell(f"{preset.name} search: {search['state']}, {_seconds(search):.0f} s")
    if search["state"] != "succeeded":
        runs.append(Run(preset=preset.name, seed=FIRST_SEED, seconds=_seconds(search), error=_why(search)))
        return []
    body = search["result"]["train"]
    jobs = [(seed, {**body, "spec": {**body["spec"], "seed": seed}}) for seed in _seeds(seeds)]
    return [(preset, seed, client.post(_TRAIN, order)) for seed, order in jobs]


def _run(client: ApiClient, preset: Preset, seed: int, job: dict[str, Any], *, search_seconds: float | None) -> Run:
    """Fetch the figures and the forecast of a finished training."""
    run = Run(preset=preset.name, seed=seed, seconds=_seconds(job), search_seconds=search_seconds)
    if job["state"] != "succeeded":
        return replace(run, error=_why(job))
    version = job["result"]["version"]
    ticker = quote(str(preset.ticker), safe="")
    card = client.get(f"/v1/models/{ticker}/versions/{version}/scorecard")
    horizon = preset.spec.get("horizon", 1)
    forecast = client.get(f"/v1/forecasts/{ticker}?model={version}&horizon={horizon}")
    return replace(run, contestants=card["contestants"], forecast=forecast)


def _order(preset: Preset, seed: int = FIRST_SEED) -> dict[str, Any]:
    return {"ticker": preset.ticker, "preset": preset.name, "spec": {"seed": seed}, "promote": "never"}


def _seeds(count: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + count)


def _wait(client: ApiClient, job: dict[str, Any]) -> dict[str, Any]:
    while job["state"] in {"queued", "running"}:
        time.sleep(_LOOK_SECONDS)
        job = client.get(job["links"]["self"])
    return job


def _seconds(job: Mapping[str, Any]) -> float:
    """Seconds of the job's last attempt, as the service noted them."""
    from_, to = (job[name] for name in ("started_at", "finished_at"))
    return (datetime.fromisoformat(to) - datetime.fromisoformat(from_)).total_seconds() if from_ and to else 0.0


def _why(job: Mapping[str, Any]) -> str:
    error = job["error"] or {"code": job["state"], "detail": "no reason was given"}
    return f"{error['code']}: {error['detail']}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
