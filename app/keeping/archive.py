"""The form of a backup: a plain tar, which any machine can open, whose last members pin all others.

``registry/<table>.jsonl.gz`` holds a table, a line of JSON a row; ``models_store/`` the files of the bundles;
``snapshots/`` the bars, as gzip; ``backup.json`` says what there should be, with the SHA-256 of each member, and
``SHA256`` pins that. What is cut short lacks the end, and what lacks the end is no backup.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from app.errors import CorruptBackup, TargetNotEmpty
from app.objects.disk import disk_errors, sync_folder

FORM = 1
PARTIAL = ".partial-"
BUNDLES, SNAPSHOTS = "models_store", "snapshots"
_CONTENTS = "backup.json"
_SEAL = "SHA256"
_NAME = re.compile(r"(registry|models_store|snapshots)(/[A-Za-z0-9][A-Za-z0-9_.-]*){1,3}|backup\.json|SHA256")
_MODE = 0o600


def count_there(named: Sized, folder: str, missing: Iterable[str]) -> int:
    """Return how many of those ``named`` by the registry are in the archive's ``folder``."""
    return len(named) - sum(name.startswith(f"{folder}/") for name in missing)


class ArchiveWriter:
    """Writes beside ``file``, and gives it its name when all is on disk; before that nothing has the name.

    Raises:
        TargetNotEmpty: there is a file of this name; choose another.
        StoreUnavailable: the disk refuses; nothing remains.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.absolute()
        self._beside = self._file.with_name(f"{PARTIAL}{uuid.uuid4().hex}-{self._file.name}")
        self._members: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> ArchiveWriter:
        _refuse_existing(self._file)
        with disk_errors(f"Cannot write {self._file}"):
            descriptor = os.open(self._beside, os.O_CREAT | os.O_EXCL | os.O_RDWR, _MODE)  # it holds all there is
        self._out = os.fdopen(descriptor, "w+b")
        self._tar = tarfile.open(fileobj=self._out, mode="w", format=tarfile.PAX_FORMAT)
        return self

    def add(self, name: str, data: bytes) -> None:
        """Add a member."""
        self.add_file(name, io.BytesIO(data))

    def add_file(self, name: str, source: IO[bytes]) -> None:
        """Add a member of what ``source`` holds from its start on."""
        size, digest = source.seek(0, io.SEEK_END), hashlib.sha256()
        source.seek(0)
        while block := source.read(1 << 20):
            digest.update(block)
        source.seek(0)
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, _MODE
        with disk_errors(f"Cannot write {self._file}"):
            self._tar.addfile(member, source)
        self._members[name] = {"sha256": digest.hexdigest(), "bytes": size}

    @contextmanager
    def spooled(self, name: str) -> Iterator[IO[bytes]]:
        """Give a file to write a member of unknown length to; it is added at the end of the block."""
        with disk_errors(f"Cannot write {self._file}"), tempfile.TemporaryFile(dir=self._file.parent) as spool:
            yield spool
            self.add_file(name, spool)

    def finish(self, contents: Mapping[str, Any]) -> None:
        """Write the end, put all on disk and give the file its name."""
        text = json.dumps({"form": FORM, **contents, "members": self._members}, indent=1).encode() + b"\n"
        self.add(_CONTENTS, text)
        self.add(_SEAL, hashlib.sha256(text).hexdigest().encode() + b"\n")
        with disk_errors(f"Cannot write {self._file}"):
            self._tar.close()
            self._out.flush()
            os.fsync(self._out.fileno())
            _refuse_existing(self._file)
            self._beside.rename(self._file)
            sync_folder(self._file.parent)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with suppress(OSError):  # what a full disk did not take is tried once more; all that counts is synced by now
            self._out.close()
        with disk_errors(f"Cannot remove {self._beside}"):
            self._beside.unlink(missing_ok=True)


class Archive:
    """A backup, open for reading: nothing is unpacked by its name, and no byte is given out that was not checked.

    Raises:
        CorruptBackup: it is cut short, altered, or no backup at all; take an older one.
        StoreUnavailable: the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> Archive:
        with disk_errors(f"Cannot read {self._file}"), self._readable():
            self._tar = tarfile.open(self._file, "r:")
            try:
                self._found = {member.name: member for member in self._tar}
                self.contents = self._contents()
            except BaseException:
                self._tar.close()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._tar.close()

    def names(self, folder: str) -> list[str]:
        """Return the members that lie in ``folder``."""
        return [name for name in self.contents["members"] if name.startswith(f"{folder}/")]

    def read(self, name: str) -> bytes:
        """Return a member."""
        pinned = self.contents["members"].get(name)
        if pinned is None:
            raise CorruptBackup(f"{self._file.name} lacks {name}.", name=name)
        data = self._raw(name)
        if hashlib.sha256(data).hexdigest() != pinned["sha256"]:
            raise CorruptBackup(f"{name} in {self._file.name} is not what was backed up.", name=name)
        return data

    def check(self) -> None:
        """Read all of it once and compare each member with its hash, before anything is made of one.

        Raises:
            CorruptBackup: a member is not what was backed up; take an older backup.
        """
        for name, pinned in self.contents["members"].items():
            digest = hashlib.sha256()
            with self._readable():
                source = self.open(name)
                while block := source.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != pinned["sha256"]:
                raise CorruptBackup(f"{name} in {self._file.name} is not what was backed up.", name=name)

    def open(self, name: str) -> IO[bytes]:
        """Return a large member to read from, which ``check`` has looked at."""
        source = self._tar.extractfile(self._found[name])
        if source is None:
            raise CorruptBackup(f"{name} in {self._file.name} is no file.", name=name)
        return source

    def _contents(self) -> dict[str, Any]:
        strange = [name for name, member in self._found.items() if not (_NAME.fullmatch(name) and member.isreg())]
        if strange or _SEAL not in self._found or _CONTENTS not in self._found:
            what = f"{strange[0]!r} has no place in it" if strange else "its end is missing"
            raise CorruptBackup(f"{self._file.name} is no whole backup: {what}.")
        text = self._raw(_CONTENTS)
        if hashlib.sha256(text).hexdigest().encode() != self._raw(_SEAL).strip():
            raise CorruptBackup(f"The contents of {self._file.name} were altered.")
        contents: dict[str, Any] = json.loads(text)
        if contents["form"] != FORM:
            raise CorruptBackup(f"{self._file.name} is of form {contents['form']}, which this program cannot read.")
        if set(contents["members"]) != set(self._found) - {_CONTENTS, _SEAL}:
            raise CorruptBackup(f"{self._file.name} does not hold what it says.")
        return contents

    def _raw(self, name: str) -> bytes:
        with self._readable():
            return self.open(name).read()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, EOFError, zlib.error, KeyError, ValueError) as error:
            raise CorruptBackup(f"{self._file.name} is damaged or no backup: {error}.") from error


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise TargetNotEmpty(f"{file} is there already; nothing is written over.")
