"""A training order: what to train, on which data, how to judge it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from math import ceil
from typing import Any

from app.domain.overrides import merged_spec
from app.domain.presets import preset_of
from app.domain.spec import NetworkSpec
from app.errors import InvalidSpec

POOLED = "pooled"  # the preset whose networks are fitted on many tickers, and adopted by others

TRAIN_SAMPLES = 100  # from fewer no network learns
TRAIN_SESSIONS = 500  # walk-forward leaves these to the first fit where it can
TEST_SESSIONS = 60  # where that leaves fewer to the test, a fifth of the history is tested
SHORT_TEST_FRACTION = 0.2
_MOST_SAMPLES = 10**6  # more than any market has sessions


@dataclass(frozen=True, kw_only=True)
class DataRange:
    """Where the bars come from; ``start`` and ``end`` are inclusive sessions, ``None`` is open."""

    source: str
    start: date | None = None
    end: date | None = None

    def __post_init__(self) -> None:
        if self.start and self.end and self.start > self.end:
            raise InvalidSpec(f"start {self.start} is after end {self.end}.", pointer="/data/start")


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How out-of-sample forecasts are made.

    ``walk_forward``: the last ``n_windows`` x ``step_size`` sessions, fitted anew before each
    window when ``refit``, else once. ``fixed``: fitted once on what ends with ``train_end`` (or
    before the last ``test_fraction``), scored on the rest.
    """

    kind: str = "walk_forward"
    n_windows: int = 4
    step_size: int = 250
    refit: bool = True
    train_end: date | None = None
    test_fraction: float | None = None

    def __post_init__(self) -> None:
        chosen = [name for name in ("train_end", "test_fraction") if getattr(self, name) is not None]
        if self.kind == "fixed" and len(chosen) != 1:
            raise InvalidSpec("A fixed evaluation needs either train_end or test_fraction.", pointer="/evaluation")
        if self.kind == "walk_forward" and chosen:
            raise InvalidSpec(f"A walk-forward has no {chosen[0]}.", pointer=f"/evaluation/{chosen[0]}")


@dataclass(frozen=True, kw_only=True)
class TrainingOrder:
    """One job's worth of training."""

    ticker: str
    data: DataRange
    preset: str = "default"
    spec: NetworkSpec = field(default_factory=NetworkSpec)
    evaluation: Evaluation = field(default_factory=Evaluation)
    promote: str = "auto"
    timeout_seconds: int = 3600

    def __post_init__(self) -> None:
        if self.ticker in self.spec.peers:
            at = f"/spec/peers/{self.spec.peers.index(self.ticker)}"
            raise InvalidSpec(f"{self.ticker} cannot be its own peer.", pointer=at, peers=list(self.spec.peers))

    @property
    def dedupe_key(self) -> str:
        """Hash of what makes two orders the same work: ticker, canonical spec, data, evaluation, promote."""
        body = self.to_dict()
        del body["timeout_seconds"]
        if self.preset != POOLED:  # to adopt a network is other work than to fit one of the same spec
            del body["preset"]
        return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the order JSON-ready; ``from_dict`` is its inverse."""
        body = asdict(self) | {"spec": self.spec.to_dict()}
        for part, name in (("data", "start"), ("data", "end"), ("evaluation", "train_end")):
            value = body[part][name]
            body[part][name] = value.isoformat() if value else None
        return body

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> TrainingOrder:
        """Build an order from JSON data: ``preset`` gives the defaults, the body overrides single fields of them.

        An ``evaluation`` replaces that of the preset as a whole.

        Raises:
            InvalidSpec, UnknownPreset, UnknownArchitecture: the order contradicts itself or names nothing.
        """
        preset = preset_of(body.get("preset") or "default")
        spec = merged_spec(preset.spec, body.get("spec") or {})
        simple = {name: body[name] for name in ("promote", "timeout_seconds") if body.get(name) is not None}
        return cls(
            ticker=body["ticker"],
            preset=preset.name,
            spec=NetworkSpec.from_dict(spec),
            data=DataRange(**_with_dates({**preset.data, **body["data"]}, "start", "end")),
            evaluation=Evaluation(**_with_dates(body.get("evaluation") or preset.evaluation, "train_end")),
            **simple,
        )


def learnt_of(samples: int, spec: NetworkSpec) -> int:
    """Return how many of the oldest ``samples`` are learnt from.

    The newest ``validation_fraction`` are kept for validation, and as many as the network reaches lie between.
    """
    kept = int(samples * spec.validation_fraction)
    return samples - kept - (spec.reach if kept else 0)


def fewest_samples(spec: NetworkSpec, *, kept: int = 0) -> int:
    """Return how few samples leave 100 to learn from, and ``kept`` to validate on; a million when it takes more."""
    samples = TRAIN_SAMPLES + kept
    if kept:
        if spec.validation_fraction * _MOST_SAMPLES < kept:  # counted up to one by one, it would never come
            return _MOST_SAMPLES
        samples = max(samples, int(kept / spec.validation_fraction))
    while learnt_of(samples, spec) < TRAIN_SAMPLES or int(samples * spec.validation_fraction) < kept:
        samples += 1
    return samples


def fewest_sessions(evaluation: Evaluation, *, first_origin: int, horizon: int, samples: int = TRAIN_SAMPLES) -> int:
    """Return the shortest history, in sessions, that leaves ``samples`` to train on beside what is tested.

    ``first_origin`` is the first bar with a whole window behind it, counted from 0.
    """
    trained = first_origin + horizon + samples
    if evaluation.train_end is not None:
        return trained + 1
    if evaluation.kind == "fixed":
        return ceil(trained / (1 - (evaluation.test_fraction or SHORT_TEST_FRACTION)))
    shortest = ceil(trained / (1 - SHORT_TEST_FRACTION))
    return min(shortest, trained + evaluation.step_size, max(TRAIN_SESSIONS, trained) + TEST_SESSIONS)


def _with_dates(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Turn the ISO dates under ``names`` into dates."""
    parsed = dict(body)
    for name in names:
        if isinstance(parsed.get(name), str):
            parsed[name] = date.fromisoformat(parsed[name])
    return parsed
