"""``python -m tests.chaos.soak --minutes 10``: twice the connections of `make bench`, for long, while networks train.

Forecasts, lists and event streams are asked of a whole service as fast as it answers, and a champion is swapped every
second. No answer may be an error, late, or of a version that was swapped away, and the API's resident memory may not
grow.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from app.bootstrap import open_services
from app.client import Client, ClientError
from app.settings import Settings
from tests.api.rows import add_version
from tests.bench.closed_loop import load, request_of
from tests.bench.polling import MANY, ONE, store_forecasts
from tests.bench.processes import forget_settings, resident_megabytes, running_api
from tests.chaos.tables import show, table
from tests.worker.support import descendants

CONNECTIONS = 128  # `make bench` has 64
STREAMS = 16  # as many as one caller may hold
PATHS = (*(ONE,) * 12, *(MANY,) * 3, "/v1/models?page_size=20")
LISTS = ("/v1/jobs", "/v1/scores", "/readyz", "/metrics", f"{ONE}/history")
WARM_UP = 0.25  # of the time: caches fill, and glibc's arenas
LARGEST_GROWTH = 0.05
LONGEST_P99 = 0.4
"""In seconds: from memory it is 0.2 on two cores with ten other processes; were each answer made anew, above 1."""
_SWAPPED = ONE.rpartition("/")[2]
_SWAP_SECONDS = 1.0
_TRAINING_SECONDS = 240.0  # how long the first may take beyond the end: training gives way to all else
_SILENCE_SECONDS = 30.0
_SMALL = {"spec": {"units": [4], "window": 5, "epochs": 2}, "data": {"source": "sample"}, "promote": "never"}


@dataclass
class Soaked:
    """What was answered, and the API's resident memory in MB at each second; ``waits`` are the newest, in seconds."""

    statuses: Counter[str] = field(default_factory=Counter)
    megabytes: list[tuple[float, float]] = field(default_factory=list)
    waits: deque[float] = field(default_factory=lambda: deque(maxlen=200_000))
    errors: list[str] = field(default_factory=list)
    trained: int = 0
    events: int = 0
    swapped: int = 0
    editions: int = 0
    seconds: float = 0.0

    @property
    def went_on(self) -> bool:
        """Whether a network trained, and each stream heard of the swaps; of two in a row it may hear as of one."""
        return self.trained > 0 and self.swapped > 0 and self.editions >= STREAMS * self.swapped / 2

    @property
    def p99(self) -> float:
        """In seconds, of the newest answers to the many connections."""
        return sorted(self.waits)[len(self.waits) * 99 // 100]

    @property
    def warm(self) -> list[tuple[float, float]]:
        """The measurements after the warm-up."""
        return [one for one in self.megabytes if one[0] >= WARM_UP * self.seconds]

    @property
    def growth(self) -> float:
        """How much more memory the last quarter after the warm-up holds than the first, as a share."""
        held = [megabytes for _, megabytes in self.warm]
        quarter = max(len(held) // 4, 1)
        return statistics.median(held[-quarter:]) / statistics.median(held[:quarter]) - 1

    @property
    def slope(self) -> float:
        """MB a minute, by least squares over what comes after the warm-up."""
        times, held = zip(*self.warm, strict=True)
        return statistics.linear_regression(times, held).slope * 60


def soak(home: Path, *, minutes: float) -> Soaked:
    """Run a whole service for so long under load; return what it did."""
    _store(home)
    soaked, over = Soaked(), threading.Event()
    with running_api("app", "serve", "--workers", "1", home=home) as (client, pid, _):
        api = next(child for child, line in descendants(pid).items() if "app api" in line)
        for path, requests in (("/v1/models?page_size=20", 8000), *((path, 500) for path in LISTS[:2])):
            # Until all threads and connections that make lists have what they need: minutes at the pace of the mix.
            load(client.url, request_of(client.url, path), status=200, connections=CONNECTIONS, requests=requests)
        parts = (_ask_for_forecasts, _ask_for_lists, _listen, _train, _swap)
        threads = [threading.Thread(target=one, args=(client.url, soaked, over)) for one in parts]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        while (at := time.monotonic() - begun) < minutes * 60 + (0 if soaked.trained else _TRAINING_SECONDS):
            soaked.megabytes.append((at, resident_megabytes(api)))
            time.sleep(1)
        soaked.seconds = time.monotonic() - begun
        over.set()
        for thread in threads:
            thread.join()
    return soaked


def _store(home: Path) -> None:
    """Register what is asked for, and a second version of one ticker to swap the first with."""
    store_forecasts(home)
    services = open_services(Settings(home=home))
    add_version(services, _SWAPPED)
    services.database.close()


def _ask_for_forecasts(url: str, soaked: Soaked, over: threading.Event) -> None:
    """Over all connections, each asked again as soon as it has answered."""
    address = urlsplit(url)
    requests = [request_of(url, path) for path in PATHS]
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for n in range(CONNECTIONS):
            one = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ, _Asking(one, requests[n % len(requests)]))
        while not over.is_set():
            ready = selector.select(_SILENCE_SECONDS)
            if not ready:
                soaked.errors.append("no answer came for too long")
                return
            for key, _ in ready:
                if (problem := key.data.read(soaked)) is not None:
                    soaked.errors.append(problem)
                    selector.unregister(key.fileobj)


class _Asking:
    """A connection with one request under way."""

    def __init__(self, connection: socket.socket, request: bytes) -> None:
        self._connection, self._request, self._received = connection, request, b""
        self._sent_at = time.perf_counter()
        connection.sendall(request)

    def read(self, soaked: Soaked) -> str | None:
        """Take what came, and ask again after the end of an answer; return what is wrong with the connection."""
        data = self._connection.recv(262_144)
        if not data:
            return "a connection was closed"
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return None
        soaked.statuses[head[9:12].decode()] += 1
        soaked.waits.append(time.perf_counter() - self._sent_at)
        self._received, self._sent_at = b"", time.perf_counter()
        self._connection.sendall(self._request)
        return None


def _length(head: bytes) -> int:
    at = head.lower().index(b"content-length:") + 15
    return int(head[at:].split(b"\r\n", 1)[0])


def _ask_for_lists(url: str, soaked: Soaked, over: threading.Event) -> None:
    """One after another, without hurry: each is made anew."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_SILENCE_SECONDS)
    for n in _turns(over):
        try:
            connection.request("GET", LISTS[n % len(LISTS)])
            answer = connection.getresponse()
            answer.read()
        except OSError as error:
            soaked.errors.append(f"{LISTS[n % len(LISTS)]}: {error!r}")
            return
        soaked.statuses[str(answer.status)] += 1
    connection.close()


def _turns(over: threading.Event) -> Iterator[int]:
    n = 0
    while not over.wait(0.05):
        yield n
        n += 1


def _listen(url: str, soaked: Soaked, over: threading.Event) -> None:
    """Hold event streams open and read what they say."""
    address = urlsplit(url)
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(STREAMS):
            one = stack.enter_context(socket.create_connection((address.hostname, address.port)))
            one.sendall(request_of(url, "/v1/events"))
            selector.register(one, selectors.EVENT_READ)
        while not over.is_set():
            for key, _ in selector.select(1.0):
                data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                soaked.events += data.count(b"event:")
                soaked.editions += data.count(b"event: edition")
                if not data:
                    soaked.errors.append("an event stream ended")
                    selector.unregister(key.fileobj)


def _train(url: str, soaked: Soaked, over: threading.Event) -> None:
    """One small training after another."""
    with Client(url) as client:
        seed = 0
        while not over.is_set():
            seed += 1
            order = {**_SMALL, "spec": {**_SMALL["spec"], "seed": seed}}  # type: ignore[dict-item]
            job = client.train("^GSPC", **order)
            while job.refresh().state in ("queued", "running") and not over.wait(0.5):
                pass
            soaked.trained += job.state == "succeeded"
            if job.state == "failed":
                soaked.errors.append(f"a training failed: {job}")


def _swap(url: str, soaked: Soaked, over: threading.Event) -> None:
    """Point a champion to and fro between two versions; whoever asks from then on is answered by the new one."""
    with Client(url) as client:
        for number in itertools.cycle((2, 1)):
            if over.wait(_SWAP_SECONDS):
                return
            try:
                client.promote(_SWAPPED, number)
                answered = client.forecast(_SWAPPED).model.version
            except ClientError as error:
                soaked.errors.append(f"swapping: {error}")
                return
            soaked.swapped += 1
            if answered != number:
                soaked.errors.append(f"version {answered} answered after {number} was made champion")


def is_well(soaked: Soaked) -> bool:
    """Whether all that was to go on did, nothing was refused or late, and the memory did not grow."""
    answered = not soaked.errors and set(soaked.statuses) == {"200"} and soaked.p99 <= LONGEST_P99
    return soaked.went_on and answered and soaked.growth <= LARGEST_GROWTH


def rows_of(soaked: Soaked) -> list[tuple[str, object]]:
    """What to show of it."""
    waits = sorted(soaked.waits)
    held = [megabytes for _, megabytes in soaked.warm]
    return [
        ("seconds", round(soaked.seconds)),
        *((f"answers {status}", count) for status, count in sorted(soaked.statuses.items())),
        ("answers a second", round(soaked.statuses.total() / soaked.seconds)),
        ("p50, ms", waits[len(waits) // 2] * 1e3),
        ("p99, ms", soaked.p99 * 1e3),
        ("errors", len(soaked.errors)),
        ("trainings done", soaked.trained),
        ("events heard", soaked.events),
        ("champions swapped", soaked.swapped),
        ("editions heard of", soaked.editions),
        ("API after warm-up, MB", f"{min(held):.1f} to {max(held):.1f}"),
        ("growth after warm-up, %", soaked.growth * 100),
        ("slope, MB a minute", soaked.slope),
    ]


def main() -> int:
    """Print what came of it; 1 when it is not well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    forget_settings()
    with tempfile.TemporaryDirectory() as folder:
        soaked = soak(Path(folder), minutes=minutes)
    show(table(f"{CONNECTIONS} connections and {STREAMS} streams while networks train", ("", ""), rows_of(soaked)))
    for error in soaked.errors:
        sys.stderr.write(error + "\n")
    return int(not is_well(soaked))


if __name__ == "__main__":
    sys.exit(main())
