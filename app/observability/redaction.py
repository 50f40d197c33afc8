"""Secrets leave a log line before it is written: by the name they go under, and inside URLs."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

HIDDEN = "***"

_SECRET_NAME = re.compile(r"passw(or)?d|passphrase|token|secret|api[-_]?key|authorization|cookie|credential", re.I)
# scheme://user:password@host: everything before the last @ of the authority goes.
_URL_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/?#\s'\"]+@", re.I)
_QUERY_SECRET = re.compile(r"(?P<name>[?&](?:passw(?:or)?d|token|secret|api[-_]?key|crumb)=)[^&#\s'\"]+", re.I)
_BEARER = re.compile(r"(?P<scheme>\bBearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.I)

# A key's token, wherever it stands; whose it is may be told.
_TOKEN = re.compile(r"\b(?P<key>mrw_[0-9a-z]{8}_)[A-Za-z0-9_-]+")


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the log line without secrets, as a structlog processor; nested values are searched too."""
    return {name: _clean(name, value) for name, value in event.items()}


def without_credentials(text: str) -> str:
    """Return ``text`` with credentials in URLs, query strings and bearer headers, and tokens, blotted out."""
    text = _URL_CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _QUERY_SECRET.sub(rf"\g<name>{HIDDEN}", text)
    text = _TOKEN.sub(rf"\g<key>{HIDDEN}", text)
    return _BEARER.sub(rf"\g<scheme>{HIDDEN}", text)


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name) and value is not None:
        return HIDDEN
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(name, inner) for inner in value]
    if value is None or isinstance(value, int | float):
        return value
    # Whatever else there is would be written as its text: an exception, a path, a URL object.
    return without_credentials(str(value))
