"""Which of two representations a client prefers: JSON or CSV."""

from __future__ import annotations

from functools import lru_cache

from starlette.types import Scope

CSV = "text/csv"
_JSON = "application/json"
_HEADERS_KEPT = 256


def accept_of(scope: Scope) -> bytes | None:
    """Return the request's ``Accept``, several of them as one."""
    fields = [value for name, value in scope["headers"] if name == b"accept"]
    return b",".join(fields) if fields else None


@lru_cache(maxsize=_HEADERS_KEPT)  # clients are of few kinds, and a poll should not pay for its header each time
def prefers_csv(accept: bytes | None) -> bool:
    """Whether an ``Accept`` rates CSV above JSON; of equals, what is named exactly, then JSON."""
    if accept is None:
        return False
    ranges = [_range(part) for part in accept.decode("latin-1").split(",")]
    return _rating(ranges, CSV) > _rating(ranges, _JSON)


def _range(part: str) -> tuple[str, float]:
    """Return a media range and its weight; what cannot be read weighs nothing."""
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
    try:
        return media, min(max(float(weights[0]), 0.0), 1.0) if weights else 1.0
    except ValueError:
        return media, 0.0


def _rating(ranges: list[tuple[str, float]], media: str) -> tuple[float, int]:
    """Return the weight of the most exact range that ``media`` is in, and how exact that is."""
    names = ("*/*", f"{media.partition('/')[0]}/*", media)
    exact, weight = max(((names.index(name), q) for name, q in ranges if name in names), default=(0, 0.0))
    return weight, exact
