"""What the API said, counted, and every answer that it may not give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_KEPT = 20  # of each kind of offence, to read


@dataclass
class Answers:
    """Answers by status; ``offences`` are 500s, statuses that the schema does not name, and silences."""

    documented: Mapping[tuple[str, str], frozenset[int]]
    statuses: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    offences: Counter[str] = field(default_factory=Counter)
    seen: list[str] = field(default_factory=list)

    def note(self, part: str, operation: tuple[str, str] | None, status: int, request: Any, answer: bytes) -> None:
        """Count an answer; ``operation`` is its method and path in the schema, ``None`` when it is none of them."""
        self.sent[part] += 1
        self.statuses[str(status)] += 1
        allowed = self.documented[operation] | {405} if operation else {400, 404, 405, 413, 415, 422}
        if status == 500:
            self.offend("answered 500", f"{operation} {request!r:.1500} -> {answer[:600]!r}")
        elif status not in allowed:
            self.offend("undocumented status", f"{operation} {status} {request!r:.1500} -> {answer[:300]!r}")

    def silence(self, part: str, request: Any, error: Exception) -> None:
        """Count a request that got no answer."""
        self.sent[part] += 1
        self.statuses["none"] += 1
        self.offend("no answer", f"{error!r} {request!r:.1500}")

    def offend(self, what: str, example: str) -> None:
        """Keep an example of what may not be."""
        self.offences[what] += 1
        if self.offences[what] <= _KEPT:
            self.seen.append(f"{what}: {example}")


def documented(schema: Mapping[str, Any]) -> dict[tuple[str, str], frozenset[int]]:
    """Return the statuses that an OpenAPI document names for each method and path."""
    return {
        (method.upper(), path): frozenset(int(status) for status in operation["responses"])
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }
