"""Price histories on disk, named by what they say: whoever has the name can prove the content."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import tempfile
import zlib
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from app.domain.history import BAR_FIELDS, Action, Bars, PriceHistory
from app.errors import CorruptArtifact, StoreUnavailable

_ID = re.compile(r"sha256:([0-9a-f]{64})")
_FACTS = ("ticker", "source", "currency", "timezone", "instrument", "price_basis")


class SnapshotStore:
    """A folder of immutable snapshots, one gzip file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, history: PriceHistory) -> str:
        """Store the history and return its id, ``sha256:<hex>``; the same history has the same id everywhere.

        Raises:
            StoreUnavailable: the disk refuses; nothing was stored, try again later.
        """
        text = to_bytes(history)
        digest = hashlib.sha256(text).hexdigest()
        try:
            if self._content(digest) != text:
                self._publish(digest, gzip.compress(text, compresslevel=6, mtime=0))
        except OSError as error:
            raise StoreUnavailable(f"The snapshot cannot be written: {error.strerror}.") from error
        return f"sha256:{digest}"

    def load(self, snapshot_id: str) -> PriceHistory:
        """Return the history of this id, bit for bit as it was saved.

        Raises:
            CorruptArtifact: the file is missing, damaged, or says something else than its name.
        """
        name = _ID.fullmatch(snapshot_id)
        text = self._content(name[1]) if name else None
        if name is None or text is None or hashlib.sha256(text).hexdigest() != name[1]:
            raise CorruptArtifact(f"Snapshot {snapshot_id[:80]} is missing or damaged.", snapshot_id=snapshot_id[:80])
        return from_bytes(text)

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.gz"

    def _content(self, digest: str) -> bytes | None:
        """Return the uncompressed bytes, ``None`` where none can be had."""
        try:
            return gzip.decompress(self._path(digest).read_bytes())
        except (OSError, EOFError, zlib.error):
            return None

    def _publish(self, digest: str, data: bytes) -> None:
        """Write beside, then rename: whoever reads sees all of it or nothing."""
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(self._path(digest))
        except OSError:
            Path(beside).unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def to_bytes(history: PriceHistory) -> bytes:
    """Write a history as text: one line of JSON facts, then one line of numbers a bar.

    Numbers are the shortest decimals that read back as the same doubles.
    """
    extra = sorted(history.bars.extra)
    facts: dict[str, Any] = {name: getattr(history, name) for name in _FACTS}
    facts["actions"] = [[action.session.isoformat(), action.kind, float(action.value)] for action in history.actions]
    facts["columns"] = ["session", *BAR_FIELDS, *extra]
    days = [str(day) for day in history.bars.sessions.astype("datetime64[D]")]
    columns = [map(repr, history.bars.column(name).astype(np.float64).tolist()) for name in (*BAR_FIELDS, *extra)]
    lines = [json.dumps(facts, sort_keys=True), *(",".join(row) for row in zip(days, *columns, strict=True))]
    return "".join(f"{line}\n" for line in lines).encode()


def from_bytes(text: bytes) -> PriceHistory:
    """Read back what ``to_bytes`` wrote."""
    head, *lines = text.decode().splitlines()
    facts = json.loads(head)
    days, *cells = zip(*(line.split(",") for line in lines), strict=True) if lines else [()] * len(facts["columns"])
    values = (np.fromiter(map(float, column), np.float64, len(days)) for column in cells)
    columns = dict(zip(facts["columns"][1:], values, strict=True))
    bars = Bars(
        sessions=np.array(days, dtype="datetime64[D]"),
        **{name: columns.pop(name) for name in BAR_FIELDS},
        extra=MappingProxyType(columns),
    )
    actions = tuple(
        Action(session=date.fromisoformat(day), kind=kind, value=value) for day, kind, value in facts["actions"]
    )
    return PriceHistory(bars=bars, actions=actions, **{name: facts[name] for name in _FACTS})
