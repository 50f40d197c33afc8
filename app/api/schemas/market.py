"""Bars as clients read them, and what became of an upload."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from app.api.schemas.common import Document, Finding

Pearson = float | None


class BarOut(Document):
    """One session, prices in the quote currency; null where the source has no value."""

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    adj_close: float | None
    volume: float | None
    extra: dict[str, float | None] = Field(
        default_factory=dict, description="Further columns of the source by name; absent where it has none."
    )


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


class PeerOut(Document):
    """How one candidate moved with the ticker: Pearson correlations, null where one of the two never moved."""

    ticker: str
    rank: int = Field(description="1 has the largest correlation of returns, whatever its sign.")
    returns: Pearson = Field(description="Of log returns from one shared session to the next.")
    prices: Pearson = Field(description="Of closes: high for all that grows, so no rank comes of it.")


class MatrixOut(Document):
    """Correlations of all with all; row and column by row and column in the order of `tickers`."""

    tickers: list[str]
    returns: list[list[Pearson]]
    prices: list[list[Pearson]]


class PeersOut(Document):
    """The candidates, the nearest first, over the sessions that the ticker and all candidates share."""

    ticker: str
    source: str
    sessions: int
    first_session: date
    last_session: date
    items: list[PeerOut]
    matrix: MatrixOut = Field(description="The ticker first, then the `items`.")
    left_out: int = Field(
        description="Only without `candidates`: how many tickers at hand were not looked at, being too many, without "
        "usable bars, or sharing too few sessions."
    )
