"""A registry in which every table has rows, with the files that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import text

from app.db.engine import Database
from app.db.transfer import digest_of, line_of, rows_of, shapes
from app.domain.access import Scope
from app.domain.breaker import Patience, failed
from app.domain.score import Score
from app.forecasting.answer import answer
from app.forecasting.market_data import keep
from app.forecasting.services import Services
from app.jobs import fleet, leases, submission
from app.prices.sample import SamplePrices
from app.registry import aliases, drift, keys, scores, settlements, source_state
from app.registry.served import served
from tests.api.rows import NOW, add_forecast, add_version
from tests.registry.models import a_forecast

LONG_AGO = NOW - timedelta(days=200)


def fill(services: Services) -> None:
    """Write rows into every table, awkward ones among them."""
    now = services.clock()
    for ticker, number in (("AAA", 3), ("BBB", 1)):
        for _ in range(number):
            add_version(services, ticker, alias="champion")
    history = SamplePrices().history("^GSPC", now=now)
    ids = [keep(history.between(end=date(2010, 1, day)), services=services, now=now) for day in (10, 20)]
    issued = add_forecast(services, "AAA", version=None, forecast_id="ünïcode \U0001f600")
    with services.database.write() as tx:
        aliases.point(tx, "AAA", "champion", 1, by="somebody", reason="äöü ' \" \\ \n", now=now)
        drift.write(tx, "AAA", 1, {"psi": 0.1 + 0.2, "none": None}, now=now)
        settlements.note(tx, "AAA", "files", ids[0])
        waiting = scores.of_forecasts(tx, [issued.forecast_id])
        scores.settle(tx, [_came(score, ids[1], now) for score in waiting.values()])
        submission.remember(tx, key="k", principal="p", fingerprint="f", answer={"a": [1.5, None, "é"]}, now=now)
        for kind in ("refresh", "tune", "backtest"):
            submission.submit(tx, kind=kind, ticker="AAA", payload={"x": 1e-300}, dedupe=kind, now=now)
        leases.claim(tx, owner="dead", lease_seconds=30, now=now)
        key, _ = keys.create(tx, name="ünïcode", scope=Scope.READ, by="cli", now=now)  # and entries of the audit log
        keys.revoke(tx, key.key_id, by="cli", now=now)  # else each request would have to show one
        source_state.change(
            tx, "yahoo", lambda breaker: failed(breaker, Patience(), asked=breaker, code="c", now=now), now=now
        )
        fleet.beat(tx, "dead", host="gone", pid=1, now=services.now(tx) - timedelta(hours=2))


def _came(score: Score, snapshot_id: str, now: datetime) -> Score:
    inside = {str(level): {"raw": True, "displayed": False} for level in (80, 90, 95)}
    figures = dict.fromkeys(("actual", "actual_close", "error", "persistence_error", "crps", "pinball", "qlike"), 0.1)
    return replace(score, state="scored", snapshot_id=snapshot_id, scored_at=now, inside=inside, pit=1 / 3, **figures)


def lose_bars(services: Services, snapshot_id: str) -> None:
    """Let the file of a snapshot be gone, as by an accident."""
    (services.settings.snapshots_dir / f"{snapshot_id.removeprefix('sha256:')}.gz").unlink()


def content(database: Database, *, but: str = "") -> dict[str, tuple[int, str]]:
    """What each table holds, as digests."""
    with database.read() as tx:
        found = {shape.name: digest_of(tx, shape) for shape in shapes(tx) if shape.name != but}
    return {name: (digest.rows, digest.checksum) for name, digest in found.items()}


def lines(database: Database, table: str) -> list[bytes]:
    with database.read() as tx:
        (shape,) = (shape for shape in shapes(tx) if shape.name == table)
        return [line_of(row) for row in rows_of(tx, shape)]


def answered(services: Services, ticker: str = "AAA", model: str = "champion") -> Mapping[str, Any]:
    """The forecast as the service answers it."""
    with services.database.read() as tx:
        (found,) = served(tx, [ticker], model)
    return answer(found, model=model, horizon=None, levels=[80.0, 95.0], now=services.clock()).document


def bodies(database: Database) -> list[str]:
    """The forecasts to the letter, as they are stored."""
    with database.read() as tx:
        return list(tx.execute(text("SELECT CAST(body AS TEXT) FROM forecasts ORDER BY forecast_id")).scalars())


__all__ = ["LONG_AGO", "NOW", "a_forecast", "add_version", "answered", "bodies", "content", "fill", "lines"]
