"""How a connection is made, by where it leads."""

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


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
