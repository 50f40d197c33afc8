"""The keys in memory, at most a second older than the registry's, asked at every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from contextvars import Context
from hashlib import sha256
from pathlib import Path
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool

from app.domain.access import ANONYMOUS, AccessKey, Caller, Scope, parts_of, sha256_of
from app.errors import AppError, StoreUnavailable, Unauthorized
from app.forecasting.services import Services
from app.registry import keys

LOOK_SECONDS = 0.5
"""So old may be what is known before somebody looks, behind the back of who asks."""
STALE_SECONDS = 1.0
"""So old it may be before who asks waits for the look."""
NEW_KEY_SECONDS = 0.25
"""So long lies between two looks for keys that are not known, however many of them are made up."""
_PATIENCE_SECONDS = 1.0  # for a registry that does not answer
_FIRST_PATIENCE_SECONDS = 5.0  # until then nothing is known that could be answered by, and a start is busy
_SHORTEST_KEY = 32
_MET_AT_ONCE = 10_000
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="morrow"'}
_LOG = structlog.get_logger(__name__)

OPEN = Caller(name=ANONYMOUS, scope=Scope.ADMIN)
"""Who asks a service that has no keys."""


class Keyring:
    """Tells who asks by what they send; used by the event loop's thread alone.

    Keys are needed where one was ever made, where there are ``file_keys``, and where ``is_exposed`` says that others
    than this machine can ask. A registry that is away leaves what is known as it is.
    """

    def __init__(self, services: Services, *, file_keys: Sequence[AccessKey], is_exposed: bool) -> None:
        self._services = services
        self._file_keys = tuple(file_keys)
        self._is_exposed = is_exposed
        self._keys: dict[str, AccessKey] = {}
        self._met: dict[bytes, Caller] = {}  # by the hash of what they send
        self._revision: int | None = None
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._next_look: asyncio.Task[None] | None = None  # one for keys that are not known, not yet begun
        self._looked_for_new_at = float("-inf")
        self._is_away = False
        self._noted_until: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def is_fresh(self) -> bool:
        """Whether nobody has to wait; has somebody look when that is soon over."""
        age = time.monotonic() - self._looked_at
        if age >= LOOK_SECONDS:
            self._start_look()
        return age < STALE_SECONDS

    async def freshen(self, authorization: bytes | None) -> None:
        """Wait until what is known is fresh, or a moment when the registry does not answer.

        For a key that is not known then the registry is looked at once more: it may just have been made.
        """
        if not self.is_fresh() and self._looking:
            patience = _FIRST_PATIENCE_SECONDS if self._revision is None else _PATIENCE_SECONDS
            _, late = await asyncio.wait({self._looking}, timeout=patience)
            if late:  # nobody else waits for this one: what is known holds until it comes back
                self._looked_at = time.monotonic()
        if self._may_be_new(authorization):
            # Who comes before it begins shares it; from then on a key may have been made that it does not see.
            self._next_look = self._next_look or self._spawn(self._look_for_new())
            await asyncio.wait({self._next_look}, timeout=_PATIENCE_SECONDS)

    def caller(self, authorization: bytes | None) -> Caller:
        """Return who sends this header.

        Raises:
            Unauthorized: no key that is valid now; ``reason`` says why.
            StoreUnavailable: the registry has not answered since the start; try again later.
        """
        if self._is_open():
            return OPEN
        if self._revision is None and authorization is None:
            raise StoreUnavailable("The registry has not been read yet, so nobody knows whether a key is needed.")
        # By its hash, which nobody can steer: how long the look-up takes says nothing about any secret.
        sent = sha256(authorization or b"").digest()
        caller = self._met.get(sent) or self._meet(authorization, sent)
        key = caller.key
        assert key  # noqa: S101 - only who has one is met
        if fault := key.fault(self._services.clock()) if key.expires_at or key.revoked_at else None:
            raise _refusal(fault, f"The key {key.key_id} is {fault}.", key_id=key.key_id)
        self._note_use(key)
        return caller

    def is_still_valid(self, caller: Caller) -> bool:
        """Whether who was let in would be let in again."""
        if caller.key is None:
            return self._revision in (None, 0)
        known = caller.key if caller.key in self._file_keys else self._keys.get(caller.key.key_id)
        return known is not None and known.fault(self._services.clock()) is None

    def _meet(self, authorization: bytes | None, sent: bytes) -> Caller:
        key = self._key_of(_token_in(authorization))
        if len(self._met) >= _MET_AT_ONCE:
            self._met.clear()
        self._met[sent] = caller = Caller(name=f"{key.name} ({key.key_id})", scope=key.scope, key=key)
        return caller

    def _key_of(self, token: str) -> AccessKey:
        for key in self._file_keys:
            if key.is_of(token):
                return key
        if self._revision is None:
            raise StoreUnavailable("The registry has not been read yet, so no key is known.")
        parts = parts_of(token)
        known = self._keys.get(parts[0]) if parts else None
        if parts is None or known is None or not known.is_of(parts[1]):
            raise _refusal("unknown", "This key is none of this service's.")
        return known

    def _is_open(self) -> bool:
        return self._revision == 0 and not self._is_exposed and not self._file_keys

    def _may_be_new(self, authorization: bytes | None) -> bool:
        """Whether this names a key, as the registry makes them, that is not known."""
        if authorization is None or self._is_open() or self._is_away:
            return False
        token = authorization.decode("latin-1").partition(" ")[2].strip()
        parts = parts_of(token)
        return parts is not None and parts[0] not in self._keys and not any(key.is_of(token) for key in self._file_keys)

    async def _look_for_new(self) -> None:
        await asyncio.sleep(self._looked_for_new_at + NEW_KEY_SECONDS - time.monotonic())
        if self._looking:  # it may have begun before the key was made
            await asyncio.wait({self._looking})
        self._next_look, self._looked_for_new_at = None, time.monotonic()
        self._start_look()
        if self._looking:
            await self._looking

    def _start_look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = self._spawn(self._look())

    async def _look(self) -> None:
        try:
            found = await run_in_threadpool(self._read, self._revision)
        except AppError as error:
            if not self._is_away:
                _LOG.warning("keys_cannot_be_read", **error.to_problem())
            self._is_away = True
        except Exception:
            # What cannot be understood lets nobody in: a key that was revoked may be among them.
            _LOG.exception("keys_cannot_be_understood")
            self._revision, self._keys, self._met = None, {}, {}
        else:
            self._is_away = False
            if found:
                self._revision, self._keys = found
                self._met = {}
        self._looked_at = time.monotonic()

    def _read(self, known: int | None) -> tuple[int, dict[str, AccessKey]] | None:
        """Return the keys and their revision, ``None`` when it is the ``known`` one."""
        with self._services.database.read() as tx:
            revision = keys.revision(tx)
            if revision == known:
                return None
            return revision, {key.key_id: key for key in keys.all_keys(tx)}

    def _note_use(self, key: AccessKey) -> None:
        now = time.monotonic()
        if now >= self._noted_until.get(key.key_id, 0.0):
            self._noted_until[key.key_id] = now + keys.NOTED_AGAIN_AFTER.total_seconds()
            if key not in self._file_keys:
                self._spawn(self._write_use([key.key_id]))

    async def _write_use(self, key_ids: Iterable[str]) -> None:
        try:
            await run_in_threadpool(self._write, key_ids)
        except AppError as error:
            _LOG.debug("use_of_key_not_noted", **error.to_problem())

    def _write(self, key_ids: Iterable[str]) -> None:
        with self._services.database.write() as tx:
            keys.note_use(tx, key_ids, now=self._services.clock())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In a context of its own: it outlives the request that it begins with.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def file_keys(services: Services) -> list[AccessKey]:
    """Return the keys that files hold, by the settings.

    Raises:
        StoreUnavailable: one cannot be read, is too short to be a secret, or is in both files; mend it.
    """
    settings = services.settings
    named = {
        "admin": (settings.admin_key_file, Scope.ADMIN),
        "metrics": (settings.metrics_key_file, Scope.READ),
    }
    found = [_key_in(file, name, scope, services) for name, (file, scope) in named.items() if file]
    if len({key.secret_sha256 for key in found}) < len(found):
        both = " and ".join(_variable(name) for name in named)
        raise StoreUnavailable(f"{both} hold the same key: whoever scrapes would be an admin. Make another for one.")
    return found


def _key_in(file: Path, name: str, scope: Scope, services: Services) -> AccessKey:
    variable = _variable(name)
    try:
        secret = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        # Without its name, also in what caused this: it may be the key itself, by mistake.
        raise StoreUnavailable(f"{variable}: the file that it names cannot be read: {why}.") from None
    if len(secret) < _SHORTEST_KEY or not secret.isascii() or not secret.isprintable() or " " in secret:
        need = f"{_SHORTEST_KEY} or more printable ASCII characters without spaces"
        raise StoreUnavailable(f"{variable}: {file} has to hold {need}; try: openssl rand -hex 32")
    return AccessKey(
        key_id=f"{name} file",
        name=f"{name} key file",
        scope=scope,
        secret_sha256=sha256_of(secret),
        created_at=services.clock(),
        created_by="file",
    )


def _variable(name: str) -> str:
    return f"MORROW_{name.upper()}_KEY_FILE"


def _token_in(authorization: bytes | None) -> str:
    if authorization is None:
        raise _refusal("missing", "Send a key: Authorization: Bearer mrw_...")
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _refusal("malformed", "Send the key as Authorization: Bearer mrw_...")
    return token.strip()


def _refusal(reason: str, detail: str, **facts: Any) -> Unauthorized:
    return Unauthorized(detail, reason=reason, headers=dict(CHALLENGE), **facts)
