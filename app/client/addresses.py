"""How a connection is made, by where it leads, and how its address is shown."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Any
from urllib.parse import urlsplit


def connection_to(url: str) -> dict[str, Any]:
    """Return how the HTTP library connects to ``url``: by the environment's proxies, if it is not this machine.

    Without TLS no certificates are loaded, which would take longer than to ask.
    """
    parts = urlsplit(url)
    # It has no certificates: whatever spoke TLS over it would be refused.
    plain = {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)} if parts.scheme == "http" else {}
    return {"trust_env": not _is_here(parts.hostname or ""), **plain}


def shown(url: str) -> str:
    """Return ``url`` without the user and password in it, however wrongly it is written."""
    before, at, after = url.rpartition("@")
    if not at:
        return url
    scheme, colon, _ = before.partition("://")
    return f"{scheme}{colon}***@{after}" if colon else f"***@{after}"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
