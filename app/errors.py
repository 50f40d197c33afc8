"""Everything that can go wrong, on one page.

AppError
├── BadRequest            the caller asked for the impossible        never retried
│   ├── UnknownTicker         the source has never heard of it
│   ├── UnknownSource         no such source is configured
│   ├── UnknownPreset         no preset has this name
│   ├── UnknownArchitecture   no network is built under this name
│   ├── InvalidSpec           the order contradicts itself
│   ├── InvalidBars           the bars cannot be used, even after repair
│   ├── NotEnoughHistory      fewer bars than the order needs
│   ├── HorizonTooLong        the version does not look that far
│   ├── NeedsPeers            the version reads bars that were not given
│   └── IdempotencyMismatch   a key was used again for another payload
├── Missing               it is not there (yet)                      never retried
│   ├── NoModelYet            the ticker has no version
│   ├── NoSuchVersion         the ticker has no version of this number
│   ├── NoSuchAlias           no version carries this alias
│   ├── NoSuchArtifact        the version has no file of this name
│   ├── NoSuchJob             no job has this id
│   └── NoBarsYet             no bars of the ticker are kept here
├── Conflict              it is already so                           never retried
│   ├── JobAlreadyOver        the job can no longer be cancelled
│   ├── AliasInUse            an alias points to what was to be deleted
│   ├── JobActive             work on the ticker is under way
│   ├── NoPooledModel         no pooled network is there to adopt
│   ├── NotPromotable         the version may not hold this alias
│   ├── PreconditionMissing   If-Match is needed here
│   └── PreconditionFailed    somebody else changed it first
├── Unavailable           somebody we depend on is down              retried with backoff
│   ├── SourceUnavailable     the price source did not answer, or answered nonsense
│   ├── SourceRateLimited     the price source asks for patience
│   ├── StoreUnavailable      disk or database refuse writes
│   └── WorkerLost            the process that ran the job died
└── Damaged               our own data does not add up               an alert, never retried
    ├── CorruptArtifact       a file differs from its manifest
    ├── CorruptRecord         a row of the registry cannot be read
    ├── ParityFailed          the exported network answers differently from the trained one
    ├── FitDiverged           training ended in NaN or infinity
    ├── TimeLimitExceeded     the job ran longer than its order allows
    └── JobCrashed            the job ended without a word

Every error carries ``facts``: the numbers behind the message, JSON-ready, beside a stable ``code``. No HTTP in here.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar


class AppError(Exception):
    """Base of every error raised on purpose; ``facts`` are the numbers behind the message."""

    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, pointer: str | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        self.facts = facts

    @property
    def code(self) -> str:
        """Stable name for clients and logs: ``NotEnoughHistory`` -> ``not_enough_history``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    def to_problem(self) -> dict[str, Any]:
        """Return the error as JSON-ready facts: ``code``, ``title``, ``detail`` and the numbers."""
        return {"code": self.code, "title": self.title, "detail": self.detail, **self.facts}


class BadRequest(AppError):
    """The caller asked for something that cannot be done."""

    title = "Bad request"


class UnknownTicker(BadRequest):
    """The source has never heard of the ticker."""

    title = "Unknown ticker"


class UnknownSource(BadRequest):
    """No price source of this name is configured."""

    title = "Unknown source"


class UnknownPreset(BadRequest):
    """No preset has this name."""

    title = "Unknown preset"


class UnknownArchitecture(BadRequest):
    """No network is built under this name."""

    title = "Unknown architecture"


class InvalidSpec(BadRequest):
    """The order contradicts itself."""

    title = "Contradicting order"


class InvalidBars(BadRequest):
    """The bars cannot be used, even after every repair that needs no guessing."""

    title = "Unusable bars"


class NotEnoughHistory(BadRequest):
    """There are fewer bars than the order needs."""

    title = "Not enough history"


class HorizonTooLong(BadRequest):
    """The version does not look that far ahead."""

    title = "Horizon too long"


class NeedsPeers(BadRequest):
    """The version reads the bars of peers, and they were not given."""

    title = "Peers needed"


class IdempotencyMismatch(BadRequest):
    """An idempotency key came again with another payload."""

    title = "Idempotency key reused"


class Missing(AppError):
    """What was asked for is not there (yet)."""

    title = "Not found"


class NoModelYet(Missing):
    """The ticker has no version."""

    title = "No model yet"


class NoSuchVersion(Missing):
    """The ticker has no version of this number."""

    title = "No such version"


class NoSuchAlias(Missing):
    """No version of the ticker carries this alias."""

    title = "No such alias"


class NoSuchArtifact(Missing):
    """The version has no file of this name."""

    title = "No such artifact"


class NoSuchJob(Missing):
    """No job has this id."""

    title = "No such job"


class NoBarsYet(Missing):
    """No bars of the ticker are kept here."""

    title = "No bars yet"


class Conflict(AppError):
    """It is already so, or somebody else was first."""

    title = "Conflict"


class JobAlreadyOver(Conflict):
    """The job has ended and can no longer be cancelled."""

    title = "Job already over"


class AliasInUse(Conflict):
    """An alias points to what was to be deleted."""

    title = "Alias in use"


class JobActive(Conflict):
    """A job is at work on what was to be deleted."""

    title = "Job under way"


class NoPooledModel(Conflict):
    """There is no pooled network that a ticker could adopt."""

    title = "No pooled model"


class NotPromotable(Conflict):
    """The version may not hold this alias."""

    title = "Not promotable"


class PreconditionMissing(Conflict):
    """The change needs the entity tag of what it replaces."""

    title = "Precondition required"


class PreconditionFailed(Conflict):
    """The entity tag is not the present one: somebody else was first."""

    title = "Precondition failed"


class Unavailable(AppError):
    """Somebody we depend on is down; the same call may succeed later."""

    retryable = True
    title = "Temporarily unavailable"


class SourceUnavailable(Unavailable):
    """The price source did not answer, or answered nonsense."""

    title = "Price source unavailable"


class SourceRateLimited(SourceUnavailable):
    """The price source asks for patience."""

    title = "Price source rate-limited"


class StoreUnavailable(Unavailable):
    """Disk or database refuse the write."""

    title = "Store unavailable"


class WorkerLost(Unavailable):
    """The process that ran the job died, or its lease ran out."""

    title = "Worker lost"


class Damaged(AppError):
    """Our own data does not add up; somebody should look."""

    title = "Damaged"


class CorruptArtifact(Damaged):
    """A stored file differs from its manifest."""

    title = "Corrupt artifact"


class CorruptRecord(Damaged):
    """A row of the registry cannot be read."""

    title = "Corrupt record"


class ParityFailed(Damaged):
    """The exported network answers differently from the trained one."""

    title = "Parity failed"


class FitDiverged(Damaged):
    """Training ended in NaN or infinity."""

    title = "Training diverged"


class TimeLimitExceeded(Damaged):
    """The job ran longer than its order allows."""

    title = "Time limit exceeded"


class JobCrashed(Damaged):
    """The job's process ended without a word."""

    title = "Job crashed"
