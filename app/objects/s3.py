"""A folder of objects on S3, or on a server that speaks it: written whole, asked with bounded patience.

Credentials are found as all AWS tools find them (``AWS_ACCESS_KEY_ID`` …, ``~/.aws``, the host's role) and never shown:
errors name what S3 answered by its code, not by its words.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import s3fs
from aiohttp import ClientError as BrokenConnection
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from fsspec.asyn import sync

from app.errors import StoreUnavailable

_FAILURES = (OSError, BotoCoreError, ClientError, ResponseParserError, BrokenConnection, TimeoutError)
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_THERE_ALREADY = (409, 412)
# Whose an object is: an answer that got lost may have been "stored".
_WRITER = "morrow-writer"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long S3 may take: to connect and to say the next thing, tries of one request, and the whole call.

    A call that carries bytes has longer, by their number at ``slowest_bytes_per_second``: without that, what is large
    could never be stored over a line that is slow but well, however often it were tried.
    """

    connect_seconds: float = 2.0
    silent_seconds: float = 5.0
    tries: int = 3
    call_seconds: float = 20.0
    slowest_bytes_per_second: float = 1e6

    def seconds_for(self, size: int) -> float:
        """Return how long a call may take that carries ``size`` bytes."""
        return self.call_seconds + size / self.slowest_bytes_per_second


class S3Folder:
    """The objects below ``url``, ``s3://bucket/prefix``; thread-safe, nothing is asked before the first call.

    ``holds`` names the folder in errors; ``endpoint_url`` is where a server of one's own listens.
    """

    def __init__(
        self, url: str, *, holds: str, endpoint_url: str | None = None, patience: Patience | None = None
    ) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._holds = holds
        self._patience = patience = patience or Patience()
        self._s3 = s3fs.S3FileSystem(
            endpoint_url=endpoint_url,
            config_kwargs={
                "connect_timeout": patience.connect_seconds,
                "read_timeout": patience.silent_seconds,
                "retries": {"total_max_attempts": patience.tries, "mode": "standard"},
                # The server refuses bytes that changed on their way; newer checksums are not known everywhere.
                "s3": {"payload_signing_enabled": True},
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._s3.retries = 1  # botocore tries again already; both would multiply

    def put(self, name: str, data: bytes) -> None:
        """Store the object, whatever is there.

        Raises:
            StoreUnavailable: S3 does not take it, or nobody knows whether it did; try again later.
        """
        with self._told(f"write {name}"):
            self._s3.pipe_file(self._path(name), data, timeout=self._patience.seconds_for(len(data)))

    def create(self, name: str, data: bytes) -> bool:
        """Store the object unless one is there; return whether it was stored by this call.

        Raises:
            StoreUnavailable: S3 does not take it, or nobody knows whether it did; try again later.
        """
        writer, seconds = uuid.uuid4().hex, self._patience.seconds_for(len(data))
        with self._told(f"write {name}"):
            try:
                self._s3.pipe_file(self._path(name), data, mode="create", Metadata={_WRITER: writer}, timeout=seconds)
            except _FAILURES as error:
                if _answer_of(error)[1] not in _THERE_ALREADY:
                    raise
                return self._writer_of(name, refusal=error) == writer
        return True

    def get(self, name: str) -> bytes | None:
        """Return the object's bytes, ``None`` when there is no such object.

        Raises:
            StoreUnavailable: S3 does not give it; try again later.
        """
        with self._told(f"read {name}"):
            try:
                return cast(bytes, sync(self._s3.loop, self._read, name))
            except FileNotFoundError as error:
                if _answer_of(error)[0] != "NoSuchKey":  # no bucket, or no S3 at all behind that address
                    raise
                return None

    def exists(self, name: str) -> bool:
        """Return whether there is such an object.

        Raises:
            StoreUnavailable: S3 does not say; try again later.
        """
        with self._told(f"look for {name}"):
            try:
                self._head(name)
            except FileNotFoundError:
                return False
        return True

    def remove(self, name: str) -> None:
        """Remove the object; nothing happens when there is none.

        Raises:
            StoreUnavailable: S3 does not remove it; try again later.
        """
        with self._told(f"remove {name}"):
            self._s3.rm_file(self._path(name), timeout=self._patience.call_seconds)

    def written(self, below: str = "") -> dict[str, float]:
        """Return the names that begin with ``below``, and when each was written: the server's time, in seconds.

        Raises:
            StoreUnavailable: S3 does not list them; try again later.
        """
        found: dict[str, float] = {}
        pages: set[str | None] = {None}
        page = {"Bucket": self._bucket, "Prefix": self._prefix + below}
        with self._told("list"):
            while True:
                answer = self._s3.call_s3("list_objects_v2", timeout=self._patience.call_seconds, **page)
                for one in answer.get("Contents", ()):
                    found[one["Key"].removeprefix(self._prefix)] = one["LastModified"].timestamp()
                if not answer.get("IsTruncated"):
                    return found
                token = answer.get("NextContinuationToken")
                if token in pages:  # else a listing that leads nowhere, or back, would never end
                    detail = f"Cannot list in the {self._holds}: S3 says that there is more, and not where."
                    raise StoreUnavailable(detail, reason="endless_listing")
                pages.add(token)
                page["ContinuationToken"] = token

    async def _read(self, name: str) -> bytes:
        """Read an object in one request; what it may take is known once its size is."""
        async with asyncio.timeout(self._patience.call_seconds) as bound:
            answer = await self._s3._call_s3("get_object", Bucket=self._bucket, Key=self._prefix + name)
            size = answer.get("ContentLength", 0)  # not every server says it: then the shortest time has to do
            bound.reschedule(cast(float, bound.when()) + size / self._patience.slowest_bytes_per_second)
            async with answer["Body"] as body:
                return cast(bytes, await body.read())

    def _writer_of(self, name: str, *, refusal: BaseException) -> str | None:
        """Return who wrote the object that made S3 refuse to create it; another is only under way when it has none."""
        try:
            return self._head(name).get(_WRITER)
        except FileNotFoundError:
            raise refusal from refusal.__cause__

    def _head(self, name: str) -> dict[str, str]:
        """Return what was noted beside the object."""
        key = self._prefix + name
        head = self._s3.call_s3("head_object", Bucket=self._bucket, Key=key, timeout=self._patience.call_seconds)
        return dict(head.get("Metadata", {}))

    def _path(self, name: str) -> str:
        return f"{self._bucket}/{self._prefix}{name}"

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Turn what S3 refuses into an error without its words, which may hold addresses and key ids."""
        try:
            yield
        except _FAILURES as error:
            code, status = _answer_of(error)
            why = f"S3 answered {code} ({status})" if status else f"S3 did not answer ({code})"
            raise StoreUnavailable(f"Cannot {doing} in the {self._holds}: {why}.", reason=code) from None


def _answer_of(error: BaseException) -> tuple[str, int]:
    """Return the code and the status that S3 answered; without an answer, what went wrong and 0."""
    said = error if isinstance(error, ClientError) else error.__cause__
    if not isinstance(said, ClientError):
        return type(error).__name__, 0
    status = int(said.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(said.response.get("Error", {}).get("Code", ""))
    return (code if _CODE.fullmatch(code) else str(status)), status
