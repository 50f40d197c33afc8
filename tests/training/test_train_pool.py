"""One network on many tickers: what is kept of it, what it has seen, and what happens when one ticker fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.folds import from_zip
from app.bootstrap import open_services
from app.dataset.prepare import prepare
from app.domain.history import PRICE_FIELDS, Bars
from app.domain.order import TrainingOrder
from app.domain.pooled import PooledNetwork, PooledOrder
from app.domain.version import CHAMPION, ModelVersion
from app.errors import InvalidSpec, NoPooledModel, NotEnoughHistory, StoreUnavailable
from app.forecasting.market_data import latest_bars
from app.forecasting.pooled import make_pool
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import aliases, forecasts, versions
from app.settings import Settings
from tests.forecasting.conftest import Clock, TestSource, make_bars

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

QUICK = {"epochs": 1, "units": [2], "window": 5, "seeds": 1, "early_stopping": None}
WALK = {"kind": "walk_forward", "n_windows": 2, "step_size": 130}
ONCE = {"kind": "fixed", "train_end": "2023-06-30"}
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


@dataclass(frozen=True)
class World:
    """Services on a home of their own, with the bars that their source has and the present."""

    services: Services
    source: TestSource
    clock: Clock


@contextmanager
def opened(home: Path) -> Iterator[World]:
    """Three tickers of which one was listed late, and one that no network is fitted on."""
    clock, source = Clock(), TestSource()
    source.bars |= {"AAA": make_bars(800), "BBB": make_bars(800, seed=4), "CCC": make_bars(600, seed=5)}
    source.bars["NEW"] = make_bars(700, seed=6)
    wired = open_services(Settings(home=home, train_threads=1), clock=clock)
    yield World(services=replace(wired, sources={"files": source}), source=source, clock=clock)
    wired.database.close()


@dataclass(frozen=True)
class Trained:
    """A home in which the universe was trained once: the versions, and the job's result."""

    home: Path
    made: list[ModelVersion]
    results: list[Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home, results = tmp_path_factory.mktemp("trained"), []
    with opened(home) as world:
        made = train(world.services, complete=lambda tx, result: results.extend(result))
    return Trained(home=home, made=made, results=results)


@pytest.fixture
def world(trained: Trained, tmp_path: Path) -> Iterator[World]:
    """A copy of the home in which the universe was trained."""
    with opened(shutil.copytree(trained.home, tmp_path / "home")) as world:
        yield world


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    """The same market, and nothing trained."""
    with opened(tmp_path) as world:
        yield world


def a_day_later(bars: Bars) -> Bars:
    """The same bars and those of one session more, in which nothing moved."""
    columns = {name: np.append(bars.column(name), bars.column(name)[-1]) for name in (*PRICE_FIELDS, "volume")}
    return replace(bars, sessions=np.append(bars.sessions, np.busday_offset(bars.sessions[-1], 1)), **columns)


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
    trained: Trained, world: World
) -> None:
    made, results, services = trained.made, trained.results, world.services
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
        assert served is not None and served.steps[0].last_value == world.source.bars[version.ticker].close[-1]
        assert (champion == 1) == result["promoted"] == (result["reasons"] == [])
        card = version.scorecard
        assert {"ewma_t", "garch_t", "har_range_t"} <= set(card["contestants"])
        assert card["protocol"]["sessions"] == 260 and card["protocol"]["fits"] == 2
        sessions = kept(version, "predictions.json", services)["session"]
        assert sessions[0] == known.windows[0].first.isoformat()
        assert sessions[-1] == str(world.source.bars[version.ticker].sessions[-1])


def test_all_forecasts_of_a_universe_are_of_one_edition(world: World) -> None:
    with world.services.database.read() as tx:
        editions = {forecasts.latest(tx, ticker, 1).edition for ticker in UNIVERSE}
    assert len(editions) == 1


def test_no_future_of_any_ticker_moves_a_network_fitted_before_it(trained: Trained, world: World) -> None:
    first, services, bars = trained.made, world.services, world.source.bars
    second_window = PooledNetwork.from_dict(first[0].order["pooled"]).windows[1].first.isoformat()
    for ticker in ("BBB", "CCC"):
        bars[ticker] = with_future(bars[ticker], second_window)
    again = train(services)
    before, after = (from_zip(read(made[0], "folds.zip", services)) for made in (first, again))
    assert before[:2] == after[:2] and before[0] != before[1]
    assert first[0].artifacts["model.onnx"] != again[0].artifacts["model.onnx"]
    said, now = (kept(made[0], "predictions.json", services) for made in (first, again))
    assert said == now  # of AAA, whose own bars are the same, by networks that saw none of that future
    changed, of_bbb = (kept(made[1], "predictions.json", services) for made in (first, again))
    n = changed["session"].index(second_window)
    assert changed["predicted"][:n] == of_bbb["predicted"][:n]
    assert changed["actual"][n:] != of_bbb["actual"][n:]


def test_a_ticker_that_no_network_saw_is_judged_by_networks_fitted_before_each_window(
    trained: Trained, world: World
) -> None:
    made, services, bars = trained.made, world.services, world.source.bars
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
    bars["NEW"] = with_future(bars["NEW"], known.windows[1].first.isoformat())
    other = kept(adopt(services), "predictions.json", services)
    assert other["predicted"][:131] == said["predicted"][:131]  # the next one knows a close that is another
    assert other["predicted"][131:] != said["predicted"][131:]
    assert other["lower_80"][:130] == said["lower_80"][:130]


def test_every_window_is_forecast_by_its_own_fold(world: World) -> None:
    from app.dataset.scaling import Scaling
    from app.forecasting.predictor import Predictor
    from app.forecasting.runtime import OnnxNetwork

    version = adopt(world.services)
    said = kept(version, "predictions.json", world.services)
    dataset = prepare(world.source.bars["NEW"], pooled_order().spec)
    for number, (onnx, scalers) in enumerate(from_zip(read(version, "folds.zip", world.services))):
        fold = Predictor(dataset.spec, Scaling.from_dict(scalers), OnnxNetwork(onnx))
        rows = np.searchsorted(dataset.next_sessions[:-1], np.array(said["session"], "datetime64[D]"))
        mine = rows[130 * number : 130 * (number + 1)]
        (spoken,) = fold.predict_at(dataset, mine)
        lower = dataset.values[mine] * np.exp(spoken.quantile(0.1)[:, 0])
        np.testing.assert_allclose(said["lower_80"][130 * number : 130 * (number + 1)], lower, rtol=1e-6)


def test_what_came_after_the_fit_is_forecast_by_the_served_network(empty: World) -> None:
    made = train(empty.services, pooled_order(data={"source": "files", "end": "2023-12-29"}))
    version = adopt(empty.services)
    known = PooledNetwork.from_dict(version.order["pooled"])
    assert known.known_through.isoformat() == "2023-12-29"
    assert (made[0].scorecard["protocol"]["fits"], version.scorecard["protocol"]["fits"]) == (1, 2)
    assert version.scorecard["protocol"]["last_session"] == "2024-03-05"
    assert version.data.last_session == known.known_through


def test_a_version_of_a_pooled_network_is_refreshed_like_all_others(world: World) -> None:
    adopt(world.services)
    world.source.bars = {ticker: a_day_later(bars) for ticker, bars in world.source.bars.items()}
    world.clock.now += timedelta(days=1)
    done = refresh_tickers(None, services=world.services, report=lambda *a, **k: None)
    assert (done["refreshed"], done["failed"]) == (["AAA", "BBB", "CCC", "NEW"], [])


def test_when_one_ticker_cannot_be_registered_none_is(empty: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real, services = versions.register, empty.services

    def failing(tx: Any, version: ModelVersion) -> None:
        real(tx, version)
        if version.ticker == "CCC":
            raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(versions, "register", failing)
    ended: list[Any] = []
    with pytest.raises(StoreUnavailable):
        train(services, pooled_order(evaluation=ONCE), complete=lambda tx, results: ended.append(results))
    with services.database.read() as tx:
        assert versions.all_tickers(tx) == []
        assert all(forecasts.latest(tx, ticker, 1) is None for ticker in UNIVERSE)
    assert ended == []
    assert services.artifacts.sweep(set(), older_than_seconds=0, now=services.clock()) == []


def test_without_a_pooled_network_there_is_nothing_to_adopt(empty: World) -> None:
    with pytest.raises(NoPooledModel):
        adopt(empty.services)


def test_a_member_with_too_few_sessions_is_refused_by_name_with_its_numbers(empty: World) -> None:
    def windows_of_the_late_one(sessions: int) -> int:
        empty.source.bars["CCC"] = make_bars(sessions, seed=5)
        bars = {ticker: latest_bars(ticker, "files", services=empty.services) for ticker in UNIVERSE}
        return len(make_pool(pooled_order(), bars).members[2].folds)

    with pytest.raises(NotEnoughHistory) as caught:
        windows_of_the_late_one(200)
    facts = caught.value.facts
    assert (facts["ticker"], facts["have"]) == ("CCC", 200)
    assert windows_of_the_late_one(facts["need"]) == 1
    with pytest.raises(NotEnoughHistory):
        windows_of_the_late_one(facts["need"] - 1)


@pytest.mark.parametrize("spec", [{"loss": "mse"}, {"loss": "student_t", "strategy": "recursive"}, {"peers": ["DDD"]}])
def test_what_needs_fits_of_one_ticker_alone_cannot_be_pooled(spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidSpec):
        pooled_order(spec={**QUICK, **spec})


def test_a_network_fitted_once_is_judged_on_what_comes_after_and_adopted_in_place_of_an_older_one(
    trained: Trained, world: World
) -> None:
    services = world.services
    old = adopt(services)
    world.clock.now += timedelta(hours=1)
    made = train(services, pooled_order(evaluation=ONCE))
    known = PooledNetwork.from_dict(made[0].order["pooled"])
    assert known.known_through.isoformat() == "2023-06-30"
    assert made[0].data.last_session == known.known_through
    assert made[0].scorecard["protocol"]["first_session"] == "2023-07-03"
    (fold,) = from_zip(read(made[0], "folds.zip", services))
    assert fold[0] == read(made[0], "model.onnx", services)
    again = adopt(services)
    assert again.scorecard["protocol"]["first_session"] == "2023-07-03"
    assert again.artifacts["model.onnx"] == made[0].artifacts["model.onnx"]
    assert old.artifacts["model.onnx"] == trained.made[0].artifacts["model.onnx"] != again.artifacts["model.onnx"]


def test_adopting_needs_no_tensorflow() -> None:
    code = "import app.training.adopt, sys; print('keras' in sys.modules or 'tensorflow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
