"""What a forecast document, a problem and a progress say in plain words."""

from __future__ import annotations

import asyncio
import io
import itertools
import signal
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from app.cli.console import describe, describe_problem
from app.cli.forecast_table import forecast_table, skill_in_words, state_in_words
from app.client.progress import JobBar
from app.errors import NotEnoughHistory

SKILL = {
    "vs": "persistence",
    "metric": "rmse",
    "value": -0.0007,
    "ci95": (-0.004, 0.002),
    "dm_p": 0.61,
    "n": 1000,
    "beats_baseline": False,
    "crps": -0.001,
    "crps_vs": "ewma_t",
}
DOCUMENT = {
    "ticker": "^GSPC",
    "currency": "USD",
    "state": "stale",
    "reasons": ["stale", "baseline"],
    "as_of_session": "2018-12-31",
    "last_close": 2506.85,
    "steps": [
        {
            "step": 1,
            "field": "close",
            "target_session": "2019-01-02",
            "target_close_at": "2019-01-02T21:00:00Z",
            "point": 2507.5,
            "expected_return": 0.000259,
            "prob_up": 0.517,
            "intervals": [
                {"level": 80, "lower": 2450.0, "upper": 2566.0},
                {"level": 95, "lower": 2401.0, "upper": 2618.0},
            ],
        }
    ],
    "skill": SKILL,
    "calibration": [{"level": 80, "empirical": 0.803, "n": 1000}],
    "model": {
        "version": None,
        "alias": None,
        "architecture": "ewma_t",
        "preset": None,
        "trained_through": None,
    },
    "provenance": {"source": "sample"},
}


def rendered(thing: object) -> str:
    console = Console(width=160, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(thing)
    return captured.get()


def test_a_forecast_shows_session_point_bands_chance_and_who_made_it():
    text = rendered(forecast_table(DOCUMENT))
    for words in (
        "2019-01-02",
        "2,507.50 USD (+0.03%)",
        "2,450.00 to 2,566.00",
        "2,401.00 to 2,618.00",
        "51.7%",
        "held 80.3% of 1000 sessions",
        "the baseline ewma_t",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("shrunk", "told"),
    [
        (2000, ("1.2534 USD on", "1.2250 to 1.2830", "1.2005 to 1.3090")),
        (3e8, ("0.000008356 USD on", "0.000008167 to 0.000008553")),
    ],
)
def test_a_rate_and_a_coin_have_the_digits_in_which_they_move(shrunk, told):
    (step,) = DOCUMENT["steps"]
    bands = [{**band, **{end: band[end] / shrunk for end in ("lower", "upper")}} for band in step["intervals"]]
    small = {**step, "point": step["point"] / shrunk, "intervals": bands}
    for horizon in (1, 2):
        document = {**DOCUMENT, "last_close": DOCUMENT["last_close"] / shrunk, "steps": [small] * horizon}
        text = rendered(forecast_table(document))
        assert all(words in text for words in told)


def steps_of(field: str, horizon: int) -> list[dict[str, object]]:
    last = DOCUMENT["steps"][0]
    days = [f"day {k}" for k in range(1, horizon + 1)]
    return [last | {"step": k + 1, "field": field, "target_session": day} for k, day in enumerate(days)]


def test_several_targets_are_shown_with_their_fields():
    steps = steps_of("close", 2) + steps_of("high", 2)
    lines = rendered(forecast_table({**DOCUMENT, "steps": steps})).splitlines()
    assert "^GSPC: close and high, 2 sessions ahead" in lines[0]
    assert [sum(f"│ {field} " in line for line in lines) for field in ("close", "high")] == [2, 2]
    assert any("Field" in line and "80 % band" in line and "P(up)" in line for line in lines)


def test_a_single_target_needs_no_field_and_is_named_in_the_title():
    text = rendered(forecast_table({**DOCUMENT, "steps": steps_of("high", 3)}))
    assert "high, 3 sessions ahead" in text and "Field" not in text and "more" not in text
    assert "the next high" in rendered(forecast_table({**DOCUMENT, "steps": steps_of("high", 1)}))


def test_of_a_long_horizon_the_first_steps_and_the_last_are_shown():
    text = rendered(forecast_table({**DOCUMENT, "steps": steps_of("close", 251)}))
    shown = [number for number in range(1, 252) if f" day {number} " in text]
    assert shown == [*range(1, 11), 251]
    assert "240 more" in text
    assert "held 80.3% of 1000 sessions" in text


def test_skill_says_its_sign_against_what_and_how_sure():
    assert skill_in_words(SKILL) == (
        "-0.07% in RMSE against the last value (95 % interval -0.40% to +0.20%, 1000 sessions out of sample); "
        "as a distribution not proven better (-0.10% in CRPS against EWMA-t, p = 0.610)"
    )


def test_a_chance_of_nearly_nothing_is_not_called_none():
    assert "p < 0.001)" in skill_in_words({**SKILL, "dm_p": 0.0004})
    assert "p = 0.001)" in skill_in_words({**SKILL, "dm_p": 0.001})


def test_a_skill_of_nearly_nothing_has_no_minus_sign():
    words = skill_in_words({**SKILL, "value": -0.00001, "ci95": None, "dm_p": None, "beats_baseline": True})
    expected = "+0.00% in RMSE against the last value (1000 sessions out of sample); as a distribution better"
    assert words == expected


def test_the_state_names_all_reasons_and_that_the_sample_is_history():
    words = state_in_words(DOCUMENT)
    assert words.startswith("stale: the bars end on 2018-12-31")
    assert "no version has earned the champion alias" in words
    assert "the bundled sample is history" in words


def test_a_fresh_forecast_says_why_it_is():
    fresh = {**DOCUMENT, "state": "fresh", "reasons": [], "provenance": {"source": "yahoo"}}
    assert state_in_words(fresh) == "fresh: no session has closed since the last bar"


def test_a_champion_is_named_with_its_version():
    model = {
        "version": 3,
        "alias": "champion",
        "architecture": "gru",
        "preset": "default",
        "trained_through": "2018-12-31",
    }
    assert "version 3 (champion), gru, trained through 2018-12-31" in rendered(
        forecast_table({**DOCUMENT, "model": model})
    )


def test_an_error_is_one_line_with_its_numbers():
    assert (
        describe(NotEnoughHistory("Too short.", have=30, need=750))
        == "Too short. [not_enough_history, have=30, need=750]"
    )


def test_a_long_fact_is_cut():
    line = describe_problem({"code": "x", "title": "X", "detail": "D.", "lines": ["y" * 500]})
    assert len(line) < 200
    assert line.endswith("...]")


@pytest.mark.parametrize(
    ("state", "progress", "words"),
    [
        ("queued", None, "queued"),
        ("running", None, "starting"),
        (
            "running",
            {"stage": "fit", "fraction": 0.4, "epoch": 3, "epochs": 30, "loss": 0.01},
            "fit, epoch 3/30, loss 0.01",
        ),
        ("succeeded", {"stage": "export"}, "succeeded"),
    ],
)
def test_the_bar_says_where_a_job_stands(state, progress, words):
    screen = io.StringIO()
    with JobBar("Training", console=Console(width=160, file=screen)) as bar:
        bar.show(SimpleNamespace(kind="train", ticker="AAA", state=state, progress=progress))
    assert words in screen.getvalue()


@pytest.mark.parametrize(
    ("kind", "ticker", "stages"),
    [
        ("train", "AAA", ["prices", "fit", "backtest", "export"]),
        ("train", None, ["backtest", "judge", "fit", "export"]),
        ("backtest", "AAA", ["prices", "backtest"]),
    ],
)
def test_the_bar_only_moves_on(kind, ticker, stages):
    seen = []
    with JobBar("Training", console=Console(width=160, file=io.StringIO())) as bar:
        for stage in stages:
            for fraction in (0.0, 0.5, 1.0):
                progress = {"stage": stage, "fraction": fraction}
                bar.show(SimpleNamespace(kind=kind, ticker=ticker, state="running", progress=progress))
                seen.append(bar._progress.tasks[0].completed)
    assert seen == sorted(seen) and seen[-1] > 0.9


def test_ctrl_c_at_any_moment_of_the_bars_beginning_is_ctrl_c_and_leaves_the_terminal_in_order():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for line in range(1, 150):  # of rich's: what it sets up before it draws
        screen = io.StringIO()
        console = Console(width=160, file=screen, force_terminal=True)
        assert _ctrl_c_at_line_of_rich(line, JobBar("Training", console=console))
        console.print("Cancelled.")
        assert screen.getvalue().endswith("Cancelled.\n")
        assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h")  # the cursor hidden, shown
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_event_loop_hears_once_of_ctrl_c_while_the_bar_begins(monkeypatch):
    heard = []

    async def follow():
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, heard.append, "Ctrl-C")
        with JobBar("Training", console=Console(file=io.StringIO())):
            await asyncio.sleep(0.01)

    monkeypatch.setattr(Progress, "start", lambda self: signal.raise_signal(signal.SIGINT))
    asyncio.run(follow())
    assert heard == ["Ctrl-C"]


def _ctrl_c_at_line_of_rich(line, bar):
    lines = itertools.count(1)

    def trace(frame, event, _):
        if event == "line" and "rich" in frame.f_code.co_filename and next(lines) == line:
            signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with bar:
            return False
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
