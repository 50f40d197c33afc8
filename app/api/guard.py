"""Who may ask what, and how often: checked before anything else of a request is looked at."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address, ip_network

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.keyring import CHALLENGE, OPEN, Keyring
from app.api.limiter import Limiter
from app.api.nearness import is_near
from app.api.problems import refuse
from app.api.scopes import scope_needed
from app.domain.access import Caller
from app.domain.access import Scope as KeyScope
from app.errors import AppError, ScopeTooSmall, Unauthorized
from app.observability.metrics import AUTH_FAILURES

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_UNKNOWN = "unknown"
_LOG = structlog.get_logger(__name__)


class Guard:
    """Lets callers in by their key, as often as they may."""

    def __init__(self, keyring: Keyring, limiter: Limiter, *, origins: Collection[str] = ()) -> None:
        self.keyring = keyring
        self._limiter = limiter
        self._origins = origins

    def reader_at_once(self, authorization: bytes | None, scope: Scope) -> Caller | None:
        """Return who asks to read, ``None`` when that takes a wait or ends in a refusal."""
        if not self.keyring.is_fresh():
            return None
        try:
            return self._caller(authorization, scope)
        except AppError:
            return None

    async def counts_read(self, caller: Caller, scope: Scope) -> bool:
        """Count a request to read; whether it may be answered."""
        return await self._limiter.admits(owner_of(caller, scope), is_write=False)

    async def may_read(self, scope: Scope) -> bool:
        """Whether who asks may read; nobody is refused here, but a key that is none is counted, then noted."""
        authorization = _authorization(scope)
        await self.keyring.freshen(authorization)
        try:
            self._caller(authorization, scope)
        except Unauthorized as refusal:
            # Else a stranger could fill the log with keys that he makes up.
            if authorization is not None and await self._limiter.admits(owner_of(OPEN, scope), is_write=False):
                _note(refusal.facts["reason"], scope, key_id=refusal.facts.get("key_id"))
            return False
        except AppError:
            return False
        return True

    async def admit(self, scope: Scope, needed: KeyScope) -> Caller:
        """Return who asks for what takes ``needed``.

        Raises:
            Unauthorized: no valid key; send one.
            ScopeTooSmall: the key is not for this (``have``, ``need``); use another.
            TooManyRequests: ask again later.
            StoreUnavailable: no key is known yet; try again later.
        """
        authorization = _authorization(scope)
        await self.keyring.freshen(authorization)
        try:
            caller = self._caller(authorization, scope)
        except Unauthorized as refusal:
            await self._count(OPEN, scope)
            _note(refusal.facts["reason"], scope, key_id=refusal.facts.get("key_id"))
            raise
        await self._count(caller, scope)
        if not caller.scope.includes(needed):
            _note("scope", scope, key_id=caller.key.key_id if caller.key else None)
            detail = f"This key's scope is {caller.scope}; this needs {needed}."
            raise ScopeTooSmall(detail, have=str(caller.scope), need=str(needed))
        return caller

    def _caller(self, authorization: bytes | None, scope: Scope) -> Caller:
        caller = self.keyring.caller(authorization)
        if caller is OPEN and not is_near(scope["method"], scope["headers"], origins=self._origins):
            detail = "This service has no keys, so it answers its own machine alone. To let others in, make a key."
            raise Unauthorized(detail, reason="not_near", headers=dict(CHALLENGE))
        return caller

    async def _count(self, caller: Caller, scope: Scope) -> None:
        who, is_write = owner_of(caller, scope), scope["method"] not in _READS
        if not await self._limiter.admits(who, is_write=is_write):
            raise await self._limiter.refusal(who, is_write=is_write)


class GuardMiddleware:
    """Refuses whom ``guard`` does not admit, and tells the routes who asks; plain ASGI.

    What is not for everybody says that it depends on the key.
    """

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller, needed = OPEN, scope_needed(scope["method"], scope["path"].removeprefix(scope.get("root_path", "")))
        if needed is not None:
            send = _by_key(send)
            try:
                caller = await self._guard.admit(scope, needed)
            except AppError as error:
                await refuse(Request(scope), error)(scope, receive, send)
                return
        scope["state"]["caller"] = caller
        await self._app(scope, receive, send)


def owner_of(caller: Caller, scope: Scope) -> str:
    """Return whose requests and streams are counted together: those of a key, else those of an address."""
    if caller.key:
        return caller.key.key_id
    client = scope.get("client")
    return _neighbourhood(client[0]) if client else _UNKNOWN


@lru_cache(maxsize=1024)
def _neighbourhood(address: str) -> str:
    """Return the address, of IPv6 the network that one customer has: within it addresses are free to choose.

    What is none, as a proxy that is believed may forward, is free to choose as well, and as long as one likes.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return _UNKNOWN
    return address if found.version == 4 else str(found.ipv4_mapped or ip_network((found, 64), strict=False))


def _by_key(send: Send) -> Send:
    """Return ``send`` for an answer that the key decides: caches must not give it to who sends another, or none."""

    async def send_by_key(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).add_vary_header("Authorization")
        await send(message)

    return send_by_key


def _authorization(scope: Scope) -> bytes | None:
    """Return the header; several are none that can be read."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    return found[0] if len(found) == 1 else (b"" if found else None)


def _note(reason: str, scope: Scope, *, key_id: str | None) -> None:
    """Count and log a failure, without what was sent."""
    AUTH_FAILURES.labels(reason).inc()
    address = scope["client"][0] if scope.get("client") else None
    _LOG.warning(
        "access_denied", reason=reason, key_id=key_id, address=address, method=scope["method"], path=scope["path"]
    )
