"""Commands on the registry of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.cli.console import err, give_up
from app.cli.place import ROWS, Document
from app.domain.job import Job
from app.domain.version import VersionSummary
from app.forecasting.answer import answer
from app.forecasting.document import utc
from app.forecasting.market_data import keep
from app.forecasting.services import Services
from app.jobs import queries
from app.jobs.leases import request_cancel
from app.prices.audit import audit
from app.prices.base import UPLOAD, require_ticker
from app.prices.csv_text import read_bars
from app.registry import aliases, listings, versions
from app.registry import audit as audit_log
from app.registry.served import served


class Here:
    """The registry behind ``services``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def forecast(self, ticker: str, *, model: str, levels: Sequence[float]) -> Document:
        """Return all steps of the latest stored forecast."""
        now = self._services.clock()
        with self._services.database.read() as tx:
            (found,) = served(tx, [ticker.upper()], model)
        return answer(found, model=model, horizon=None, levels=levels, now=now).document

    def models(self) -> Sequence[Document]:
        """Return the tickers that have a version."""
        with self._services.database.read() as tx:
            rows = listings.overview(tx, after=None, limit=ROWS)
        return [
            {
                "ticker": row["ticker"],
                "champion": _version(row["champion"], []) if row["champion"] else None,
                "latest": _version(row["latest"], []),
            }
            for row in rows
        ]

    def versions(self, ticker: str) -> Sequence[Document]:
        """Return the versions of a ticker, newest first."""
        ticker = ticker.upper()
        with self._services.database.read() as tx:
            found = listings.list_versions(tx, ticker, before=None, limit=ROWS)
            if not found:
                versions.get(tx, ticker, 1)  # raises, and says so in the usual words
            pointed = aliases.all_aliases(tx, ticker)
        return [_version(one, sorted(name for name, at in pointed.items() if at == one.number)) for one in found]

    def jobs(self, state: str | None) -> Sequence[Document]:
        """Return the jobs, newest first."""
        with self._services.database.read() as tx:
            return [_job(job) for job in queries.list_jobs(tx, state=state, limit=ROWS)]

    def cancel(self, job_id: str) -> Document:
        """Cancel a job, and return it."""
        with self._services.database.write() as tx:
            now = self._services.now(tx)
            job = request_cancel(tx, job_id, now=now)
            audit_log.record(tx, who="cli", action=audit_log.JOB_CANCELLED, subject=job_id, now=now)
        return _job(job)

    def keep_bars(self, ticker: str, file: Path) -> Document:
        """Keep the bars of a CSV as source ``upload``; refused rows are shown, and then nothing is kept."""
        ticker = require_ticker(ticker.upper(), source=UPLOAD)
        history, refused = read_bars(file.read_bytes(), ticker=ticker)
        if refused:
            for row in refused[:20]:
                err.print(f"line {row.line}: {row.reason}", markup=False)
            give_up(f"{len(refused)} rows of {file.name} cannot be used; nothing was kept.")
        history, findings = audit(history)
        now = self._services.clock()

        def write_down(tx: Connection, kept: str) -> None:
            facts = {"rows": len(history), "snapshot_id": kept}
            audit_log.record(tx, who="cli", action=audit_log.BARS_UPLOADED, subject=ticker, facts=facts, now=now)

        snapshot_id = keep(history, services=self._services, now=now, also=write_down)
        return {
            "ticker": ticker,
            "snapshot_id": snapshot_id,
            "rows_taken": len(history),
            "first_session": history.first_session,
            "last_session": history.last_session,
            "findings": [finding.to_dict() for finding in findings],
        }

    def outcome(self, kind: str, order: Any, *, title: str) -> dict[str, Any]:
        """Hand in an order, follow its job under a bar and return the result; Ctrl-C cancels it."""
        # Handing in is what the API does, and the other commands do without its libraries.
        from app.cli.work_here import outcome

        return outcome(kind, order, title=title, services=self._services)


def _version(version: VersionSummary, names: Sequence[str]) -> dict[str, Any]:
    """Return what is shown of a version, as a row of ``GET /v1/models/{ticker}``."""
    return {
        "version": version.number,
        "created_at": utc(version.created_at),
        "preset": version.preset,
        "source": version.source,
        "trained_through": version.trained_through.isoformat(),
        "aliases": list(names),
        "metrics": {"skill": version.skill["value"], "beats_baseline": version.skill["beats_baseline"]},
        "reasons": list(version.reasons),
        "damaged_at": utc(version.damaged_at) if version.damaged_at else None,
    }


def _job(job: Job) -> dict[str, Any]:
    """Return what is shown of a job, as a row of ``GET /v1/jobs``."""
    names = ("job_id", "kind", "ticker", "state", "progress", "attempt", "max_attempts", "error")
    return {**{name: getattr(job, name) for name in names}, "created_at": utc(job.created_at)}
