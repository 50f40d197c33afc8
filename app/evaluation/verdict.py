"""From a backtest to a verdict: how good, how sure, and whether it may be champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.scorecard import Calibration, ConfidenceSet, Scorecard, Skill
from app.domain.spec import NetworkSpec
from app.evaluation.backtest import BASELINE, MODEL, PERSISTENCE, Backtest, steps_of
from app.evaluation.metrics import LEVELS, crps, finite
from app.evaluation.standing import histograms, standing
from app.evaluation.tests import CONFIDENCE, Comparison, confidence_set, diebold_mariano

Floats = NDArray[np.float64]

LARGEST_RMSE_RATIO = 1.005
SIGNIFICANCE = 0.05
FEWEST_TESTED = 250
FEWEST_SESSIONS = 750
PLAUSIBLE_VOLATILITY = (0.5, 2.0)


def judge(
    played: Sequence[Backtest], spec: NetworkSpec, *, champion_crps: Mapping[str, float] | None = None
) -> Scorecard:
    """Score every contestant and say what speaks against the model as champion; the first target decides.

    ``champion_crps`` maps ISO sessions to the present champion's out-of-sample CRPS, ``None`` without a champion
    or when its files are damaged; it is of closes, and counts for nothing else. Whom the model has to beat is fixed
    beforehand, never the best of them afterwards: points are measured by ``persistence``, distributions by ``ewma_t``.
    Reasons: ``target_is_not_close``, ``too_few_sessions``, ``rmse_ratio_too_high`` (to persistence),
    ``not_significantly_better`` (than EWMA-t, by the CRPS of the first step), ``implausible_volatility``,
    ``champion_not_comparable``, ``worse_than_champion``.
    """
    result = played[0]
    known = np.isfinite(result.actual[:, 0])
    losses = {name: _first_crps(result, name)[known] for name in result.contestants}
    contestants = standing(result)
    against = {name: diebold_mariano(losses[MODEL], losses[name]) for name in losses if name != MODEL}
    tests = {name: _test_row(test, losses[MODEL], losses[name]) for name, test in against.items()}
    rival = None
    if champion_crps is not None and spec.forecasts_next_close:
        sessions = [str(session) for session in result.sessions[known]]
        rival = _compare(dict(zip(sessions, losses[MODEL].tolist(), strict=True)), champion_crps)
        tests["champion"] = {"crps_gain": rival.gain, "n": rival.sessions}
    accuracy = _accuracy_reasons(contestants[MODEL], against[BASELINE])
    skill = _skill(contestants[MODEL], tests[BASELINE], n=int(known.sum()), beats=not accuracy)
    return Scorecard(
        contestants=contestants,
        tests=tests,
        skill=skill,
        calibration=_calibration(contestants[MODEL], skill.n),
        protocol=dict(result.protocol),
        targets={other.field: standing(other) for other in played[1:]},
        confidence_set=_confidence_set(losses),
        pit=histograms(result),
        reasons=(*_eligibility_reasons(result, spec, skill.n), *accuracy, *_rival_reasons(contestants[MODEL], rival)),
    )


def _first_crps(result: Backtest, name: str) -> Floats:
    return crps(steps_of(result.contestants[name], [0]), result.actual[:, :1])[:, 0]


@dataclass(frozen=True)
class _Rival:
    """The champion's standing on the sessions both forecast; ``gain`` > 0: the challenger has the lower CRPS."""

    sessions: int
    gain: float | None


def _compare(challenger: Mapping[str, float], champion: Mapping[str, float]) -> _Rival:
    common = sorted(challenger.keys() & champion.keys())
    if not common:
        return _Rival(0, None)
    ours, theirs = (np.mean([losses[session] for session in common]) for losses in (challenger, champion))
    return _Rival(len(common), finite(1 - ours / theirs) if theirs > 0 else None)


def _test_row(test: Comparison | None, losses: Floats, opponent: Floats) -> dict[str, float | None]:
    gain = 1 - losses.mean() / opponent.mean() if len(losses) and opponent.mean() > 0 else np.nan
    return {
        "dm_statistic": finite(test.statistic) if test else None,
        "dm_p": finite(test.p) if test else None,
        "crps_gain": finite(gain),
        "n": len(losses),
    }


def _accuracy_reasons(model: Mapping[str, float | None], test: Comparison | None) -> list[str]:
    """Say where the model falls short of repeating the last value."""
    reasons = []
    ratio = model["rmse_ratio"]
    if ratio is None or ratio > LARGEST_RMSE_RATIO:
        reasons.append("rmse_ratio_too_high")
    if test is None or not test.p < SIGNIFICANCE:
        reasons.append("not_significantly_better")
    return reasons


def _eligibility_reasons(result: Backtest, spec: NetworkSpec, tested: int) -> list[str]:
    """Say why the model could not be champion whatever its scores."""
    reasons = []
    if not spec.forecasts_next_close:
        reasons.append("target_is_not_close")
    if tested < FEWEST_TESTED or result.protocol["history_sessions"] < FEWEST_SESSIONS:
        reasons.append("too_few_sessions")
    return reasons


def _rival_reasons(model: Mapping[str, float | None], rival: _Rival | None) -> list[str]:
    """Say what the volatility it foretells and the present champion have against it."""
    reasons = []
    ratio = model["volatility_ratio"]
    if ratio is None or not PLAUSIBLE_VOLATILITY[0] <= ratio <= PLAUSIBLE_VOLATILITY[1]:
        reasons.append("implausible_volatility")
    if rival is not None and rival.sessions < FEWEST_TESTED:
        reasons.append("champion_not_comparable")
    elif rival is not None and (rival.gain is None or rival.gain < 0):
        reasons.append("worse_than_champion")
    return reasons


def _skill(model: Mapping[str, float | None], test: Mapping[str, float | None], *, n: int, beats: bool) -> Skill:
    low, high = model["skill_lower"], model["skill_upper"]
    return Skill(
        vs=PERSISTENCE,
        metric="rmse",
        value=model["skill"] or 0.0,
        ci95=None if low is None or high is None else (low, high),
        dm_p=test["dm_p"],
        n=n,
        beats_baseline=beats,
        crps=test["crps_gain"],
        crps_vs=BASELINE,
    )


def _confidence_set(losses: Mapping[str, Floats]) -> ConfidenceSet | None:
    """Say which contestants go with being the best by the CRPS of the first step."""
    p = confidence_set(losses)
    if p is None:
        return None
    included = tuple(name for name in p if p[name] >= 1 - CONFIDENCE)
    return ConfidenceSet(level=100 * CONFIDENCE, metric="crps", p=p, included=included)


def _calibration(scored: Mapping[str, float | None], n: int) -> tuple[Calibration, ...]:
    """Set the share that ended inside beside each level."""
    shares = [(level, scored[f"coverage_{level}"]) for level in LEVELS]
    return tuple(Calibration(level=level, empirical=share, n=n) for level, share in shares if share is not None)
