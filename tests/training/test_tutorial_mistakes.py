"""What published price networks get wrong, and why it cannot happen here: through the steps that a training takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.artifacts.bundle import Bundle
from app.dataset.prepare import NO_PEERS, Dataset, Peers, prepare
from app.dataset.recursion import foretell
from app.dataset.scaling import Scaling
from app.domain.forecast import RAW
from app.domain.history import PRICE_FIELDS, Bars, PriceHistory, Sessions, to_date
from app.domain.order import Evaluation, TrainingOrder
from app.domain.presets import PRESETS
from app.domain.spec import STRATEGIES, EarlyStopping, NetworkSpec, Optimizer, Target
from app.errors import InvalidBars
from app.evaluation.backtest import Backtest
from app.evaluation.splits import split
from app.evaluation.verdict import judge
from app.forecasting.issue import issue
from app.forecasting.market_data import MarketData, RawBars
from app.forecasting.predictor import MEMORY_BARS, Predictor
from app.forecasting.runtime import OnnxNetwork
from app.prices.files import FilePrices
from app.training.fit import fit_network, make_learners
from app.training.fitted import FittedNetwork, with_spreads
from app.training.pack import pack
from app.training.walk import walk_forward
from tests.dataset.series import made_up_bars, with_other_future
from tests.training.networks import ignore, small_spec

BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
DATA = Path(os.environ.get("MORROW_REFERENCE_DATA", BESIDE))
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

COUNT, CUT = 460, 360  # the bar CUT is the last that a training knows
BARS = made_up_bars(COUNT)
PEER = {"PEER": made_up_bars(COUNT, seed=8)}
UNTIL_CUT = Evaluation(kind="fixed", train_end=to_date(BARS.sessions[CUT]))
PRICES: dict[str, Any] = {
    "targets": (Target(field="high", transform="price"),),
    "features": ("high",),
    "scaler": "minmax",
    "loss": "mse",
    "epochs": 1,
}

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained:
    """What a training job has in its hands: ``network`` has seen nothing of what ``played`` is about."""

    dataset: Dataset
    sessions: Sessions
    network: FittedNetwork
    played: tuple[Backtest, ...]

    @cached_property
    def bundle(self) -> Bundle:
        """The version as it is kept, its spreads those of what was tested."""
        lead = self.played[0]
        network = with_spreads(self.network, self.dataset, lead.origins, [one.residuals for one in self.played])
        scorecard = judge(self.played, self.dataset.spec)
        return pack(network, self.dataset, scorecard, self.played, sessions=self.sessions)


def train(spec: NetworkSpec, bars: Bars = BARS, peers: Peers = NO_PEERS, evaluation: Evaluation = UNTIL_CUT) -> Trained:
    """Take the steps of a training job, from bars on."""
    dataset = prepare(bars, spec, peers)
    played, network = walk_forward(dataset, bars, evaluation, make_learners(dataset), ignore)
    return Trained(dataset=dataset, sessions=bars.sessions, network=network, played=played)


def same_weights(left: FittedNetwork, right: FittedNetwork) -> bool:
    pairs = zip(left.model.get_weights(), right.model.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def with_other_past(bars: Bars, first_kept: int) -> Bars:
    """The same bars from row ``first_kept`` on, entirely different ones before it."""
    before = np.arange(len(bars)) < first_kept
    prices = {name: np.where(before, bars.column(name) * 1.9 + 7, bars.column(name)) for name in PRICE_FIELDS}
    return replace(bars, **prices)


def shaken(bars: Bars, row: int) -> Bars:
    """The same bars with another range of prices in one row."""
    here = np.arange(len(bars)) == row
    return replace(bars, **{n: np.where(here, bars.column(n) * 1.01, bars.column(n)) for n in PRICE_FIELDS})


def needs_data(test: Callable[..., None]) -> Callable[..., None]:
    skip = pytest.mark.skipif(not DATA.is_dir(), reason="the reference market data are not beside the checkout")
    return pytest.mark.data(skip(test))


# Scalers fitted before the split.


def test_what_is_tested_on_moves_no_scaler_and_no_weight_neither_by_the_ticker_nor_by_its_peers():
    spec = small_spec(**PRICES, peers=("PEER",))
    later = {"PEER": with_other_future(PEER["PEER"], CUT)}
    before = train(spec, peers=PEER)
    after = train(spec, with_other_future(BARS, CUT), later)
    assert before.network.scaling.to_dict() == after.network.scaling.to_dict()
    assert same_weights(before.network, after.network)
    assert before.network.scaling.features.transform(after.dataset.features).max(axis=0).min() > 1.5
    assert (before.played[0].actual != after.played[0].actual).any()


def test_each_fold_of_a_walk_has_scalers_of_its_own_past():
    bars, peers = made_up_bars(640), {"PEER": made_up_bars(640, seed=8)}
    spec = small_spec(**PRICES, peers=("PEER",), validation_fraction=0.0, early_stopping=None)
    dataset = prepare(bars, spec, peers)
    walk = Evaluation(n_windows=2, step_size=60)
    first, second = split(walk, dataset.sessions, first_origin=dataset.first_origin, horizon=spec.reach).folds
    for fold in (first, second):
        cut = fold.test.start
        other = prepare(with_other_future(bars, cut), spec, {"PEER": with_other_future(peers["PEER"], cut)})
        fits = [fit_network(one, fold.train, make_learners(one), ignore) for one in (dataset, other)]
        assert fits[0].scaling.to_dict() == fits[1].scaling.to_dict()
        assert same_weights(*fits)
        assert fits[0].known_through == to_date(bars.sessions[cut])
    changed = prepare(with_other_future(bars, first.test.start), spec, peers)
    seen = fit_network(changed, second.train, make_learners(changed), ignore)
    assert seen.scaling.features.to_dict() != fits[0].scaling.features.to_dict()


# Thirty predictions of what was trained on, with future dates beside them.

LONG = made_up_bars(900)
MONTH: dict[str, Any] = {**PRICES, "horizon": 30}


@lru_cache
def month(strategy: str) -> Trained:
    evaluation = Evaluation(kind="fixed", test_fraction=0.2)
    return train(small_spec(**MONTH, strategy=strategy), LONG, evaluation=evaluation)


def served(strategy: str) -> Predictor:
    """The version as the service loads it."""
    bundle = month(strategy).bundle
    spec = NetworkSpec.from_dict(bundle.spec)
    return Predictor(spec, Scaling.from_dict(bundle.scalers), OnnxNetwork(bundle.onnx))


def prices_of(predictor: Predictor, bars: Bars) -> np.ndarray:
    (said,) = predictor.predict(bars)
    return bars.high[-1] * np.exp(said.location[0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_thirty_steps_are_of_the_thirty_sessions_after_the_last_bar(strategy: str):
    predictor = served(strategy)
    history = PriceHistory(ticker="AAA", source="files", bars=LONG)
    market = MarketData(history=history, findings=(), snapshot_id=None)
    said = list(zip(predictor.spec.targets, predictor.predict(LONG), strict=True))
    forecast = issue(said, market, version=None, bands=RAW, unseen=(), now=NOW, refresh_delay=timedelta(hours=1))
    days = [step.target_session for step in forecast.steps]
    assert forecast.as_of_session == to_date(LONG.sessions[-1])
    assert len(days) == 30
    assert all(earlier < later for earlier, later in zip([forecast.as_of_session, *days], days, strict=False))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_thirty_steps_follow_from_the_last_window_and_no_earlier_bar(strategy: str):
    predictor = served(strategy)
    window = predictor.spec.window
    as_it_is = prices_of(predictor, LONG)
    np.testing.assert_array_equal(as_it_is, prices_of(predictor, with_other_past(LONG, len(LONG) - window)))
    assert (as_it_is != prices_of(predictor, shaken(LONG, len(LONG) - 1))).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_lies_further_back_than_window_and_memory_moves_not_even_the_spread(strategy: str):
    predictor = served(strategy)
    oldest = len(LONG) - MEMORY_BARS - predictor.spec.window
    (before,), (after,) = (predictor.predict(bars) for bars in (LONG, with_other_past(LONG, oldest)))
    (nearer,) = predictor.predict(with_other_past(LONG, len(LONG) - predictor.spec.window))
    for name in ("location", "scale", "df"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert (before.scale != nearer.scale).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_windows_that_are_asked_about_are_the_last_one_and_what_is_fed_back(strategy: str):
    done = month(strategy)
    asked, answered = [], []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        answered.append(done.network.outputs(windows))
        return answered[-1]

    newest = np.array([len(LONG) - 1])
    foretell(network, done.dataset, newest, done.network.scaling)
    last = done.network.scaling.features.transform(LONG.high[-done.dataset.spec.window :, None])
    np.testing.assert_allclose(asked[0][0], last, rtol=1e-6)
    assert len(asked) == (30 if strategy == "recursive" else 1)
    for step in range(1, len(asked)):
        np.testing.assert_array_equal(asked[step][0, :-1], asked[step - 1][0, 1:])
        assert asked[step][0, -1, 0] == pytest.approx(answered[step - 1][0, 0, 0], rel=1e-4)


# No baseline.


def shrunk(name: str) -> TrainingOrder:
    """The order of a preset with networks that fit in a second."""
    whole = NetworkSpec.from_dict(PRESETS[name].spec)
    small = [{"epochs": 1, "dropout": 0.1, "units": [2, 2][: len(one.units)]} for one in whole.networks]
    spec = {**small[0], "window": 6, "horizon": min(whole.horizon, 4)}
    if whole.members:
        kept = PRESETS[name].spec["members"]
        spec["members"] = [{**member, **less} for member, less in zip(kept, small, strict=True)]
    return TrainingOrder.from_dict({"ticker": "AAA", "preset": name, "data": {"source": "files"}, "spec": spec})


def around_the_end_of_2016(seed: int) -> Bars:
    """Bars that end with the winter that one of the presets is tested on, with all columns that any of them reads."""
    bars = made_up_bars(COUNT, seed=seed)
    sessions = np.busday_offset(np.datetime64("2017-03-01"), np.arange(1 - COUNT, 1), roll="forward")
    extra = {"weighted_price": bars.close, "volume_currency": bars.volume * bars.close}
    return replace(bars, sessions=sessions.astype("datetime64[D]"), extra=extra)


def read_by_rivals(name: str) -> tuple[Any, ...]:
    """What of a preset its rivals depend on, and the shape of its answers; many differ in their networks alone."""
    spec, evaluation = NetworkSpec.from_dict(PRESETS[name].spec), sorted(PRESETS[name].evaluation.items())
    return spec.targets, spec.features, spec.peers, spec.horizon, spec.strategy, spec.head, *evaluation


UNLIKE = {read_by_rivals(name): name for name in reversed(PRESETS)}


@pytest.mark.parametrize("name", sorted(UNLIKE.values()))
def test_whatever_the_preset_the_scorecard_has_what_repeating_the_last_value_would_have_had(name: str):
    order = shrunk(name)
    peers = {peer: around_the_end_of_2016(20 + index) for index, peer in enumerate(order.spec.peers)}
    bars = around_the_end_of_2016(7)
    dataset = prepare(bars, order.spec, peers)
    played, _ = walk_forward(dataset, bars, order.evaluation, make_learners(dataset), ignore)
    card = judge(played, order.spec).to_dict()
    rivals = ["persistence", "ewma_t", "drift", "moving_average", "garch_t", "gjr_t"]
    ranged = ["har_range_t"] if order.spec.target.field == "close" else []
    assert list(card["contestants"]) == ["model", *rivals, *ranged]
    for metric in ("rmse", "mae", "crps"):
        assert all(card["contestants"][who][metric] > 0 for who in card["contestants"])
    lead = played[0]
    steps = lead.last_value * np.expm1(lead.actual[:, 0])
    known = np.isfinite(steps)
    assert card["contestants"]["persistence"]["rmse"] == pytest.approx(np.sqrt(np.mean(steps[known] ** 2)))
    assert card["skill"]["vs"] == "persistence"


# Test data as validation data, and the epoch chosen by looking at it.

STOPPING: dict[str, Any] = {
    **PRICES,
    "epochs": 30,
    "validation_fraction": 0.25,
    "early_stopping": EarlyStopping(patience=3),
    "optimizer": Optimizer(learning_rate=0.05),
}


def test_what_is_tested_on_moves_no_curve_and_chooses_no_epoch():
    before, after = (train(small_spec(**STOPPING), bars) for bars in (BARS, with_other_future(BARS, CUT)))
    assert before.network.curves == after.network.curves
    assert len(before.network.curves[0].val_loss) == len(before.network.curves[0].loss)
    assert same_weights(before.network, after.network)
    assert (before.played[0].actual != after.played[0].actual).any()


def test_the_epoch_is_chosen_by_the_newest_part_of_what_is_trained_on():
    spec = small_spec(**STOPPING)
    dataset = prepare(BARS, spec)
    train_part = range(dataset.first_origin, CUT)
    chosen = fit_network(dataset, train_part, make_learners(dataset), ignore)
    (curves,) = chosen.curves
    assert 1 < curves.best_epoch < len(curves.loss)
    assert curves.best_epoch == int(np.argmin(curves.val_loss)) + 1

    shorter = prepare(BARS, replace(spec, epochs=curves.best_epoch, early_stopping=None))
    assert same_weights(chosen, fit_network(shorter, train_part, make_learners(shorter), ignore))

    newer = prepare(with_other_future(BARS, int(chosen.learnt[-1]) + spec.reach), spec)
    (other,) = fit_network(newer, train_part, make_learners(newer), ignore).curves
    epochs = min(len(curves.loss), len(other.loss))
    assert curves.loss[:epochs] == other.loss[:epochs]
    assert all(a != b for a, b in zip(curves.val_loss[:epochs], other.val_loss[:epochs], strict=True))


# The generated sequence that starts one value too early.


@lru_cache
def two_weeks(strategy: str) -> Trained:
    return train(small_spec(**PRICES, horizon=10, strategy=strategy))


def test_a_generated_sequence_begins_right_after_the_last_value_of_the_training_part():
    done = two_weeks("recursive")
    asked = []

    def network(windows: np.ndarray) -> np.ndarray:
        asked.append(windows)
        return done.network.outputs(windows)

    assert done.played[0].origins[0] == CUT
    assert done.network.known_through == UNTIL_CUT.train_end
    (said,) = foretell(network, done.dataset, done.played[0].origins[:1], done.network.scaling)
    scaler, window = done.network.scaling.features, done.dataset.spec.window
    np.testing.assert_allclose(scaler.inverse(asked[0][0])[:, 0], BARS.high[CUT - window + 1 : CUT + 1], rtol=1e-5)
    path = done.bundle.path
    np.testing.assert_allclose(path["predicted"], BARS.high[CUT] * np.exp(said.location[0]), rtol=1e-5)
    assert path["session"] == BARS.sessions[CUT + 1 : CUT + 11].astype(str).tolist()
    np.testing.assert_allclose(path["actual"], BARS.high[CUT + 1 : CUT + 11])


# One-step figures shown as if they were a forecast of a year.


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_path_never_follows_what_came_and_one_step_predictions_do(strategy: str):
    before = two_weeks(strategy).bundle
    after = train(small_spec(**PRICES, horizon=10, strategy=strategy), with_other_future(BARS, CUT)).bundle
    for name in ("step", "session", "predicted", "lower_80", "upper_80", "lower_95", "upper_95"):
        assert before.path[name] == after.path[name], name
    assert all(a != b for a, b in zip(before.path["actual"], after.path["actual"], strict=True))

    assert before.predictions["predicted"][0] == after.predictions["predicted"][0]
    rows = zip(before.predictions["predicted"][1:], after.predictions["predicted"][1:], strict=True)
    assert all(a != b for a, b in rows)
    np.testing.assert_allclose(before.predictions["last_value"][1:], before.predictions["actual"][:-1])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_scorecard_keeps_a_step_and_a_path_apart(strategy: str):
    bundle = two_weeks(strategy).bundle
    contestants = bundle.scorecard["contestants"]
    for columns, metric in ((bundle.predictions, "rmse"), (bundle.path, "rmse_path")):
        errors = np.array(columns["predicted"], float) - np.array(columns["actual"], float)
        assert contestants["model"][metric] == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert contestants["model"]["rmse"] != contestants["model"]["rmse_path"]
    flat = BARS.high[CUT + 1 : CUT + 11] - BARS.high[CUT]
    assert contestants["persistence"]["rmse_path"] == pytest.approx(np.sqrt(np.mean(flat**2)))


# Rows with gaps used as they are.

EMPTY, HOLLOW = 100, 200
OF_THE_DAY = ("open", "high", "low", "close")


def gappy() -> RawBars:
    """Bars of which one is all zeros and another has neither open nor low."""
    rows = np.arange(COUNT)
    columns = {name: np.where(rows == EMPTY, 0.0, BARS.column(name)) for name in (*PRICE_FIELDS, "volume")}
    columns |= {name: np.where(rows == HOLLOW, np.nan, columns[name]) for name in ("open", "low")}
    history = PriceHistory(ticker="AAA", source="files", bars=replace(BARS, **columns))
    return RawBars(history=history, snapshot_id=None)


def mended(bars: RawBars, spec: NetworkSpec) -> tuple[Dataset, dict[str, tuple[str, ...]]]:
    """The dataset that is trained on, and which sessions were repaired, by what was wrong with them."""
    market = bars.audited_for(spec)
    repaired = {found.code: found.examples for found in market.findings if found.severity == "repaired"}
    return prepare(market.history.bars, spec), repaired


@pytest.mark.parametrize(("features", "dropped"), [(OF_THE_DAY, (EMPTY, HOLLOW)), (("high",), (EMPTY,))])
def test_rows_with_gaps_in_what_is_read_are_left_out_and_told(features: tuple[str, ...], dropped: tuple[int, ...]):
    spec = small_spec(**{**PRICES, "features": features})
    dataset, repaired = mended(gappy(), spec)
    days = BARS.sessions[list(dropped)]
    assert dataset.sessions.tolist() == np.setdiff1d(BARS.sessions, days).tolist()
    assert (dataset.features > 0).all()
    assert sorted(day for days in repaired.values() for day in days) == days.astype(str).tolist()
    before = EMPTY - 1
    assert dataset.next_sessions[before] == BARS.sessions[EMPTY + 1]
    assert dataset.targets[before, 0] == pytest.approx(np.log(BARS.high[EMPTY + 1] / BARS.high[before]))
    with pytest.raises(InvalidBars) as error:
        prepare(gappy().history.bars, spec)
    assert error.value.facts == {"count": 1, "first": str(BARS.sessions[EMPTY])}


def test_a_gap_in_what_is_not_read_is_told_too():
    market = gappy().audited_for(small_spec(**PRICES))
    told = [
        found.examples for found in market.findings if (found.code, found.severity) == ("missing_values", "reported")
    ]
    assert told == [(str(BARS.sessions[HOLLOW]),)]


def reference(ticker: str) -> RawBars:
    return RawBars(history=FilePrices(DATA / "seeds").history(ticker, now=NOW), snapshot_id=None)


@needs_data
@pytest.mark.parametrize(("features", "read"), [(OF_THE_DAY, False), (("high",), True)])
def test_ibms_bar_without_open_and_low_is_read_only_where_neither_is(features: tuple[str, ...], read: bool):
    dataset, repaired = mended(reference("IBM"), small_spec(**{**PRICES, "features": features}))
    assert (np.datetime64("2017-07-31") in dataset.sessions) is read
    assert repaired == ({} if read else {"missing_values": ("2017-07-31",)})
    assert np.isfinite(dataset.features).all()


@needs_data
def test_bitcoins_rows_of_zeros_are_never_read():
    bars = reference("BTC-USD")
    empty = bars.history.bars.sessions[bars.history.bars.open == 0]
    assert len(empty) > 0
    dataset, repaired = mended(bars, NetworkSpec.from_dict(PRESETS["btc-lstm"].spec))
    assert list(repaired) == ["non_positive_prices"]
    assert set(repaired["non_positive_prices"]) <= set(empty.astype(str))
    assert dataset.sessions.tolist() == np.setdiff1d(bars.history.bars.sessions, empty).tolist()
    assert (dataset.features > 0).all()
    assert date(2020, 12, 30) not in dataset.sessions.astype(object)
