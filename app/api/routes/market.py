"""Bars: the newest kept ones, and uploads."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import Depends, Query, Request, Response
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from app.api.audited import record, tell
from app.api.dependencies import TheServices, TickerPath
from app.api.documents import TAGGED, path_to, ready
from app.api.problems import body_problems, problems
from app.api.routes import router_of
from app.api.schemas.common import IsoDate
from app.api.schemas.market import BarsOut, UploadOut
from app.domain.history import BAR_FIELDS, Bars, PriceHistory
from app.errors import InvalidBars, NoBarsYet
from app.forecasting.market_data import keep
from app.prices.audit import audit
from app.prices.base import UPLOAD
from app.prices.csv_text import RefusedRow, read_bars
from app.registry import snapshots
from app.registry.audit import BARS_UPLOADED

router = router_of("market data")
_PATH = "/v1/tickers/{ticker}/bars"
_CSV_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string", "minLength": 1},
                "example": "Date,Open,High,Low,Close,Volume\n2026-11-19,410.0,413.5,409.1,412.3,21000000\n",
            }
        },
    }
}
_SHOWN_REFUSALS = 100


async def _csv_body(request: Request) -> bytes:
    """Return the body when it says that it is CSV."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "text/csv":
        raise HTTPException(415, f"Send the bars as text/csv, not {media_type or 'without a type'}.")
    return await request.body()


@router.get(_PATH, response_model=BarsOut, responses={**TAGGED, **problems(404, 422)}, summary="Bars of a ticker")
def bars(
    ticker: TickerPath,
    services: TheServices,
    request: Request,
    start: Annotated[IsoDate | None, Query(description="First session.")] = None,
    end: Annotated[IsoDate | None, Query(description="Last session.")] = None,
) -> Response:
    """Show the newest bars kept here, whichever source they came from; no source is asked."""
    with services.database.read() as tx:
        row = snapshots.latest(tx, ticker)
    if row is None:
        raise NoBarsYet(f"No bars of {ticker} are kept here yet; training it fetches them.", ticker=ticker)
    history = services.snapshots.load(row["snapshot_id"]).between(start, end)
    document = {
        "ticker": ticker,
        "source": history.source,
        "snapshot_id": row["snapshot_id"],
        "currency": history.currency,
        "price_basis": history.price_basis,
        "items": _rows(history.bars),
    }
    return ready(document).respond(request)


@router.post(
    _PATH,
    status_code=201,
    response_model=UploadOut,
    responses={
        201: {"headers": {"Location": {"description": "The bars.", "schema": {"type": "string"}}}},
        **body_problems(415),
    },
    openapi_extra=_CSV_BODY,
    summary="Upload bars",
)
def upload(
    ticker: TickerPath,
    services: TheServices,
    request: Request,
    response: Response,
    body: Annotated[bytes, Depends(_csv_body)],
) -> dict[str, Any]:
    """Keep the bars of a CSV file under the source `upload`; one refused row, and nothing is kept."""
    history, refused = read_bars(body, ticker=ticker)
    if refused:
        raise _refusal(history, refused)
    mended, findings = audit(history)
    facts: dict[str, Any] = {"rows": len(mended)}

    def write_down(tx: Connection, snapshot_id: str) -> None:
        facts["snapshot_id"] = snapshot_id
        record(tx, request, services, BARS_UPLOADED, ticker, facts)

    snapshot_id = keep(mended, services=services, now=services.clock(), also=write_down)
    tell(request, BARS_UPLOADED, ticker, facts)
    response.headers["Location"] = path_to(request, f"/v1/tickers/{ticker}/bars")
    return {
        "ticker": ticker,
        "source": UPLOAD,
        "snapshot_id": snapshot_id,
        "rows_taken": len(mended),
        "rows_refused": [],
        "first_session": mended.first_session,
        "last_session": mended.last_session,
        "findings": [finding.to_dict() for finding in findings],
    }


def _refusal(history: PriceHistory, refused: list[RefusedRow]) -> InvalidBars:
    """Say which lines cannot be read; the first hundred of them by name."""
    shown = refused[:_SHOWN_REFUSALS]
    return InvalidBars(
        f"{len(refused)} of {len(refused) + len(history)} rows cannot be read; nothing was stored.",
        ticker=history.ticker,
        rows_taken=0,
        rows_refused=[{"line": row.line, "reason": row.reason} for row in shown],
        errors=[{"detail": row.reason, "pointer": f"/lines/{row.line}"} for row in shown],
    )


def _rows(bars: Bars) -> list[dict[str, Any]]:
    """Turn columns into one object a session, oldest first; NaN becomes null on the way out."""
    order = np.argsort(bars.sessions, kind="stable")
    columns: dict[str, list[Any]] = {"session": bars.sessions[order].astype("datetime64[D]").astype(str).tolist()}
    columns |= {name: bars.column(name)[order].tolist() for name in BAR_FIELDS}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for name, values in bars.extra.items():
        for row, value in zip(rows, values[order].tolist(), strict=True):
            row.setdefault("extra", {})[name] = value
    return rows
