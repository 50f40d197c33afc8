"""What came of forecasts: kept by step, summed up by model, never mixed by origin."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Connection

from app.domain.score import MISSING, SCORED, Score, awaiting
from app.evaluation.calibration import LEVELS
from app.registry import forecasts, scores
from tests.registry.models import FRIDAY, NOON, a_forecast, after


def issue(tx: Connection, name: str, day: int, **changes: object) -> Score:
    """Store a forecast for the session ``day`` days after Monday; the step that waits."""
    (step,) = a_forecast().steps
    step = replace(step, target_session=step.target_session + timedelta(days=day))
    as_of = FRIDAY + timedelta(days=day)
    forecast = a_forecast(name, steps=(step,), as_of_session=as_of, edition="1", **changes)
    forecasts.store(tx, forecast)
    return awaiting(forecast)[0]


def came(step: Score, seed: int, **changes: object) -> Score:
    random = np.random.default_rng(seed)
    pit = float(random.random())
    inside = {f"{p:g}": {"raw": abs(2 * pit - 1) <= p / 100, "displayed": pit < 0.7} for p in LEVELS}
    scored = replace(
        step,
        state=SCORED,
        actual=400.0,
        actual_close=400.0,
        error=float(random.normal()),
        persistence_error=float(random.normal()),
        crps=float(random.random()),
        crps_ewma_t=float(random.random()) if seed % 3 else None,
        pinball=float(random.random()),
        pit=pit,
        qlike=-8.0,
        inside=inside,
        snapshot_id="sha256:00",
        scored_at=NOON,
    )
    return replace(scored, **changes)


def test_every_step_of_a_forecast_waits_from_its_issue_on(database):
    with database.write() as tx:
        waiting = issue(tx, "one", 0)
        assert scores.of_ticker(tx, "AAPL") == [waiting]
        assert scores.of_forecasts(tx, ["one", "other"]) == {("one", 1, "close"): waiting}
    assert (waiting.state, waiting.leads, waiting.actual) == ("pending", True, None)


def test_a_score_comes_back_to_the_last_bit_and_may_be_settled_again(database):
    with database.write() as tx:
        one, other = issue(tx, "one", 0), issue(tx, "other", 1)
        scores.settle(tx, [came(one, 1)])
        assert scores.of_ticker(tx, "AAPL") == [came(one, 1), other]
        scores.settle(tx, [came(one, 2), replace(other, state=MISSING)])
        assert scores.of_ticker(tx, "AAPL") == [came(one, 2), replace(other, state=MISSING)]


def test_of_forecasts_of_one_session_the_last_counts_and_of_sessions_the_newest(database):
    with database.write() as tx:
        for day in range(6):
            scores.settle(tx, [came(issue(tx, f"f{day}", day), day)])
        scores.settle(tx, [came(issue(tx, "again", 4, issued_at=after(60)), 9)])
        kept = scores.record(tx, origin="live", ticker="AAPL", window=3)
    assert [score.forecast_id for score in kept] == ["f3", "again", "f5"]


def test_origins_versions_and_what_still_waits_do_not_meet(database):
    with database.write() as tx:
        for name, origin in (("live", "live"), ("late", "backfill")):
            scores.settle(tx, [came(issue(tx, name, 0, origin=origin), 1)])
        scores.settle(tx, [came(issue(tx, "baseline", 0, version=None), 2)])
        issue(tx, "waits", 1)
        live = scores.record(tx, origin="live", ticker="AAPL", window=9)
        late = scores.record(tx, origin="backfill", ticker="AAPL", window=9)
    assert [score.forecast_id for score in live] == ["baseline", "live"]
    assert [score.forecast_id for score in late] == ["late"]


def test_sums_are_those_over_the_record(database):
    with database.write() as tx:
        settled = [came(issue(tx, f"f{day}", day), day) for day in range(12)]
        settled[5] = replace(awaiting_of(settled[5]), state=MISSING)
        scores.settle(tx, settled)
        scores.settle(tx, [came(issue(tx, "baseline", 0, version=None), 77)])
        scores.settle(tx, [came(issue(tx, "other", 0, ticker="MSFT"), 78)])
        record = [s for s in scores.record(tx, origin="live", ticker="AAPL", window=10) if s.version == 1]
        rows = scores.summed(tx, origin="live", ticker=None, window=10)
        assert scores.summed(tx, origin="live", ticker="AAPL", window=10) == rows[:2]
    assert [(row["ticker"], row["version"]) for row in rows] == [("AAPL", None), ("AAPL", 1), ("MSFT", 1)]
    total, known = rows[1], [score for score in record if score.state == SCORED]
    assert (total["n"], total["missing"], len(record)) == (9, 1, 10)
    assert (total["first_session"], total["last_session"]) == (record[0].target_session, record[-1].target_session)
    both = [score for score in known if score.crps_ewma_t is not None]
    assert total["n_both"] == len(both) < 9
    expected = {
        "squared_error": sum((s.error / s.last_value) ** 2 for s in known),
        "squared_persistence_error": sum((s.persistence_error / s.last_value) ** 2 for s in known),
        "crps": sum(s.crps for s in known),
        "both_crps": sum(s.crps for s in both),
        "both_crps_ewma_t": sum(s.crps_ewma_t for s in both),
        "pinball": sum(s.pinball for s in known),
        "qlike": sum(s.qlike for s in known),
        **{f"raw_{p}": sum(s.inside[f"{p}"]["raw"] for s in known) for p in (80, 90, 95)},
        **{f"displayed_{p}": sum(s.inside[f"{p}"]["displayed"] for s in known) for p in (80, 90, 95)},
    }
    assert {name: total[name] for name in expected} == pytest.approx(expected)


def awaiting_of(score: Score) -> Score:
    """The step as it waited."""
    kept = ("forecast_id", "step", "field", "ticker", "version", "source", "origin", "leads", "issued_at")
    kept += ("as_of_session", "target_session", "last_value")
    return Score(**{name: getattr(score, name) for name in kept})
