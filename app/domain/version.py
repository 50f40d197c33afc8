"""A model version: immutable once registered, but for what becomes of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from app.domain.spec import NetworkSpec

CHAMPION = "champion"
CHALLENGER = "challenger"

#: What speaks against a version only because of the champion of its day: live scores may decide otherwise.
RIVAL_REASONS = frozenset({"champion_not_comparable", "worse_than_champion"})


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The bars that a version was trained on; ``findings`` is what their audit said.

    ``peers``, for a version that reads some, holds the ``snapshots`` of their bars by ticker and their
    ``correlation`` with the ticker over the sessions that the first fold learnt from.
    """

    source: str
    snapshot_id: str
    first_session: date
    last_session: date
    rows: int
    findings: tuple[Mapping[str, Any], ...] = ()
    peers: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One trained, judged network of a ticker.

    ``location`` is the bundle's key in the artifact store, ``artifacts`` maps file names to
    ``{"sha256", "bytes"}``, ``manifest_sha256`` pins them all. ``order``, ``scorecard`` are the nouns
    of those names as JSON. ``seconds`` maps stages to wall time. ``submitted_by`` and ``reason`` say
    who asked and why. ``damaged_at`` is when its files were first found damaged, ``None`` while they are not known
    to be.
    """

    ticker: str
    number: int
    created_at: datetime
    order: Mapping[str, Any]
    data: DataFacts
    scorecard: Mapping[str, Any]
    location: str
    artifacts: Mapping[str, Mapping[str, Any]]
    manifest_sha256: str
    libraries: Mapping[str, str]
    seconds: Mapping[str, float]
    job_id: str | None
    code_version: str
    submitted_by: str = "anonymous"
    reason: str = ""
    damaged_at: datetime | None = None

    @property
    def summary(self) -> VersionSummary:
        """What a list shows of it."""
        contestants = self.scorecard["contestants"]
        return VersionSummary(
            ticker=self.ticker,
            number=self.number,
            created_at=self.created_at,
            preset=self.order["preset"],
            spec=NetworkSpec.from_dict(self.order["spec"]),
            source=self.data.source,
            trained_through=self.data.last_session,
            skill=self.scorecard["skill"],
            reasons=tuple(self.scorecard["reasons"]),
            metrics=contestants["model"],
            persistence=contestants["persistence"],
            damaged_at=self.damaged_at,
        )


@dataclass(frozen=True, kw_only=True)
class VersionSummary:
    """What a list shows of a version; ``metrics`` are those of the network, ``persistence`` those of the last value."""

    ticker: str
    number: int
    created_at: datetime
    preset: str
    spec: NetworkSpec
    source: str
    trained_through: date
    skill: Mapping[str, Any]
    reasons: tuple[str, ...]
    metrics: Mapping[str, float | None]
    persistence: Mapping[str, float | None]
    damaged_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class AliasChange:
    """One entry of an alias's history; ``version`` ``None`` means that the alias was taken away."""

    ticker: str
    alias: str
    version: int | None
    previous: int | None
    changed_at: datetime
    changed_by: str
    reason: str
