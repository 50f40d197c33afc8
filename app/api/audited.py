"""Changes that are written down with who made them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from fastapi import Request
from sqlalchemy import Connection

from app.api.dependencies import caller_of
from app.forecasting.services import Services
from app.registry import audit

_LOG = structlog.get_logger(__name__)


@contextmanager
def audited(
    request: Request, services: Services, action: str, subject: str
) -> Iterator[tuple[Connection, dict[str, Any]]]:
    """Open a transaction for a change, and the facts that are to be written down of it, in that transaction."""
    facts: dict[str, Any] = {}
    with services.database.write() as tx:
        yield tx, facts
        record(tx, request, services, action, subject, facts)
    tell(request, action, subject, facts)


def record(
    tx: Connection, request: Request, services: Services, action: str, subject: str, facts: dict[str, Any]
) -> None:
    """Write down in ``tx`` that who asks made a change."""
    request_id, now = request.state.request_id, services.clock()
    who = caller_of(request).name
    audit.record(tx, who=who, action=action, subject=subject, facts=facts, request_id=request_id, now=now)


def tell(request: Request, action: str, subject: str, facts: dict[str, Any]) -> None:
    """Tell the log of a change that stands."""
    _LOG.info("audit", who=caller_of(request).name, action=action, subject=subject, facts=facts)
