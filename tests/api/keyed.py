"""Services with keys, and what their owners send."""

from __future__ import annotations

from datetime import datetime

from app.domain.access import Scope
from app.forecasting.services import Services
from app.registry import keys


def make_key(services: Services, scope: Scope = Scope.READ, *, expires_at: datetime | None = None) -> tuple[str, dict]:
    """Make a key; return its id and the headers to send."""
    with services.database.write() as tx:
        key, token = keys.create(
            tx, name=f"my {scope}", scope=scope, expires_at=expires_at, by="test", now=services.clock()
        )
    return key.key_id, bearer(token)


def revoke_key(services: Services, key_id: str) -> None:
    """Revoke a key as the command line does, behind the API's back."""
    with services.database.write() as tx:
        keys.revoke(tx, key_id, by="test", now=services.clock())


def bearer(token: str) -> dict:
    """Return the header for a token."""
    return {"Authorization": f"Bearer {token}"}
