"""A preset gives the defaults of an order, and whatever the order says stands above them."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.order import TrainingOrder, fewest_samples, learnt_of
from app.domain.presets import PRESETS
from app.domain.spec import NetworkSpec


def order(preset: str, **spec: Any) -> TrainingOrder:
    return TrainingOrder.from_dict({"ticker": "AAA", "preset": preset, "data": {"source": "files"}, "spec": spec})


@pytest.mark.parametrize("preset", PRESETS)
def test_an_order_survives_its_storage(preset: str) -> None:
    made = order(preset)
    assert TrainingOrder.from_dict(made.to_dict()) == made
    assert NetworkSpec.from_dict(made.spec.to_dict()) == made.spec


def test_what_an_order_says_of_the_whole_holds_for_the_members_of_its_preset() -> None:
    lstm, gru = order("ibm-lstm-gru", epochs=3, optimizer={"learning_rate": 0.5}).spec.networks
    assert (lstm.epochs, gru.epochs) == (3, 3)
    assert [(one.optimizer.name, one.optimizer.learning_rate) for one in (lstm, gru)] == [
        ("rmsprop", 0.5),
        ("sgd", 0.5),
    ]
    assert (lstm.batch_size, gru.batch_size) == (32, 150)


def test_members_of_the_order_stand_instead_of_those_of_the_preset() -> None:
    members = [{"architecture": "lstm", "epochs": 2}, {"architecture": "simple_rnn"}]
    spec = order("ibm-lstm-gru", epochs=9, members=members).spec
    assert [(one.architecture, one.epochs) for one in spec.networks] == [("lstm", 2), ("simple_rnn", 9)]
    assert order("ibm-lstm-gru", members=[]).spec.networks == (order("ibm-lstm").spec,)


@pytest.mark.parametrize(
    ("changes", "units", "dropout"),
    [
        ({"architecture": "gru"}, (8,), 0.0),
        ({"units": [16]}, (16,), 0.0),
        ({"units": [16, 8]}, (16, 8), (0.0, 0.2)),
        ({"units": [16], "dropout": [0.1]}, (16,), (0.1,)),
    ],
)
def test_a_rate_for_each_layer_goes_with_the_layers_it_was_for(
    changes: dict[str, Any], units: tuple[int, ...], dropout: float | tuple[float, ...]
) -> None:
    spec = order("btc-lstm", **changes).spec
    assert (spec.units, spec.dropout) == (units, dropout)


def test_a_target_of_an_order_keeps_what_it_does_not_say_and_targets_stand_for_themselves() -> None:
    (target,) = order("ibm-lstm", target={"field": "low"}).spec.targets
    assert (target.field, target.transform) == ("low", "price")
    several = order("ibm-lstm", targets=[{"field": "high"}, {"field": "low"}]).spec.targets
    assert [(one.field, one.transform) for one in several] == [("high", "log_return"), ("low", "log_return")]


@pytest.mark.parametrize(
    "spec", [NetworkSpec(), NetworkSpec(horizon=95), NetworkSpec(validation_fraction=0.0, early_stopping=None)]
)
def test_the_fewest_samples_leave_a_hundred_to_learn_from(spec):
    fewest = fewest_samples(spec)
    assert learnt_of(fewest, spec) == 100 > learnt_of(fewest - 1, spec)


@pytest.mark.parametrize("fraction", [0.5, 0.15, 0.1, 1 / 3, 0.07, 0.003, 0.0001])
def test_the_fewest_samples_leave_enough_to_validate_on_and_not_one_more(fraction: float) -> None:
    spec = NetworkSpec.from_dict({"validation_fraction": fraction})
    fewest = fewest_samples(spec, kept=30)

    def are_enough(samples: int) -> bool:
        return learnt_of(samples, spec) >= 100 and int(samples * fraction) >= 30

    assert are_enough(fewest)
    assert not are_enough(fewest - 1)


@pytest.mark.parametrize("fraction", [1e-5, 1e-12, 5e-324])
def test_a_part_that_is_next_to_nothing_is_not_counted_up_to(fraction: float) -> None:
    spec = NetworkSpec.from_dict({"validation_fraction": fraction})
    assert fewest_samples(spec, kept=30) == 1_000_000
