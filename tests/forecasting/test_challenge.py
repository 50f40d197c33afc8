"""A challenger becomes champion by what it forecast live, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from app.domain.version import CHALLENGER, CHAMPION
from app.evaluation.tests import diebold_mariano
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import aliases, editions, scores, versions
from tests.api.rows import AS_OF, NOW, add_forecast, add_version
from tests.forecasting.conftest import Clock, TestSource, make_bars
from tests.registry.test_scores import came

pytestmark = pytest.mark.slow  # a hundred forecasts a test, each on disk before the next

SPEC = {"features": ["close"], "window": 5}
RIVALS = ("worse_than_champion",)


@pytest.fixture
def rivals(services: Services, source: TestSource, clock: Clock) -> Services:
    """AAA with version 1 as champion, and version 2 as challenger because it was worse on paper."""
    clock.now = NOW
    source.bars["AAA"] = make_bars(300, last=str(AS_OF))
    add_version(services, "AAA", spec=SPEC, alias=CHAMPION)
    add_version(services, "AAA", spec=SPEC | {"window": 6}, alias=CHALLENGER, reasons=RIVALS)
    return services


def live(services: Services, version: int, losses: list[float], *, origin: str = "live") -> None:
    """Let the version have forecast one session after the other, with these CRPS."""
    for day, loss in enumerate(losses):
        issued = add_forecast(services, version=version, as_of_session=AS_OF - timedelta(days=day))
        with services.database.write() as tx:
            (step,) = scores.of_forecasts(tx, [issued.forecast_id]).values()
            moved = replace(step, target_session=step.target_session - timedelta(days=day), origin=origin)
            scores.settle(tx, [came(moved, day, crps=loss)])


def race(services: Services) -> tuple[list[str], dict[str, int]]:
    """Refresh; who was promoted, and where the aliases point."""
    said: dict[str, Any] = refresh_tickers(None, services=services, report=lambda *_: None)
    assert said["failed"] == []
    with services.database.read() as tx:
        return said["promoted"], aliases.all_aliases(tx, "AAA")


def losses(days: int, mean: float, seed: int) -> list[float]:
    return (mean + 0.1 * np.random.default_rng(seed).random(days)).tolist()


STAYED = ([], {CHALLENGER: 2, CHAMPION: 1})


def test_a_challenger_that_is_better_beyond_luck_becomes_champion(rivals: Services) -> None:
    live(rivals, 1, losses(125, 1.0, 1))
    live(rivals, 2, losses(125, 0.9, 2))
    assert race(rivals) == (["AAA"], {CHAMPION: 2})
    with rivals.database.read() as tx:
        risen, was = aliases.history(tx, "AAA", CHAMPION)
        left, _ = aliases.history(tx, "AAA", CHALLENGER)
    assert (risen.version, risen.previous, risen.changed_by, was.version) == (2, 1, "refresh", 1)
    assert "125 live sessions" in risen.reason
    assert (left.version, left.changed_at) == (None, risen.changed_at)
    assert race(rivals) == ([], {CHAMPION: 2})


def test_a_promotion_without_any_new_forecast_is_an_edition_too(
    rivals: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(rivals, 1, losses(40, 1.0, 1))
    live(rivals, 2, losses(40, 0.9, 2))
    clock.now += timedelta(minutes=1)
    assert race(rivals) == STAYED
    monkeypatch.setattr("app.forecasting.challenge.LOOK_EVERY", 40)
    said = refresh_tickers(None, services=rivals, report=lambda *_: None)
    assert (said["promoted"], said["refreshed"]) == (["AAA"], [])
    with rivals.database.read() as tx:
        assert said["edition"] == str(editions.current(tx))


@pytest.mark.parametrize(("days", "mean"), [(124, 0.5), (130, 1.0), (130, 1.5)], ids=["too few", "alike", "worse"])
def test_one_that_is_not_stays_challenger(rivals: Services, days: int, mean: float) -> None:
    live(rivals, 1, losses(days, 1.0, 1))
    live(rivals, 2, losses(days, mean, 2))
    assert race(rivals) == STAYED


def test_between_two_looks_nothing_is_decided(rivals: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.forecasting.challenge.LOOK_EVERY", 40)
    live(rivals, 1, losses(79, 1.0, 1))
    live(rivals, 2, [*losses(39, 0.5, 3), *losses(40, 1.0, 2)])  # the newest first
    assert race(rivals) == STAYED


def test_the_second_look_wants_more_than_the_first(rivals: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.forecasting.challenge.LOOK_EVERY", 40)
    random = np.random.default_rng(3).standard_normal(80)
    ours = 1.0 - 0.17 + (random - random.mean()) / random.std()
    test = diebold_mariano(ours, np.ones(80))
    assert test is not None and 0.05 / 6 < test.p < 0.05
    live(rivals, 1, [1.0] * 80)
    live(rivals, 2, ours[::-1].tolist())
    assert race(rivals) == STAYED


def test_only_sessions_that_both_forecast_live_count(rivals: Services) -> None:
    live(rivals, 1, losses(130, 1.0, 1))
    live(rivals, 2, losses(100, 0.5, 2))
    live(rivals, 2, losses(130, 0.5, 3)[100:], origin="backfill")
    assert race(rivals) == STAYED


def test_a_version_against_which_more_spoke_never_rises_by_itself(rivals: Services) -> None:
    add_version(rivals, "AAA", spec=SPEC, reasons=(*RIVALS, "not_significantly_better"))
    with rivals.database.write() as tx:
        aliases.point(tx, "AAA", CHALLENGER, 3, by="somebody", reason="", now=NOW)
        assert versions.get(tx, "AAA", 3).scorecard["reasons"] == [*RIVALS, "not_significantly_better"]
    live(rivals, 1, losses(125, 1.0, 1))
    live(rivals, 3, losses(125, 0.5, 2))
    assert race(rivals) == ([], {CHALLENGER: 3, CHAMPION: 1})
