"""Who is on this machine: a service without keys answers nobody else, whatever a proxy or a browser brings."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

Headers = Iterable[tuple[bytes, bytes]]

_BY_A_PROXY = frozenset({b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"cf-connecting-ip", b"true-client-ip"})
_FORWARDED = b"x-forwarded-"  # -for, -host, -port, -proto, -server and what else there may be
_OURS = frozenset({b"same-origin", b"none"})  # none: whoever uses the browser asks, and no page
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_near(method: str, headers: Headers, *, origins: Iterable[str]) -> bool:
    """Whether a request to a service on this machine comes from it, as far as the request says.

    Not what a proxy says that it passes on, though one that says nothing cannot be told from a program of this machine;
    not what is asked by a name that somebody's DNS may have led here; not what a page of another origin than
    ``origins`` makes a browser send, unless it only reads, which no such page is shown.
    """
    told = {b"sec-fetch-site": b"", b"origin": b"", b"host": b""}
    for name, value in headers:
        if name in _BY_A_PROXY or name.startswith(_FORWARDED) or (name == b"host" and not _is_our_name(value)):
            return False
        if name in told:
            told[name] = value
    return method in _READS or not _is_foreign(*told.values()) or told[b"origin"].decode("latin-1") in origins


def _is_foreign(site: bytes, origin: bytes, host: bytes) -> bool:
    """Whether a page of another origin sends this: browsers say so, old ones only by the page's own name."""
    return site not in _OURS if site else bool(origin) and origin.partition(b"://")[2] != host


@lru_cache(maxsize=256)
def _is_our_name(host: bytes) -> bool:
    """Whether the name can only be meant for this machine: an address, or one without a dot."""
    name = host.decode("latin-1").rsplit("@")[-1]
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if "." not in name:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
