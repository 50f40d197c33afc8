"""What each request needs a key for: one table, read by the guard and by the documentation."""

from __future__ import annotations

import re

from app.domain.access import Scope

_PUBLIC = re.compile(r"/|/livez|/readyz|/openapi\.json|/docs|/docs/[^/]*|/page/[^/]*")
_READING_POSTS = frozenset({"/v1/forecasts"})  # it computes, and keeps nothing
_TRAINING_POSTS = re.compile(r"/v1/(train|tune|backtest|refresh|tickers/[^/]+/bars|jobs/[^/]+/cancel)")


def scope_needed(method: str, path: str) -> Scope | None:
    """Return what a request needs, ``None`` when everybody may send it; whatever is not listed is for admins.

    ``path`` is that of the request, or the template of a route: both lead to the same.
    """
    if method == "OPTIONS":  # a browser's question before it asks, or a refusal
        return None
    if method in ("GET", "HEAD"):
        return None if _PUBLIC.fullmatch(path) else Scope.READ
    if method == "POST" and path in _READING_POSTS:
        return Scope.READ
    if method == "POST" and _TRAINING_POSTS.fullmatch(path):
        return Scope.TRAIN
    return Scope.ADMIN
