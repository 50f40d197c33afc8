"""How long single answers take, one after the other over one kept-alive connection."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds: half of the answers took at most ``p50``, all but one in a hundred ``p99``."""

    p50: float
    p99: float


def latency_of(seconds: Iterable[float]) -> Latency:
    """Sum up durations."""
    p50, p99 = np.quantile(np.array(list(seconds)) * 1000, [0.5, 0.99])
    return Latency(p50=float(p50), p99=float(p99))


def asked(base_url: str, paths: Iterable[str]) -> Latency:
    """Ask for each of ``paths`` once."""
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    seconds = []
    for path in paths:
        started = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        seconds.append(time.perf_counter() - started)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {body[:200]!r}")
    connection.close()
    return latency_of(seconds)
