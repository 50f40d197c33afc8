from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.dataset.prepare import Dataset, prepare
from app.domain.history import Bars, to_date
from app.errors import NotEnoughHistory
from app.forecasting.predictor import Predictor
from app.forecasting.runtime import OnnxNetwork
from app.training.export import check_parity, export_onnx
from app.training.fit import make_learners
from app.training.fitted import FittedNetwork
from app.training.pooled import fit_pooled, split_by_dates
from tests.dataset.series import made_up_bars, with_other_future
from tests.training.networks import ignore, small_spec

pytestmark = pytest.mark.tensorflow

SPEC = small_spec(loss="pinball", epochs=2, seeds=2, validation_fraction=0.2)
LONG, SHORT, STRANGER = made_up_bars(420), made_up_bars(420, seed=3).rows(slice(150, None)), made_up_bars(300, seed=9)
CUT = 350
BEFORE = to_date(LONG.sessions[CUT])


def panel(*bars: Bars) -> list[Dataset]:
    return [prepare(one, SPEC) for one in bars]


def fitted(datasets: list[Dataset], before: date | None = BEFORE) -> FittedNetwork:
    return fit_pooled(datasets, make_learners(datasets[0]), ignore, before=before)


class TestSplit:
    def test_every_ticker_is_validated_on_the_same_dates_and_learnt_from_before_them(self):
        datasets = panel(LONG, SHORT)
        split = split_by_dates(datasets, before=BEFORE)
        first = {one.sessions[at[0]] for one, at in zip(datasets, split.validate, strict=True)}
        last = {one.sessions[at[-1] + 1] for one, at in zip(datasets, split.validate, strict=True)}
        assert len(first) == len(last) == 1
        for one, at in zip(datasets, split.learn, strict=True):
            assert one.sessions[at[-1] + SPEC.reach] < min(first)

    def test_no_target_ends_on_or_after_the_day_it_is_made_before(self):
        datasets = panel(LONG, SHORT)
        split = split_by_dates(datasets, before=BEFORE)
        for one, *parts in zip(datasets, split.learn, split.validate, strict=True):
            assert max(one.sessions[at[-1] + SPEC.reach] for at in parts) == LONG.sessions[CUT - 1]
        assert split.last == to_date(LONG.sessions[CUT - 1])

    def test_as_many_origins_lie_between_the_parts_as_the_network_reaches(self):
        datasets = [prepare(LONG, replace(SPEC, horizon=3))]
        split = split_by_dates(datasets)
        assert split.validate[0][0] - split.learn[0][-1] == 1 + 3

    def test_a_ticker_that_has_not_begun_yet_is_left_out(self):
        datasets = panel(LONG, SHORT)
        split = split_by_dates(datasets, before=to_date(LONG.sessions[200]))
        assert [len(at) for at in (split.learn[1], split.validate[1])] == [0, 0]

    def test_without_any_known_target_there_is_nothing_to_learn(self):
        with pytest.raises(NotEnoughHistory):
            split_by_dates(panel(LONG), before=to_date(LONG.sessions[0]))


@pytest.mark.slow
def test_nothing_after_the_day_of_a_fit_touches_it_whichever_ticker_it_happens_to():
    datasets = panel(LONG, SHORT)
    place = int(np.searchsorted(SHORT.sessions, LONG.sessions[CUT]))
    others = panel(with_other_future(LONG, CUT - 1), with_other_future(SHORT, place - 1))
    first, again = fitted(datasets), fitted(others)
    assert first.scaling.to_dict() == again.scaling.to_dict()
    for left, right in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    for one, other, end in zip(datasets, others, (CUT, place), strict=True):
        at = np.arange(end - 40, end)
        np.testing.assert_array_equal(
            first.predict(one, at)[0].quantile(0.05), again.predict(other, at)[0].quantile(0.05)
        )
    other_past = fitted(panel(with_other_future(LONG, 200), SHORT))
    assert other_past.scaling.to_dict() != first.scaling.to_dict()


@pytest.mark.slow
def test_a_ticker_that_it_never_saw_is_served_as_the_trained_network_answers():
    network = fitted(panel(LONG, SHORT))
    (stranger,) = panel(STRANGER)
    onnx = export_onnx(network)
    check_parity(network, onnx, stranger)
    (served,) = Predictor(SPEC, network.scaling, OnnxNetwork(onnx)).predict(STRANGER)
    (trained,) = network.predict(stranger, np.array([len(stranger) - 1]))
    np.testing.assert_allclose(served.quantile(0.025), trained.quantile(0.025), rtol=1e-3)
    assert served.volatility > 0
