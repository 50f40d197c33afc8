from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from app.dataset.scaling import Scaler, Scaling, Spread, fit_scaler

ORIGINALS = {"minmax": MinMaxScaler, "standard": StandardScaler, "robust": RobustScaler}
ROWS = np.random.default_rng(7).lognormal(size=(500, 4)) * [1, 1e3, 1e-4, 1e9]


@pytest.mark.parametrize("kind", ORIGINALS)
class TestEveryKind:
    def test_is_bit_for_bit_scikit_learns(self, kind):
        original, ours = ORIGINALS[kind]().fit(ROWS[:300]), fit_scaler(kind, ROWS[:300])
        scaled = original.transform(ROWS)
        np.testing.assert_array_equal(ours.transform(ROWS), scaled)
        np.testing.assert_array_equal(ours.inverse(scaled), original.inverse_transform(scaled))

    def test_survives_json_to_the_last_bit(self, kind):
        scaler = fit_scaler(kind, ROWS)
        back = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
        np.testing.assert_array_equal(back.transform(ROWS), scaler.transform(ROWS))

    def test_leaves_a_constant_column_finite(self, kind):
        rows = np.full((50, 1), 3.0)
        scaler = fit_scaler(kind, rows)
        assert np.isfinite(scaler.transform(rows)).all()
        np.testing.assert_allclose(scaler.inverse(scaler.transform(rows)), rows)


@pytest.mark.parametrize("spread", [None, Spread(np.array([0.9, 0.91]), np.array([5.1, 7.25]))])
def test_the_scaling_of_a_network_survives_json(spread):
    features, target = fit_scaler("standard", ROWS), fit_scaler("minmax", ROWS[:, :1]) if spread else None
    scaling = Scaling(features=features, target=target, spreads=(spread,) if spread else ())
    assert Scaling.from_dict(json.loads(json.dumps(scaling.to_dict()))).to_dict() == scaling.to_dict()


@pytest.mark.parametrize("kind", ORIGINALS)
def test_a_column_is_outside_once_a_row_leaves_what_was_fitted_on(kind):
    scaler = Scaler.from_dict(json.loads(json.dumps(fit_scaler(kind, ROWS).to_dict())))
    inside = np.stack([ROWS.min(axis=0), ROWS.max(axis=0)])
    assert not scaler.outside(inside).any()
    assert scaler.outside(inside * [1.0, 1.001, 1.0, 0.999]).tolist() == [False, True, False, True]
    assert not Scaler(scaler.kind, scaler.center, scaler.scale).outside(inside * 10).any()
