"""A restore, top to bottom: unpacked beside, opened and checked like a registry in use, then moved into place.

The folder that it unpacks in lies in the home, and is the last to go: while something is in it, no service starts on
the home, and the next restore takes away what there is and begins anew. Empty beside a database, all is in place.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.artifacts.base import MANIFEST, manifest_sha256
from app.bootstrap import RESTORING
from app.db.engine import Database
from app.db.migrate import upgrade
from app.db.transfer import Digest, Row, Shape, digest_of, set_sequences, shapes, write_rows
from app.domain.access import AccessKey
from app.errors import CorruptBackup, StoreUnavailable, TargetNotEmpty
from app.forecasting.services import Services
from app.jobs import fleet
from app.keeping.archive import BUNDLES, SNAPSHOTS, Archive, count_there
from app.keeping.backup import snapshot_member
from app.keeping.move import holds_the_same, move_registry, refuse_rows, require_same
from app.keeping.progress import Report, silent
from app.objects.disk import disk_errors, sync_folder
from app.prices.snapshots import from_bytes
from app.registry import chain, kept_files, keys
from app.registry.kept_files import KeptBundle

_DATABASE = "morrow.db"
_REGISTRY = tuple(f"{_DATABASE}{end}" for end in ("", "-shm", "-wal"))
#: All that a restore puts in place; it goes in this order, for without its database nothing looks whole.
_PLACED = (*_REGISTRY, BUNDLES, SNAPSHOTS)
#: What a file system puts into an empty folder.
_NOTHING = ("lost+found",)

#: Opens services on a home folder: state and bundles in it, the registry in SQLite.
Open = Callable[[Path], Services]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was restored, of when; ``missing`` names what was damaged or gone when the backup was taken.

    ``keys`` are the API keys that are valid: those that were revoked after the backup are so again.
    """

    created_at: datetime
    rows: int
    bundles: int
    snapshots: int
    forecasts: int
    head: str
    fault: str | None
    missing: Sequence[str]
    keys: Sequence[AccessKey]


def restore(
    file: Path, home: Path, *, open_home: Open, target: Database | None, now: datetime, report: Report = silent
) -> Restored:
    """Bring the backup ``file`` to the empty folder ``home``, and its registry to the empty ``target``, if any.

    Nothing is put in place before all has been opened and checked: every row, every file, the chain of forecasts. One
    that was cut off is ended by another of the same: a ``target`` that holds these very rows need not be empty.

    Raises:
        TargetNotEmpty: folder or database hold something else; name others.
        CorruptBackup: the file is cut short or altered, or something in it is; nothing was restored.
        StoreUnavailable: disk or database refuse, the backup is of a newer program, or another restore into ``home`` is
            under way; no file was restored, and where ``home`` is marked now the ``target`` may hold the rows all the
            same: run this again.
    """
    with Archive(file) as archive, _staged(home) as staging:
        staged = staging.folder
        if target and not staging.may_be_out:
            with target.read() as tx:
                refuse_rows(tx)
        report("Checking the backup", 0, None)
        archive.check()
        rows = _restore_registry(archive, staged / _DATABASE, report)
        restored = _restore_files(archive, open_home(staged), rows, now, report)
        _put_in_place(staged, home, but=_REGISTRY if target else ())
        if target:
            again, staging.may_be_out = staging.may_be_out, True
            _move_out(staged / _DATABASE, target, now, report, again=again)
    return restored


@dataclass
class _Staging:
    """The folder that is unpacked in, and whether the database that gets the registry may hold it by now."""

    folder: Path
    may_be_out: bool


@contextmanager
def _staged(home: Path) -> Iterator[_Staging]:
    """Give a folder inside ``home``, which may be a volume of its own; another restore may have been cut off there.

    Whatever goes wrong, nothing remains but the mark, and that only where a database may hold the rows: who commits and
    then hears of an error, or is interrupted, does not know.
    """
    with disk_errors(f"Cannot restore into {home}"):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(home):
            mark = _cut_off(home)
            staged = mark or home / f"{RESTORING}{uuid.uuid4().hex}"
            staged.mkdir(mode=0o700, exist_ok=True)
            staging = _Staging(staged, may_be_out=mark is not None)
            try:
                _take_away(home, but=staged)
                yield staging
            except BaseException:
                with suppress(OSError):  # what cannot go either stays marked
                    _take_away(home, but=staged if staging.may_be_out else None)
                raise
            with suppress(FileNotFoundError):  # a service that has started since takes an empty one away
                shutil.rmtree(staged)
            sync_folder(home)  # else it might come back after a power cut, and with it the refusal to start


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other restores out of ``home``; unlike the mark, the lock goes with its process, however that ends."""
    folder = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        detail = f"Another restore into {home} is under way: wait for it, or restore into another folder."
        raise StoreUnavailable(detail, folder=str(home)) from None
    except OSError:
        pass  # a file system that locks no folders, as NFS: whoever restores there has to be alone by himself
    try:
        yield
    finally:
        os.close(folder)


def _cut_off(home: Path) -> Path | None:
    """Return the mark of a restore that was cut off, ``None`` where nothing is; refuse all else."""
    found = [path for path in home.iterdir() if path.name not in _NOTHING]
    marks = [path for path in found if path.name.startswith(RESTORING)]
    ended = (home / _DATABASE).exists() and not any(any(mark.iterdir()) for mark in marks)
    ours = () if ended else _PLACED
    there = sorted(path.name for path in found if path not in marks and not (marks and path.name in ours))
    if there:
        detail = f"{home} is not empty: {', '.join(there[:5])}. Restore into a new folder."
        raise TargetNotEmpty(detail, folder=str(home))
    return marks[0] if marks else None


def _take_away(home: Path, *, but: Path | None) -> None:
    """Take away what restores have put into ``home``, the marks last; of the mark ``but`` only what is in it."""
    marks = sorted(home.glob(f"{RESTORING}*"))
    inside = list(but.iterdir()) if but else []
    for path in (*(home / name for name in _PLACED), *inside, *(mark for mark in marks if mark != but)):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _restore_registry(archive: Archive, file: Path, report: Report) -> int:
    """Make the database at the backup's own revision, fill it, and bring it up to date; return how many rows came."""
    contents = archive.contents
    database = Database(f"sqlite:///{file}")
    try:
        with database.write() as tx:
            upgrade(tx, contents["revision"])
            known = shapes(tx)
            _refuse_other_tables(known, contents["tables"])
            rows = sum(_fill(archive, tx, shape, report) for shape in known)
            set_sequences(tx, known)
        database.upgrade()
        with database.write() as tx:
            fleet.forget_all(tx)  # the workers of that day are not those of today
        database.check()
    finally:
        database.close()
    return rows


def _refuse_other_tables(known: Sequence[Shape], said: Mapping[str, Any]) -> None:
    if {shape.name: dict(shape.columns) for shape in known} != {name: table["columns"] for name, table in said.items()}:
        raise CorruptBackup("The tables of the backup are not those of its schema.")


def _fill(archive: Archive, tx: Connection, shape: Shape, report: Report) -> int:
    said, sent = archive.contents["tables"][shape.name], Digest()
    write_rows(tx, shape, _rows(archive, shape, sent, report))
    if (sent.rows, sent.checksum) != (said["rows"], said["checksum"]):
        raise CorruptBackup(f"The rows of {shape.name} are not those that were backed up.", table=shape.name)
    require_same(shape, sent, digest_of(tx, shape))
    return sent.rows


def _rows(archive: Archive, shape: Shape, sent: Digest, report: Report) -> Iterator[Row]:
    total = archive.contents["tables"][shape.name]["rows"]
    with gzip.GzipFile(fileobj=archive.open(f"registry/{shape.name}.jsonl.gz")) as lines:
        for line in lines:
            sent.add(line.rstrip(b"\n"))
            if sent.rows % 1000 == 0:
                report(f"Restoring {shape.name}", sent.rows, total)
            yield json.loads(line)
    report(f"Restoring {shape.name}", sent.rows, total)


def _restore_files(archive: Archive, services: Services, rows: int, now: datetime, report: Report) -> Restored:
    """Bring back what the registry names, through the stores that serve it, and check the chain."""
    try:
        with services.database.read() as tx:
            bundles, ids, verified = kept_files.bundles(tx), kept_files.snapshot_ids(tx), chain.verify(tx)
            valid = [key for key in keys.all_keys(tx) if key.fault(now) is None]
        missing = set(archive.contents["missing"])
        for done, bundle in enumerate(bundles, 1):
            if f"{BUNDLES}/{bundle.location}" not in missing:
                _restore_bundle(archive, services, bundle)
            report("Restoring bundles", done, len(bundles))
        for done, snapshot_id in enumerate(ids, 1):
            if f"{SNAPSHOTS}/{snapshot_id}" not in missing:
                _restore_snapshot(archive, services, snapshot_id)
            report("Restoring snapshots", done, len(ids))
    finally:
        services.database.close()
    fault = asdict(verified.fault) if verified.fault else None
    if {"count": verified.count, "head": verified.head, "fault": fault} != archive.contents["forecasts"]:
        raise CorruptBackup("The chain of forecasts is not the one that was backed up.")
    return Restored(
        created_at=datetime.fromisoformat(archive.contents["created_at"]),
        rows=rows,
        bundles=count_there(bundles, BUNDLES, missing),
        snapshots=count_there(ids, SNAPSHOTS, missing),
        forecasts=verified.count,
        head=verified.head,
        fault=verified.fault.what if verified.fault else None,
        missing=archive.contents["missing"],
        keys=valid,
    )


def _restore_bundle(archive: Archive, services: Services, bundle: KeptBundle) -> None:
    files = {name: archive.read(f"{BUNDLES}/{bundle.location}/{name}") for name in bundle.files}
    manifest = services.artifacts.publish(bundle.location, files)
    same = {name: dict(facts) for name, facts in bundle.files.items()} == manifest["files"]
    if not same or manifest_sha256(manifest) != bundle.manifest_sha256:
        raise CorruptBackup(f"The files of {bundle.location} are not those that were registered.", key=bundle.location)
    archive.read(f"{BUNDLES}/{bundle.location}/{MANIFEST}")


def _restore_snapshot(archive: Archive, services: Services, snapshot_id: str) -> None:
    name = snapshot_member(snapshot_id)
    try:
        history = from_bytes(gzip.decompress(archive.read(name)))
    except (OSError, EOFError, zlib.error, ValueError, LookupError) as error:
        raise CorruptBackup(f"{name} cannot be read.", name=name) from error
    if services.snapshots.save(history) != snapshot_id:
        raise CorruptBackup(f"{name} says something else than its name.", name=name)


def _put_in_place(staged: Path, home: Path, *, but: Sequence[str]) -> None:
    """Give everything its name, the database last: what there is before it is no home yet."""
    for folder in (staged, home):  # what there is, and the mark of what is to come
        sync_folder(folder)
    for path in sorted(staged.iterdir(), key=lambda path: (path.name in _REGISTRY, path.name)):
        if path.name not in but:
            path.rename(home / path.name)
    sync_folder(home)


def _move_out(file: Path, target: Database, now: datetime, report: Report, *, again: bool) -> None:
    """Move the registry that was restored to the database that is to hold it, unless it is there since the last try."""
    source = Database(f"sqlite:///{file}")
    try:
        if not (again and holds_the_same(source, target)):
            move_registry(source, target, now=now, report=report)
    finally:
        source.close()
