"""What every error is."""

from __future__ import annotations

import re
from typing import Any, ClassVar


class AppError(Exception):
    """Base of every error raised on purpose; ``facts`` are the numbers behind the message."""

    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, pointer: str | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.facts = facts

    @property
    def code(self) -> str:
        """Stable name for clients and logs: ``NotEnoughHistory`` -> ``not_enough_history``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def to_problem(self) -> dict[str, Any]:
        """Return the error as JSON-ready facts: ``code``, ``title``, ``detail`` and the numbers."""
        return {"code": self.code, "title": self.title, "detail": self.detail, **self.facts}
