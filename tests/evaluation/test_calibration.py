from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from app.evaluation.calibration import FEWEST_SCORES, WINDOW, nonconformity, shown_levels

LEVELS = (80.0, 90.0, 95.0)


def pits_of(spread: float, n: int = 3000, seed: int = 1) -> np.ndarray:
    """PITs of a standard normal forecast when what comes is ``spread`` times as wide."""
    return norm.cdf(spread * np.random.default_rng(seed).standard_normal(n))


def next_levels(pits: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """The levels for the session after ``pits``, of which nothing is known yet."""
    return shown_levels(np.append(pits, np.nan), levels)[-1]


def covered(pits: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return np.mean(nonconformity(pits)[:, None] <= levels, axis=0)


@pytest.mark.parametrize("spread", [0.6, 1.0, 1.6])
def test_bands_that_are_too_wide_or_too_narrow_come_to_hold_what_they_promise(spread: float):
    pits = pits_of(spread)
    shown = shown_levels(pits, LEVELS)
    np.testing.assert_allclose(100 * covered(pits[WINDOW:], shown[WINDOW:]), LEVELS, atol=1.0)
    raw = covered(pits[WINDOW:], np.tile(LEVELS, (len(pits) - WINDOW, 1)))
    assert spread == 1.0 or np.abs(100 * raw - LEVELS).max() > 5


def test_a_spread_that_changes_for_good_is_followed():
    pits = np.concatenate([pits_of(1.0, 1000), pits_of(2.0, 2000, seed=2)])
    shown = shown_levels(pits, LEVELS)
    np.testing.assert_allclose(100 * covered(pits[1300:], shown[1300:]), LEVELS, atol=1.5)


def test_nothing_that_comes_later_moves_what_was_shown():
    pits = pits_of(1.3, 600)
    before = shown_levels(pits, LEVELS)
    for cut in (0, FEWEST_SCORES, 333, 599):
        changed = pits.copy()
        changed[cut:] = 1.0 - 1e-9
        np.testing.assert_array_equal(shown_levels(changed, LEVELS)[: cut + 1], before[: cut + 1])
        np.testing.assert_array_equal(next_levels(pits[:cut], LEVELS), before[cut])


def test_the_level_itself_is_shown_until_enough_sessions_are_scored():
    pits = pits_of(2.0, 100)
    shown = shown_levels(pits, LEVELS)
    np.testing.assert_array_equal(shown[:FEWEST_SCORES], np.tile(LEVELS, (FEWEST_SCORES, 1)))
    assert (shown[FEWEST_SCORES] > LEVELS).all()
    np.testing.assert_array_equal(next_levels(np.array([]), LEVELS), LEVELS)


def test_a_session_without_a_score_is_as_if_it_had_not_been():
    pits = pits_of(1.5, 400)
    gaps = np.insert(pits, [10, 200, 200, 399], np.nan)
    kept = np.isfinite(gaps)
    np.testing.assert_array_equal(shown_levels(gaps, LEVELS)[kept], shown_levels(pits, LEVELS))
    np.testing.assert_array_equal(next_levels(gaps, LEVELS), next_levels(pits, LEVELS))


def test_the_level_is_the_quantile_of_the_last_scores_at_the_alpha_that_the_misses_made():
    pits = pits_of(1.4, 400)
    shown, scores = shown_levels(pits, [90.0])[:, 0], nonconformity(pits)
    alpha = 0.1
    for row in range(FEWEST_SCORES, len(pits)):
        window = scores[max(0, row - WINDOW) : row]
        assert shown[row] == pytest.approx(np.quantile(window, np.clip(1 - alpha, 0, 1)), rel=1e-12)
        alpha += 0.005 * (0.1 - (scores[row] > shown[row]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1e-12, 0.3, 0.5, 0.97, 1.0, np.nan]), max_size=150), st.integers(0, 9))
def test_levels_are_finite_below_certainty_and_in_order(tail: list[float], seed: int):
    pits = np.concatenate([pits_of(1.0, 80, seed), tail])
    levels = [50.0, 80.0, 95.0, 99.5]
    shown = np.vstack([shown_levels(pits, levels), next_levels(pits, levels)])
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() < 100
    assert (np.diff(shown, axis=1) >= 0).all()
