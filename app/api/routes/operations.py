"""Whether this process lives, whether it can work, and what it measured."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import Request, Response

from app.api.dependencies import TheReadiness, TheServices
from app.api.documents import ready
from app.api.problems import problems
from app.api.readings import readings
from app.api.routes import router_of
from app.api.schemas.operations import LiveOut, ReadyOut
from app.observability.metrics import CONTENT_TYPE, exposition

router = router_of("operations")
_NOT_FOR_EVERYBODY = "Details are for those who may read."


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
async def readyz(readiness: TheReadiness, request: Request) -> Response:
    """Tell what was found at the database and the model store, at most a second ago.

    Missing workers are told, but forecasts do without them. `detail` is for those who may read.
    """
    checks = [asdict(check) for check in await readiness.checks()]
    if not await request.app.state.guard.may_read(request.scope):
        checks = [{**check, "detail": _NOT_FOR_EVERYBODY} for check in checks]
    is_fine = all(check["ok"] for check in checks)
    document = {"status": "ok" if is_fine else "unavailable", "checks": checks}
    headers = {"vary": "Authorization", **({} if is_fine else {"retry-after": "5"})}
    return Response(
        ready(document).body, status_code=200 if is_fine else 503, headers=headers, media_type="application/json"
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
    return Response(exposition(lambda: readings(services)), headers={"content-type": CONTENT_TYPE})
