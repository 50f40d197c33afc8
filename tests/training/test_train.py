"""The spine, on small networks: what it keeps, what it promotes, and what it leaves behind when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection

from app.bootstrap import open_services
from app.db.engine import Database
from app.domain.history import PRICE_FIELDS
from app.domain.order import TrainingOrder
from app.domain.version import CHALLENGER, CHAMPION, ModelVersion
from app.errors import InvalidBars, NotEnoughHistory, StoreUnavailable, UnknownTicker, WorkerLost
from app.forecasting.answer import answer, chosen
from app.forecasting.market_data import latest_bars
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import aliases, forecasts, versions
from app.settings import Settings
from tests.forecasting.conftest import NOW, Clock, TestSource, clock, make_bars, services, source

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]
__all__ = ["clock", "services", "source"]

Complete = Callable[[Connection, dict[str, Any]], None]

QUICK = {"epochs": 1, "units": [2], "window": 5, "features": ["returns"], "batch_size": 512}
FIXED = {"kind": "fixed", "test_fraction": 0.3}


def order(ticker: str = "AAA", **body: Any) -> TrainingOrder:
    spec = {**QUICK, **body.pop("spec", {})}
    whole = {"ticker": ticker, "data": {"source": "files"}, "evaluation": FIXED, "spec": spec, **body}
    return TrainingOrder.from_dict(whole)


def nothing_more(tx: Connection, result: dict[str, Any]) -> None:
    """The end of a job that nobody waits for."""


def train(
    wanted: TrainingOrder,
    services: Services,
    complete: Complete = nothing_more,
    report: Callable[..., None] = lambda *told, **facts: None,
) -> ModelVersion:
    from app.training.train import train_model

    bars = latest_bars(wanted.ticker, "files", services=services, peers=wanted.spec.peers)
    return train_model(
        wanted,
        bars,
        services=services,
        report=report,
        complete=complete,
        job_id=None,
        submitted_by="test",
    )


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a training of ``order()`` hands in to be registered."""
    from app.training import train as spine

    source = TestSource()
    source.bars["AAA"] = make_bars(900)
    wired = open_services(Settings(home=tmp_path_factory.mktemp("candidate"), train_threads=1), clock=Clock())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spine, "register", lambda candidate, **rest: candidate)
        made = train(order(), replace(wired, sources={"files": source}))
    wired.database.close()
    return made


def registered(candidate: Any, services: Services, complete: Complete = nothing_more, **changes: Any) -> ModelVersion:
    """Take the last step of a training."""
    from app.training.register import register

    changed = replace(candidate, **changes)
    return register(changed, services=services, complete=complete, job_id=None, submitted_by="test")


def make_champion(candidate: Any, services: Services) -> ModelVersion:
    version = registered(candidate, services)
    with services.database.write() as tx:
        aliases.point(tx, "AAA", CHAMPION, version.number, by="test", reason="test", now=NOW)
    return version


def test_trainings_that_are_fitted_together_end_each_for_itself(services: Services, source: TestSource) -> None:
    from app.training.train import Training, train_models

    told: dict[str, list[str]] = {name: [] for name in ("AAA", "BBB", "CCC")}
    shares: dict[str, list[float]] = {name: [] for name in (*told, "alone")}

    def report(stage: str, fraction: float, /, *, ticker: str, **numbers: float) -> None:
        told.get(ticker, []).append(stage)
        shares[ticker] += [fraction] if "epoch" in numbers else []

    wanted = [order("AAA"), order("BBB"), order("CCC", spec={"window": 20})]
    for name, bars in (("AAA", 900), ("BBB", 700), ("CCC", 700)):
        source.bars[name] = make_bars(bars)
    refuse = {"BBB": StoreUnavailable("The store is down.")}

    def complete(tx: Connection, result: dict[str, Any], *, ticker: str) -> None:
        if ticker in refuse:
            raise refuse[ticker]

    results = train_models(
        [
            Training(
                order=one,
                bars=latest_bars(one.ticker, "files", services=services),
                report=partial(report, ticker=one.ticker),
                complete=partial(complete, ticker=one.ticker),
                job_id=None,
                submitted_by="test",
            )
            for one in wanted
        ],
        services=services,
    )
    assert results[1] is refuse["BBB"]
    alone = train(wanted[0], services, report=partial(report, ticker="alone"))
    assert isinstance(results[0], ModelVersion) and isinstance(results[2], ModelVersion)
    for figure in ("value", "crps"):
        assert results[0].scorecard["skill"][figure] == pytest.approx(alone.scorecard["skill"][figure], abs=1e-5)
    assert all(
        dict.fromkeys(stages) == dict.fromkeys(["dataset", "fit", "backtest", "export"]) for stages in told.values()
    )
    # Each hears of its own fits, and of no other's.
    assert len(shares["AAA"]) == len(shares["alone"])
    assert all(share == sorted(share) and 0 < share[-1] <= 1 for share in shares.values())
    with services.database.read() as tx:
        assert versions.newest(tx, "BBB") is None


def test_a_version_is_kept_with_everything_that_explains_it(services: Services, source: TestSource) -> None:
    source.bars["AAA"] = make_bars(900)
    results: list[dict[str, Any]] = []
    made = train(order(), services, lambda tx, result: results.append(result))
    with services.database.read() as tx:
        version = versions.get(tx, "AAA", 1)
        document = answer(chosen(tx, "AAA", "1"), model="1", horizon=1, levels=(80,), now=NOW).document
    assert (version.order, version.data, version.artifacts) == (made.order, made.data, made.artifacts)
    assert set(version.artifacts) == {
        "model.onnx", "weights.npz", "spec.json", "scalers.json",
        "scorecard.json", "golden.json", "predictions.json", "fitted.json", "path.json", "curves.json",
    }  # fmt: skip
    assert version.scorecard["protocol"]["sessions"] == 270
    assert results[0]["version"] == 1 and results[0]["promoted"] == (results[0]["reasons"] == [])
    assert document["model"]["version"] == 1
    assert document["steps"][0]["target_session"] == "2024-03-06"
    assert document["provenance"]["snapshot_id"] == version.data.snapshot_id


def test_without_a_champion_the_baseline_answers_and_says_so(services: Services, candidate: Any) -> None:
    registered(candidate, services, order=order(promote="never"))
    with services.database.read() as tx:
        assert aliases.current(tx, "AAA", CHAMPION) is None
        document = answer(chosen(tx, "AAA", CHAMPION), model=CHAMPION, horizon=1, levels=(80,), now=NOW).document
    assert (document["state"], document["reasons"]) == ("baseline", ["baseline"])
    assert document["model"] == {
        "version": None, "alias": None, "architecture": "ewma_t", "preset": None, "trained_through": None,
    }  # fmt: skip
    assert document["steps"][0]["point"] == document["last_close"]


def test_what_comes_after_the_cut_off_changes_nothing_that_was_fitted(services: Services, source: TestSource) -> None:
    bars = make_bars(900)
    source.bars["AAA"] = bars
    cut = date.fromisoformat(str(bars.sessions[650]))
    wanted = order(evaluation={"kind": "fixed", "train_end": cut.isoformat()})
    before = train(wanted, services)
    twist = np.ones(len(bars))
    twist[651:] = np.linspace(1.0, 1.3, len(bars) - 651)
    prices = {name: bars.column(name) * twist for name in PRICE_FIELDS}
    source.bars["AAA"] = replace(bars, **prices)
    after = train(wanted, services)
    for name in ("model.onnx", "weights.npz", "scalers.json", "curves.json"):
        assert before.artifacts[name]["sha256"] == after.artifacts[name]["sha256"], name
    assert before.artifacts["predictions.json"]["sha256"] != after.artifacts["predictions.json"]["sha256"]
    assert before.data.last_session == cut


def test_a_price_network_takes_its_spread_from_its_own_errors(services: Services, source: TestSource) -> None:
    source.bars["AAA"] = make_bars(900)
    spec = {"target": {"transform": "price"}, "features": ["close"], "loss": "mse", "scaler": "minmax"}
    version = train(order(spec=spec), services)
    scalers = json.loads(
        services.artifacts.read(version.location, "scalers.json", sha256=version.artifacts["scalers.json"]["sha256"])
    )
    assert scalers["target"]["kind"] == "minmax"
    (spread,) = scalers["spreads"]
    assert spread["scale"][0] > 0 and spread["df"][0] > 2
    assert "rmse_ratio_too_high" in version.scorecard["reasons"]


def test_a_target_that_is_not_the_close_can_never_be_champion(services: Services, source: TestSource) -> None:
    source.bars["AAA"] = make_bars(900)
    version = train(order(spec={"target": {"field": "high"}}), services)
    assert "target_is_not_close" in version.scorecard["reasons"]
    with services.database.read() as tx:
        forecast = forecasts.latest(tx, "AAA", 1)
    assert forecast is not None
    assert forecast.steps[0].last_value == source.bars["AAA"].high[-1]
    assert forecast.last_close == source.bars["AAA"].close[-1]


def kept(version: ModelVersion, name: str, services: Services) -> Any:
    """Read one JSON file of a version."""
    return json.loads(services.artifacts.read(version.location, name, sha256=version.artifacts[name]["sha256"]))


def test_a_version_with_peers_says_which_bars_it_read_and_how_they_moved_before_the_test(
    services: Services, source: TestSource
) -> None:
    bars = source.bars["AAA"] = make_bars(900)
    source.bars["BBB"] = replace(bars, **{name: bars.column(name) * 2 for name in PRICE_FIELDS})
    version = train(order(spec={"peers": ["BBB"]}), services)
    peers = version.data.peers
    assert peers is not None and list(peers["snapshots"]) == ["BBB"]
    assert peers["snapshots"]["BBB"] != version.data.snapshot_id
    correlation = peers["correlation"]
    assert correlation["items"][0]["ticker"] == "BBB"
    assert correlation["items"][0]["returns"] == pytest.approx(1.0)
    assert correlation["last_session"] < version.scorecard["protocol"]["first_session"]
    with services.database.read() as tx:
        assert forecasts.latest(tx, "AAA", 1) is not None


def test_a_version_waits_for_a_lagging_peer_and_the_baseline_beside_it_does_not(
    services: Services, source: TestSource
) -> None:
    bars, peer = make_bars(900), make_bars(899, last="2024-03-04", seed=8)
    source.bars |= {"AAA": bars, "BBB": peer}
    train(order(spec={"peers": ["BBB"]}), services)
    with services.database.read() as tx:
        version, baseline = (forecasts.latest(tx, "AAA", number) for number in (1, None))
    assert version is not None and version.as_of_session == date(2024, 3, 4)
    assert baseline is not None and baseline.as_of_session == date(2024, 3, 5)
    assert baseline.last_close == bars.close[-1]


def test_a_restated_bar_of_a_peer_moves_the_forecast(services: Services, source: TestSource) -> None:
    def pointed(tx: Connection, result: dict[str, Any]) -> None:
        aliases.point(tx, "AAA", "trial", result["version"], by="test", reason="test", now=NOW)

    def refreshed() -> list[str]:
        return refresh_tickers(None, services=services, report=lambda *a, **k: None)["refreshed"]

    peer = make_bars(900, seed=8)
    source.bars |= {"AAA": make_bars(900), "BBB": peer}
    train(order(spec={"peers": ["BBB"]}), services, pointed)
    assert refreshed() == []
    close = np.append(peer.close[:-1], peer.close[-1] * 1.05)
    source.bars["BBB"] = replace(peer, close=close, adj_close=close)
    assert refreshed() == ["AAA"]


def test_a_forecast_says_what_should_make_one_doubt_it(services: Services, source: TestSource) -> None:
    def doubts(ticker: str) -> Any:
        with services.database.read() as tx:
            return answer(chosen(tx, ticker, "1"), model="1", horizon=1, levels=(80,), now=NOW).document["diagnostics"]

    bars = make_bars(900)
    close = np.append(bars.close[:-1], bars.close[-1] * 1.3)
    source.bars |= {"AAA": bars, "BBB": replace(bars, close=close, adj_close=close, high=np.maximum(bars.high, close))}
    apart = {"validation_fraction": 0.0, "early_stopping": None, "optimizer": {"learning_rate": 0.05}}
    train(order(spec={"seeds": 2, **apart}), services)
    train(order("BBB"), services)
    assert 0 < doubts("AAA")["seed_spread"] < 1
    assert doubts("AAA")["persistence_likeness"] == pytest.approx(1.0, abs=0.1), "a drift-only mean"
    assert doubts("BBB")["seed_spread"] is None
    assert list(doubts("BBB")["inputs_out_of_range"]) == ["return"]


def test_true_beside_predicted_is_kept_of_the_training_and_of_the_test_part(
    services: Services, source: TestSource
) -> None:
    source.bars["AAA"] = make_bars(900)
    members = [{"architecture": "lstm", "units": [2]}, {"architecture": "gru", "units": [2]}]
    spec = {"members": members, "targets": [{"field": "close"}, {"field": "high"}], "horizon": 3}
    version = train(order(spec=spec), services)
    tested, learnt, path, curves = (
        kept(version, name, services) for name in ("predictions.json", "fitted.json", "path.json", "curves.json")
    )
    assert learnt["session"][-1] < tested["session"][0] == path["session"][0]
    assert {len(column) for column in learnt.values()} == {len(learnt["session"])}
    assert {"actual", "predicted", "high_actual", "high_predicted"} <= set(tested)
    assert path["step"] == [1, 2, 3]
    assert path["actual"][0] == tested["actual"][0] and path["predicted"][0] == pytest.approx(tested["predicted"][0])
    assert [member["architecture"] for member in curves["members"]] == ["lstm", "gru"]
    assert set(version.scorecard["targets"]) == {"high"}


def test_what_was_trained_before_in_the_same_process_changes_nothing(services: Services, source: TestSource) -> None:
    source.bars = {"AAA": make_bars(900, seed=1), "BBB": make_bars(900, seed=2)}
    lasting = {"spec": {"epochs": 3, "dropout": 0.2, "early_stopping": {"patience": 1}}, "promote": "never"}

    def lose(stage: str, fraction: float, /, **facts: Any) -> None:
        if facts.get("epoch") == 2:
            raise WorkerLost("Cancelled in the middle of a fit.")

    first = train(order("BBB", **lasting), services)
    train(order("AAA", **lasting), services)
    with pytest.raises(WorkerLost):
        train(order("AAA", **lasting), services, report=lose)
    again = train(order("BBB", **lasting), services)
    for name in ("model.onnx", "weights.npz", "scalers.json", "curves.json", "predictions.json", "golden.json"):
        assert again.artifacts[name] == first.artifacts[name]


def test_a_lost_lease_leaves_nothing_behind(services: Services, candidate: Any) -> None:
    def lost(tx: Connection, result: dict[str, Any]) -> None:
        raise WorkerLost("lost")

    with pytest.raises(WorkerLost):
        registered(candidate, services, lost)
    with services.database.read() as tx:
        assert versions.count(tx) == 0 and forecasts.latest(tx, "AAA", 1) is None
    assert list(services.settings.models_dir.glob("*/*")) == []


def test_a_commit_whose_answer_was_lost_keeps_its_files(services: Services, candidate: Any) -> None:
    class Forgetful(Database):
        @contextmanager
        def write(self) -> Iterator[Connection]:
            with super().write() as tx:
                yield tx
                done = versions.count(tx)
            if done:
                raise StoreUnavailable("the connection broke")

    database = Forgetful(services.settings.registry_url)
    with pytest.raises(StoreUnavailable):
        registered(candidate, replace(services, database=database))
    database.close()
    with services.database.read() as tx:
        version = versions.get(tx, "AAA", 1)
    assert services.models.get(version).spec.units == (2,)


def test_a_champion_with_damaged_files_may_be_replaced(services: Services, source: TestSource, candidate: Any) -> None:
    source.bars["AAA"] = make_bars(900)
    first = make_champion(candidate, services)
    rivals = []
    for damage in (False, True):
        if damage:
            services.artifacts.path(first.location, "predictions.json").write_bytes(b"{}")
        card = train(order(), services).scorecard
        rivals.append(("champion" in card["tests"], "champion_not_comparable" in card["reasons"]))
    assert rivals == [(True, False), (False, False)]


def test_a_forecast_of_another_field_is_not_compared_with_the_champions_of_the_close(
    services: Services, source: TestSource, candidate: Any
) -> None:
    source.bars["AAA"] = make_bars(900)
    make_champion(candidate, services)
    card = train(order(spec={"target": {"field": "high"}}), services).scorecard
    assert "champion" not in card["tests"]
    assert "champion_changed_meanwhile" not in card["reasons"]


def test_one_that_only_the_champion_keeps_down_challenges_it_live(services: Services, candidate: Any) -> None:
    """The verdict of a tiny network is laid over: how it comes to be is the judge's own business."""
    from app.training.register import champion_of

    judged_against = None
    for reasons, challenger in (((), None), (("worse_than_champion",), 2), (("rmse_ratio_too_high",), 2)):
        card = replace(candidate.scorecard, reasons=reasons)
        results: list[dict[str, Any]] = []
        registered(
            candidate,
            services,
            lambda tx, result, results=results: results.append(result),
            scorecard=card,
            judged_against=judged_against,
        )
        judged_against = champion_of("AAA", services=services)
        with services.database.read() as tx:
            assert aliases.current(tx, "AAA", CHAMPION) == 1
            assert aliases.current(tx, "AAA", CHALLENGER) == challenger
        assert results[0]["challenger"] == (reasons == ("worse_than_champion",))


def test_only_bars_from_the_start_on_are_used_to_train_and_to_forecast(services: Services, source: TestSource) -> None:
    bars = make_bars(1000)
    faulty = bars.close.copy()
    faulty[50] = -1.0
    source.bars["AAA"] = replace(bars, close=faulty)
    start = str(bars.sessions[100])
    version = train(order(data={"source": "files", "start": start}), services)
    assert str(version.data.first_session) == start
    assert version.data.rows == 630
    with services.database.read() as tx:
        before = forecasts.latest(tx, "AAA", None)
    assert before is not None
    source.bars["AAA"] = replace(bars, close=np.append(faulty[:-1], 1.01 * faulty[-1]))
    refreshed = refresh_tickers(["AAA"], services=services, report=lambda *a, **k: None)
    assert (refreshed["refreshed"], refreshed["failed"]) == (["AAA"], [])


def test_several_steps_are_dated_by_the_exchange(services: Services, source: TestSource, clock: Clock) -> None:
    clock.now += timedelta(days=21)
    source.bars["AAA"] = make_bars(900, last="2024-03-26")
    train(order(spec={"horizon": 3}), services)
    with services.database.read() as tx:
        steps = answer(chosen(tx, "AAA", "1"), model="1", horizon=3, levels=(80,), now=NOW).document["steps"]
    assert [step["target_session"] for step in steps] == ["2024-03-27", "2024-03-28", "2024-04-01"]
    assert steps[0]["volatility"] < steps[1]["volatility"] < steps[2]["volatility"]


@pytest.mark.parametrize(
    ("days", "error"), [(0, UnknownTicker), (90, NotEnoughHistory)], ids=["unknown ticker", "short history"]
)
def test_an_order_that_cannot_be_filled_says_so(
    services: Services, source: TestSource, days: int, error: type[Exception]
) -> None:
    if days:
        source.bars["AAA"] = make_bars(days)
    with pytest.raises(error):
        train(order(), services)


def test_bars_that_cannot_be_repaired_are_refused_with_findings(services: Services, source: TestSource) -> None:
    bars = make_bars(900)
    halved = bars.close.copy()
    halved[400:] /= 2.0
    broken = replace(bars, open=halved, high=halved * 1.01, low=halved / 1.01, close=halved, adj_close=halved * np.nan)
    source.bars["AAA"] = broken
    with pytest.raises(InvalidBars) as error:
        train(order(), services)
    assert any(finding["code"] == "unadjusted_split" for finding in error.value.facts["findings"])
