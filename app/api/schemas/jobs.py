"""Jobs as clients see them."""

from __future__ import annotations

from pydantic import Field

from app.api.schemas.common import Document, JobProblem, Json, Links, Moment
from app.api.schemas.models import BacktestOut
from app.api.schemas.search import SearchOut


class JobLinks(Links):
    """Where the job is, where it tells what happens to it, and where it is cancelled."""

    events: str | None = Field(None, description="Its events; services older than these have none.")
    cancel: str


class JobOut(Document):
    """A piece of background work: `queued -> running -> succeeded | failed | cancelled`."""

    job_id: str
    kind: str
    ticker: str | None
    state: str
    deduplicated: bool = Field(description="Whether an active job for the same work was there already.")
    priority: int
    progress: Json | None = Field(
        description="`stage`, `fraction` of it, and what the stage tells. In `paths` a network that is fed back "
        "simulates: how long that takes is not known, and `fraction` stays 0."
    )
    attempt: int
    max_attempts: int
    cancel_requested: bool
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    error: JobProblem | None
    result: SearchOut | BacktestOut | Json | None = Field(
        description="For `train`: `version`, `promoted`, `reasons`, `url`; of a universe `versions`, one a ticker. "
        "For `tune`: a `SearchOut`. For `backtest`: a `BacktestOut`."
    )
    submitted_by: str
    links: JobLinks


class JobsOut(Document):
    """A page of jobs, newest first."""

    items: list[JobOut]
