"""The search, on small networks: what it compares, what it never looks at, and how it goes on after a loss."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.dataset.prepare import prepare
from app.domain.history import PRICE_FIELDS, Bars, PriceHistory
from app.domain.order import Evaluation, TrainingOrder, fewest_samples
from app.domain.search import TuningOrder, trial_spec
from app.errors import FitDiverged, InvalidSpec, NotEnoughHistory, TimeLimitExceeded, WorkerLost
from app.evaluation.splits import split
from app.forecasting.market_data import RawBars
from app.training.fit import fit_network, make_learners
from app.training.search_ground import lay_ground, mean_crps
from app.training.search_study import Study, Trial
from app.training.tuning import tune_model
from tests.dataset.series import made_up_bars
from tests.training.networks import ignore

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

BARS = made_up_bars(700)
SMALL = {
    "architecture": "lstm",
    "features": ["returns"],
    "window": 5,
    "units": [2],
    "epochs": 2,
    "batch_size": 256,
    "early_stopping": None,
}
ONE_POINT = {"method": "grid", "space": {"units": [[2]]}}
PRICE = {"target": {"transform": "price"}, "features": ["close"], "loss": "mse", "scaler": "minmax"}
GRID = {"method": "grid", "space": {"units": [[2]], "optimizer.learning_rate": [0.001, 0.03]}}
RATES = {"optimizer.learning_rate": {"low": 1e-5, "high": 0.1, "log": True}}
FIXED = {"kind": "fixed", "test_fraction": 0.3}
LAST_KNOWN = 489  # the row after which the evaluation tests


def tuning(search: dict[str, Any], *, evaluation: dict[str, Any] = FIXED, **spec: Any) -> TuningOrder:
    body = {"ticker": "AAA", "data": {"source": "files"}, "evaluation": evaluation, "spec": {**SMALL, **spec}}
    return TuningOrder.from_dict({**body, "search": search})


def raw(bars: Bars) -> RawBars:
    return RawBars(history=PriceHistory(ticker="AAA", source="files", bars=bars), snapshot_id="sha256:0")


def with_other_future(bars: Bars, cut: int) -> Bars:
    """The same bars up to and including ``cut``, others after it that an audit lets pass."""
    twist = np.where(np.arange(len(bars)) > cut, 1.05 + 0.01 * np.sin(np.arange(len(bars))), 1.0)
    return replace(bars, **{name: bars.column(name) * twist for name in PRICE_FIELDS})


class Steps:
    """A clock that goes on by so much each time it is read."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def tune(order: TuningOrder, bars: Bars = BARS, **options: Any) -> Any:
    given = {"report": ignore, "keep": lambda checkpoint: None, "kept": None, "elapsed": Steps(), **options}
    return tune_model(order, raw(bars), **given)


def figures(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The leaderboard without what the clock says."""
    return [(t["rank"], t["state"], t["value"], t["epochs"], json.dumps(t["changes"])) for t in result["leaderboard"]]


@pytest.fixture(scope="module")
def grid() -> tuple[dict[str, Any], list[tuple[str, float, dict[str, Any]]]]:
    """What a search over ``GRID`` came to, and what it told on the way."""
    told: list[tuple[str, float, dict[str, Any]]] = []
    return tune(tuning(GRID), report=lambda stage, share, /, **facts: told.append((stage, share, facts))), told


def test_a_grid_tries_every_point_once_and_ranks_by_crps(grid):
    result, _ = grid
    board = result["leaderboard"]
    assert (result["trials"], result["pruned"], result["budget_used_up"]) == (2, 0, False)
    assert result["planned_trials"] == 2
    assert {trial["changes"]["optimizer"]["learning_rate"] for trial in board} == {0.001, 0.03}
    assert [trial["value"] for trial in board] == sorted(trial["value"] for trial in board)
    assert [(trial["rank"], trial["epochs"], trial["state"]) for trial in board] == [
        (1, 2, "complete"),
        (2, 2, "complete"),
    ]
    assert result["best_spec"]["optimizer"]["learning_rate"] == board[0]["changes"]["optimizer"]["learning_rate"]


def test_the_result_holds_the_baseline_of_the_same_sessions_and_the_order_of_the_winner(grid):
    result, _ = grid
    assert 0 < result["baseline"]["value"] < 0.1
    assert result["validation"]["last_session"] == str(BARS.sessions[LAST_KNOWN])
    order, made = tuning(GRID).order, TrainingOrder.from_dict(result["train"])
    assert made.spec.to_dict() == result["best_spec"]
    assert (made.ticker, made.data, made.evaluation) == ("AAA", order.data, order.evaluation)


def test_progress_tells_the_trial_and_the_best_so_far(grid):
    trials = [(fraction, facts) for stage, fraction, facts in grid[1] if stage == "tune"]
    assert [facts["trial"] for _, facts in trials] == [1, 1, 2, 2]
    assert {facts["trials"] for _, facts in trials} == {2}
    assert [fraction for fraction, _ in trials] == [0.25, 0.5, 0.75, 1.0]
    assert "best" not in trials[0][1] and trials[-1][1]["best"] > 0


HYPERBAND = {"method": "hyperband", "max_epochs": 3, "factor": 3, "space": RATES}


@pytest.fixture(scope="module")
def checkpoints() -> list[str]:
    """What the search of ``hyperband`` kept on its way, as JSON."""
    return []


@pytest.fixture(scope="module")
def hyperband(checkpoints: list[str]) -> dict[str, Any]:
    """What a search by ``HYPERBAND`` came to."""
    return tune(tuning(HYPERBAND), keep=lambda checkpoint: checkpoints.append(json.dumps(checkpoint)))


def test_hyperband_ends_what_falls_behind_and_lets_the_rest_go_on(hyperband):
    result = hyperband
    board = result["leaderboard"]
    complete = [trial for trial in board if trial["state"] == "complete"]
    pruned = [trial for trial in board if trial["state"] == "pruned"]
    assert (len(board), result["pruned"]) == (3 + 2, len(pruned))
    assert complete and pruned
    assert {trial["epochs"] for trial in complete} == {3}
    assert {trial["epochs"] for trial in pruned} == {1}
    assert all(trial["value"] is None for trial in pruned)
    assert board[: len(complete)] == complete
    assert result["best_spec"]["epochs"] == 3


@pytest.mark.parametrize("spec", [{}, PRICE], ids=["student_t", "point"])
def test_the_test_sessions_touch_nothing_that_a_search_says(spec):
    order = tuning({"method": "grid", "space": {"window": [9]}}, dropout=0.2, **spec)
    said, again = tune(order), tune(order, with_other_future(BARS, LAST_KNOWN))
    assert figures(said) == figures(again)
    assert said["baseline"] == again["baseline"]
    assert figures(said) != figures(tune(order, with_other_future(BARS, LAST_KNOWN - 1)))


@pytest.mark.parametrize("spec", [{}, PRICE], ids=["student_t", "point"])
def test_the_validation_sessions_are_neither_learnt_from_nor_scaled_by(spec):
    order = tuning(ONE_POINT, **spec)
    ground = lay_ground(order, raw(BARS))
    learnt_until = ground.kept.start - 1
    other = lay_ground(order, raw(with_other_future(BARS, learnt_until)))
    networks = []
    for one in (ground, other):
        dataset = one.dataset(trial_spec(order.order.spec))
        networks.append(fit_network(dataset, one.train, make_learners(dataset), ignore))
    for left, right in zip(networks[0].model.get_weights(), networks[1].model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert networks[0].scaling.features.to_dict() == networks[1].scaling.features.to_dict()
    assert networks[0].learnt[-1] + 1 + order.order.spec.reach == ground.kept.start


def test_the_spread_of_a_point_head_comes_from_what_it_has_learnt():
    order = tuning(ONE_POINT, **PRICE)
    ground = lay_ground(order, raw(BARS))
    dataset = ground.dataset(trial_spec(order.order.spec))
    network = fit_network(dataset, ground.train, make_learners(dataset), ignore)
    wild = replace(network.scaling.spreads[0], scale=network.scaling.spreads[0].scale * 50)
    doubted = replace(network, scaling=replace(network.scaling, spreads=(wild,)))
    assert mean_crps(network, dataset, ground.kept) == mean_crps(doubted, dataset, ground.kept)


def test_all_trials_are_compared_on_the_same_sessions_whatever_they_look_back_on():
    space = {"window": [5, 30], "features": [["returns"], ["range"]]}
    order = tuning({"method": "random", "space": space})
    ground = lay_ground(order, raw(BARS))
    for values in ({"window": 5, "features": ["returns"]}, {"window": 30, "features": ["range"]}):
        dataset = ground.dataset(trial_spec(order.spec_of(values)))
        assert dataset.first_origin <= ground.train.start
        assert (dataset.next_sessions[ground.kept.start : ground.kept.stop] == ground.sessions).all()
    alone = lay_ground(tuning({"method": "random", "space": {"units": [[2]]}}), raw(BARS))
    assert ground.train.start > alone.train.start


@pytest.mark.parametrize("bars", [630, 640, 700])
def test_no_spec_of_the_space_is_tested_on_what_the_search_has_seen(bars):
    some = BARS.rows(slice(0, bars))
    walk = {"kind": "walk_forward", "n_windows": 2, "step_size": 60}
    space = {"window": {"low": 5, "high": 60, "step": 5}}
    order = tuning({"method": "random", "space": space}, evaluation=walk)
    ground = lay_ground(order, raw(some))
    last_seen = ground.sessions[-1]
    for window in space_values(order, "window"):
        alone = lay_ground(tuning({"method": "random", "space": {"window": [window]}}, evaluation=walk), raw(some))
        assert last_seen <= alone.first_test


def test_bars_that_came_since_the_search_let_no_test_begin_earlier():
    """With room for another window the evaluation would begin in what the search has learnt from."""
    walk = {"kind": "walk_forward", "n_windows": 4, "step_size": 60}
    result = tune(tuning({**ONE_POINT, "max_epochs": 1}, evaluation=walk), BARS.rows(slice(0, 619)))
    order = TrainingOrder.from_dict(result["train"])
    for count in (619, 620, 700):
        sessions = BARS.rows(slice(0, count)).sessions
        spec = order.spec
        first = prepare(BARS.rows(slice(0, count)), spec).first_origin
        cut = split(order.evaluation, sessions, first_origin=first, horizon=1, samples=fewest_samples(spec))
        assert cut.protocol["first_session"] > result["validation"]["last_session"]
    asked = split(Evaluation(**walk), sessions[:620], first_origin=first, horizon=1, samples=fewest_samples(spec))
    assert asked.protocol["first_session"] < result["validation"]["last_session"], "as asked it would begin earlier"


def space_values(order: TuningOrder, name: str) -> tuple[Any, ...]:
    return order.search.space[name].values


def test_a_search_that_was_interrupted_ends_like_one_that_was_not(hyperband, checkpoints):
    tried: list[int] = []
    kept = [one for one in map(json.loads, checkpoints) if len(one["trials"]) == 3][-1]
    again = tune(tuning(HYPERBAND), kept=kept, report=note_trials(tried))
    assert min(tried) == 4
    assert figures(again) == figures(hyperband)


def note_trials(tried: list[int]) -> Callable[..., None]:
    def report(stage: str, fraction: float, /, **facts: Any) -> None:
        if stage == "tune":
            tried.append(facts["trial"])

    return report


def interrupted(order: TuningOrder, *, after: int) -> dict[str, Any]:
    """The checkpoint, as JSON keeps it, of a search that is lost in the trial after so many."""
    kept: list[str] = []

    def lose(stage: str, fraction: float, /, **facts: Any) -> None:
        if facts.get("trial") == after + 1:
            raise WorkerLost("lost")

    with pytest.raises(WorkerLost):
        tune(order, report=lose, keep=lambda checkpoint: kept.append(json.dumps(checkpoint)))
    return json.loads(kept[-1])


def test_the_budget_counts_over_all_attempts_and_ends_the_search_with_what_there_is():
    order = tuning({**GRID, "budget_seconds": 100})
    kept = interrupted(order, after=1)
    result = tune(order, kept={**kept, "seconds": 99.5}, elapsed=Steps(0.3))
    assert (result["trials"], result["budget_used_up"]) == (1, True)
    assert result["seconds"] >= 100


def test_the_time_of_a_trial_that_is_lost_is_kept_too():
    kept: list[dict[str, Any]] = []

    def lose(stage: str, fraction: float, /, **facts: Any) -> None:
        if kept:
            raise WorkerLost("lost")

    with pytest.raises(WorkerLost):
        tune(
            tuning({**GRID, "max_epochs": 50, "budget_seconds": 1000}),
            keep=kept.append,
            report=lose,
            elapsed=Steps(3.0),
        )
    assert kept[0]["trials"] == [] and kept[0]["seconds"] > 5


def test_a_long_search_is_handed_on_to_a_fresh_process(monkeypatch):
    monkeypatch.setattr("app.training.tuning.TRIALS_A_PROCESS", 1)
    kept: list[dict[str, Any]] = []
    assert tune(tuning(GRID), keep=kept.append) is None
    result = tune(tuning(GRID), kept=kept[-1])
    assert (len(kept[-1]["trials"]), result["trials"]) == (1, 2)


def test_a_budget_too_small_for_one_trial_is_an_error():
    with pytest.raises(TimeLimitExceeded) as caught:
        tune(tuning({**GRID, "budget_seconds": 10}), elapsed=Steps(4.0))
    assert caught.value.facts == {"budget_seconds": 10, "trials": 0}


def test_a_trial_that_diverges_does_not_end_the_search():
    wild = {**PRICE, "scaler": "standard", "activation": "linear", "optimizer": {"name": "sgd", "clip_norm": None}}
    space = {"optimizer.learning_rate": [0.001, 1e30]}
    order = tuning({"method": "grid", "space": space}, **wild)
    board = tune(order)["leaderboard"]
    assert [(trial["state"], trial["value"] is None) for trial in board] == [("complete", False), ("diverged", True)]
    alone = tuning({"method": "grid", "space": {"optimizer.learning_rate": [1e30]}}, **wild)
    with pytest.raises(FitDiverged) as caught:
        tune(alone)
    assert caught.value.facts == {"trials": 1}
    with pytest.raises(FitDiverged):
        tune(replace(alone, search=replace(alone.search, budget_seconds=10)), elapsed=Steps(4.0))


def test_choices_that_contradict_each_other_are_left_out():
    space = {"architecture": ["lstm", "stacked_lstm"], "units": [[2], [2, 2]]}
    result = tune(tuning({"method": "grid", "space": space, "max_epochs": 1}))
    tried = {(t["changes"]["architecture"], len(t["changes"]["units"])) for t in result["leaderboard"]}
    assert tried == {("lstm", 1), ("lstm", 2), ("stacked_lstm", 2)}


def test_a_network_that_is_fed_back_is_compared_by_its_own_step():
    order = tuning(ONE_POINT, strategy="recursive", horizon=40)
    one_step = tuning(ONE_POINT)
    result = tune(order)
    assert figures(result) == figures(tune(one_step))
    assert (result["best_spec"]["strategy"], result["best_spec"]["horizon"]) == ("recursive", 40)


def test_a_spec_that_keeps_nothing_back_still_keeps_nothing_back_when_it_has_won():
    result = tune(tuning(ONE_POINT, validation_fraction=0.0))
    assert result["best_spec"]["validation_fraction"] == 0.0
    assert result["validation"]["sessions"] > 50


def test_a_history_too_short_is_refused_with_the_numbers():
    with pytest.raises(NotEnoughHistory) as caught:
        tune(tuning(GRID), BARS.rows(slice(0, 150)))
    assert caught.value.facts["need"] > caught.value.facts["have"]


def test_trials_are_compared_on_thirty_sessions_at_least():
    with pytest.raises(NotEnoughHistory) as caught:
        tune(tuning(GRID, validation_fraction=0.05))
    assert caught.value.facts == {"have": 462, "need": 600}
    assert int(0.05 * 600) == 30


class TestStudy:
    """What is drawn and who goes on; no network is fitted."""

    def order(self, **search: Any) -> TuningOrder:
        dropout, batches = {"low": 0.0, "high": 0.5}, {"low": 16, "high": 512, "log": True}
        space = {"units": [[2], [3], [4]], "dropout": dropout, "batch_size": batches}
        return tuning({"method": "random", "trials": 6, "max_epochs": 9, "space": space, **search})

    def play(self, study: Study, draws: int) -> None:
        for _ in range(draws):
            draw = study.draw()
            assert draw is not None
            losses = [1 / (1 + draw.spec.dropout) / epoch for epoch in range(1, 10)]
            ended = any(draw.fell_behind(loss) for loss in losses)
            study.tell(draw, "pruned" if ended else "complete", value=None if ended else losses[-1], seconds=1.0)

    @pytest.mark.parametrize("method", ["random", "hyperband"])
    def test_draws_go_on_from_json_as_if_nothing_had_happened(self, method):
        order = self.order(method=method)
        whole, first = Study(order), Study(order)
        self.play(whole, 12)
        self.play(first, 5)
        again = Study(order, [Trial.from_dict(json.loads(json.dumps(trial.to_dict()))) for trial in first.trials])
        self.play(again, 7)
        assert again.trials == whole.trials

    def test_another_seed_draws_other_points(self):
        one, other = Study(self.order()), Study(self.order(seed=8))
        self.play(one, 3)
        self.play(other, 3)
        assert [t.params for t in one.trials] != [t.params for t in other.trials]

    def test_draws_stay_inside_the_space(self):
        study = Study(self.order())
        self.play(study, 6)
        for trial in study.over:
            spec = study.spec_of(trial)
            assert 16 <= spec.batch_size <= 512 and isinstance(spec.batch_size, int)
            assert 0.0 <= spec.dropout <= 0.5 and len(spec.units) == 1

    def test_no_point_is_tried_twice_and_an_exhausted_space_ends_the_search(self):
        study = Study(self.order(space={"units": [[2], [3]]}))
        self.play(study, 2)
        assert study.draw() is None
        assert len(study.over) == 2

    def test_where_nothing_that_goes_together_is_found_the_space_is_refused(self, monkeypatch):
        monkeypatch.setattr("app.training.search_study.MOST_IDLE_DRAWS", 0)
        with pytest.raises(InvalidSpec) as caught:
            tune(self.order())
        assert caught.value.pointer == "/search/space"
