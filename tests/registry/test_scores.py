"""What came of forecasts: kept by step, summed up by model, never mixed by origin."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Connection

from app.domain.score import MISSING, SCORED, Score, awaiting
from app.evaluation.calibration import LEVELS
from app.registry import forecasts, score_sums, scores
from tests.db.plans import query_plans
from tests.registry.models import FRIDAY, NOON, a_forecast, after, steps_of


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
        assert steps_of(tx) == [waiting]
        assert scores.of_forecasts(tx, ["one", "other"]) == {("one", 1, "close"): waiting}
    assert (waiting.state, waiting.leads, waiting.actual) == ("pending", True, None)


def test_a_score_comes_back_to_the_last_bit_and_may_be_settled_again(database):
    with database.write() as tx:
        one, other = issue(tx, "one", 0), issue(tx, "other", 1)
        scores.settle(tx, [came(one, 1)])
        assert steps_of(tx) == [came(one, 1), other]
        scores.settle(tx, [came(one, 2), replace(other, state=MISSING)])
        assert steps_of(tx) == [came(one, 2), replace(other, state=MISSING)]


def test_of_forecasts_of_one_session_the_last_counts_and_of_sessions_the_newest(database):
    with database.write() as tx:
        for day in range(6):
            scores.settle(tx, [came(issue(tx, f"f{day}", day), day)])
        scores.settle(tx, [came(issue(tx, "again", 4, issued_at=after(60)), 9)])
        kept = scores.record(tx, origin="live", ticker="AAPL", version=1, window=3)
    assert [score.forecast_id for score in kept] == ["f3", "again", "f5"]


def test_origins_versions_and_what_still_waits_do_not_meet(database):
    with database.write() as tx:
        for name, origin in (("live", "live"), ("late", "backfill")):
            scores.settle(tx, [came(issue(tx, name, 0, origin=origin), 1)])
        scores.settle(tx, [came(issue(tx, "baseline", 0, version=None), 2)])
        issue(tx, "waits", 1)
        for version, origin, name in ((1, "live", "live"), (1, "backfill", "late"), (None, "live", "baseline")):
            (only,) = scores.record(tx, origin=origin, ticker="AAPL", version=version, window=9)
            assert only.forecast_id == name


def test_what_can_still_change_is_what_waits_and_what_the_bars_tell_anew(database):
    with database.write() as tx:
        steps = [issue(tx, f"f{day}", day) for day in range(5)]
        scores.settle(tx, [came(steps[0], 1), replace(steps[1], state=MISSING), came(steps[2], 3)])
        until = steps[3].target_session
        assert scores.sources_due(tx, "AAPL", by=until) == ["sample"]
        assert scores.sources_due(tx, "AAPL", by=steps[2].target_session) == []

        def read(since):
            found = scores.up_to(tx, "AAPL", "sample", until=until, since=since)
            return [step.forecast_id for step in found]

        assert read(None) == ["f1", "f3"]
        assert read(steps[2].target_session) == ["f1", "f2", "f3"]
        assert read(steps[0].target_session) == ["f0", "f1", "f2", "f3"]
        assert scores.up_to(tx, "AAPL", "files", until=until, since=FRIDAY) == []


def lived(tx: Connection) -> list[Score]:
    """Two tickers and the baseline, of which one session never came; the record of AAPL's version."""
    settled = [came(issue(tx, f"f{day}", day), day) for day in range(12)]
    settled[5] = replace(awaiting_of(settled[5]), state=MISSING)
    scores.settle(tx, settled)
    scores.settle(tx, [came(issue(tx, "baseline", 0, version=None), 77)])
    scores.settle(tx, [came(issue(tx, "other", 0, ticker="MSFT"), 78)])
    return scores.record(tx, origin="live", ticker="AAPL", version=1, window=10)


@pytest.mark.parametrize("kept", [True, False], ids=["as kept", "as asked for"])
def test_sums_are_those_over_the_record(database, monkeypatch: pytest.MonkeyPatch, kept: bool):
    if kept:
        monkeypatch.setattr(score_sums, "KEPT_WINDOW", 10)
    with database.write() as tx:
        record = lived(tx)
        rows = score_sums.by_model(tx, "live", ["AAPL", "MSFT"], window=10)
        assert score_sums.by_model(tx, "live", ["AAPL"], window=10) == rows[:2]
        assert score_sums.tickers_after(tx, "live", after=None, limit=9) == ["AAPL", "MSFT"]
        assert score_sums.tickers_after(tx, "live", after="AAPL", limit=9) == ["MSFT"]
        assert score_sums.tickers_after(tx, "backfill", after=None, limit=9) == []
    assert [(row["ticker"], row["version"]) for row in rows] == [("AAPL", None), ("AAPL", 1), ("MSFT", 1)]
    total = rows[1]
    assert (total["n"], total["missing"], len(record)) == (9, 1, 10)
    assert (total["first_session"], total["last_session"]) == (record[0].target_session, record[-1].target_session)
    assert total["n_both"] < 9
    assert {name: total[name] for name in score_sums.SUMMED} == pytest.approx(sums_of(record))


def test_sums_over_all_tickers_are_of_the_newest_sessions_of_any(database):
    with database.write() as tx:
        lived(tx)
        found = score_sums.overall(tx, "live", window=20)
        newest = score_sums.overall(tx, "live", window=7)
        of_all = [
            scores.record(tx, origin="live", ticker=ticker, version=version, window=20)
            for ticker, version in (("AAPL", 1), ("MSFT", 1), ("AAPL", None))
        ]
        assert score_sums.overall(tx, "backfill", window=9) == {}
    every = [*of_all[0], *of_all[1]]
    assert found["versions"] == pytest.approx({"tickers": 2, **sums_of(every)})
    assert found["baseline"] == pytest.approx({"tickers": 1, **sums_of(of_all[2])})
    assert newest["versions"] == pytest.approx({"tickers": 1, **sums_of(of_all[0][-7:])})


def test_sums_follow_a_session_that_is_scored_again_or_by_a_later_forecast(database):
    with database.write() as tx:
        lived(tx)
        first, *_, last = scores.record(tx, origin="live", ticker="AAPL", version=1, window=20)
        scores.settle(tx, [came(awaiting_of(first), 91), came(issue(tx, "again", 11, issued_at=after(60)), 92)])
        record = scores.record(tx, origin="live", ticker="AAPL", version=1, window=20)
        assert record[-1].forecast_id == "again" != last.forecast_id
        other = scores.record(tx, origin="live", ticker="MSFT", version=1, window=20)
        _, row, _ = score_sums.by_model(tx, "live", ["AAPL", "MSFT"], window=score_sums.KEPT_WINDOW)
        overall = score_sums.overall(tx, "live", window=20)["versions"]
    assert {name: row[name] for name in score_sums.SUMMED} == pytest.approx(sums_of(record))
    assert overall == pytest.approx({"tickers": 2, **sums_of([*record, *other])})


def test_a_record_is_read_and_added_up_through_its_indices(sqlite_database):
    with sqlite_database.write() as tx:
        for version in (1, None):
            model = {"origin": "live", "ticker": "AAPL", "version": version}
            for call in (scores.record, score_sums.summed):
                (plan,) = query_plans(tx, lambda model=model, call=call: call(tx, **model, window=9))
                assert (
                    plan.count("USING INDEX ix_scores_record") + plan.count("USING COVERING INDEX ix_scores_record")
                    == 2
                )
                assert "SCAN scores" not in plan
        asked = {"until": FRIDAY, "since": None}
        (plan,) = query_plans(tx, lambda: scores.up_to(tx, "AAPL", "sample", **asked))
        assert plan == "SEARCH scores USING INDEX ix_scores_open (ticker=? AND target_session<?)"
        (plan,) = query_plans(tx, lambda: scores.sources_due(tx, "AAPL", by=FRIDAY))
        assert "USING INDEX ix_scores_open" in plan


def sums_of(record: list[Score]) -> dict[str, float]:
    known = [score for score in record if score.state == SCORED]
    both = [score for score in known if score.crps_ewma_t is not None]
    return {
        "n": len(known),
        "missing": len(record) - len(known),
        "n_both": len(both),
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


def awaiting_of(score: Score) -> Score:
    """The step as it waited."""
    kept = ("forecast_id", "step", "field", "ticker", "version", "source", "origin", "leads", "issued_at")
    kept += ("as_of_session", "target_session", "last_value")
    return Score(**{name: getattr(score, name) for name in kept})
