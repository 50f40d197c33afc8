"""A model version: immutable once registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

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
    who asked and why.
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
