"""Who may do what: scopes, keys, and the token that a key is shown as once."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

ANONYMOUS = "anonymous"
TOKEN_PREFIX = "mrw_"  # noqa: S105  # by which people and scanners know a token
_TOKEN = re.compile(r"mrw_(?P<key_id>[0-9a-z]{8})_(?P<secret>[A-Za-z0-9_-]{43})", re.ASCII)


class Scope(StrEnum):
    """What a key is good for; each includes those before it."""

    READ = "read"
    TRAIN = "train"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Whether who has this scope may do what ``other`` allows."""
        return _RANK[self] >= _RANK[other]


_RANK = {scope: rank for rank, scope in enumerate(Scope)}


@dataclass(frozen=True, kw_only=True)
class AccessKey:
    """A key as it is kept: of its secret the SHA-256 alone, in hexadecimal digits."""

    key_id: str
    name: str
    scope: Scope
    secret_sha256: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def fault(self, now: datetime) -> str | None:
        """Return why the key opens nothing: ``revoked`` or ``expired``; ``None`` when it does."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else None

    def is_of(self, secret: str) -> bool:
        """Whether ``secret`` is this key's, told in the same time whatever it is."""
        return hmac.compare_digest(sha256_of(secret), self.secret_sha256)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks: ``name`` is what is written down of them, ``key`` is ``None`` where no key is asked for."""

    name: str
    scope: Scope
    key: AccessKey | None = None


def token_of(key_id: str, secret: str) -> str:
    """Return what the owner of a key sends."""
    return f"{TOKEN_PREFIX}{key_id}_{secret}"


def parts_of(token: str) -> tuple[str, str] | None:
    """Return a token's key id and secret; ``None`` when it is none."""
    found = _TOKEN.fullmatch(token)
    return (found["key_id"], found["secret"]) if found else None


def sha256_of(secret: str) -> str:
    """Return what is kept of a secret; 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
