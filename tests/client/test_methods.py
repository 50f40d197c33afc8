"""Every method against the API as it is served, by both clients."""

from __future__ import annotations

import inspect
import re
from datetime import UTC, date, datetime

import pytest

from app.client import AsyncClient, Client, Conflict, Invalid, NotFound, Unreachable, history_frame
from tests.api.rows import AS_OF, add_forecast, add_version, csv_of
from tests.bench.processes import free_port

PUBLIC = [
    *("adopt", "alias", "alias_history", "architectures", "artifact", "backtest", "bars", "cancel", "curves", "delete"),
    *("events", "fitted", "forecast", "forecast_bars", "forecast_columns", "forecasts", "hand_in", "history", "job"),
    *("jobs", "models"),
    *("overall_scores", "path", "peers", "predictions", "presets", "promote", "ready", "refresh", "remove_alias"),
    *(
        "rollback",
        "scorecard",
        "scores",
        "series",
        "train",
        "train_many",
        "train_pool",
        "tune",
        "upload_bars",
        "version",
    ),
    "versions",
]


def test_a_forecast_is_typed_and_a_frame(morrow, services):
    add_version(services, alias="champion", spec={"horizon": 3})
    forecast = morrow.forecast("AAA", horizon=2, levels=[80, 99.5])
    assert forecast.steps[0].target_session == date(2026, 11, 23)
    assert forecast.steps[0].point == pytest.approx(100, rel=0.01)
    frame = forecast.to_frame()
    assert list(frame.step) == [1, 2]
    assert {"ticker", "point", "lower_80", "upper_99.5", "q0.5"} <= set(frame.columns)
    assert str(frame.target_session.dtype).startswith("datetime64")


def test_many_forecasts_say_of_one_why_not(morrow, services):
    add_version(services, alias="champion")
    answer = morrow.forecasts(["AAA", "BBB"])
    assert not answer.complete
    assert answer.items[0].steps[0].step == 1
    assert answer.items[1].problem["code"] == "no_model_yet"
    assert list(answer.to_frame().ticker) == ["AAA"]


def test_own_bars_are_forecast_and_those_of_the_service_will_do(morrow, services):
    add_version(services, alias="champion")
    morrow.upload_bars("AAA", csv_of(300))
    bars = morrow.bars("AAA", start=date(2026, 1, 1))
    assert morrow.forecast_bars("AAA", bars.items).as_of_session == AS_OF
    assert list(bars.to_frame().columns[:4]) == ["open", "high", "low", "close"]
    assert bars.to_frame().index[-1].date() == AS_OF


def test_a_history_comes_in_pages_as_it_is_needed(morrow, services):
    add_version(services, alias="champion")
    for day in (17, 18, 19):
        add_forecast(services, as_of_session=date(2026, 11, day))
    issued = list(morrow.history("AAA", since=date(2026, 11, 18), page_size=1))
    assert [one.as_of_session.day for one in issued] == [20, 19, 18]
    frame = history_frame(issued)
    assert list(frame.state) == ["pending"] * 3
    assert {"as_of_session", "point", "actual", "lower_80", "version"} <= set(frame.columns)


def test_models_and_versions_come_in_pages_with_what_proves_them(morrow, services, tmp_path):
    for ticker in ("AAA", "AAA", "BBB"):
        add_version(services, ticker)
    assert [row.ticker for row in morrow.models(page_size=1)] == ["AAA", "BBB"]
    assert [row.version for row in morrow.versions("AAA", page_size=1)] == [2, 1]
    assert next(iter(morrow.versions("AAA"))).source == "files"
    version = morrow.version("AAA", 2)
    assert version.spec["horizon"] == 1
    card = morrow.scorecard("AAA", 2).to_frame()
    assert card.loc["persistence", "rmse"] == 1.0
    assert list(morrow.predictions("AAA", 2).to_frame().predicted) == [99.5, 100.5]
    assert morrow.fitted("AAA", 2).to_frame().index[0].date() == date(2024, 11, 19)
    assert list(morrow.path("AAA", 2).to_frame().index) == [1, 2]
    assert list(morrow.curves("AAA", 2).to_frame().loss) == [0.5, 0.4]
    name, facts = next(iter(version.artifacts.items()))
    assert len(morrow.artifact("AAA", 2, name)) == facts.bytes


def test_an_alias_is_created_changed_rolled_back_and_taken_away(morrow, services):
    add_version(services)
    add_version(services)
    with pytest.raises(NotFound) as missing:
        morrow.alias("AAA")
    assert missing.value.code == "no_such_alias"
    assert morrow.promote("AAA", 1, reason="first").version == 1
    assert morrow.promote("AAA", 2, reason="second").reason == "second"
    assert morrow.rollback("AAA").version == 1
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert [change.version for change in morrow.alias_history("AAA", as_of=now)] == [1, 2, 1]
    with pytest.raises(Conflict):
        morrow.delete("AAA", version=1)
    morrow.remove_alias("AAA")
    morrow.delete("AAA", version=1)
    morrow.delete("AAA")
    with pytest.raises(NotFound):
        morrow.promote("AAA", 1)


def test_orders_become_jobs_that_are_listed_looked_at_and_cancelled(morrow):
    small = {"spec": {"epochs": 3}, "data": {"start": date(2021, 1, 1)}}
    job = morrow.train("AAA", promote="never", priority=3, **small)
    assert (job.kind, job.ticker, job.state, job.deduplicated) == ("train", "AAA", "queued", False)
    assert morrow.train("AAA", promote="never", priority=3, **small).deduplicated
    both = morrow.train_many(["AAA", "BBB"], **small)
    assert [one.ticker for one in both] == ["AAA", "BBB"]
    pool = morrow.train_pool(["AAA", "BBB"])
    assert pool.ticker is None
    assert morrow.tune("AAA", search={"budget_seconds": 60}).kind == "tune"
    assert morrow.backtest("AAA").kind == "backtest"
    refresh = morrow.refresh()
    assert morrow.refresh().id == refresh.id
    assert {one.kind for one in morrow.jobs(page_size=2)} == {"train", "tune", "backtest", "refresh"}
    assert {one.ticker for one in morrow.jobs(ticker="BBB", state="queued", kind="train")} == {"BBB"}
    assert job.cancel().state == "cancelled"
    assert morrow.job(job.id).state == "cancelled"
    with pytest.raises(Conflict) as over:
        morrow.cancel(job.id)
    assert over.value.code == "job_already_over"
    with pytest.raises(Conflict) as none:
        morrow.adopt("AAA")
    assert none.value.code == "no_pooled_model"


def test_one_key_is_one_order(morrow):
    first = morrow.train("AAA", idempotency_key="k", spec={"epochs": 2})
    first.cancel()
    assert morrow.train("AAA", idempotency_key="k", spec={"epochs": 2}).id == first.id
    with pytest.raises(Invalid):
        morrow.train("AAA", idempotency_key="k", spec={"epochs": 3})


def test_bars_are_taken_from_a_file_and_refused_with_their_lines(morrow, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(csv_of(80))
    assert morrow.upload_bars("MINE", file).rows_taken == 80
    with pytest.raises(Invalid) as refused:
        morrow.upload_bars("MINE", csv_of(80) + "2026-11-21,1,1,1,many,1\n")
    assert refused.value.facts["rows_refused"][0]["line"] == 82


def test_peers_scores_presets_architectures_and_readiness(morrow, services):
    for ticker in ("AAA", "BBB"):
        morrow.upload_bars(ticker, csv_of(1300))
    assert [peer.ticker for peer in morrow.peers("AAA", candidates=["BBB"], top=1).items] == ["BBB"]
    add_version(services, alias="champion")
    assert [score.ticker for score in morrow.scores(origin="backtest", page_size=1)] == ["AAA"]
    assert isinstance(morrow.overall_scores(window=10), list)
    assert "default" in {preset.name for preset in morrow.presets()}
    assert "gru" in {architecture.name for architecture in morrow.architectures()}
    assert {check.name for check in morrow.ready().checks} >= {"database"}


def test_a_refusal_has_code_numbers_and_fields(morrow):
    with pytest.raises(Invalid) as refused:
        morrow.train("SHORT")
    error = refused.value
    assert (error.status, error.code) == (422, "not_enough_history")
    assert error.facts["have"] == 60
    assert error.request_id
    with pytest.raises(Invalid) as unknown:
        morrow.train("AAA", spec={"colour": "red", "epochs": 0})
    assert {entry["pointer"] for entry in unknown.value.errors} == {"/spec/colour", "/spec/epochs"}
    with pytest.raises(NotFound) as missing:
        morrow.forecast("ZZZ")
    assert missing.value.code == "no_model_yet"


def test_nobody_there_is_unreachable_and_an_oserror(opened):
    client = opened(f"http://127.0.0.1:{free_port()}", attempts=2)
    with pytest.raises(Unreachable, match="No answer from http://127") as gone:
        client.ready()
    assert isinstance(gone.value, OSError)


@pytest.mark.parametrize("url", ["morrow", "ftp://example.org", "http://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="no address"):
        Client(url)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_each_method_has_words_and_parameters_and_says_what_it_raises(kind):
    methods = {name: getattr(kind, name) for name in dir(kind) if name in PUBLIC}
    assert sorted(methods) == sorted(PUBLIC)
    for method in methods.values():
        signature = inspect.signature(method)
        assert next(iter(signature.parameters)) == "self"
        assert not re.match(r"Call|Flow|Listing|Stream", signature.return_annotation)
        assert re.search(r"Raises|errors are those", method.__doc__ or "") or method.__name__ == "hand_in"
    assert [name for name in vars(kind) if not name.startswith("_") and name not in PUBLIC] == []
