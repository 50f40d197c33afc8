from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dataset.features import (
    FEATURES,
    build_features,
    column_names,
    feature_of,
    fields_used,
    look_back,
    peer_fields_used,
    require_known,
)
from app.domain.history import BAR_FIELDS
from app.domain.spec import NetworkSpec, Target
from app.errors import InvalidSpec
from tests.dataset.series import made_up_bars, with_other_future

ALL = tuple(FEATURES)
SCALE_FREE = tuple(name for name in ALL if name not in BAR_FIELDS)
SERVED = 650  # bars before the window that a forecast reads; older ones are left out
BARS = made_up_bars(400)
LONG = made_up_bars(2000)
WITH_EXTRA = replace(BARS, extra={"weighted_price": BARS.close * 1.01, "unusual": -BARS.volume})


def test_every_feature_has_the_columns_it_names():
    assert build_features(BARS, ALL).shape == (400, len(column_names(ALL)))
    for name in ALL:
        assert build_features(BARS, [name]).shape == (400, len(FEATURES[name].columns))


@pytest.mark.parametrize("name", ALL)
def test_a_feature_is_a_number_exactly_when_it_has_warmed_up(name):
    rows = build_features(BARS, [name])
    warm = FEATURES[name].look_back
    assert np.isfinite(rows[warm:]).all()
    assert np.isnan(rows[:warm]).all()
    assert np.isfinite(build_features(BARS.rows(slice(0, warm + 1)), [name])[-1]).all()


@pytest.mark.parametrize("name", ALL)
def test_a_feature_looks_back_no_further_than_it_must(name):
    warm = FEATURES[name].look_back
    first = feature_of(name).compute(BARS.rows(slice(0, warm)))[-1:]
    assert not np.isfinite(first).all() or warm == 0


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(min_value=0, max_value=398))
def test_no_feature_knows_what_comes_after_its_bar(cut):
    changed = build_features(with_other_future(BARS, cut), ALL)
    np.testing.assert_array_equal(changed[: cut + 1], build_features(BARS, ALL)[: cut + 1])


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(min_value=0, max_value=398))
def test_no_feature_knows_when_the_sessions_after_its_bar_are(cut):
    later = np.arange(len(BARS)) > cut
    changed = build_features(replace(BARS, sessions=BARS.sessions + np.where(later, 3, 0)), ALL)
    np.testing.assert_array_equal(changed[: cut + 1], build_features(BARS, ALL)[: cut + 1])


@pytest.mark.parametrize("name", ALL)
def test_a_feature_is_the_same_with_and_without_the_bars_after_it(name):
    whole = build_features(BARS, [name])
    np.testing.assert_array_equal(build_features(BARS.rows(slice(0, 300)), [name]), whole[:300])


@pytest.mark.parametrize("name", SCALE_FREE)
def test_scale_free_features_do_not_change_with_the_currency_or_a_split(name):
    dearer = {field: 10 * getattr(BARS, field) for field in ("open", "high", "low", "close", "adj_close")}
    other = replace(BARS, **dearer, volume=BARS.volume / 10)
    left, right = (build_features(bars, [name]) for bars in (BARS, other))
    np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_bars_older_than_those_that_a_forecast_reads_change_nothing(name):
    window = 20
    whole, served = (
        build_features(bars, [name])[-window:] for bars in (LONG, LONG.rows(slice(-SERVED - window, None)))
    )
    np.testing.assert_allclose(served, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_flat_bars_are_still_numbers(name):
    flat = np.full(400, 5.0)
    bars = replace(BARS, open=flat, high=flat, low=flat, close=flat, adj_close=flat, volume=flat)
    assert np.isfinite(build_features(bars, [name])[FEATURES[name].look_back :]).all()


def test_a_further_column_of_the_bars_is_a_feature_as_it_stands():
    rows = build_features(WITH_EXTRA, ["weighted_price", "close"])
    np.testing.assert_array_equal(rows[:, 0], BARS.close * 1.01)
    assert column_names(["weighted_price", "close"]) == ("weighted_price", "close")
    assert look_back(["weighted_price"]) == look_back(["close"])


def test_building_features_leaves_the_bars_as_they_were():
    bars = made_up_bars(100)
    build_features(bars, ALL)
    for name in BAR_FIELDS:
        np.testing.assert_array_equal(bars.column(name), made_up_bars(100).column(name))


def test_an_unknown_feature_is_refused_with_the_known_ones():
    with pytest.raises(InvalidSpec, match="Known: open") as error:
        build_features(WITH_EXTRA, ["close", "astrology"])
    assert error.value.pointer == "/spec/features"
    assert error.value.facts["known"] == [*ALL, "unusual", "weighted_price"]


def test_before_the_bars_are_known_only_the_table_is():
    require_known(ALL)
    require_known(["weighted_price"], extra=["weighted_price"])
    with pytest.raises(InvalidSpec, match="'weighted_price'") as error:
        require_known(["close", "weighted_price"], pointer="/spec/peer_features")
    assert error.value.pointer == "/spec/peer_features"
    assert error.value.facts["known"] == list(ALL)


def test_an_order_uses_the_fields_of_its_features_and_its_targets():
    assert fields_used(NetworkSpec()) == ("open", "high", "low", "close")
    spec = NetworkSpec(features=("volume",), targets=(Target(field="high"),))
    assert fields_used(spec) == ("high", "volume")
    spec = NetworkSpec(features=("volume",), targets=(Target(field="average"), Target(field="low")))
    assert fields_used(spec) == ("low", "volume", "average")
    spec = NetworkSpec(features=("weighted_price", "calendar", "volume_currency", "volume_change", "rsi"))
    assert fields_used(spec) == ("close", "volume", "volume_currency", "weighted_price")


def test_of_a_peer_an_order_uses_what_it_reads_and_no_target():
    spec = NetworkSpec(features=("adj_close", "vwap"), peers=("ABC",))
    assert peer_fields_used(spec) == ("adj_close", "vwap")
    assert fields_used(spec) == ("close", "adj_close", "vwap")
    spec = NetworkSpec(features=("adj_close",), peers=("ABC",), peer_features=("range_volatility",))
    assert peer_fields_used(spec) == ("open", "high", "low", "close")
    spec = NetworkSpec(features=("adj_close",), peers=("ABC",), peer_features=("calendar",))
    assert peer_fields_used(spec) == ()


def test_the_look_back_covers_the_volatility_of_the_target():
    assert look_back(["close"]) == 22
    assert look_back(["close", "range"]) == 66
