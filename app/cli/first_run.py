"""The first five minutes: train on the bundled history, show the forecast, say where to look next."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import quote

from app.cli.console import describe_problem, err, out
from app.cli.forecast_table import forecast_table
from app.client import Client, ClientError, JobHandle, Unavailable, Unreachable
from app.client.calls.forecasts import forecast
from app.client.progress import JobBar
from app.client.readiness import wait_until_ready

DEMO_TICKER = "^GSPC"
_READY_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_LONGEST_ABSENCE = 60.0


def first_run(base_url: str, *, stop: threading.Event, once: bool) -> bool:
    """Show a forecast of the service at ``base_url``; return whether that worked.

    The newest model's forecast is shown; with an empty registry ``^GSPC`` is trained first. Ends early
    when ``stop`` is set.
    """
    if not wait_until_ready(base_url, seconds=_READY_SECONDS, give_up=stop.is_set):
        return _failed(f"the API at {base_url} did not get ready", stop)
    try:
        client = Client(base_url)
    except ValueError as error:  # of the key: the address is our own
        return _failed(str(error), stop)
    try:
        with client as morrow:
            ticker = _newest_ticker(morrow) or _train(morrow, stop)
            if ticker is None:
                return False
            document = morrow.send_raw(forecast(ticker))
    except ClientError as error:
        return _failed(describe_problem(error.problem), stop)
    out.print(forecast_table(document))
    if not once:
        _say_where_to_look(base_url, document)
    return True


def _newest_ticker(morrow: Client) -> str | None:
    """Return the ticker trained last, ``None`` when the registry is empty."""
    newest = max(morrow.models(), key=lambda row: row.latest.created_at, default=None)
    return newest.ticker if newest else None


def _train(morrow: Client, stop: threading.Event) -> str | None:
    """Train the demo ticker under a progress bar; ``None`` when ``stop`` came first.

    Raises:
        ClientError: it came to nothing.
    """
    err.print(f"No model yet: training {DEMO_TICKER} on the bundled history, real S&P 500 closes from 1999 to 2018.")
    job = morrow.train(DEMO_TICKER, data={"source": "sample"})
    with JobBar(job.title, console=err) as bar:
        while not job.is_over:
            if stop.wait(_LOOK_SECONDS):
                return None
            _look_again(job, stop)
            bar.show(job)
    job.raise_unless_succeeded()
    _say_verdict(job.result)
    return DEMO_TICKER


def _look_again(job: JobHandle, stop: threading.Event) -> None:
    """Look at the job; an API that is away is being restarted or, when ``stop`` comes, stopped."""
    deadline = time.monotonic() + _LONGEST_ABSENCE
    while True:
        try:
            job.refresh()
        except (Unreachable, Unavailable):
            if stop.wait(1.0):
                return
            if time.monotonic() > deadline:
                raise
        else:
            return


def _say_verdict(result: dict[str, Any]) -> None:
    if result["promoted"]:
        out.print(f"Version {result['version']} has earned the champion alias.")
    else:
        out.print(f"Version {result['version']} has not earned the champion alias: {', '.join(result['reasons'])}.")


def _say_where_to_look(base_url: str, document: dict[str, Any]) -> None:
    path = quote(document["ticker"], safe="")
    lines = [
        "",
        "Where to look next:",
        f"  {base_url}/       the page",
        f"  {base_url}/docs   the API, to try out",
        f"  curl -s {base_url}/v1/forecasts/{path}",
        f"  curl -s {base_url}/v1/models/{path}",
    ]
    if document["model"]["version"] is not None:
        lines.append(f"  curl -s {base_url}/v1/models/{path}/versions/{document['model']['version']}/scorecard")
    train = '{"ticker": "^IXIC", "data": {"source": "sample"}}'
    lines += [
        f"  curl -s {base_url}/v1/train -H 'Content-Type: application/json' -d '{train}'",
        "Ctrl-C stops everything.",
    ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _failed(why: str, stop: threading.Event) -> bool:
    """Say why, unless it was asked to stop; return ``False``."""
    if not stop.is_set():
        err.print(f"error: {why}", markup=False, soft_wrap=True)
    return False
