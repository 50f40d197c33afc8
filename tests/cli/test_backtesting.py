"""``morrow backtest`` as a user types it."""

from __future__ import annotations

import json

import pytest

from app.cli.backtesting import _row, _words
from tests.cli.test_commands import one_line_error

SAMPLE = ("backtest", "^GSPC", "--source", "sample")
SMALL = ["architecture=lstm", 'features=["returns"]', "window=5", "units=[2]", "epochs=1", "batch_size=512"]


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--set", "colour=red"], 2, "spec.colour"),
        (["--set", "window"], 2, "not of the form KEY=VALUE"),
        (["--preset", "best"], 1, "unknown_preset"),
        (["--preset", "pooled"], 1, "invalid_spec"),
        (["--start", "2018-01-01", "--end", "2017-01-01"], 1, "is after end"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_any_job(run, options, code, word):
    result = run(*SAMPLE, *options)
    assert result.returncode == code
    assert word in one_line_error(result)
    assert "queued" not in run("jobs").stdout


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_backtest_shows_every_contestant_and_registers_nothing(run):
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    fixed = [part for change in SMALL for part in ("--set", change)]
    shown = run(*SAMPLE, "--start", "2010-01-01", *fixed, "--once", "--json", train_threads="1")
    assert shown.returncode == 0, shown.stderr
    card = json.loads(shown.stdout)
    rivals = {"persistence", "ewma_t", "drift", "moving_average", "garch_t", "gjr_t", "har_range_t"}
    assert set(card["contestants"]) == {"model", *rivals}
    assert set(card["tests"]) == rivals
    assert (card["protocol"]["refit"], card["protocol"]["fits"]) == (False, 1)
    assert set(card["seconds"]) == {"dataset", "backtest", "judge"}
    assert "No model yet" in run("models").stderr
    assert "backtest" in run("jobs").stdout


def test_the_table_and_the_words_say_how_it_was_judged():
    scored = {"rmse_ratio": 1.0002, "crps": 0.0043, "coverage_90": 0.888}
    result = {
        "contestants": {"model": {**scored, "qlike_squared": None}, "ewma_t": {**scored, "qlike_squared": 1.7}},
        "tests": {"ewma_t": {"crps_gain": 0.0123, "dm_p": 0.0123, "dm_statistic": -2.3, "n": 1000}},
        "confidence_set": {"included": ["model"]},
        "protocol": {"first_session": "2015-01-12", "last_session": "2018-12-31", "refit": False, "fits": 1},
        "skill": {"n": 1000},
        "reasons": ["not_significantly_better"],
        "earned_champion": False,
        "seconds": {"backtest": 31.4},
    }
    assert _row("model", result) == ("model", "1.0002", "0.00430", None, None, "yes", "88.8%", None)
    assert _row("ewma_t", result)[3:6] == ("+1.23%", "0.012", "no")
    words = _words(result)
    assert "fitted once, the window rolled on" in words
    assert "It would not be champion: not_significantly_better." in words
    assert "backtest 31 s" in words
