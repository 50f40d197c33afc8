"""The verdict on a version, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Skill:
    """How much better than the baseline, with its uncertainty.

    ``value = 1 - error / error of the baseline`` (positive is better); ``ci95`` from a stationary
    bootstrap; ``n`` sessions. ``crps`` is the same value for the CRPS of the whole distribution, against the
    contestant ``crps_vs``, and ``dm_p`` the one-sided Diebold-Mariano p-value of that difference: what
    ``beats_baseline`` rests on, beside an RMSE that is not worse.
    """

    vs: str
    metric: str
    value: float
    ci95: tuple[float, float] | None
    dm_p: float | None
    n: int
    beats_baseline: bool
    crps: float | None = None
    crps_vs: str = "ewma_t"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Of ``n`` out-of-sample sessions the share ``empirical`` ended inside the ``level`` % interval."""

    level: float
    empirical: float
    n: int
    origin: str = "backtest"


@dataclass(frozen=True, kw_only=True)
class ConfidenceSet:
    """Which contestants may be the best by ``metric``: those whose ``p`` is no less than 1 - ``level`` / 100."""

    level: float
    metric: str
    p: Mapping[str, float]
    included: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """Out-of-sample judgement under one protocol for all contestants.

    ``contestants`` maps ``model``, ``persistence``, ``ewma_t``, ``drift``, ``moving_average``, ``garch_t``, ``gjr_t``
    and, where there are daily ranges, ``har_range_t`` to metric values (``rmse`` and ``mae`` in price units,
    ``crps`` in log-return units, ``skill``, ``hit_rate``, ``coverage_80`` …). ``tests`` holds the Diebold-Mariano
    results by opponent, ``confidence_set`` who may be the best (``None``: too few sessions), ``pit`` the share of
    sessions in each tenth of what each foretold. ``protocol`` says how the forecasts were made (kind, windows
    asked and used, step size, whether all were fitted anew before each window, sessions, first and last session, and
    under ``fallbacks`` how many fits of a rival failed, under ``seed_spread`` how far averaged networks are apart),
    ``reasons`` why the version may not be champion (empty: it has earned it). ``targets`` has the contestants for each
    target beyond the first.
    """

    contestants: Mapping[str, Mapping[str, float | None]]
    tests: Mapping[str, Mapping[str, float | None]]
    skill: Skill
    calibration: tuple[Calibration, ...]
    protocol: Mapping[str, Any]
    reasons: tuple[str, ...]
    targets: Mapping[str, Mapping[str, Mapping[str, float | None]]] = field(default_factory=dict)
    confidence_set: ConfidenceSet | None = None
    pit: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def earned_champion(self) -> bool:
        """Whether nothing speaks against promotion."""
        return not self.reasons

    def to_dict(self) -> dict[str, Any]:
        """Return the scorecard JSON-ready; ``from_dict`` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scorecard:
        """Read back what ``to_dict`` wrote."""
        skill = dict(data["skill"])
        skill["ci95"] = tuple(skill["ci95"]) if skill["ci95"] else None
        return cls(
            contestants=data["contestants"],
            tests=data["tests"],
            skill=Skill(**skill),
            calibration=tuple(Calibration(**c) for c in data["calibration"]),
            protocol=data["protocol"],
            reasons=tuple(data["reasons"]),
            targets=data.get("targets", {}),
            confidence_set=_confidence_set(data.get("confidence_set")),
            pit=data.get("pit", {}),
        )


def _confidence_set(data: Mapping[str, Any] | None) -> ConfidenceSet | None:
    return ConfidenceSet(**{**data, "included": tuple(data["included"])}) if data else None
