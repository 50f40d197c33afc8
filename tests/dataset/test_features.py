from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.dataset.features import FEATURES, build_features, column_names, fields_used, look_back
from app.domain.spec import NetworkSpec, Target
from app.errors import InvalidSpec
from tests.dataset.series import made_up_bars, with_other_future

ALL = tuple(FEATURES)
BARS = made_up_bars(400)


def test_every_feature_has_the_columns_it_names():
    assert build_features(BARS, ALL).shape == (400, len(column_names(ALL)))


@pytest.mark.parametrize("name", ALL)
def test_a_feature_is_a_number_exactly_when_it_has_warmed_up(name):
    rows = build_features(BARS, [name])
    warm = FEATURES[name].look_back
    assert np.isfinite(rows[warm:]).all()
    assert np.isnan(rows[:warm]).all(axis=1).all()
    assert np.isfinite(build_features(BARS.rows(slice(0, warm + 1)), [name])[-1]).all()


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(min_value=0, max_value=398))
def test_no_feature_knows_what_comes_after_its_bar(cut):
    changed = build_features(with_other_future(BARS, cut), ALL)
    np.testing.assert_array_equal(changed[: cut + 1], build_features(BARS, ALL)[: cut + 1])


def test_scale_free_features_do_not_change_with_the_currency():
    fields = ("open", "high", "low", "close")
    yen = replace(BARS, **{name: 150 * getattr(BARS, name) for name in fields})
    left, right = (build_features(bars, ["range", "returns"]) for bars in (BARS, yen))
    np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("volume", [np.full(400, np.nan), np.zeros(400)])
def test_without_a_volume_it_counts_as_usual(volume):
    rows = build_features(replace(BARS, volume=volume), ["range"])
    assert (rows[66:, column_names(["range"]).index("volume_to_month")] == 0).all()
    assert np.isfinite(rows[66:]).all()


def test_flat_bars_are_still_numbers():
    flat = np.full(400, 5.0)
    bars = replace(BARS, open=flat, high=flat, low=flat, close=flat, volume=flat)
    assert np.isfinite(build_features(bars, ["range", "returns"])[66:]).all()


def test_a_missing_open_counts_as_the_close():
    day_open, low = BARS.open.copy(), BARS.low.copy()
    day_open[200] = low[200] = np.nan
    assert np.isfinite(build_features(replace(BARS, open=day_open, low=low), ["range"])[66:]).all()


def test_an_unknown_feature_is_refused_with_the_known_ones():
    with pytest.raises(InvalidSpec, match="Known: open") as error:
        build_features(BARS, ["astrology"])
    assert error.value.pointer == "/spec/features"


def test_an_order_uses_the_fields_of_its_features_and_its_target():
    assert fields_used(NetworkSpec()) == ("open", "high", "low", "close")
    spec = NetworkSpec(features=("volume",), target=Target(field="high"))
    assert fields_used(spec) == ("high", "volume")
    spec = NetworkSpec(features=("volume",), target=Target(field="average"))
    assert fields_used(spec) == ("volume", "average")


def test_the_look_back_covers_the_volatility_of_the_target():
    assert look_back(["close"]) == 22
    assert look_back(["close", "range"]) == 66
