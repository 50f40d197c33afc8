"""``morrow forecast | models | jobs | import | verify``: looks at the registry, and two small changes to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from app.cli.console import err, give_up, out, table
from app.cli.environment import quiet_services
from app.cli.forecast_table import forecast_table
from app.domain.job import ACTIVE_STATES, FINAL_STATES, Job
from app.domain.version import VersionSummary
from app.forecasting.answer import answer
from app.forecasting.market_data import keep
from app.jobs import queries
from app.jobs.leases import request_cancel
from app.prices.audit import audit
from app.prices.base import UPLOAD, require_ticker
from app.prices.csv_text import read_bars
from app.registry import aliases, chain, listings, versions

_ROWS = 100


def forecast(ticker: str, *, model: str, levels: Sequence[float], as_json: bool) -> None:
    """Show all steps of the latest stored forecast, as a table or as the API's document."""
    with quiet_services() as services, services.database.read() as tx:
        latest = answer(tx, ticker.upper(), model=model, horizon=None, levels=levels, now=services.clock())
    if as_json:
        out.print(json.dumps(latest.document, indent=2), markup=False, soft_wrap=True)
    else:
        out.print(forecast_table(latest.document))


def overview() -> None:
    """List the tickers with a version."""
    with quiet_services() as services, services.database.read() as tx:
        rows = listings.overview(tx, after=None, limit=_ROWS)
    if not rows:
        err.print("No model yet. `morrow train ^GSPC --source sample` makes one.")
        return
    columns = ("ticker", "champion", "latest", "trained through", "skill of the latest")
    lines = [
        (
            row["ticker"],
            row["champion"].number if row["champion"] else None,
            row["latest"].number,
            row["latest"].trained_through,
            _skill(row["latest"]),
        )
        for row in rows
    ]
    out.print(table(*columns, rows=lines))


def versions_of(ticker: str) -> None:
    """List the versions of one ticker, newest first."""
    ticker = ticker.upper()
    with quiet_services() as services, services.database.read() as tx:
        found = listings.list_versions(tx, ticker, before=None, limit=_ROWS)
        if not found:
            versions.get(tx, ticker, 1)  # raises, and says so in the usual words
        pointed = aliases.all_aliases(tx, ticker)
    columns = ("version", "aliases", "created", "preset", "source", "trained through", "skill", "why not champion")
    lines = [
        (
            version.number,
            ", ".join(alias for alias, number in pointed.items() if number == version.number) or None,
            f"{version.created_at:%Y-%m-%d %H:%M}Z",
            version.preset,
            version.source,
            version.trained_through,
            _skill(version),
            ", ".join(version.reasons) or None,
        )
        for version in found
    ]
    out.print(table(*columns, rows=lines))


def jobs(state: str | None) -> None:
    """List the newest jobs."""
    known = (*ACTIVE_STATES, *FINAL_STATES)
    if state is not None and state not in known:
        give_up(f"--state {state}: one of {', '.join(known)}", code=2)
    with quiet_services() as services, services.database.read() as tx:
        found = queries.list_jobs(tx, state=state, limit=_ROWS)
    columns = ("job", "kind", "ticker", "state", "stage", "attempt", "created", "error")
    out.print(table(*columns, rows=[_job_line(job) for job in found]))


def cancel(job_id: str) -> None:
    """Cancel a job, named by its id or the beginning of it; one that runs stops within seconds."""
    with quiet_services() as services, services.database.write() as tx:
        known = [job.job_id for job in queries.list_jobs(tx, limit=_ROWS) if job.job_id.startswith(job_id)]
        if len(known) > 1:
            give_up(f"{len(known)} jobs begin with {job_id}; name one of them in full.", code=2)
        job = request_cancel(tx, known[0] if known else job_id, now=services.clock())
    out.print(f"{job_id} is cancelled." if job.is_over else f"{job_id} was asked to stop.", markup=False)


def import_bars(ticker: str, file: Path) -> None:
    """Keep the bars of a CSV as source ``upload``; refused rows are shown, and then nothing is kept."""
    ticker = require_ticker(ticker.upper(), source=UPLOAD)
    history, refused = read_bars(file.read_bytes(), ticker=ticker)
    if refused:
        for row in refused[:20]:
            err.print(f"line {row.line}: {row.reason}", markup=False)
        give_up(f"{len(refused)} rows of {file.name} cannot be used; nothing was kept.")
    history, findings = audit(history)
    for finding in findings:
        err.print(f"{finding.severity}: {finding.detail}", markup=False, soft_wrap=True)
    with quiet_services() as services:
        snapshot_id = keep(history, services=services, now=services.clock())
    span = f"{history.first_session} to {history.last_session}"
    out.print(f"Kept {len(history)} bars of {ticker}, {span}, as {snapshot_id}.", markup=False, soft_wrap=True)
    out.print(f"Train on them: .venv/bin/morrow train '{ticker}' --source upload", markup=False)


def verify() -> None:
    """Walk the chain over all forecasts; the first that is not as it was issued is named."""
    with quiet_services() as services, services.database.read() as tx:
        verified = chain.verify(tx)
    if fault := verified.fault:
        number = f" number {fault.sequence}" if fault.sequence else ""
        named = f" {fault.forecast_id}" if fault.forecast_id else ""
        give_up(f"forecast{number}{named} was {fault.what}; {verified.count} before it are as they were issued.")
    out.print(f"{verified.count} forecasts, each as it was issued; the last link is {verified.head}.", soft_wrap=True)


def _skill(version: VersionSummary) -> str:
    skill = version.skill
    return f"{skill['value']:+.2%} {skill['metric']}{'' if skill['beats_baseline'] else ', not proven'}"


def _job_line(job: Job) -> tuple[object, ...]:
    stage = (job.progress or {}).get("stage") if job.state == "running" else None
    error = job.error["code"] if job.error else None
    attempt = f"{job.attempt}/{job.max_attempts}"
    return job.job_id[:12], job.kind, job.ticker, job.state, stage, attempt, f"{job.created_at:%Y-%m-%d %H:%M}Z", error
