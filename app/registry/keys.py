"""The keys of the API: made, listed, revoked, and a revision that grows with each such change."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select, update

from app.db.tables import api_keys, counters
from app.db.upsert import insert
from app.domain.access import AccessKey, Scope, sha256_of, token_of
from app.errors import BadRequest, Missing
from app.registry import audit

NOTED_AGAIN_AFTER = timedelta(minutes=1)
"""How long a key may be used on until that is written down again."""
_REVISION = "keys"
_ID_LETTERS = string.ascii_lowercase + string.digits
_LONGEST_NAME = 64


class NoSuchKey(Missing):
    """No key has this id."""

    title = "No such key"


class InvalidKey(BadRequest):
    """A key cannot be made like this."""

    title = "Invalid key"


def create(
    tx: Connection, *, name: str, scope: Scope, expires_at: datetime | None = None, by: str, now: datetime
) -> tuple[AccessKey, str]:
    """Make a key and return it with its token, which nobody can read again.

    Raises:
        InvalidKey: the name is empty, too long or not printable, or the key would be over already; change that.
    """
    if not (0 < len(name) <= _LONGEST_NAME and name.isprintable()):
        raise InvalidKey(f"A key's name has 1 to {_LONGEST_NAME} printable characters.", have=len(name))
    if expires_at is not None and expires_at <= now:
        raise InvalidKey("A key has to expire later than now.")
    secret = secrets.token_urlsafe(32)
    key = AccessKey(
        key_id="".join(secrets.choice(_ID_LETTERS) for _ in range(8)),
        name=name,
        scope=scope,
        secret_sha256=sha256_of(secret),
        created_at=now,
        created_by=by,
        expires_at=expires_at,
    )
    tx.execute(api_keys.insert().values({**vars(key), "scope": scope.value}))
    facts = {"name": name, "scope": scope.value, "expires_at": expires_at.isoformat() if expires_at else None}
    audit.record(tx, who=by, action=audit.KEY_CREATED, subject=key.key_id, facts=facts, now=now)
    _next_revision(tx)
    return key, token_of(key.key_id, secret)


def revoke(tx: Connection, key_id: str, *, by: str, now: datetime) -> AccessKey:
    """Let a key open nothing from now on; one that was revoked stays as it was.

    Raises:
        NoSuchKey: there is none; list them.
    """
    found = get(tx, key_id)
    if found.revoked_at is None:
        tx.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(revoked_at=now))
        audit.record(tx, who=by, action=audit.KEY_REVOKED, subject=key_id, facts={"name": found.name}, now=now)
        _next_revision(tx)
    return get(tx, key_id)


def get(tx: Connection, key_id: str) -> AccessKey:
    """Return one key.

    Raises:
        NoSuchKey: there is none; list them.
    """
    row = tx.execute(select(api_keys).where(api_keys.c.key_id == key_id)).mappings().one_or_none()
    if row is None:
        raise NoSuchKey(f"No key has the id {key_id!r}.", key_id=key_id)
    return AccessKey(**{**row, "scope": Scope(row["scope"])})


def all_keys(tx: Connection) -> list[AccessKey]:
    """Return every key there ever was, the oldest first."""
    rows = tx.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id)).mappings()
    return [AccessKey(**{**row, "scope": Scope(row["scope"])}) for row in rows]


def is_any(tx: Connection) -> bool:
    """Whether there ever was a key."""
    return tx.execute(select(api_keys.c.key_id).limit(1)).one_or_none() is not None


def revision(tx: Connection) -> int:
    """Return a number that grows with every key that is made or revoked, 0 before the first."""
    return tx.execute(select(counters.c.value).where(counters.c.name == _REVISION)).scalar_one_or_none() or 0


def note_use(tx: Connection, key_ids: Iterable[str], *, now: datetime) -> None:
    """Write down that keys were used, of each at most once a minute, whoever else does."""
    long_ago = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= now - NOTED_AGAIN_AFTER)
    used = update(api_keys).where(api_keys.c.key_id.in_(sorted(key_ids)), long_ago)
    tx.execute(used.values(last_used_at=now))


def _next_revision(tx: Connection) -> None:
    first = insert(tx, counters).values(name=_REVISION, value=1)
    drawn = first.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    tx.execute(drawn)
