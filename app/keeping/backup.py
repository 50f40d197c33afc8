"""A backup, top to bottom: the registry as of one moment, then the files that it names, while the service goes on."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app import __version__
from app.artifacts.base import MANIFEST, manifest_bytes
from app.db.migrate import present_revision
from app.db.transfer import Digest, Shape, line_of, rows_of, shapes
from app.errors import CorruptArtifact, StoreUnavailable
from app.forecasting.services import Services
from app.keeping.archive import BUNDLES, SNAPSHOTS, ArchiveWriter, count_there
from app.keeping.progress import Report, silent
from app.prices.snapshots import to_bytes
from app.registry import chain, kept_files
from app.registry.kept_files import KeptBundle

_ATTEMPTS = 5
_REGISTRY = "registry"


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What was backed up; ``missing`` are files that were damaged or gone already, ``fault`` is that of the chain."""

    file: Path
    bytes: int
    rows: int
    bundles: int
    snapshots: int
    forecasts: int
    head: str
    fault: str | None
    missing: Sequence[str]


def back_up(services: Services, file: Path, *, report: Report = silent) -> Backup:
    """Write everything that the service knows into the new file ``file``; it has its name only when it is whole.

    Damage that is there already stops no backup: it is told of.

    Raises:
        TargetNotEmpty: the file is there already; choose another name.
        StoreUnavailable: disk or database refuse, or all changes too quickly; nothing remains, try again.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _back_up_once(services, file, report)
        except _Overtaken:
            continue
    raise StoreUnavailable("Versions were deleted faster than they could be copied; try again when it is quieter.")


class _Overtaken(Exception):
    """What the copied rows name was deleted, rows and files, before it could be copied."""


def _back_up_once(services: Services, file: Path, report: Report) -> Backup:
    with ArchiveWriter(file) as archive:
        with services.database.read() as tx:
            tables = {shape.name: _add_table(archive, tx, shape, report) for shape in shapes(tx)}
            bundles, snapshots = kept_files.bundles(tx), kept_files.snapshot_ids(tx)
            verified, revision = chain.verify(tx), present_revision(tx)
        missing = _add_bundles(archive, services, bundles, report) + _add_snapshots(
            archive, services, snapshots, report
        )
        linked = {
            "count": verified.count,
            "head": verified.head,
            "fault": asdict(verified.fault) if verified.fault else None,
        }
        archive.finish(
            {
                "created_at": services.clock().isoformat(),
                "code_version": __version__,
                "revision": revision,
                "tables": tables,
                "forecasts": linked,
                "missing": missing,
            }
        )
    return Backup(
        file=file,
        bytes=file.stat().st_size,
        rows=sum(table["rows"] for table in tables.values()),
        bundles=count_there(bundles, BUNDLES, missing),
        snapshots=count_there(snapshots, SNAPSHOTS, missing),
        forecasts=verified.count,
        head=verified.head,
        fault=verified.fault.what if verified.fault else None,
        missing=missing,
    )


def _add_table(archive: ArchiveWriter, tx: Connection, shape: Shape, report: Report) -> dict[str, Any]:
    digest = Digest()
    with (
        archive.spooled(f"{_REGISTRY}/{shape.name}.jsonl.gz") as spool,
        gzip.GzipFile(fileobj=spool, mode="wb", compresslevel=4, mtime=0) as packed,
    ):
        for row in rows_of(tx, shape):
            line = line_of(row)
            digest.add(line)
            packed.write(line + b"\n")
            if digest.rows % 1000 == 0:
                report(f"Reading {shape.name}", digest.rows, None)
    report(f"Reading {shape.name}", digest.rows, digest.rows)
    return {"columns": dict(shape.columns), "rows": digest.rows, "checksum": digest.checksum}


def _add_bundles(
    archive: ArchiveWriter, services: Services, bundles: Sequence[KeptBundle], report: Report
) -> list[str]:
    missing = []
    for done, bundle in enumerate(bundles, 1):
        try:
            files = {
                name: services.artifacts.read(bundle.location, name, sha256=pinned["sha256"])
                for name, pinned in bundle.files.items()
            }
        except CorruptArtifact:
            with services.database.read() as tx:
                there = {one.location for one in kept_files.bundles(tx)}
            if bundle.location not in there:
                raise _Overtaken from None
            missing.append(f"{BUNDLES}/{bundle.location}")
            continue
        files[MANIFEST] = manifest_bytes({"files": dict(bundle.files)})
        for name, data in files.items():
            archive.add(f"{BUNDLES}/{bundle.location}/{name}", data)
        report("Copying bundles", done, len(bundles))
    return missing


def _add_snapshots(archive: ArchiveWriter, services: Services, ids: Sequence[str], report: Report) -> list[str]:
    missing = []
    for done, snapshot_id in enumerate(ids, 1):
        try:
            text = to_bytes(services.snapshots.load(snapshot_id))
        except CorruptArtifact:
            with services.database.read() as tx:
                there = set(kept_files.snapshot_ids(tx))
            if snapshot_id not in there:
                raise _Overtaken from None
            missing.append(f"{SNAPSHOTS}/{snapshot_id}")
            continue
        archive.add(snapshot_member(snapshot_id), gzip.compress(text, compresslevel=6, mtime=0))
        report("Copying snapshots", done, len(ids))
    return missing


def snapshot_member(snapshot_id: str) -> str:
    """Return the name that a snapshot has in a backup."""
    return f"{SNAPSHOTS}/{snapshot_id.removeprefix('sha256:')}.gz"
