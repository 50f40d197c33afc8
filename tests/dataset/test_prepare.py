from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.dataset.baseline import ewma_t
from app.dataset.decoding import by_target, decode
from app.dataset.prepare import needed_bars, needed_sessions, prepare
from app.dataset.scaling import Scaling, Spread, fit_scaler
from app.domain.history import Bars
from app.domain.order import DataRange, Evaluation, TrainingOrder
from app.domain.spec import NetworkSpec, Target
from app.errors import InvalidBars, InvalidSpec, NeedsPeers, NotEnoughHistory
from tests.dataset.series import made_up_bars, paying, with_other_future

BARS = made_up_bars(300)


def test_the_first_origin_has_a_whole_warm_window_behind_it():
    dataset = prepare(BARS, NetworkSpec())
    assert dataset.first_origin == needed_bars(NetworkSpec()) - 1 == 66 + 20 - 1
    first = dataset.features[dataset.first_origin - 19 : dataset.first_origin + 1]
    assert np.isfinite(first).all()
    assert np.isnan(dataset.features[dataset.first_origin - 20]).all()


def test_just_enough_bars_are_enough_and_one_fewer_is_refused_with_the_numbers():
    assert prepare(BARS.rows(slice(0, 86)), NetworkSpec()).first_origin == 85
    with pytest.raises(NotEnoughHistory) as error:
        prepare(BARS.rows(slice(0, 85)), NetworkSpec())
    assert error.value.facts == {"have": 85, "need": 86}


def test_a_gap_in_the_target_is_refused_with_its_session():
    close = BARS.close.copy()
    close[250] = np.nan
    with pytest.raises(InvalidBars, match="close is missing") as error:
        prepare(replace(BARS, close=close), NetworkSpec())
    assert error.value.facts == {"count": 1, "first": str(BARS.sessions[250])}


def test_a_gap_in_a_raw_feature_is_refused():
    with pytest.raises(InvalidBars, match="volume"):
        prepare(replace(BARS, volume=np.full(300, np.nan)), NetworkSpec(features=("volume",)))


@pytest.mark.parametrize(
    ("evaluation", "need"),
    [
        (Evaluation(), 255),
        (Evaluation(kind="fixed", test_fraction=0.5), 408),
        (Evaluation(kind="fixed", train_end=BARS.sessions[200].astype(object)), 205),
    ],
)
def test_an_order_knows_how_many_sessions_it_needs(evaluation, need):
    order = TrainingOrder(ticker="X", data=DataRange(source="sample"), evaluation=evaluation)
    assert needed_sessions(order) == need


def test_student_t_outputs_are_in_units_of_volatility_and_the_root_of_the_step():
    dataset = prepare(BARS, NetworkSpec(horizon=4))
    outputs = np.tile(np.array([0.1, np.log(0.5), 1.0], np.float32), (1, 4, 1))
    scaling = Scaling(features=fit_scaler("standard", np.ones((3, 9))))
    (said,) = decode(by_target(outputs, targets=1), dataset, np.array([299]), scaling)
    sigma = dataset.sigma[299]
    np.testing.assert_allclose(said.scale[0], 0.5 * sigma * np.sqrt([1, 2, 3, 4]), rtol=1e-6)
    np.testing.assert_allclose(said.location[0, 0], 0.1 * sigma, rtol=1e-6)
    assert (said.df == 2.1).all()


def test_quantiles_are_in_units_of_volatility_and_never_cross_even_where_the_network_rounds():
    dataset = prepare(BARS, NetworkSpec(loss="pinball", horizon=2))
    outputs = np.tile(np.linspace(-1.0, 1.5, 11, dtype=np.float32), (1, 2, 1))
    outputs[0, 1, 7] = outputs[0, 1, 6] - np.float32(1e-7)
    scaling = Scaling(features=fit_scaler("standard", np.ones((3, 9))))
    (said,) = decode(by_target(outputs, targets=1), dataset, np.array([299]), scaling)
    np.testing.assert_allclose(said.quantile(0.05)[0], -0.5 * dataset.sigma[299] * np.sqrt([1, 2]), rtol=1e-6)
    np.testing.assert_allclose(said.location[0], 0.25 * dataset.sigma[299] * np.sqrt([1, 2]), rtol=1e-6)
    assert (np.diff(said.values, axis=-1) >= 0).all()


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"targets": (Target(transform="price"),)}, "/spec/loss"), ({"strategy": "recursive"}, "/spec/strategy")],
)
def test_quantiles_are_neither_of_prices_nor_fed_back(changes, pointer):
    with pytest.raises(InvalidSpec) as error:
        NetworkSpec(loss="pinball", **changes)
    assert error.value.pointer == pointer


def test_a_price_becomes_a_log_return_from_the_last_value_and_a_negative_one_stays_finite():
    spec = NetworkSpec(features=("close",), targets=(Target(transform="price"),), loss="mse", scaler="minmax")
    dataset = prepare(BARS, spec)
    target = fit_scaler("minmax", dataset.values[:, None])
    scaling = Scaling(features=target, target=target, spreads=(Spread(np.array([0.9]), np.array([5.0])),))
    last = dataset.values[299]
    scaled = target.transform(np.array([[1.02 * last], [-last]]))[..., None].astype(np.float32)
    (said,) = decode(by_target(scaled, targets=1), dataset, np.array([299, 299]), scaling)
    np.testing.assert_allclose(said.location[0], np.log(1.02), rtol=1e-4)
    assert np.isfinite(said.location).all()
    np.testing.assert_allclose(said.scale, 0.9 * dataset.sigma[299])


def test_the_baseline_says_no_change_as_wide_as_recent_volatility():
    said = ewma_t(BARS, horizon=3)
    assert (said.location == 0).all()
    assert (said.df > 2).all()
    dataset = prepare(BARS, NetworkSpec())
    assert 0.5 < said.scale[0, 0] / dataset.sigma[-1] < 1.2


def test_the_baseline_remembers_a_thousand_values():
    bars = made_up_bars(2000)
    assert ewma_t(bars, horizon=1).scale == ewma_t(bars.rows(slice(1000, None)), horizon=1).scale


def test_the_baseline_refuses_too_few_values_with_the_numbers():
    assert ewma_t(BARS.rows(slice(0, 23)), horizon=1).scale.shape == (1, 1)
    with pytest.raises(NotEnoughHistory) as error:
        ewma_t(BARS.rows(slice(0, 22)), horizon=1)
    assert error.value.facts == {"have": 22, "need": 23}


def test_several_targets_are_answered_one_after_the_other():
    targets = tuple(Target(field=name, transform="price") for name in ("close", "high"))
    dataset = prepare(BARS, NetworkSpec(features=("close",), targets=targets, horizon=2, loss="mse"))
    both = np.stack([series.values[[299, 299]] for series in dataset.series], axis=1)
    target = fit_scaler("minmax", np.stack([series.values for series in dataset.series], axis=1))
    spreads = (Spread(np.ones(2), np.full(2, 5.0)),) * 2
    scaling = Scaling(features=fit_scaler("minmax", dataset.features), target=target, spreads=spreads)
    prices = target.transform(both[:1] * np.array([[1.01, 1.05]]))[0]
    outputs = np.array([[prices[0], prices[0], prices[1], prices[1]]], np.float32)[..., None]
    of_close, of_high = decode(by_target(outputs, targets=2), dataset, np.array([299]), scaling)
    np.testing.assert_allclose(of_close.location, np.log(1.01), rtol=1e-3)
    np.testing.assert_allclose(of_high.location, np.log(1.05), rtol=1e-3)


def weekends_too(count: int) -> Bars:
    """Bars of an instrument that is traded every day."""
    bars = made_up_bars(count, seed=8)
    return replace(bars, sessions=np.datetime64("2010-01-04") + np.arange(count))


def test_with_peers_the_rows_are_the_sessions_that_all_share():
    own, peer = weekends_too(420), BARS
    dataset = prepare(own, NetworkSpec(features=("close",), peers=("PEER",)), {"PEER": peer})
    assert set(dataset.sessions) == set(own.sessions) & set(peer.sessions)
    assert dataset.features.shape == (len(dataset), 2)
    friday = int(np.flatnonzero(dataset.sessions == np.datetime64("2010-06-04"))[0])
    at = {
        name: int(np.flatnonzero(bars.sessions == dataset.sessions[friday])[0])
        for name, bars in (("own", own), ("peer", peer))
    }
    assert dataset.features[friday].tolist() == [own.close[at["own"]], peer.close[at["peer"]]]


def test_the_next_session_is_the_tickers_own_though_no_peer_trades_then():
    own = weekends_too(420)
    dataset = prepare(own, NetworkSpec(features=("close",), peers=("PEER",)), {"PEER": BARS})
    friday = int(np.flatnonzero(dataset.sessions == np.datetime64("2010-06-04"))[0])
    assert dataset.next_sessions[friday] == np.datetime64("2010-06-05")
    place = int(np.flatnonzero(own.sessions == np.datetime64("2010-06-04"))[0])
    assert dataset.targets[friday, 0] == np.log(own.close[place + 1]) - np.log(own.close[place])


def test_a_row_knows_no_later_bar_of_a_peer():
    spec = NetworkSpec(peers=("PEER",), features=("range",))
    before, after = (
        prepare(made_up_bars(420, seed=9), spec, {"PEER": peer}) for peer in (BARS, with_other_future(BARS, 200))
    )
    np.testing.assert_array_equal(before.features[:201], after.features[:201])
    assert (before.features[201:] != after.features[201:]).any()


def test_without_the_bars_of_a_peer_nothing_is_prepared():
    with pytest.raises(NeedsPeers) as error:
        prepare(BARS, NetworkSpec(peers=("AAA", "BBB")), {"AAA": BARS})
    assert error.value.facts == {"peers": ["AAA", "BBB"], "missing": ["BBB"]}


def test_peers_that_share_no_session_are_refused_with_the_numbers():
    later = replace(BARS, sessions=BARS.sessions + 5000)
    with pytest.raises(NotEnoughHistory) as error:
        prepare(BARS, NetworkSpec(peers=("PEER",)), {"PEER": later})
    assert error.value.facts == {"have": 0, "need": 86}
    assert "PEER" in error.value.detail


PAYING = paying(BARS, every=30, share=0.02)


def of(field):
    return Target(field=field)


def test_what_came_of_a_price_is_its_total_return_on_the_basis_of_the_quoted_close():
    spec = NetworkSpec(horizon=40, targets=tuple(map(of, ("close", "high", "volume", "adj_close"))))
    close, high, volume, adjusted = prepare(PAYING, spec).series
    for series in (close, high, volume, adjusted):
        np.testing.assert_array_equal(series.values, PAYING.column(series.target.field))
    growth = PAYING.adj_close / PAYING.close
    for series in (close, high):
        index = np.log(series.values * growth)
        np.testing.assert_allclose(series.targets[100], index[101:141] - index[100], atol=1e-12)
    np.testing.assert_allclose(close.sigma, adjusted.sigma)
    np.testing.assert_allclose(close.targets, adjusted.targets, atol=1e-12)
    np.testing.assert_array_equal(volume.targets, prepare(BARS, replace(spec, targets=(of("volume"),))).targets)


def test_indicators_see_no_fall_in_a_dividend_and_columns_of_the_bars_stay_as_quoted():
    indicators = ("range", "returns", "moving_averages", "rsi", "range_volatility")
    adjusted = {
        name: PAYING.column(name) * PAYING.adj_close / PAYING.close for name in ("open", "high", "low", "close")
    }
    total = prepare(PAYING, NetworkSpec(features=indicators)).features
    as_adjusted = prepare(replace(PAYING, **adjusted), NetworkSpec(features=indicators)).features
    np.testing.assert_allclose(total[66:], as_adjusted[66:], rtol=1e-7, atol=1e-9)
    raw = NetworkSpec(features=("open", "close", "adj_close"))
    columns = np.stack([PAYING.open, PAYING.close, PAYING.adj_close], axis=1)
    np.testing.assert_array_equal(prepare(PAYING, raw).features, columns)


def test_a_dividend_to_come_moves_nothing_of_the_past_but_adjusted_closes():
    features = ("range", "returns", "moving_averages", "rsi", "close")
    spec = NetworkSpec(features=features, targets=(of("close"), of("open")))
    whole = paying(made_up_bars(331), every=330, share=0.03)
    known = whole.rows(slice(0, 300))
    before = replace(known, adj_close=known.adj_close / 0.97)
    now, then = prepare(whole, spec), prepare(before, spec)
    assert (whole.adj_close[:300] != before.adj_close).all()
    np.testing.assert_allclose(now.features[66:300], then.features[66:], rtol=1e-9, atol=1e-12)
    for new, old in zip(now.series, then.series, strict=True):
        np.testing.assert_array_equal(new.values[:300], old.values)
        np.testing.assert_allclose(new.sigma[:300], old.sigma, rtol=1e-12)
        np.testing.assert_allclose(new.targets[:299], old.targets[:299], atol=1e-12)


def test_the_baseline_sees_no_fall_in_a_dividend():
    adjusted = replace(PAYING, close=PAYING.adj_close)
    assert ewma_t(PAYING, horizon=1).scale == pytest.approx(ewma_t(adjusted, horizon=1).scale)
    assert ewma_t(PAYING, horizon=1).scale != pytest.approx(ewma_t(BARS, horizon=1).scale)
