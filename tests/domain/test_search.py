"""What may be searched, what is refused with its reason, and how many trials that makes."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.order import TrainingOrder
from app.domain.search import Search, TuningOrder
from app.domain.search_space import SEARCHABLE, Choices, Range, as_changes, changed, default_space, parse_space
from app.domain.spec import NetworkSpec
from app.errors import AppError, InvalidSpec, UnknownArchitecture

PRICE = {"target": {"transform": "price"}, "loss": "mse", "scaler": "minmax"}


def tuning(search: dict[str, Any] | None = None, *, preset: str = "default", **spec: Any) -> TuningOrder:
    body = {"ticker": "MSFT", "preset": preset, "data": {"source": "sample"}, "spec": spec}
    return TuningOrder.from_dict({**body, "search": search} if search else body)


def refusal(search: dict[str, Any], **spec: Any) -> AppError:
    with pytest.raises(AppError) as caught:
        tuning(search, **spec)
    return caught.value


def test_without_a_search_sizes_dropout_and_learning_rate_are_searched():
    search = tuning(units=[8]).search
    assert (search.method, search.max_epochs, search.factor) == ("hyperband", 27, 3)
    assert search.space["units"] == Choices(values=([4], [8], [16], [32]))
    assert search.space["optimizer.learning_rate"] == Range(low=1e-4, high=1e-2, log=True)
    assert set(search.space) == {"units", "dropout", "optimizer.learning_rate"}


@pytest.mark.parametrize("architecture", ["stacked_lstm", "cnn_lstm", "gru"])
def test_the_sizes_that_are_searched_by_default_fit_the_architecture(architecture):
    spec = NetworkSpec(architecture=architecture)
    assert {len(units) for units in default_space(spec)["units"].values} == {len(spec.units)}


def test_a_preset_brings_its_search_and_the_order_overrides_single_fields():
    search = tuning({"budget_seconds": 60, "max_epochs": None}, preset="msft-hyperband").search
    assert (search.budget_seconds, search.max_epochs) == (60, 27)
    assert search.space["units"].values[-1] == [128, 64]
    assert set(tuning({"space": {"window": [10, 20]}}, preset="msft-hyperband").search.space) == {"window"}


def test_another_architecture_has_layers_and_dropout_of_its_own():
    order = tuning({"space": {"architecture": ["lstm", "gru"]}}, preset="btc-lstm")
    assert order.order.spec.dropout == (0.0, 0.2)
    gru = order.spec_of({"architecture": "gru"})
    assert (gru.units, gru.dropout) == (NetworkSpec(architecture="gru").units, 0.0)


def test_nested_fields_mean_the_same_as_dotted_ones():
    rate = {"low": 0.001, "high": 0.01, "log": True}
    dotted = parse_space({"optimizer.learning_rate": rate, "optimizer.name": ["adam", "sgd"]})
    assert parse_space({"optimizer": {"learning_rate": rate, "name": ["adam", "sgd"]}}) == dotted
    assert as_changes({"units": [4], "optimizer.name": "sgd"}) == {"units": [4], "optimizer": {"name": "sgd"}}


def test_a_range_with_a_step_is_the_choices_it_means():
    space = parse_space(
        {"window": {"low": 10, "high": 65, "step": 10}, "dropout": {"low": 0, "high": 0.3, "step": 0.1}}
    )
    assert space["window"] == Choices(values=(10, 20, 30, 40, 50, 60))
    assert space["dropout"] == Choices(values=(0.0, 0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("space", "pointer"),
    [
        ({}, "/search/space"),
        ({"optimizer": {}}, "/search/space"),
        ({"colour": ["red"]}, "/search/space/colour"),
        ({"a/b~c": [1]}, "/search/space/a~1b~0c"),
        ({"optimizer": {"decay": [1]}}, "/search/space/optimizer/decay"),
        ({"optimizer": ["adam"]}, "/search/space/optimizer"),
        ({"optimizer.name": ["adam"], "optimizer": {"name": ["sgd"]}}, "/search/space/optimizer/name"),
        ({"units": []}, "/search/space/units"),
        ({"units": 32}, "/search/space/units"),
        ({"units": {"low": 1, "high": 2}}, "/search/space/units"),
        ({"window": {"low": 10}}, "/search/space/window/high"),
        ({"window": {"low": 10, "high": 20, "stride": 1}}, "/search/space/window/stride"),
        ({"window": {"low": 10.5, "high": 20}}, "/search/space/window"),
        ({"window": {"low": 20, "high": 20}}, "/search/space/window/low"),
        ({"window": {"low": 10, "high": 20, "step": 0}}, "/search/space/window/step"),
        ({"window": {"low": 10, "high": 20, "step": 0.5}}, "/search/space/window/step"),
        ({"dropout": {"low": 0, "high": 1, "step": 1e-300}}, "/search/space/dropout/step"),
        ({"dropout": {"low": 0.1, "high": float("nan")}}, "/search/space/dropout/high"),
        ({"dropout": {"low": 0, "high": 10**400}}, "/search/space/dropout/high"),
        ({"dropout": {"low": 0.1, "high": True}}, "/search/space/dropout/high"),
        ({"dropout": {"low": 0.1, "high": 0.2, "log": 1}}, "/search/space/dropout/log"),
        ({"dropout": {"low": 0, "high": 0.5, "log": True}}, "/search/space/dropout/low"),
        ({"dropout": {"low": 0.1, "high": 0.5, "step": 0.1, "log": True}}, "/search/space/dropout/step"),
    ],
)
def test_a_space_that_means_nothing_is_refused_where_it_stands(space, pointer):
    error = refusal({"space": space})
    assert isinstance(error, InvalidSpec)
    assert error.pointer.startswith(pointer)


def test_an_unknown_field_is_told_what_can_be_searched():
    assert refusal({"space": {"colour": ["red"]}}).facts["known"] == list(SEARCHABLE)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("target", "compared by"),
        ("targets", "compared by"),
        ("horizon", "compared by"),
        ("strategy", "compared by"),
        ("loss", "compared by"),
        ("peers", "compared on"),
        ("validation_fraction", "compared on"),
        ("epochs", "max_epochs"),
        ("seeds", "luckiest"),
        ("seed", "luckiest"),
        ("members", "one network"),
    ],
)
def test_what_would_change_the_comparison_is_refused_with_the_reason(name, reason):
    error = refusal({"space": {name: [1, 2]}})
    assert error.pointer == f"/search/space/{name}"
    assert reason in error.detail


@pytest.mark.parametrize(
    ("space", "spec", "kind"),
    [
        ({"architecture": ["gru", "transformer"]}, {}, UnknownArchitecture),
        ({"units": [[8], [8] * 9]}, {}, InvalidSpec),
        ({"dropout": [0.1, [0.1, 0.2]]}, {}, InvalidSpec),
        ({"features": [["returns"], []]}, {}, InvalidSpec),
        ({"window": [3, 10]}, {"architecture": "cnn_lstm"}, InvalidSpec),
    ],
)
def test_every_choice_alone_makes_a_valid_spec(space, spec, kind):
    error = refusal({"space": space}, **spec)
    (name,) = space
    assert isinstance(error, kind)
    assert error.pointer == f"/search/space/{name}"
    assert "choice" in error.facts


def test_another_architecture_starts_from_its_own_sizes():
    spec = NetworkSpec(architecture="gru", units=(7,))
    assert changed(spec, {"architecture": "stacked_lstm"}).units == (32, 16)
    assert changed(spec, {"architecture": "lstm", "units": [9]}).units == (9,)
    assert changed(spec, {"optimizer": {"name": "sgd"}}).optimizer.learning_rate == spec.optimizer.learning_rate


def test_an_ensemble_is_not_searched():
    members = [{"architecture": "lstm"}, {"architecture": "gru"}]
    assert refusal({"method": "random"}, members=members).pointer == "/spec/members"


def test_hyperband_does_not_compare_losses_in_units_of_different_scalers():
    space = {"scaler": ["minmax", "standard"]}
    assert refusal({"space": space}, **PRICE).pointer == "/search/space/scaler"
    assert tuning({"space": space, "method": "random"}, **PRICE).search.planned_trials == 2
    assert tuning({"space": space}).search.planned_trials == 2


@pytest.mark.parametrize(
    ("max_epochs", "factor", "trials"),
    [(81, 3, 81 + 34 + 15 + 8 + 5), (27, 3, 27 + 12 + 6 + 4), (243, 3, 243 + 98 + 41 + 18 + 9 + 6), (2, 2, 2 + 2)],
)
def test_hyperband_begins_with_the_trials_of_all_its_brackets(max_epochs, factor, trials):
    assert tuning({"max_epochs": max_epochs, "factor": factor}).search.planned_trials == trials


def test_hyperband_needs_epochs_to_deal_out():
    error = refusal({"max_epochs": 2, "factor": 3})
    assert (error.pointer, error.facts["have"], error.facts["need"]) == ("/search/max_epochs", 2, 3)


def test_no_more_trials_are_planned_than_there_are_points():
    space = {"units": [[4], [8]], "dropout": [0.0, 0.1, 0.2]}
    assert tuning({"space": space}).search.planned_trials == 6
    assert tuning({"space": space, "method": "random", "trials": 4}).search.planned_trials == 4
    assert tuning({"space": space, "method": "grid"}).search.planned_trials == 6
    assert len({str(point) for point in tuning({"space": space, "method": "grid"}).search.grid()}) == 6


def test_a_grid_needs_steps_and_has_its_limits():
    open_range = refusal({"method": "grid", "space": {"dropout": {"low": 0, "high": 0.5}}})
    assert open_range.pointer == "/search/space/dropout/step"
    steps = {"low": 2, "high": 40, "step": 1}
    error = refusal({"method": "grid", "space": {"window": steps, "batch_size": steps}})
    assert (error.pointer, error.facts["have"], error.facts["need"]) == ("/search/space", 39 * 39, 500)


def test_random_and_grid_fit_for_the_epochs_of_the_spec():
    assert tuning({"method": "random"}, epochs=12).search.max_epochs == 12
    assert tuning({"method": "random", "max_epochs": 5}, epochs=12).search.max_epochs == 5


def test_an_order_survives_its_way_through_a_job():
    space = {"window": {"low": 10, "high": 30}, "units": [[4], [8, 4]], "optimizer": {"clip_norm": [None, 1.0]}}
    order = tuning({"method": "random", "space": space}, preset="msft-hyperband", horizon=2)
    again = TuningOrder.from_dict(order.to_dict())
    assert again == order
    assert again.dedupe_key == order.dedupe_key


def test_another_space_or_seed_is_other_work():
    first = tuning({"space": {"window": [10, 20]}})
    keys = {first.dedupe_key, tuning({"space": {"window": [10, 30]}}).dedupe_key, tuning({"seed": 8}).dedupe_key}
    assert len(keys) == 3
    assert first.order.dedupe_key not in keys


def test_the_widest_spec_reads_what_any_trial_reads():
    space = {"features": [["returns"], ["range", "returns"], ["close"]], "window": {"low": 8, "high": 31}}
    order = tuning({"space": space})
    assert order.widest.features == ("returns", "range", "close")
    assert (order.widest.window, order.windows[0], order.windows[-1]) == (31, 8, 31)


@pytest.mark.parametrize(
    "evaluation",
    [
        {"kind": "walk_forward", "n_windows": 2, "step_size": 100, "refit": False},
        {"kind": "fixed", "train_end": "2016-12-31"},
        {"kind": "fixed", "test_fraction": 0.3},
    ],
)
def test_the_training_of_the_best_spec_is_that_of_the_order(evaluation):
    body = {"ticker": "MSFT", "data": {"source": "sample", "start": "2010-01-01"}, "promote": "never"}
    order = TuningOrder.from_dict({**body, "evaluation": evaluation})
    best = changed(order.order.spec, {"units": [5]})
    training = order.training_of(best, order.order.evaluation)
    assert training["evaluation"] == evaluation
    made = TrainingOrder.from_dict(training)
    assert (made.spec, made.data, made.evaluation) == (best, order.order.data, order.order.evaluation)


def test_a_choice_is_refused_only_if_it_goes_with_no_choice_beside_it():
    body = {"ticker": "MSFT", "data": {"source": "sample"}}
    rates = {**body, "preset": "btc-lstm"}
    for space in ({"units": [[64], [32]]}, {"units": [[64], [32]], "dropout": [0.1]}):
        order = TuningOrder.from_dict({**rates, "search": {"space": space}})
        assert order.spec_of({"units": [32]}).units == (32,)
    stacked = {**body, "spec": {"architecture": "stacked_lstm", "units": [4, 4]}}
    space = {"architecture": ["lstm", "gru"], "units": [[64], [128]]}
    assert TuningOrder.from_dict({**stacked, "search": {"space": space}}).search.points == 4
    with pytest.raises(InvalidSpec) as refused:
        TuningOrder.from_dict({**body, "search": {"space": {**space, "architecture": ["stacked_lstm", "gru"]}}})
    assert (refused.value.pointer, refused.value.facts["choice"]) == ("/search/space/architecture", "stacked_lstm")


def test_the_default_space_stays_inside_what_an_order_may_have_and_names_each_size_once():
    wide, narrow = (default_space(NetworkSpec(units=(units,)))["units"].values for units in (300, 1))
    assert wide == ([150], [300], [600], [1024])
    assert narrow == ([1], [2], [4])


def test_a_search_needs_samples_to_learn_from_and_sessions_to_compare_on():
    body = {"ticker": "MSFT", "data": {"source": "sample"}}
    few = TuningOrder.from_dict({**body, "spec": {"validation_fraction": 0.01, "early_stopping": None}})
    assert few.fewest_samples == 3000
    assert TuningOrder.from_dict(body).fewest_samples == 200


def test_a_search_is_its_fields():
    search = Search.from_dict({"method": "grid", "space": {"dropout": [0.1]}}, NetworkSpec())
    assert Search.from_dict(search.to_dict(), NetworkSpec()) == search
