"""The first five minutes: train on the bundled history, show the forecast, say where to look next."""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote

from app.cli.client import ApiClient, ApiRefused
from app.cli.console import describe_problem, err, out
from app.cli.forecast_table import forecast_table
from app.cli.progress import JobBar

DEMO_TICKER = "^GSPC"
_READY_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_LONGEST_ABSENCE = 60


def first_run(base_url: str, *, stop: threading.Event, once: bool) -> bool:
    """Show a forecast of the service at ``base_url``; return whether that worked.

    The newest model's forecast is shown; with an empty registry ``^GSPC`` is trained first. Ends early
    when ``stop`` is set.
    """
    api = ApiClient(base_url)
    if not api.wait_until_ready(seconds=_READY_SECONDS, give_up=stop.is_set):
        return _failed(f"the API at {base_url} did not get ready", stop)
    try:
        ticker = _newest_ticker(api) or _train(api, stop)
        if ticker is None:
            return False
        document = api.get(f"/v1/forecasts/{quote(ticker, safe='')}")
    except ApiRefused as refusal:
        return _failed(describe_problem(refusal.problem), stop)
    except OSError as error:
        return _failed(f"the API at {base_url} went away: {error}", stop)
    out.print(forecast_table(document))
    if not once:
        _say_where_to_look(base_url, document)
    return True


def _newest_ticker(api: ApiClient) -> str | None:
    """Return the ticker trained last, ``None`` when the registry is empty."""
    rows = api.get("/v1/models?page_size=100")["items"]
    newest = max(rows, key=lambda row: str(row["latest"]["created_at"]), default=None)
    return newest["ticker"] if newest else None


def _train(api: ApiClient, stop: threading.Event) -> str | None:
    """Train the demo ticker under a progress bar; ``None`` when that failed, and then said why."""
    err.print(f"No model yet: training {DEMO_TICKER} on the bundled history, real S&P 500 closes from 1999 to 2018.")
    job = api.post("/v1/train", {"ticker": DEMO_TICKER, "data": {"source": "sample"}})
    with JobBar(f"Training {DEMO_TICKER}") as bar:
        while job["state"] in {"queued", "running"}:
            if stop.wait(_LOOK_SECONDS):
                return None
            job = _look_again(api, job, stop)
            bar.show(job["state"], job["progress"])
    if job["state"] == "succeeded":
        _say_verdict(job["result"])
        return DEMO_TICKER
    problem = job["error"] or {"code": job["state"], "detail": f"The training was {job['state']}."}
    _failed(describe_problem(problem), stop)
    return None


def _look_again(api: ApiClient, job: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
    """Return the job as it stands; an API that is away is being restarted or, when ``stop`` comes, stopped."""
    for _ in range(_LONGEST_ABSENCE):
        try:
            answer: dict[str, Any] = api.get(job["links"]["self"])
        except OSError:
            if stop.wait(1.0):
                return job
        else:
            return answer
    raise ConnectionError(f"no answer for {_LONGEST_ABSENCE} seconds")


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
