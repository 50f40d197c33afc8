from __future__ import annotations

import traceback
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.dataset.prepare import Dataset, prepare
from app.dataset.scaling import Scaling
from app.domain.history import to_date
from app.domain.order import Evaluation
from app.domain.spec import Optimizer, Target
from app.domain.student_t import fit_spread
from app.errors import FitDiverged, NotEnoughHistory, ParityFailed, WorkerLost
from app.evaluation.verdict import judge
from app.forecasting.predictor import Predictor
from app.forecasting.runtime import OnnxNetwork
from app.training.export import check_parity, export_onnx
from app.training.fit import Fit, FitAll, final_fit, fit_network, make_learners, try_networks
from app.training.fitted import FittedNetwork
from app.training.report import Report
from app.training.walk import walk_forward
from tests.dataset.series import with_other_future
from tests.training.networks import BARS, fit_final, ignore, small_dataset, small_spec

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


def same(left: FittedNetwork, right: FittedNetwork) -> bool:
    """Whether two networks have bit-identical weights and scaling."""
    weights = zip(left.model.get_weights(), right.model.get_weights(), strict=True)
    return left.scaling.to_dict() == right.scaling.to_dict() and all((a == b).all() for a, b in weights)


@pytest.fixture(scope="module")
def fitted() -> FittedNetwork:
    dataset = small_dataset(horizon=2)
    return fit_final(dataset, make_learners(dataset), ignore)


@pytest.mark.parametrize("cut", [299, 350, 418])
def test_nothing_after_the_cut_off_touches_scalers_or_weights(cut):
    spec = small_spec(horizon=2, dropout=0.2, epochs=1)
    networks = []
    for bars in (BARS, with_other_future(BARS, cut)):
        dataset = prepare(bars, spec)
        networks.append(fit_network(dataset, range(dataset.first_origin, cut - 1), make_learners(dataset), ignore))
    assert same(*networks)


def test_a_learner_forgets_what_it_learnt_before():
    dataset = small_dataset(dropout=0.2, optimizer=Optimizer(name="rmsprop"))
    learners = make_learners(dataset)
    first = fit_network(dataset, range(dataset.first_origin, 350), learners, ignore)
    other = fit_network(dataset, range(dataset.first_origin, 250), learners, ignore)
    again = fit_network(dataset, range(dataset.first_origin, 350), learners, ignore)
    assert same(first, again)
    assert not same(first, other)


def test_the_validation_part_is_the_newest_and_no_scaler_sees_it():
    dataset = small_dataset(validation_fraction=0.25)
    fitted = fit_network(dataset, range(100, 300), make_learners(dataset), ignore)
    newer = replace(dataset, features=dataset.features * np.where(np.arange(420) < 249, 1, 5)[:, None])
    again = fit_network(newer, range(100, 300), make_learners(dataset), ignore)
    assert fitted.scaling.to_dict() == again.scaling.to_dict()


@pytest.mark.parametrize(("fraction", "enough"), [(0.01, False), (0.25, True)])
def test_a_spread_is_measured_where_nothing_was_learnt_if_that_is_enough(fraction, enough):
    dataset = small_dataset(loss="mse", validation_fraction=fraction, epochs=1)
    fitted = fit_network(dataset, range(100, 300), make_learners(dataset), ignore)
    origins = np.arange(250, 300) if enough else np.append(fitted.learnt, np.arange(298, 300))
    (said,) = fitted.predict(dataset, origins)
    scale, df = fit_spread(dataset.targets[origins] - said.location, dataset.sigma[origins])
    np.testing.assert_allclose(fitted.scaling.spreads[0].scale, scale, rtol=1e-4)
    np.testing.assert_allclose(fitted.scaling.spreads[0].df, df, rtol=1e-2)


def test_every_epoch_is_reported_with_its_losses():
    told: list[tuple[str, float, dict[str, float]]] = []
    dataset = small_dataset(epochs=3, seeds=2)
    fit_final(dataset, make_learners(dataset), lambda stage, fraction, /, **n: told.append((stage, fraction, n)))
    assert [stage for stage, _, _ in told] == ["fit"] * 6
    assert [fraction for _, fraction, _ in told] == sorted(fraction for _, fraction, _ in told)
    assert told[-1][1] == 1.0
    assert set(told[0][2]) == {"epoch", "epochs", "loss", "val_loss"}


def test_early_stopping_keeps_the_best_epoch():
    dataset = small_dataset(loss="huber", epochs=40, optimizer=Optimizer(learning_rate=0.05))
    (curves,) = fit_final(dataset, make_learners(dataset), ignore).curves
    assert len(curves.loss) < 40
    assert curves.best_epoch == int(np.argmin(curves.val_loss)) + 1
    assert len(curves.to_dict()["epoch"]) == len(curves.loss)


def test_a_loss_that_is_no_number_ends_the_fit():
    dataset = small_dataset(
        loss="mse", activation="linear", optimizer=Optimizer(name="sgd", learning_rate=1e30), epochs=20
    )
    with pytest.raises(FitDiverged) as error:
        fit_final(dataset, make_learners(dataset), ignore)
    assert error.value.facts["epoch"] >= 1


def test_without_anything_to_learn_from_the_fit_is_refused():
    dataset = small_dataset(horizon=10)
    with pytest.raises(NotEnoughHistory) as error:
        fit_network(dataset, range(100, 110), [], ignore)
    assert error.value.facts == {"have": 10, "need": 12}


def asked(dataset: Dataset, report: Report = ignore) -> FitAll:
    return FitAll([final_fit(dataset)], make_learners(dataset), report)


@pytest.mark.parametrize("activation", ["tanh", "relu"], ids=["stacked", "by Keras"])
def test_what_goes_wrong_in_one_of_many_ends_it_alone(activation):
    sound = small_dataset(epochs=1, activation=activation)
    unscaled = replace(sound, features=sound.features[:0])
    unanswered = replace(sound, series=(replace(sound.series[0], targets=sound.targets[:100]),))
    short = FitAll([Fit(sound, range(100, 100))], make_learners(sound), ignore)
    first, *errors, last = try_networks([asked(sound), asked(unscaled), asked(unanswered), short, asked(sound)])
    assert [type(error) for error in errors] == [ValueError, IndexError, NotEnoughHistory]
    assert same(*first, *last)


def test_an_error_that_waits_for_the_others_holds_on_to_no_samples():
    sound = small_dataset(epochs=1)
    unanswered = replace(sound, series=(replace(sound.series[0], targets=sound.targets[:100]),))
    (error,) = try_networks([asked(unanswered)])
    made = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code.co_name == "samples_of"]
    assert [frame.f_locals for frame in made] == [{}]


def test_networks_that_cannot_be_put_together_end_their_training_alone():
    sound = small_dataset(epochs=1)
    endless = replace(sound, sessions=sound.sessions[:400])
    first, error = try_networks([asked(sound), replace(asked(sound), fits=[Fit(endless, final_fit(sound).train)])])
    assert isinstance(error, IndexError) and isinstance(first[0], FittedNetwork)


def test_what_a_report_raises_ends_all():
    def lose(stage: str, fraction: float, /, **numbers: float) -> None:
        raise WorkerLost("lost")

    with pytest.raises(WorkerLost):
        try_networks([asked(small_dataset()), asked(small_dataset(), lose)])


def test_several_seeds_are_averaged():
    dataset = small_dataset(seeds=2, epochs=1)
    learners = make_learners(dataset)
    both = fit_final(dataset, learners, ignore)
    alone = [fit_final(dataset, [learner], ignore) for learner in learners]
    window = np.random.default_rng(7).standard_normal((3, 12, 9)).astype(np.float32)
    np.testing.assert_allclose(both.outputs(window), np.mean([n.outputs(window) for n in alone], axis=0), rtol=1e-5)
    check_parity(both, export_onnx(both), dataset)


def test_serving_says_what_training_said(fitted):
    spec, onnx = fitted.spec, export_onnx(fitted)
    predictor = Predictor(spec, Scaling.from_dict(fitted.scaling.to_dict()), OnnxNetwork(onnx))
    dataset, origins = prepare(BARS, spec), np.array([200, 300, 419])
    (trained,) = fitted.predict(dataset, origins)
    for place, origin in enumerate(origins):
        (served,) = predictor.predict(BARS.rows(slice(0, origin + 1)))
        np.testing.assert_allclose(served.scale, trained.scale[place : place + 1], rtol=1e-4)
        np.testing.assert_allclose(served.location, trained.location[place : place + 1], rtol=1e-3, atol=1e-7)


def test_serving_needs_a_window_and_what_its_features_look_back_on(fitted):
    predictor = Predictor(fitted.spec, fitted.scaling, OnnxNetwork(export_onnx(fitted)))
    assert predictor.predict(BARS.rows(slice(0, 78)))[0].scale.shape == (1, 2)
    with pytest.raises(NotEnoughHistory) as error:
        predictor.predict(BARS.rows(slice(0, 77)))
    assert error.value.facts == {"have": 77, "need": 78}


def test_an_export_of_another_network_fails_parity(fitted):
    dataset = small_dataset(horizon=2)
    other = fit_final(small_dataset(horizon=2, seed=99), make_learners(small_dataset(horizon=2, seed=99)), ignore)
    with pytest.raises(ParityFailed) as error:
        check_parity(fitted, export_onnx(other), dataset)
    assert error.value.facts["largest_difference"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"horizon": 3},
        {"loss": "huber"},
        {
            "loss": "mse",
            "targets": (Target(field="high", transform="price"),),
            "features": ("high",),
            "scaler": "minmax",
        },
        {"loss": "mae", "validation_fraction": 0.0, "early_stopping": None, "scaler": "robust"},
    ],
    ids=["student_t", "huber", "price", "no validation part"],
)
def test_a_walk_forward_ends_in_a_scorecard(changes):
    told = []
    dataset = small_dataset(epochs=1, **changes)
    evaluation = Evaluation(n_windows=2, step_size=60)
    (result,), last = walk_forward(
        dataset,
        BARS,
        evaluation,
        make_learners(dataset),
        lambda stage, fraction, /, **n: told.append((stage, fraction)),
    )
    card = judge([result], dataset.spec)
    assert "too_few_sessions" in card.reasons
    assert all(card.contestants[name]["crps"] > 0 for name in ("model", "persistence", "ewma_t", "garch_t"))
    assert ("har_range_t" in card.contestants) is (dataset.spec.target.field == "close")
    assert card.protocol["fallbacks"] == {"garch_t": 0, "gjr_t": 0}
    assert (result.contestants["model"].df > 2).all()
    assert last.known_through == to_date(dataset.sessions[359])
    assert told[-1] == ("backtest", 1.0)


def test_while_a_network_that_is_fed_back_simulates_its_paths_the_stage_says_so():
    told = []
    dataset = small_dataset(epochs=1, strategy="recursive", horizon=3)
    walk_forward(
        dataset,
        BARS,
        Evaluation(n_windows=1, step_size=60),
        make_learners(dataset),
        lambda stage, fraction, /, **n: told.append((stage, fraction)),
    )
    assert told == [("backtest", 1.0), ("paths", 0.0)]


def test_the_range_that_volatility_is_measured_by_is_that_of_the_session_foretold():
    dataset = small_dataset(epochs=1)
    (result,), _ = walk_forward(dataset, BARS, Evaluation(n_windows=1, step_size=60), make_learners(dataset), ignore)
    day_open, high, low, close = (np.log(BARS.column(name)) for name in ("open", "high", "low", "close"))
    inside = 0.5 * (high - low) ** 2 - (2 * np.log(2) - 1) * (close - day_open) ** 2
    variance = np.maximum(inside, 1e-8) + (day_open - np.append(np.nan, close[:-1])) ** 2
    np.testing.assert_allclose(result.range_variance, variance[result.origins + 1])


def test_bars_without_ranges_have_no_rival_that_reads_them():
    nothing = np.full(len(BARS), np.nan)
    bars = replace(BARS, open=nothing, high=nothing, low=nothing)
    dataset = prepare(bars, small_spec(features=("close",), epochs=1))
    (result,), _ = walk_forward(dataset, bars, Evaluation(n_windows=1, step_size=60), make_learners(dataset), ignore)
    assert result.range_variance is None
    assert "har_range_t" not in result.contestants
    assert judge([result], dataset.spec).contestants["model"]["qlike_range"] is None
