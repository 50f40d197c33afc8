"""A forecast as it was issued: immutable, with everything needed to understand and score it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

import numpy as np

from app.domain.distribution import Predictive, Quantiles, StudentT
from app.domain.scorecard import Calibration, Skill

SAME = 1e-5  # between two processors' answers of one network, in 32 bits


@dataclass(frozen=True, kw_only=True)
class Step:
    """One ``field``, ``step`` sessions ahead: a distribution of the cumulative log return from its ``last_value``.

    ``location``, ``scale`` and ``df`` as in ``StudentT``; of ``Quantiles`` there are ``location`` and ``quantiles``.
    Times in UTC.
    """

    step: int
    field: str
    last_value: float
    target_session: date
    target_open_at: datetime
    target_close_at: datetime
    location: float
    scale: float | None = None
    df: float | None = None
    quantiles: tuple[float, ...] | None = None

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Step:
        """Read back a step of what ``Forecast.to_dict`` wrote."""
        parsed = {
            "target_session": date.fromisoformat(body["target_session"]),
            "target_open_at": datetime.fromisoformat(body["target_open_at"]),
            "target_close_at": datetime.fromisoformat(body["target_close_at"]),
            "quantiles": tuple(body["quantiles"]) if body.get("quantiles") else None,
        }
        return cls(**{**body, **parsed})


@dataclass(frozen=True, kw_only=True)
class Bands:
    """What is displayed for a level, and how often such bands held.

    ``levels`` pairs levels with the effective ones, both in percent and rising: the band displayed at 90 % is the
    central one of the effective level. Empty: every level is its own. ``kept`` has the share of sessions that ended
    inside what was, or would have been, displayed.
    """

    levels: tuple[tuple[float, float], ...] = ()
    kept: tuple[Calibration, ...] = ()

    def shown(self, level: float) -> float:
        """Return the level, in percent, of the band that is displayed for ``level``; linear between those kept."""
        if not self.levels:
            return level
        bands = {0.0: 0.0, **dict(self.levels), 100.0: 100.0}
        if level in bands:  # as nearly always: interpolating would say the same in ten times as long
            return float(bands[level])
        return float(np.interp(level, list(bands), list(bands.values())))


#: Bands as the model says them.
RAW = Bands()


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What should make one doubt a forecast.

    ``persistence_likeness`` is 1 for who repeats the last value, ``seed_spread`` how far averaged networks are apart as
    a share of the volatility, both out of sample; ``inputs_out_of_range`` names columns that leave what was learnt.
    """

    persistence_likeness: float | None = None
    seed_spread: float | None = None
    inputs_out_of_range: tuple[str, ...] = ()


NOTHING_ODD = Diagnostics()


@dataclass(frozen=True, kw_only=True)
class Validity:
    """How long a forecast of ``version`` (``None``: the baseline) is news.

    Until the close of its first target session; newer bars are looked for at ``next_update_at``.
    """

    version: int | None
    first_close_at: datetime
    next_update_at: datetime


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a version (or, with ``version`` ``None``, the baseline) said after ``as_of_session``.

    ``last_close`` is the close of ``as_of_session`` (the newest before it where the source has none), in the quote
    currency. ``targets`` name field and transform; the first leads, and its ``steps`` come first. ``origin`` is
    ``live`` when issued before the first target session opened, else ``backfill``. ``provenance`` names the
    snapshot, source, price basis and code version; ``calendar`` the exchange and whether it is approximate.
    ``bands`` holds for the first step of the leading target, on whose past it rests; all others show raw bands.
    """

    forecast_id: str
    ticker: str
    currency: str | None
    targets: tuple[Mapping[str, str], ...]
    origin: str
    as_of_session: date
    issued_at: datetime
    last_close: float
    steps: tuple[Step, ...]
    version: int | None
    architecture: str
    preset: str | None
    trained_through: date | None
    skill: Skill
    bands: Bands
    provenance: Mapping[str, Any]
    calendar: Mapping[str, Any]
    next_update_at: datetime
    diagnostics: Diagnostics = NOTHING_ODD
    edition: str = ""

    @property
    def target(self) -> Mapping[str, str]:
        """The leading target."""
        return self.targets[0]

    @property
    def validity(self) -> Validity:
        """How long it is news."""
        first_close_at = self.steps[0].target_close_at
        return Validity(version=self.version, first_close_at=first_close_at, next_update_at=self.next_update_at)

    @property
    def horizon(self) -> int:
        """How many sessions each target is forecast ahead."""
        return len(self.steps) // len(self.targets)

    @cached_property
    def predictive(self) -> Predictive:
        """The steps as distributions, ``(1, steps)`` in their order."""
        return predictive_of(self.steps)

    def repeats(self, other: Forecast) -> bool:
        """Whether this says of the same sessions what ``other`` said; processors may differ in the last digits."""
        ours, theirs = (
            (one.as_of_session, one.last_close, [(s.field, s.target_session, s.last_value) for s in one.steps])
            for one in (self, other)
        )
        if ours != theirs:
            return False
        said, before = self.predictive, other.predictive
        apart = [np.abs(said.quantile(p) - before.quantile(p)) for p in (0.01, 0.5, 0.99)]
        return bool((np.max(apart, axis=0) <= SAME * before.volatility).all())

    def shown_level(self, step: Step, level: float) -> float:
        """Return the level, in percent, of the band that is displayed for ``level`` of ``step``."""
        if step.step > 1 or step.field != self.target["field"]:
            return level
        return self.bands.shown(level)

    def kept(self, level: float) -> list[Calibration]:
        """Return how often displayed bands of ``level`` held, one entry an origin; linear between the levels kept."""
        entries = []
        for origin in dict.fromkeys(entry.origin for entry in self.bands.kept):
            known = [entry for entry in self.bands.kept if entry.origin == origin]
            shares = {0.0: 0.0, **{entry.level: entry.empirical for entry in known}, 100.0: 1.0}
            # As above: mostly what is asked for is kept.
            share = shares.get(level)
            if share is None:
                share = float(np.interp(level, list(shares), list(shares.values())))
            entries.append(Calibration(level=level, empirical=share, n=known[0].n, origin=origin))
        return entries

    def published(self, edition: str, *, now: datetime) -> Forecast:
        """Return the forecast as part of ``edition``, issued ``now``: live only before its first session's open."""
        origin = "live" if now < self.steps[0].target_open_at else "backfill"
        return replace(self, edition=edition, issued_at=now, origin=origin)

    def to_dict(self) -> dict[str, Any]:
        """Return the forecast JSON-ready for storage; ``from_dict`` is its inverse."""
        body = asdict(self)
        for name in ("as_of_session", "issued_at", "trained_through", "next_update_at"):
            body[name] = body[name].isoformat() if body[name] else None
        for step in body["steps"]:
            for name in ("target_session", "target_open_at", "target_close_at"):
                step[name] = step[name].isoformat()
        return body

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Forecast:
        """Read back what ``to_dict`` wrote."""
        skill = dict(body["skill"])
        skill["ci95"] = tuple(skill["ci95"]) if skill["ci95"] else None
        trained = body["trained_through"]
        parsed = {
            "as_of_session": date.fromisoformat(body["as_of_session"]),
            "issued_at": datetime.fromisoformat(body["issued_at"]),
            "next_update_at": datetime.fromisoformat(body["next_update_at"]),
            "trained_through": date.fromisoformat(trained) if trained else None,
            "targets": tuple(body["targets"]),
            "steps": tuple(Step.from_dict(s) for s in body["steps"]),
            "skill": Skill(**skill),
            "bands": _bands(body),
            "diagnostics": _diagnostics(body.get("diagnostics", {})),
        }
        return cls(**{name: value for name, value in {**body, **parsed}.items() if name != "calibration"})


def predictive_of(steps: Sequence[Step]) -> Predictive:
    """Return ``steps``, of one kind, as distributions ``(1, steps)`` in their order."""
    if steps[0].quantiles:
        return Quantiles(np.array([[step.quantiles for step in steps]], dtype=np.float64))
    columns = [[getattr(s, name) for s in steps] for name in ("location", "scale", "df")]
    return StudentT(*(np.array([c], dtype=np.float64) for c in columns))


def _diagnostics(body: Mapping[str, Any]) -> Diagnostics:
    return Diagnostics(**{**body, "inputs_out_of_range": tuple(body.get("inputs_out_of_range", ()))})


def _bands(body: Mapping[str, Any]) -> Bands:
    """Read the bands; forecasts from before there were any kept the calibration alone."""
    bands = body.get("bands") or {"levels": (), "kept": body["calibration"]}
    return Bands(
        levels=tuple((level, shown) for level, shown in bands["levels"]),
        kept=tuple(Calibration(**entry) for entry in bands["kept"]),
    )
