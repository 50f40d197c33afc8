"""The challenger's way to the top: forecast live beside the champion until it is the better one beyond luck."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
from sqlalchemy import Connection

from app.domain.score import SCORED
from app.domain.version import CHALLENGER, CHAMPION, RIVAL_REASONS
from app.registry import aliases, scores, versions
from app.registry.readable import readable

LOOK_EVERY = 125  # live sessions that both forecast; a test repeated each day would be right by luck sooner or later
SIGNIFICANCE = 0.05  # of all looks together

_ALL = 2**31 - 1


def promote_challenger(tx: Connection, ticker: str, *, now: datetime) -> bool:
    """Make the challenger champion when its CRPS is lower over what both forecast live; whether it was.

    By a one-sided Diebold-Mariano test over the first 125, 250, 375 … sessions; the looks share an error of 5 %, the
    k-th has 5 % / k(k + 1) of it. Only a version against which nothing but the champion of its day spoke may rise this
    way. The caller holds the ticker.

    Raises:
        CorruptRecord: the challenger is mangled; point the alias elsewhere.
    """
    champion, challenger = aliases.current(tx, ticker, CHAMPION), aliases.current(tx, ticker, CHALLENGER)
    if champion is None or challenger is None or champion == challenger:
        return False
    rival = versions.get(tx, ticker, challenger)
    with readable(f"The scorecard of {ticker}'s challenger"):
        reasons = set(rival.scorecard["reasons"])
    if rival.damaged_at or not reasons <= RIVAL_REASONS:
        return False
    ours, theirs = (_losses(tx, ticker, version) for version in (challenger, champion))
    looks = len(ours.keys() & theirs.keys()) // LOOK_EVERY
    common = sorted(ours.keys() & theirs.keys())[: looks * LOOK_EVERY]
    p = _better([ours[day] for day in common], [theirs[day] for day in common])
    if p is None or p >= SIGNIFICANCE / (looks * (looks + 1)):
        return False
    reason = f"lower CRPS than version {champion} on {len(common)} live sessions (p = {p:.2g})"
    aliases.point(tx, ticker, CHAMPION, challenger, by="refresh", reason=reason, now=now)
    aliases.remove(tx, ticker, CHALLENGER, by="refresh", reason="champion now", now=now)
    return True


def _losses(tx: Connection, ticker: str, version: int) -> dict[date, float]:
    """Return the version's CRPS by target session."""
    record = scores.record(tx, origin="live", ticker=ticker, version=version, window=_ALL)
    return {one.target_session: one.crps for one in record if one.state == SCORED and one.crps is not None}


def _better(ours: list[float], theirs: list[float]) -> float | None:
    """Return the p-value of the first losses being lower; ``None`` without any, or without a difference."""
    if not ours:
        return None
    # Here and not above: only a refresh with a challenger compares, and the libraries' import takes seconds.
    from app.evaluation.tests import diebold_mariano

    test = diebold_mariano(np.array(ours), np.array(theirs))
    return test.p if test and test.statistic < 0 else None
