"""Whether this process lives, whether it can work, and what it measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import Response

from app.api.dependencies import TheServices
from app.api.documents import ready
from app.api.problems import problems
from app.api.routes import router_of
from app.api.schemas.operations import LiveOut, ReadyOut
from app.db.engine import sqlite_notice
from app.errors import AppError
from app.forecasting.services import Services
from app.jobs.fleet import alive
from app.jobs.queries import queue_stats
from app.observability.metrics import CONTENT_TYPE, Reading, exposition
from app.registry import aliases, editions, versions

router = router_of("operations")
WORKER_SILENT_SECONDS = 60.0


@router.get("/livez", response_model=LiveOut, responses=problems(), summary="Is the process alive?")
async def livez() -> dict[str, str]:
    """Answer; nothing else is looked at."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    response_model=ReadyOut,
    responses={**problems(), 503: {"model": ReadyOut, "description": "A check failed."}},
    summary="Can requests be served?",
)
def readyz(services: TheServices) -> Response:
    """Look at the database and the model store; missing workers are told, but forecasts do without them."""
    checks = [_check(name, look, services) for name, look in _CHECKS.items()]
    fine = all(check["ok"] for check in checks)
    document = {"status": "ok" if fine else "unavailable", "checks": checks}
    headers = {} if fine else {"retry-after": "5"}
    return Response(
        ready(document).body, status_code=200 if fine else 503, headers=headers, media_type="application/json"
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(),
    },
    summary="Measurements, for Prometheus",
)
def metrics(services: TheServices) -> Response:
    """Show this process's measurements, and what the registry says of jobs and versions."""
    return Response(exposition(lambda: _readings(services)), headers={"content-type": CONTENT_TYPE})


def _check(name: str, look: Callable[[Services], str], services: Services) -> dict[str, Any]:
    try:
        return {"name": name, "ok": True, "detail": look(services)}
    except AppError as error:
        return {"name": name, "ok": False, "detail": error.detail}


def _database(services: Services) -> str:
    if not services.database.revision_ok():
        raise AppError("The schema is not this program's; start it again to upgrade, or use a newer one.")
    notice = sqlite_notice() if services.database.dialect == "sqlite" else None
    return f"{services.database.dialect}, schema up to date." + (f" {notice}" if notice else "")


def _models_store(services: Services) -> str:
    services.artifacts.check_writable()
    return "Writable."


def _workers(services: Services) -> str:
    with services.database.read() as tx:
        count = len(alive(tx, now=services.clock(), within_seconds=WORKER_SILENT_SECONDS))
    return f"{count} alive." if count else "None alive: jobs wait until one starts."


_CHECKS: dict[str, Callable[[Services], str]] = {
    "database": _database,
    "models_store": _models_store,
    "workers": _workers,
}


def _readings(services: Services) -> Iterator[Reading]:
    """Read what only the registry knows."""
    now = services.clock()
    with services.database.read() as tx:
        stats = queue_stats(tx, now)
        oldest = stats.pop("oldest_queued_seconds")
        workers = len(alive(tx, now=now, within_seconds=WORKER_SILENT_SECONDS))
        champions = aliases.count(tx, "champion")
        count, edition = versions.count(tx), editions.current(tx)
    yield from (Reading(name="morrow_jobs", value=value, labels={"state": state}) for state, value in stats.items())
    yield Reading(name="morrow_jobs_oldest_queued_seconds", value=oldest)
    yield Reading(name="morrow_workers_alive", value=workers)
    yield Reading(name="morrow_model_versions", value=count)
    yield Reading(name="morrow_champions", value=champions)
    yield Reading(name="morrow_edition", value=edition)
