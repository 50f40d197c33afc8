"""``morrow keys | audit``: who may use the API, and who changed what."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy.engine import make_url

from app.cli.console import err, give_up, out, table
from app.cli.services import quiet_services
from app.domain.access import AccessKey, Scope
from app.registry import audit, keys

BY = "cli"
"""Who is written down for what is done on the machine itself."""


def create(*, name: str, scope: str, days: int | None) -> None:
    """Make a key and print its token, alone on standard output."""
    if scope not in list(Scope):
        give_up(f"--scope {scope}: one of {', '.join(Scope)}", code=2)
    with quiet_services() as services, services.database.write() as tx:
        now = services.clock()
        expires_at = now + timedelta(days=days) if days else None
        key, token = keys.create(tx, name=name, scope=Scope(scope), expires_at=expires_at, by=BY, now=now)
        registry = make_url(services.settings.registry_url).render_as_string(hide_password=True)
    until = f" until {_minute(key.expires_at)}" if key.expires_at else ""
    words = f"Key {key.key_id} for {name}: {scope}{until}, in {registry}. It is shown this once:"
    err.print(words, markup=False, soft_wrap=True)
    out.print(token, markup=False, soft_wrap=True)


def list_keys() -> None:
    """List all keys, the oldest first."""
    with quiet_services(new=False) as services, services.database.read() as tx:
        found, now = keys.all_keys(tx), services.clock()
    if not found:
        err.print("No key yet. `morrow keys create --name me --scope admin` makes one.")
        return
    columns = ("id", "name", "scope", "state", "created", "expires", "last used")
    lines = [
        (
            key.key_id,
            key.name,
            key.scope,
            key.fault(now) or "valid",
            *(_minute(moment) for moment in (key.created_at, key.expires_at, key.last_used_at)),
        )
        for key in found
    ]
    out.print(table(*columns, rows=lines), markup=False)


def revoke(key_id: str) -> None:
    """Revoke a key."""
    with quiet_services(new=False) as services, services.database.write() as tx:
        key: AccessKey = keys.revoke(tx, key_id, by=BY, now=services.clock())
    out.print(f"{key.key_id} ({key.name}) opens nothing since {_minute(key.revoked_at)}.", markup=False, soft_wrap=True)


def audit_log(*, limit: int, as_json: bool) -> None:
    """Show the newest changes, the newest first."""
    with quiet_services(new=False) as services, services.database.read() as tx:
        entries = audit.newest(tx, limit=limit)
    if as_json:
        for entry in entries:
            out.print(json.dumps({**vars(entry), "at": entry.at.isoformat()}), markup=False, soft_wrap=True)
        return
    columns = ("when", "who", "what", "on what", "facts", "request")
    lines = [
        (_minute(entry.at), entry.who, entry.action, _subject(entry), _facts(entry), entry.request_id)
        for entry in entries
    ]
    out.print(table(*columns, rows=lines), markup=False)


def _subject(entry: audit.Entry) -> str:
    """Name a job as `morrow jobs` does."""
    return entry.subject[:12] if entry.action == audit.JOB_CANCELLED else entry.subject


def _facts(entry: audit.Entry) -> str:
    facts = {
        name: _minute(datetime.fromisoformat(value)) if value and name.endswith("_at") else value
        for name, value in entry.facts.items()
    }
    return ", ".join(f"{name}={value}" for name, value in facts.items() if value not in (None, ""))


def _minute(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M}Z" if moment else None
