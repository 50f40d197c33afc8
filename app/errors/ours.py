"""What is the matter on our side: somebody we depend on is down, or our own data does not add up."""

from __future__ import annotations

from app.errors.base import AppError


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


class BrokerUnavailable(Unavailable):
    """The broker that tells workers of jobs does not answer."""

    title = "Broker unavailable"


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


class CorruptBackup(Damaged):
    """A backup is cut short, altered, or was never one."""

    title = "Corrupt backup"


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
