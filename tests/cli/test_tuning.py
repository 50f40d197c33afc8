"""``morrow tune`` as a user types it."""

from __future__ import annotations

import io
import shlex
from types import SimpleNamespace

import pytest
from rich.console import Console

from app.cli.training import fields_of
from app.cli.tuning import _flat, _score, _show_training, _words
from app.client.progress import JobBar
from tests.cli.test_commands import one_line_error

SAMPLE = ("tune", "^GSPC", "--source", "sample")


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--space", "colour=[1]"], 1, "no field 'colour'"),
        (["--space", "units"], 2, "--space units: not of the form KEY=VALUE"),
        (["--space", "horizon=[1, 2]"], 1, "compared by"),
        (["--space", 'optimizer.learning_rate={"low": 1, "high": 0.1}'], 1, "low is not below high"),
        (["--method", "anneal"], 2, "search.method"),
        (["--method", "grid", "--space", 'window={"low": 5, "high": 9}'], 1, "needs its step"),
        (["--set", "colour=red"], 2, "spec.colour"),
        (["--preset", "best"], 1, "unknown_preset"),
        (["--preset", "pooled"], 1, "invalid_spec"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_job(run, options, code, word):
    result = run(*SAMPLE, *options)
    assert result.returncode == code
    assert word in one_line_error(result)
    assert "queued" not in run("jobs").stdout


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_search_shows_its_leaderboard_and_the_command_that_trains_the_best(run):
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    small = ["architecture=lstm", 'features=["returns"]', "window=5", "epochs=1", "batch_size=512"]
    fixed = [part for change in small for part in ("--set", change)]
    result = run(
        *SAMPLE, *fixed, "--method", "grid", "--space", "units=[[2], [3]]", "--budget", "300", train_threads="1"
    )
    assert result.returncode == 0, result.stderr
    assert "2 trials, 0 of them ended early" in result.stdout
    assert "units=[2]" in result.stdout and "units=[3]" in result.stdout
    assert "the baseline ewma_t scores" in result.stdout
    command = result.stdout.strip().splitlines()[-1]
    assert command.startswith("morrow train '^GSPC' --source sample --set architecture=lstm")
    assert "--set 'units=[" in command and "--set epochs=1" in command
    assert "tune" in run("jobs").stdout


def test_the_bar_says_which_trial_runs_and_how_good_the_best_is():
    screen = io.StringIO()
    told = {"stage": "tune", "fraction": 0.5, "trial": 3, "trials": 9, "epoch": 2, "epochs": 27, "best": 0.00512}
    with JobBar("Searching", console=Console(width=160, file=screen)) as bar:
        bar.show(SimpleNamespace(kind="tune", ticker="AAA", state="running", progress=told))
    assert "tune, trial 3/9, epoch 2/27, best CRPS 0.00512" in screen.getvalue()


def test_a_trial_is_shown_in_words():
    entry = {
        "value": 0.0045,
        "state": "complete",
        "changes": {"units": [64, 32], "optimizer": {"learning_rate": 0.00123}},
    }
    assert _words(entry) == "units=[64,32] optimizer.learning_rate=0.00123"
    assert _score(entry, 0.005) == "0.004500 (+10.00%)"
    assert _score({**entry, "value": None, "state": "pruned"}, 0.005) == "pruned"
    assert dict(_flat(entry["changes"])) == {"units": [64, 32], "optimizer.learning_rate": 0.00123}


def test_the_command_that_trains_another_architecture_names_the_layers_it_was_tried_with(capsys):
    result = {
        "leaderboard": [{"changes": {"architecture": "lstm"}}],
        "best_spec": {"architecture": "lstm", "units": [32], "dropout": 0.0},
        "train": {"ticker": "MSFT"},
    }
    _show_training(result, preset="default", source=None, changes=["units=[16]", "epochs=3"])
    command = shlex.split(capsys.readouterr().out)
    assert fields_of(command[command.index("--set") + 1 :: 2]) == {
        "architecture": "lstm",
        "units": [32],
        "dropout": 0.0,
        "epochs": 3,
    }
