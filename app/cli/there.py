"""Commands on a service elsewhere, over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel

from app.api.schemas.forecasts import MAX_HORIZON
from app.cli.console import describe_problem, err, give_up
from app.cli.place import ROWS, Document, at_sigterm, say_known
from app.client import Client, ClientError, Invalid, JobHandle
from app.client.attempts import LONGEST_BACKOFF
from app.client.calls import forecasts, jobs, market, models
from app.client.progress import JobBar


@contextlib.contextmanager
def there(url: str) -> Iterator[There]:
    """Open the service at ``url``; what it refuses ends the command in one line."""
    try:
        client = _Telling(url)
    except ValueError as error:  # of the address, or of the key
        give_up(str(error), code=2)
    with client:
        try:
            yield There(client)
        except ClientError as error:
            give_up(describe_problem(error.problem))


class _Telling(Client):
    """A client that says so when the service has it wait for long: the pauses of its own are shorter."""

    def pause(self, seconds: float) -> None:
        """Wait."""
        if seconds > LONGEST_BACKOFF:
            err.print(f"The service asks for {seconds:.0f} s of patience.")
        super().pause(seconds)


class There:
    """A service over HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def forecast(self, ticker: str, *, model: str, levels: Sequence[float]) -> Document:
        """Return all steps of the latest stored forecast."""
        ahead = partial(forecasts.forecast, ticker, model=model, levels=levels)
        try:
            return self._raw(ahead(horizon=MAX_HORIZON))
        except Invalid as refusal:
            if refusal.code != "horizon_too_long":
                raise
            # How far it looks is said by the refusal alone: the baseline has no document of its own.
            return self._raw(ahead(horizon=refusal.facts["have"]))

    def models(self) -> Sequence[Document]:
        """Return the tickers that have a version."""
        return self._page(models.models(page_size=ROWS))

    def versions(self, ticker: str) -> Sequence[Document]:
        """Return the versions of a ticker, newest first."""
        return self._page(models.versions(ticker, page_size=ROWS))

    def jobs(self, state: str | None) -> Sequence[Document]:
        """Return the jobs, newest first."""
        return self._page(jobs.jobs(state=state, page_size=ROWS))

    def cancel(self, job_id: str) -> Document:
        """Cancel a job, and return it."""
        return self._raw(jobs.cancel(job_id))

    def keep_bars(self, ticker: str, file: Path) -> Document:
        """Keep the bars of a CSV as source ``upload``; refused rows are shown, and then nothing is kept."""
        try:
            return self._raw(market.upload_bars(ticker, file))
        except Invalid as refusal:
            for row in refusal.facts.get("rows_refused", [])[:20]:
                err.print(f"line {row['line']}: {row['reason']}", markup=False)
            # Told above, line by line.
            told = {"rows_refused", "errors"} if "rows_refused" in refusal.facts else set()
            give_up(describe_problem({name: fact for name, fact in refusal.problem.items() if name not in told}))

    def outcome(self, kind: str, order: BaseModel, *, title: str) -> dict[str, Any]:
        """Hand in an order, follow its job under a bar and return the result; Ctrl-C cancels it, SIGTERM leaves it."""
        with at_sigterm(_leave), contextlib.ExitStack() as leaving:
            job = self._client.hand_in(kind, order.model_dump(mode="json", exclude_unset=True))
            leaving.push(partial(_cancel_when_interrupted, job))
            if job.deduplicated:
                say_known(kind, job.state, job.id)
            told = f"Job {job.id} goes on there, whatever becomes of this connection"
            err.print(f"{told}; Ctrl-C cancels it.", soft_wrap=True)
            with JobBar(title, console=err) as bar:
                job.wait(on_change=bar.show)
        result: dict[str, Any] = self._client.send_raw(jobs.job(job.id))["result"]
        return result

    def _raw(self, call: Any) -> dict[str, Any]:
        document: dict[str, Any] = self._client.send_raw(call)
        return document

    def _page(self, listing: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self._client.send_raw(listing.page(None))["items"]
        return items


def _cancel_when_interrupted(job: JobHandle, kind: type[BaseException] | None, *_: object) -> None:
    if kind is None or not issubclass(kind, KeyboardInterrupt):
        return
    try:
        job.cancel()
    except ClientError as error:  # it may be over by now
        err.print(f"Not cancelled: {describe_problem(error.problem)}", markup=False, soft_wrap=True)
    else:
        err.print("Cancelled." if job.is_over else "It was asked to stop.")


def _leave(number: int, _frame: object) -> NoReturn:
    """End in good order, as the shell says of a signal, and leave the job to the service."""
    raise SystemExit(128 + number)
