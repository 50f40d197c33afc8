"""Looking at jobs, and stopping them."""

from __future__ import annotations

from app.api.schemas.jobs import JobOut, JobsOut
from app.client.call import Call, Listing, Stream, get, listing, reading, segment
from app.client.documents import Edition


def job(job_id: str) -> Call[JobOut]:
    """Return a job.

    Raises:
        NotFound: there is no such job.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return get(_at(job_id), JobOut)


def jobs(
    *, state: str | None = None, kind: str | None = None, ticker: str | None = None, page_size: int | None = None
) -> Listing[JobOut]:
    """Iterate over the jobs, the newest first; pages are fetched as they are needed.

    ``state`` is ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``; ``kind`` is ``train``,
    ``backtest``, ``tune`` or ``refresh``.

    Raises:
        Invalid: there is no such state or kind.
        Unavailable, Unreachable: nobody could answer, and repeating did not help.
    """
    return listing("/v1/jobs", JobsOut, state=state, kind=kind, ticker=ticker, page_size=page_size)


def cancel(job_id: str) -> Call[JobOut]:
    """Cancel a job that waits, or ask for the end of one that runs.

    Raises:
        Conflict: it is over already.
        NotFound: there is no such job.
        Unavailable, Unreachable: nobody answered; look at the job before you try again.
    """
    return Call(method="POST", path=f"{_at(job_id)}/cancel", read=reading(JobOut), repeatable=False)


def events_of(job_id: str) -> Stream[JobOut]:
    """Tell what happens to a job until it is over."""
    return Stream(path=f"{_at(job_id)}/events", kinds={"state": JobOut, "progress": JobOut})


def events() -> Stream[Edition | JobOut]:
    """Iterate without end over what happens: first the present edition and every active job, then each change.

    An ``Edition`` says that forecasts may have changed, and those asked for after it are of it or a later one; all else
    is a job, as ``job`` returns it. A lost connection is made again, and nothing is left out meanwhile, but what came
    last may come twice. Leave the loop to end it.

    Raises:
        NotFound: the service is too old to tell.
        Unavailable, Unreachable: it could not be heard for a minute.
    """
    return Stream(path="/v1/events", kinds={"edition": Edition, "job": JobOut})


def _at(job_id: str) -> str:
    return f"/v1/jobs/{segment(job_id)}"
