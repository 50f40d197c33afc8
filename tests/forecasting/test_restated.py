"""Only what a price history says anew is worth a second look."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from app.domain.history import Action, Bars, PriceHistory
from app.forecasting.restated import told_anew_since
from tests.forecasting.conftest import make_bars

BARS = make_bars(20, last="2024-03-05")
DAYS = [date.fromisoformat(str(day)) for day in BARS.sessions]


def history(bars: Bars = BARS, *actions: Action) -> PriceHistory:
    return PriceHistory(ticker="AAA", source="files", bars=bars, actions=actions)


def told(now: Bars, before: Bars = BARS) -> date | None:
    return told_anew_since(history(before), history(now))


def moved(row: int, name: str = "close", by: float = 1.01) -> Bars:
    column = BARS.column(name).copy()
    column[row] *= by
    return replace(BARS, **{name: column})


def test_the_same_bars_and_older_or_fewer_ones_say_nothing_new() -> None:
    assert told(BARS) is None
    assert told(BARS.rows(slice(5, 20))) is None
    assert told(BARS.rows(slice(0, 15))) is None
    assert told(BARS.rows(np.arange(20)[::-1])) is None


def test_a_new_session_is_new_and_so_is_an_older_beginning() -> None:
    assert told(BARS, before=BARS.rows(slice(0, 17))) == DAYS[17]
    assert told(BARS, before=BARS.rows(slice(3, 20))) == DAYS[0]


@pytest.mark.parametrize("name", ["open", "close", "adj_close", "volume"])
def test_a_value_that_is_another_is_new_beyond_the_last_digits(name: str) -> None:
    assert told(moved(7, name)) == DAYS[7]
    assert told(moved(7, name, by=1 + 1e-9)) is None
    assert told(moved(7, name, by=np.nan)) == DAYS[7]
    assert told(moved(7, name, by=np.nan), before=moved(7, name, by=np.nan)) is None


def test_a_bar_that_came_or_went_in_between_is_where_they_part() -> None:
    gap = BARS.rows(np.arange(20) != 9)
    assert told(gap) == told(BARS, before=gap) == DAYS[9]


def test_other_actions_or_columns_make_it_another_history() -> None:
    split = Action(session=DAYS[4], kind="split", value=2.0)
    assert told_anew_since(history(), history(BARS, split)) == DAYS[0]
    assert told_anew_since(history(BARS, split), history(BARS, split)) is None
    later = replace(split, session=DAYS[19])
    short = history(BARS.rows(slice(0, 19)), split)
    assert told_anew_since(short, history(BARS, split, later)) == DAYS[19]
    assert told(replace(BARS, extra={"mood": BARS.close})) == DAYS[0]
