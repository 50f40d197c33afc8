"""``morrow train``: hand in an order, follow it, and say what came out."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NoReturn

from pydantic import ValidationError

from app.api.schemas.orders import TrainOne, TrainPool
from app.api.submission import submit_order
from app.api.training_orders import orders_of
from app.cli.console import describe_problem, err, give_up, out
from app.cli.environment import quiet_services
from app.cli.forecast_table import forecast_table
from app.cli.progress import JobBar
from app.domain.job import Job
from app.domain.order import TrainingOrder
from app.domain.pooled import PooledOrder
from app.domain.search import TuningOrder
from app.forecasting.answer import answer
from app.forecasting.services import Services
from app.jobs import fleet, queries
from app.jobs.leases import request_cancel
from app.worker.loop import run_worker

_LOOK_SECONDS = 0.25


def train(
    ticker: str | None,
    *,
    universe: str | None,
    preset: str,
    source: str | None,
    start: date | None,
    end: date | None,
    changes: Sequence[str],
) -> None:
    """Train as an order over HTTP would, under a progress bar; Ctrl-C cancels the job."""
    if (ticker is None) == (universe is None):
        give_up("give a TICKER, or --preset pooled with --universe A,B,C", code=2)
    named: dict[str, Any] = (
        {"ticker": ticker} if universe is None else {"universe": [name.strip() for name in universe.split(",")]}
    )
    body = _body(named, preset=preset, data=data_of(source, start, end), changes=changes)
    with quiet_services() as services:
        (order,) = orders_of(body, services=services)
        what = order.ticker or f"{len(named['universe'])} tickers"
        job = follow_to_end(hand_in(order, services, kind="train"), services, title=f"Training {what}")
        result = job.result or {}
        for made in result.get("versions", [result]):
            _show(made, services)


def hand_in(order: TrainingOrder | TuningOrder | PooledOrder, services: Services, *, kind: str) -> Job:
    """Queue the job of ``order``, or find the active one for the same work and say so."""
    with services.database.write() as tx:
        job, deduplicated = submit_order(tx, order, kind=kind, submitted_by="cli", services=services)
    if deduplicated:
        work = "search" if kind == "tune" else "order"
        err.print(f"The same {work} is {job.state} already as job {job.job_id}: following that one.")
    return job


def follow_to_end(job: Job, services: Services, *, title: str) -> Job:
    """See to it that somebody does the job, show how far it is, and return it once it has succeeded.

    Whatever else becomes of it ends the command; Ctrl-C cancels it.
    """
    with _some_worker(services, job.job_id), _terminable():
        job = _follow(job, services, title)
    if job.state != "succeeded":
        give_up(describe_problem(job.error or {"code": job.state, "detail": f"The job was {job.state}."}))
    return job


def data_of(source: str | None, start: date | None, end: date | None) -> dict[str, Any]:
    """Return the options that were given as an order's ``data``."""
    given = {"source": source, "start": start and start.isoformat(), "end": end and end.isoformat()}
    return {name: value for name, value in given.items() if value is not None}


def fields_of(changes: Sequence[str], *, option: str = "--set") -> dict[str, Any]:
    """Turn ``optimizer.learning_rate=0.01`` into nested objects; values are JSON, or else text."""
    spec: dict[str, Any] = {}
    for change in changes:
        path, sign, text = change.partition("=")
        if not sign or not path:
            give_up(f"{option} {change}: not of the form KEY=VALUE", code=2)
        *parents, name = path.split(".")
        part = spec
        for parent in parents:
            part = part.setdefault(parent, {})
        try:
            part[name] = json.loads(text)
        except ValueError as error:
            if text.startswith(("[", "{")):
                give_up(f"{option} {change}: the value is no JSON, {error}", code=2)
            part[name] = text
    return spec


def give_up_on(refusal: ValidationError) -> NoReturn:
    """Say in one line what of a body was refused."""
    give_up("; ".join(f"{'.'.join(map(str, e['loc']))}: {_in_words(e)}" for e in refusal.errors()), code=2)


def _in_words(error: Mapping[str, Any]) -> str:
    return "there is no such field" if error["type"] == "extra_forbidden" else str(error["msg"])


def _body(named: dict[str, Any], *, preset: str, data: dict[str, Any], changes: Sequence[str]) -> TrainOne | TrainPool:
    """Check the options by the same rules as a request body."""
    spec = fields_of(changes)
    body = {**named, "preset": preset, "data": data} | ({"spec": spec} if spec else {})
    schema = TrainPool if "universe" in named else TrainOne
    try:
        return schema.model_validate_json(json.dumps(body))
    except ValidationError as refusal:
        give_up_on(refusal)


@contextlib.contextmanager
def _some_worker(services: Services, job_id: str) -> Iterator[None]:
    """See to it that somebody does the job: with no worker alive, one in here that takes no other."""
    with services.database.read() as tx:
        alive = fleet.alive(tx, now=services.clock(), within_seconds=services.settings.lease_seconds)
    if alive:
        yield
        return
    err.print("No worker is running: training in here.")
    stop = threading.Event()
    worker_id = f"{socket.gethostname()}-cli-{secrets.token_hex(3)}"
    options = {"worker_id": worker_id, "stop": stop, "only": job_id}
    worker = threading.Thread(target=run_worker, args=(services,), kwargs=options)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: cancel the job and leave."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _follow(job: Job, services: Services, title: str) -> Job:
    """Show the job's progress until it is over."""
    with JobBar(title) as bar:
        try:
            while not job.is_over:
                time.sleep(_LOOK_SECONDS)
                with services.database.read() as tx:
                    job = queries.get(tx, job.job_id)
                bar.show(job.state, job.progress)
        except KeyboardInterrupt:
            with services.database.write() as tx:
                request_cancel(tx, job.job_id, now=services.clock())
            raise
    return job


def _show(made: Mapping[str, Any], services: Services) -> None:
    """Say what a version is worth and what it forecasts."""
    reasons = ", ".join(made["reasons"])
    verdict = "is champion now" if made["promoted"] else f"is not champion: {reasons or 'promotion was not asked for'}"
    out.print(f"Version {made['version']} of {made['ticker']} {verdict}.", markup=False, soft_wrap=True)
    with services.database.read() as tx:
        latest = answer(
            tx,
            made["ticker"],
            model=str(made["version"]),
            horizon=None,
            levels=[80.0, 95.0],
            now=services.clock(),
        )
    out.print(forecast_table(latest.document))
