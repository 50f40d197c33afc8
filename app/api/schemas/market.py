"""Bars as clients read them, and what became of an upload."""

from __future__ import annotations

from datetime import date

from app.api.schemas.common import Document, Finding


class BarOut(Document):
    """One session, prices in the quote currency; null where the source has no value."""

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    adj_close: float | None
    volume: float | None


class BarsOut(Document):
    """The newest bars kept of a ticker, oldest first."""

    ticker: str
    source: str
    snapshot_id: str
    currency: str | None
    price_basis: str
    items: list[BarOut]


class UploadOut(Document):
    """What was taken; an upload with refused rows is not stored at all."""

    ticker: str
    source: str
    snapshot_id: str
    rows_taken: int
    rows_refused: list[dict[str, int | str]]
    first_session: date
    last_session: date
    findings: list[Finding]
