"""What an audit of the bars found, and what was done about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One coded finding.

    ``severity``: ``repaired`` (mended without guessing), ``reported`` (does not touch what the
    order uses) or ``refused`` (the order cannot be filled on these bars). ``count`` is the number
    of rows concerned, ``examples`` up to five sessions as ISO dates, ``fields`` the bar fields.
    """

    code: str
    severity: str
    detail: str
    count: int
    fields: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding JSON-ready."""
        return asdict(self) | {"fields": list(self.fields), "examples": list(self.examples)}
