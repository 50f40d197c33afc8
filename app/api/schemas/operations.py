"""Whether a process lives and can work, as clients read it."""

from __future__ import annotations

from app.api.schemas.common import Document


class CheckOut(Document):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


class LiveOut(Document):
    """The process answers."""

    status: str


class ReadyOut(Document):
    """Whether requests can be served."""

    status: str
    checks: list[CheckOut]
