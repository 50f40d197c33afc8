"""Price histories that are kept, named by what they say: whoever has the name can prove the content."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Set
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from app.domain.history import BAR_FIELDS, Action, Bars, PriceHistory
from app.errors import CorruptArtifact

UNFINISHED = ".new-"
"""How the name of a file begins that is being written, or was when its process was killed."""
_ID = re.compile(r"sha256:([0-9a-f]{64})")
_FILE = re.compile(rf"[0-9a-f]{{64}}\.gz|{re.escape(UNFINISHED)}.*")
_FACTS = ("ticker", "source", "currency", "timezone", "instrument", "price_basis")


class SnapshotFiles(Protocol):
    """Where the files lie: on this host, or on a server."""

    def get(self, name: str) -> bytes | None:
        """Return the file, ``None`` when there is none.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """

    def put(self, name: str, data: bytes) -> None:
        """Store the file as a whole, whatever is there.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """

    def remove(self, name: str) -> None:
        """Take the file away; nothing happens when there is none.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """

    def written(self) -> dict[str, float]:
        """Return the names of all files, and when each was written, in seconds.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """


class SnapshotStore:
    """Immutable snapshots, one gzip file each."""

    def __init__(self, files: SnapshotFiles) -> None:
        self._files = files

    def save(self, history: PriceHistory) -> str:
        """Store the history and return its id, ``sha256:<hex>``; the same history has the same id everywhere.

        Raises:
            StoreUnavailable: disk or server refuse; nothing was stored, try again later.
        """
        text = to_bytes(history)
        digest = hashlib.sha256(text).hexdigest()
        if self._content(digest) != text:
            self._files.put(_name(digest), gzip.compress(text, compresslevel=6, mtime=0))
        return f"sha256:{digest}"

    def load(self, snapshot_id: str) -> PriceHistory:
        """Return the history of this id, bit for bit as it was saved.

        Raises:
            CorruptArtifact: the file is missing, damaged, or says something else than its name.
            StoreUnavailable: disk or server refuse; try again later.
        """
        name = _ID.fullmatch(snapshot_id)
        text = self._content(name[1]) if name else None
        if name is None or text is None or hashlib.sha256(text).hexdigest() != name[1]:
            raise CorruptArtifact(f"Snapshot {snapshot_id[:80]} is missing or damaged.", snapshot_id=snapshot_id[:80])
        return from_bytes(text)

    def strays(self, known: Set[str], *, before: datetime) -> list[str]:
        """Return the files written before ``before`` that are of no ``known`` snapshot: let go of, or never finished.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """
        kept = {_name(snapshot_id.removeprefix("sha256:")) for snapshot_id in known}
        old = {name for name, at in self._files.written().items() if at < before.timestamp()}
        return sorted(name for name in old - kept if _FILE.fullmatch(name))

    def remove(self, stray: str, *, may_go: Callable[[str], bool]) -> bool:
        """Remove a stray file if the snapshot of this id ``may_go``; return whether it is gone.

        Once that was said, nobody may come to know the snapshot before the file is gone.

        Raises:
            StoreUnavailable: disk or server refuse; try again later.
        """
        if not may_go(f"sha256:{stray.removesuffix('.gz')}"):
            return False
        self._files.remove(stray)
        return True

    def _content(self, digest: str) -> bytes | None:
        """Return the uncompressed bytes, ``None`` where none can be had."""
        data = self._files.get(_name(digest))
        try:
            return None if data is None else gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return None


def _name(digest: str) -> str:
    return f"{digest}.gz"


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
