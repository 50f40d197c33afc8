"""Everything that can go wrong, on one page.

AppError
├── Denied                the caller may not do this                 never retried
│   ├── Unauthorized          no valid key came with the request
│   └── ScopeTooSmall         the key may not do this
├── Limited               the caller asks for too much at once       later, perhaps
│   ├── TooManyRequests       more requests than may be in this time
│   └── QuotaExceeded         more jobs wait or run than one caller may have
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
│   ├── TargetNotEmpty        data was to go where there is some already
│   ├── WorkersAlive          workers are at work on what was to be moved
│   ├── NoPooledModel         no pooled network is there to adopt
│   ├── NotPromotable         the version may not hold this alias
│   ├── PreconditionMissing   If-Match is needed here
│   └── PreconditionFailed    somebody else changed it first
├── Unavailable           somebody we depend on is down              retried with backoff
│   ├── SourceUnavailable     the price source did not answer, or answered nonsense
│   ├── SourceRateLimited     the price source asks for patience
│   ├── StoreUnavailable      disk or database refuse writes
│   ├── BrokerUnavailable     nobody carries word of jobs to the workers
│   └── WorkerLost            the process that ran the job died
└── Damaged               our own data does not add up               an alert, never retried
    ├── CorruptArtifact       a file differs from its manifest
    ├── CorruptRecord         a row of the registry cannot be read
    ├── CorruptBackup         a backup is cut short or altered
    ├── ParityFailed          the exported network answers differently from the trained one
    ├── FitDiverged           training ended in NaN or infinity
    ├── TimeLimitExceeded     the job ran longer than its order allows
    └── JobCrashed            the job ended without a word

Every error carries ``facts``: the numbers behind the message, JSON-ready, beside a stable ``code``. No HTTP in here.
"""

from __future__ import annotations

from app.errors.asked import (
    AliasInUse,
    BadRequest,
    Conflict,
    Denied,
    HorizonTooLong,
    IdempotencyMismatch,
    InvalidBars,
    InvalidSpec,
    JobActive,
    JobAlreadyOver,
    Limited,
    Missing,
    NeedsPeers,
    NoBarsYet,
    NoModelYet,
    NoPooledModel,
    NoSuchAlias,
    NoSuchArtifact,
    NoSuchJob,
    NoSuchVersion,
    NotEnoughHistory,
    NotPromotable,
    PreconditionFailed,
    PreconditionMissing,
    QuotaExceeded,
    ScopeTooSmall,
    TargetNotEmpty,
    TooManyRequests,
    Unauthorized,
    UnknownArchitecture,
    UnknownPreset,
    UnknownSource,
    UnknownTicker,
    WorkersAlive,
)
from app.errors.base import AppError
from app.errors.ours import (
    BrokerUnavailable,
    CorruptArtifact,
    CorruptBackup,
    CorruptRecord,
    Damaged,
    FitDiverged,
    JobCrashed,
    ParityFailed,
    SourceRateLimited,
    SourceUnavailable,
    StoreUnavailable,
    TimeLimitExceeded,
    Unavailable,
    WorkerLost,
)

__all__ = [
    "AliasInUse",
    "AppError",
    "BadRequest",
    "BrokerUnavailable",
    "Conflict",
    "CorruptArtifact",
    "CorruptBackup",
    "CorruptRecord",
    "Damaged",
    "Denied",
    "FitDiverged",
    "HorizonTooLong",
    "IdempotencyMismatch",
    "InvalidBars",
    "InvalidSpec",
    "JobActive",
    "JobAlreadyOver",
    "JobCrashed",
    "Limited",
    "Missing",
    "NeedsPeers",
    "NoBarsYet",
    "NoModelYet",
    "NoPooledModel",
    "NoSuchAlias",
    "NoSuchArtifact",
    "NoSuchJob",
    "NoSuchVersion",
    "NotEnoughHistory",
    "NotPromotable",
    "ParityFailed",
    "PreconditionFailed",
    "PreconditionMissing",
    "QuotaExceeded",
    "ScopeTooSmall",
    "SourceRateLimited",
    "SourceUnavailable",
    "StoreUnavailable",
    "TargetNotEmpty",
    "TimeLimitExceeded",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnknownArchitecture",
    "UnknownPreset",
    "UnknownSource",
    "UnknownTicker",
    "WorkerLost",
    "WorkersAlive",
]
