"""What is the matter with what was asked: asking the same again does not help."""

from __future__ import annotations

from app.errors.base import AppError


class Denied(AppError):
    """The caller may not do this."""

    title = "Denied"


class Unauthorized(Denied):
    """No valid key came with the request."""

    title = "Key needed"


class ScopeTooSmall(Denied):
    """The key may not do this."""

    title = "Scope too small"


class Limited(AppError):
    """The caller asks for too much at once; the same may be fine later."""

    title = "Too much at once"


class TooManyRequests(Limited):
    """More requests came than one caller may send in this time."""

    title = "Too many requests"


class QuotaExceeded(Limited):
    """More jobs would wait or run than one caller may have."""

    title = "Quota exceeded"


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


class TargetNotEmpty(Conflict):
    """Something is already there where data was to be restored or moved to."""

    title = "Target not empty"


class WorkersAlive(Conflict):
    """Workers are at work on what was to be moved."""

    title = "Workers alive"


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
