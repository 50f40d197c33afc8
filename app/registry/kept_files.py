"""Which files the registry names: the bundles of its versions, and the snapshots of bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from app.db.tables import snapshots, versions


@dataclass(frozen=True, kw_only=True)
class KeptBundle:
    """Where the bundle of a version lies, its ``files`` (names to ``{"sha256", "bytes"}``) and what pins them all."""

    location: str
    files: Mapping[str, Mapping[str, Any]]
    manifest_sha256: str


def bundles(tx: Connection) -> list[KeptBundle]:
    """Return the bundles of all versions, by where they lie."""
    columns = (versions.c.location, versions.c.artifacts, versions.c.manifest_sha256)
    rows = tx.execute(select(*columns).order_by(versions.c.location))
    return [KeptBundle(location=where, files=files, manifest_sha256=pin) for where, files, pin in rows]


def snapshot_ids(tx: Connection) -> list[str]:
    """Return the ids of all snapshots, in order."""
    return list(tx.execute(select(snapshots.c.snapshot_id).order_by(snapshots.c.snapshot_id)).scalars())
