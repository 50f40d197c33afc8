"""The twins of the published systems, as they should be: a file of their own, so that both run side by side."""

from __future__ import annotations

import pytest

from tests.e2e.test_recipes import (
    TWINS,
    files,
    home,
    jobs,
    pytestmark,
    service,
    test_each_forecast_goes_as_far_as_the_version_looks,
    test_each_order_ends_in_a_version_of_what_was_ordered,
    test_each_scorecard_has_what_repeating_the_last_value_is_off_by,
    test_each_version_shows_true_against_predicted_and_how_it_learnt,
    version,
)

__all__ = [
    "files",
    "home",
    "jobs",
    "pytestmark",
    "service",
    "test_each_forecast_goes_as_far_as_the_version_looks",
    "test_each_order_ends_in_a_version_of_what_was_ordered",
    "test_each_scorecard_has_what_repeating_the_last_value_is_off_by",
    "test_each_version_shows_true_against_predicted_and_how_it_learnt",
    "version",
]


@pytest.fixture(scope="module")
def orders() -> list[str]:
    return TWINS


@pytest.fixture(params=TWINS)
def name(request: pytest.FixtureRequest) -> str:
    ordered: str = request.param
    return ordered
