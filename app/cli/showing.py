"""``morrow forecast | models | jobs | import | verify``: looks at what there is, and two small changes to it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.cli.console import counted, err, give_up, out, table
from app.cli.forecast_table import forecast_table
from app.cli.places import place
from app.client.addresses import shown
from app.domain.job import ACTIVE_STATES, FINAL_STATES


def forecast(ticker: str, *, model: str, levels: Sequence[float], as_json: bool, url: str | None) -> None:
    """Show all steps of the latest stored forecast, as a table or as the API's document."""
    with place(url, new=False) as at:
        document = at.forecast(ticker, model=model, levels=levels)
    if as_json:
        out.print(json.dumps(document, indent=2), markup=False, soft_wrap=True)
    else:
        out.print(forecast_table(document))


def overview(url: str | None) -> None:
    """List the tickers with a version."""
    with place(url, new=False) as at:
        rows = at.models()
    if not rows:
        err.print("No model yet. `morrow train ^GSPC --source sample` makes one.")
        return
    columns = ("ticker", "champion", "latest", "trained through", "skill of the latest")
    lines = [
        (
            row["ticker"],
            row["champion"] and row["champion"]["version"],
            row["latest"]["version"],
            row["latest"]["trained_through"],
            _skill(row["latest"]["metrics"]),
        )
        for row in rows
    ]
    out.print(table(*columns, rows=lines))


def versions_of(ticker: str, url: str | None) -> None:
    """List the versions of one ticker, newest first."""
    with place(url, new=False) as at:
        found = at.versions(ticker)
    columns = ("version", "aliases", "created", "preset", "source", "trained through", "skill", "why not champion")
    lines = [
        (
            version["version"],
            ", ".join(version["aliases"]) or None,
            _minute(version["created_at"]),
            version["preset"],
            version["source"],
            version["trained_through"],
            _skill(version["metrics"]),
            ", ".join([*(["files damaged"] if version["damaged_at"] else []), *version["reasons"]]) or None,
        )
        for version in found
    ]
    out.print(table(*columns, rows=lines))


def jobs(state: str | None, url: str | None) -> None:
    """List the newest jobs."""
    known = (*ACTIVE_STATES, *FINAL_STATES)
    if state is not None and state not in known:
        give_up(f"--state {state}: one of {', '.join(known)}", code=2)
    with place(url, new=False) as at:
        found = at.jobs(state)
    if not found:
        err.print("No job yet." if state is None else f"No job is {state}.")
        return
    columns = ("job", "kind", "ticker", "state", "stage", "attempt", "created", "error")
    out.print(table(*columns, rows=[_job_line(job) for job in found]))


def cancel(job_id: str, url: str | None) -> None:
    """Cancel a job, named by its id or the beginning of it; one that runs stops within seconds."""
    with place(url, new=False) as at:
        known = [job["job_id"] for job in at.jobs(None) if job["job_id"].startswith(job_id)]
        if len(known) > 1:
            give_up(f"{len(known)} jobs begin with {job_id}; name one of them in full.", code=2)
        job = at.cancel(known[0] if known else job_id)
    is_over = job["state"] in FINAL_STATES
    out.print(f"{job_id} is cancelled." if is_over else f"{job_id} was asked to stop.", markup=False)


def import_bars(ticker: str, file: Path, url: str | None) -> None:
    """Keep the bars of a CSV as source ``upload``; refused rows are shown, and then nothing is kept."""
    with place(url) as at:
        kept = at.keep_bars(ticker, file)
    for finding in kept["findings"]:
        err.print(f"{finding['severity']}: {finding['detail']}", markup=False, soft_wrap=True)
    span = f"{kept['first_session']} to {kept['last_session']}"
    words = f"Kept {kept['rows_taken']} bars of {kept['ticker']}, {span}, as {kept['snapshot_id']}."
    out.print(words, markup=False, soft_wrap=True)
    named = ["--url", shown(url)] if url else []
    command = shlex.join([".venv/bin/morrow", "train", kept["ticker"], "--source", "upload", *named])
    out.print(f"Train on them: {command}", markup=False, soft_wrap=True)


def verify() -> None:
    """Walk the chain over all forecasts; the first that is not as it was issued is named."""
    # The other commands work on a service elsewhere too, and then nothing is opened here.
    from app.cli.services import quiet_services
    from app.registry import chain

    with quiet_services(new=False) as services, services.database.read() as tx:
        verified = chain.verify(tx)
    if fault := verified.fault:
        number = f" number {fault.sequence}" if fault.sequence else ""
        named = f" {fault.forecast_id}" if fault.forecast_id else ""
        give_up(f"forecast{number}{named} was {fault.what}; {verified.count} before it are as they were issued.")
    said = f"{counted(verified.count, 'forecasts')}, each as it was issued"
    out.print(f"{said}; the last link is {verified.head}.", soft_wrap=True)


def _skill(metrics: Mapping[str, Any]) -> str | None:
    if metrics["skill"] is None:
        return None
    return f"{metrics['skill']:+.2%} rmse{'' if metrics['beats_baseline'] else ', not proven'}"


def _job_line(job: Mapping[str, Any]) -> tuple[object, ...]:
    stage = (job["progress"] or {}).get("stage") if job["state"] == "running" else None
    error = job["error"]["code"] if job["error"] else None
    attempt = f"{job['attempt']}/{job['max_attempts']}"
    created = _minute(job["created_at"])
    return job["job_id"][:12], job["kind"], job["ticker"], job["state"], stage, attempt, created, error


def _minute(moment: str) -> str:
    """Shorten an RFC 3339 time in UTC to the minute."""
    return f"{moment[:16].replace('T', ' ')}Z"
