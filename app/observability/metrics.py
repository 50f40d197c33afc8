"""Every metric of the service, declared once; names, labels and units are a promise to dashboards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.errors import StoreUnavailable

CONTENT_TYPE = CONTENT_TYPE_LATEST

HTTP_REQUESTS = Counter(
    "morrow_http_requests", "Requests answered, by route template, never by path.", ["method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "morrow_http_request_seconds",
    "Time from a request's head to its answer's end, of a stream of events to its answer's head, in seconds.",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
HTTP_IN_PROGRESS = Gauge("morrow_http_requests_in_progress", "Requests being answered now, without streams of events.")
EVENT_STREAMS = Gauge("morrow_event_streams_open", "Streams of events open now.")
FORECAST_CACHE = Counter(
    "morrow_forecast_cache", "Forecast answers asked of the memory of ready ones: `hit` or `miss`.", ["outcome"]
)
PROBLEMS = Counter("morrow_problems", "Refusals and faults answered, by the problem's code.", ["code"])
for _code in ("corrupt_artifact", "corrupt_record"):
    PROBLEMS.labels(_code)  # there from the start: of a series that begins at 1, Prometheus sees no increase
AUTH_FAILURES = Counter(
    "morrow_auth_failures",
    "Requests refused for their key: `missing`, `malformed`, `unknown`, `expired`, `revoked`, or its `scope`.",
    ["reason"],
)
BUILD = Gauge("morrow_build_info", "Always 1; the label says which code runs.", ["version"])

_ENDED = ("kind", "state", "code")
DATABASE_METRICS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "morrow_jobs": ("Jobs by state, final ones included.", ("state",)),
    "morrow_job_queue_oldest_seconds": ("Age of the job that waits longest, in seconds.", ()),
    "morrow_jobs_ended_lately": ("Jobs that ended within the last hour; code is their error's, or empty.", _ENDED),
    "morrow_job_mean_seconds": ("Mean time of the last attempts of jobs that ended within the last hour.", _ENDED),
    "morrow_job_longest_seconds": ("Longest of the last attempts of jobs that ended within the last hour.", _ENDED),
    "morrow_lease_expiries_total": ("Jobs taken away from workers that fell silent.", ()),
    "morrow_corrupt_artifacts_total": ("Times a worker met a file that is not what was registered.", ()),
    "morrow_workers_alive": ("Workers that reported within the last minute.", ()),
    "morrow_model_versions": ("Registered versions of all tickers.", ()),
    "morrow_champions": ("Tickers whose champion alias points to a version.", ()),
    "morrow_edition": ("The present edition of the forecasts.", ()),
    "morrow_tickers_served": ("Tickers with a version.", ()),
    "morrow_tickers_degraded": ("Served tickers whose source did not answer at their last refresh.", ()),
    "morrow_tickers_silent": ("Served tickers without a bar for more than five sessions.", ()),
    "morrow_bars_lag_sessions": ("Most sessions that closed without a bar, of served tickers not silent.", ()),
    "morrow_forecast_freshness_seconds": (
        "Longest time since a bar was due that no forecast knows of, of served tickers not silent; 0: none is overdue.",
        (),
    ),
    "morrow_forecasts_scored": ("Live first steps scored in the newest 250 sessions.", ()),
    "morrow_forecast_coverage_ratio": ("Share of them that ended inside the displayed interval.", ("level",)),
    "morrow_forecast_calibration_error": ("Largest distance of a coverage ratio from its level.", ()),
    "morrow_source_breaker_state": ("0: may be asked, 1: being tried, 2: left alone.", ("source",)),
}
"""What may be read from the registry at each scrape: name -> (help, label names); `_total` is a counter."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One value read from the registry; ``name`` is a key of ``DATABASE_METRICS``."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def observe_request(*, method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request; ``route`` is the template, such as ``/v1/jobs/{job_id}``."""
    count, duration = _of_requests(method, route, status)
    count.inc()
    duration.observe(seconds)


def count_problem(code: str) -> None:
    """Count one refusal or fault that was answered; there are as many codes as kinds of error."""
    PROBLEMS.labels(code).inc()


@cache
def _of_requests(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return HTTP_REQUESTS.labels(method, route, str(status)), HTTP_SECONDS.labels(method, route)


def exposition(read: Callable[[], Iterable[Reading]]) -> bytes:
    """Return all metrics as Prometheus text: this process's own, and what ``read`` finds in the registry.

    A registry that does not answer shows as ``morrow_database_up 0``; the rest is still served.
    """
    database = CollectorRegistry()
    database.register(_DatabaseMetrics(read))
    return generate_latest(REGISTRY) + generate_latest(database)


class _DatabaseMetrics(Collector):
    """Metrics whose truth is the registry: the same from whichever process is asked."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering asks the database nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read once and yield one family a metric."""
        try:
            readings = list(self._read())
        except StoreUnavailable:
            readings, up = [], 0
        else:
            up = 1
        yield GaugeMetricFamily("morrow_database_up", "1 when the registry answered this scrape.", value=up)
        families = {
            name: (CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily)(name, text, labels=labels)
            for name, (text, labels) in DATABASE_METRICS.items()
        }
        for reading in readings:
            labels = DATABASE_METRICS[reading.name][1]
            families[reading.name].add_metric([reading.labels[label] for label in labels], reading.value)
        yield from families.values()
