"""Rows that somebody mangled are an error with a name, not a crash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.errors import CorruptRecord


@contextmanager
def readable(what: str, **facts: Any) -> Iterator[None]:
    """Read ``what`` in the block; ``facts`` name it for programs.

    Raises:
        CorruptRecord: what is stored lacks a part or is of another shape; delete it, or restore a backup.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise CorruptRecord(f"{what} cannot be read.", **facts, reason=reason) from error
