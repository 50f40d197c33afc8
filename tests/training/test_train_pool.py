"""One network on many tickers: what is kept of it, what it has seen, and what happens when one ticker fails."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.artifacts.folds import from_zip
from app.dataset.prepare import prepare
from app.domain.history import PRICE_FIELDS, Bars
from app.domain.order import TrainingOrder
from app.domain.pooled import PooledNetwork, PooledOrder
from app.domain.version import CHAMPION, ModelVersion
from app.errors import InvalidSpec, NoPooledModel, NotEnoughHistory, StoreUnavailable
from app.forecasting.market_data import latest_bars
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import aliases, forecasts, versions
from tests.forecasting.conftest import Clock, TestSource, clock, make_bars, services, source

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]
__all__ = ["clock", "services", "source"]

QUICK = {"epochs": 1, "units": [2], "window": 5, "seeds": 1, "early_stopping": None}
WALK = {"kind": "walk_forward", "n_windows": 2, "step_size": 130}
UNIVERSE = ("AAA", "BBB", "CCC")


def body(**changes: Any) -> dict[str, Any]:
    return {"preset": "pooled", "data": {"source": "files"}, "spec": QUICK, "evaluation": WALK, **changes}


def pooled_order(**changes: Any) -> PooledOrder:
    return PooledOrder.from_dict(body(universe=UNIVERSE, **changes))


def train(services: Services, order: PooledOrder | None = None, complete: Any = None) -> list[ModelVersion]:
    import keras

    from app.training.train_pool import train_pool

    keras.utils.clear_session()  # a job has a process of its own; layers are numbered from one again
    order = order or pooled_order()
    return train_pool(
        order,
        {ticker: latest_bars(ticker, "files", services=services) for ticker in order.universe},
        services=services,
        report=lambda *a, **k: None,
        complete=complete or (lambda tx, results: None),
        job_id=None,
        submitted_by="test",
    )


def adopt(services: Services, ticker: str = "NEW", complete: Any = None, **changes: Any) -> ModelVersion:
    from app.training.adopt import adopt_model

    order = TrainingOrder.from_dict({"preset": "pooled", "data": {"source": "files"}, "ticker": ticker, **changes})
    return adopt_model(
        order,
        latest_bars(ticker, "files", services=services),
        services=services,
        report=lambda *a, **k: None,
        complete=complete or (lambda tx, result: None),
        job_id=None,
        submitted_by="test",
    )


def read(version: ModelVersion, name: str, services: Services) -> bytes:
    return services.artifacts.read(version.location, name, sha256=version.artifacts[name]["sha256"])


def kept(version: ModelVersion, name: str, services: Services) -> Any:
    return json.loads(read(version, name, services))


@pytest.fixture
def market(source: TestSource) -> TestSource:
    """Three tickers of which one was listed late, and one that no network is fitted on."""
    source.bars |= {"AAA": make_bars(800), "BBB": make_bars(800, seed=4), "CCC": make_bars(600, seed=5)}
    source.bars["NEW"] = make_bars(700, seed=6)
    return source


def with_future(bars: Bars, after: str) -> Bars:
    """The same bars up to the session before ``after``, from there on those of another walk that goes on from them."""
    cut = int(np.searchsorted(bars.sessions, np.datetime64(after)))
    other = make_bars(len(bars), seed=99)
    scale = np.where(np.arange(len(bars)) < cut, 1.0, bars.close[cut - 1] / other.close[cut - 1])
    prices = {
        name: np.where(np.arange(len(bars)) < cut, bars.column(name), other.column(name) * scale)
        for name in PRICE_FIELDS
    }
    return replace(bars, **prices)


def test_every_ticker_has_a_version_of_the_same_network_judged_on_its_own_sessions(
    services: Services, market: TestSource
) -> None:
    results: list[Any] = []
    made = train(services, complete=lambda tx, result: results.extend(result))
    assert [one.ticker for one in made] == [one["ticker"] for one in results] == list(UNIVERSE)
    for name in ("model.onnx", "weights.npz", "scalers.json", "folds.zip"):
        assert len({one.artifacts[name]["sha256"] for one in made}) == 1, name
    for name in ("scorecard.json", "predictions.json", "fitted.json"):
        assert len({one.artifacts[name]["sha256"] for one in made}) == 3, name
    known = PooledNetwork.from_dict(made[0].order["pooled"])
    assert known.universe == UNIVERSE
    for version, result in zip(made, results, strict=True):
        with services.database.read() as tx:
            assert versions.get(tx, version.ticker, 1).order == version.order
            served = forecasts.latest(tx, version.ticker, 1)
            champion = aliases.current(tx, version.ticker, CHAMPION)
        assert served is not None and served.steps[0].last_value == market.bars[version.ticker].close[-1]
        assert (champion == 1) == result["promoted"] == (result["reasons"] == [])
        card = version.scorecard
        assert {"ewma_t", "garch_t", "har_range_t"} <= set(card["contestants"])
        assert card["protocol"]["sessions"] == 260 and card["protocol"]["fits"] == 2
        sessions = kept(version, "predictions.json", services)["session"]
        assert sessions[0] == known.windows[0].first.isoformat()
        assert sessions[-1] == str(market.bars[version.ticker].sessions[-1])


def test_all_forecasts_of_a_universe_are_of_one_edition(services: Services, market: TestSource) -> None:
    train(services)
    with services.database.read() as tx:
        editions = {forecasts.latest(tx, ticker, 1).edition for ticker in UNIVERSE}
    assert len(editions) == 1


def test_no_future_of_any_ticker_moves_a_network_fitted_before_it(services: Services, market: TestSource) -> None:
    first = train(services)
    second_window = PooledNetwork.from_dict(first[0].order["pooled"]).windows[1].first.isoformat()
    for ticker in ("BBB", "CCC"):
        market.bars[ticker] = with_future(market.bars[ticker], second_window)
    again = train(services)
    before, after = (from_zip(read(made[0], "folds.zip", services)) for made in (first, again))
    assert before[:2] == after[:2]
    assert first[0].artifacts["model.onnx"] != again[0].artifacts["model.onnx"]
    said, now = (kept(made[0], "predictions.json", services) for made in (first, again))
    assert said == now  # of AAA, whose own bars are the same, by networks that saw none of that future
    changed, of_bbb = (kept(made[1], "predictions.json", services) for made in (first, again))
    n = changed["session"].index(second_window)
    assert changed["predicted"][:n] == of_bbb["predicted"][:n]
    assert changed["actual"][n:] != of_bbb["actual"][n:]
    past = {**market.bars, "BBB": replace(market.bars["BBB"], high=market.bars["BBB"].high * 1.01)}
    market.bars |= past
    assert from_zip(read(train(services)[0], "folds.zip", services))[0] != before[0]


def test_a_ticker_that_no_network_saw_is_judged_by_networks_fitted_before_each_window(
    services: Services, market: TestSource, clock: Clock
) -> None:
    made = train(services)
    known = PooledNetwork.from_dict(made[0].order["pooled"])
    results: list[Any] = []
    version = adopt(services, complete=lambda tx, result: results.append(result))
    assert (results[0]["ticker"], results[0]["version"]) == ("NEW", 1)
    for name in ("model.onnx", "weights.npz", "scalers.json", "folds.zip", "golden.json"):
        assert version.artifacts[name] == made[0].artifacts[name]
    assert version.order["spec"] == made[0].order["spec"]
    assert version.order["evaluation"] == made[0].order["evaluation"]
    assert kept(version, "fitted.json", services)["session"] == []
    assert version.data.last_session == known.known_through
    said = kept(version, "predictions.json", services)
    assert (said["session"][0], len(said["session"])) == (known.windows[0].first.isoformat(), 260)
    # Each window is forecast by its own fold, which an other than the served network's answer shows.
    market.bars["NEW"] = with_future(market.bars["NEW"], known.windows[1].first.isoformat())
    other = kept(adopt(services), "predictions.json", services)
    assert other["predicted"][:131] == said["predicted"][:131]  # the next one knows a close that is another
    assert other["predicted"][131:] != said["predicted"][131:]
    assert other["lower_80"][:130] == said["lower_80"][:130]


def test_every_window_is_forecast_by_its_own_fold(services: Services, market: TestSource) -> None:
    from app.dataset.scaling import Scaling
    from app.forecasting.predictor import Predictor
    from app.forecasting.runtime import OnnxNetwork

    train(services)
    version = adopt(services)
    said = kept(version, "predictions.json", services)
    dataset = prepare(market.bars["NEW"], pooled_order().spec)
    for number, (onnx, scalers) in enumerate(from_zip(read(version, "folds.zip", services))):
        fold = Predictor(dataset.spec, Scaling.from_dict(scalers), OnnxNetwork(onnx))
        rows = np.searchsorted(dataset.next_sessions[:-1], np.array(said["session"], "datetime64[D]"))
        mine = rows[130 * number : 130 * (number + 1)]
        (spoken,) = fold.predict_at(dataset, mine)
        lower = dataset.values[mine] * np.exp(spoken.quantile(0.1)[:, 0])
        np.testing.assert_allclose(said["lower_80"][130 * number : 130 * (number + 1)], lower, rtol=1e-6)


def test_what_came_after_the_fit_is_forecast_by_the_served_network(
    services: Services, market: TestSource, clock: Clock
) -> None:
    made = train(services, pooled_order(data={"source": "files", "end": "2023-12-29"}))
    version = adopt(services)
    known = PooledNetwork.from_dict(version.order["pooled"])
    assert known.known_through.isoformat() == "2023-12-29"
    assert (made[0].scorecard["protocol"]["fits"], version.scorecard["protocol"]["fits"]) == (1, 2)
    assert version.scorecard["protocol"]["last_session"] == "2024-03-05"
    assert version.data.last_session == known.known_through


def test_a_version_of_a_pooled_network_is_refreshed_like_all_others(
    services: Services, market: TestSource, clock: Clock
) -> None:
    for ticker in ("NEW", *UNIVERSE):
        market.bars[ticker] = market.bars[ticker].rows(slice(None, -1))
    train(services)
    adopt(services)
    for ticker, seed, days in (("AAA", 3, 800), ("BBB", 4, 800), ("CCC", 5, 600), ("NEW", 6, 700)):
        market.bars[ticker] = make_bars(days, seed=seed)
    done = refresh_tickers(None, services=services, report=lambda *a, **k: None)
    assert (done["refreshed"], done["failed"]) == (["AAA", "BBB", "CCC", "NEW"], [])


def test_when_one_ticker_cannot_be_registered_none_is(
    services: Services, market: TestSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = versions.register

    def failing(tx: Any, version: ModelVersion) -> None:
        real(tx, version)
        if version.ticker == "CCC":
            raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(versions, "register", failing)
    ended: list[Any] = []
    with pytest.raises(StoreUnavailable):
        train(services, complete=lambda tx, results: ended.append(results))
    with services.database.read() as tx:
        assert versions.all_tickers(tx) == []
        assert all(forecasts.latest(tx, ticker, 1) is None for ticker in UNIVERSE)
    assert ended == []
    assert services.artifacts.sweep(set(), older_than_seconds=0, now=services.clock()) == []


def test_without_a_pooled_network_there_is_nothing_to_adopt(services: Services, market: TestSource) -> None:
    with pytest.raises(NoPooledModel):
        adopt(services)


def test_the_network_that_was_fitted_last_is_adopted_though_an_older_one_was_adopted_later(
    services: Services, market: TestSource, clock: Clock
) -> None:
    train(services)
    old = adopt(services)
    clock.now = clock.now.replace(hour=13)
    new = train(services, pooled_order(spec={**QUICK, "units": [3]}))
    again = adopt(services)
    assert again.artifacts["model.onnx"] == new[0].artifacts["model.onnx"] != old.artifacts["model.onnx"]


def test_a_member_with_too_few_sessions_is_refused_by_name_with_its_numbers(
    services: Services, market: TestSource
) -> None:
    market.bars["CCC"] = make_bars(200, seed=5)
    with pytest.raises(NotEnoughHistory) as caught:
        train(services)
    facts = caught.value.facts
    assert (facts["ticker"], facts["have"]) == ("CCC", 200)
    market.bars["CCC"] = make_bars(facts["need"], seed=5)
    made = train(services)
    assert made[2].scorecard["protocol"]["fits"] == 1
    market.bars["CCC"] = make_bars(facts["need"] - 1, seed=5)
    with pytest.raises(NotEnoughHistory):
        train(services)


@pytest.mark.parametrize("spec", [{"loss": "mse"}, {"loss": "student_t", "strategy": "recursive"}, {"peers": ["DDD"]}])
def test_what_needs_fits_of_one_ticker_alone_cannot_be_pooled(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec):
        pooled_order(spec={**QUICK, **spec})


def test_a_network_fitted_once_is_judged_on_what_comes_after(services: Services, market: TestSource) -> None:
    made = train(services, pooled_order(evaluation={"kind": "fixed", "train_end": "2023-06-30"}))
    known = PooledNetwork.from_dict(made[0].order["pooled"])
    assert known.known_through.isoformat() == "2023-06-30"
    assert made[0].data.last_session == known.known_through
    assert made[0].scorecard["protocol"]["first_session"] == "2023-07-03"
    (fold,) = from_zip(read(made[0], "folds.zip", services))
    assert fold[0] == read(made[0], "model.onnx", services)
    assert adopt(services).scorecard["protocol"]["first_session"] == "2023-07-03"


def test_adopting_needs_no_tensorflow() -> None:
    code = "import app.training.adopt, sys; print('keras' in sys.modules or 'tensorflow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
