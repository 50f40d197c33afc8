from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.recipe_runs import Run, recipes
from app.cli.recipe_table import COLUMNS, as_markdown, lines
from app.domain.presets import preset_of
from tests.cli.conftest import Run as Morrow


def ran(preset: str, seed: int, *, error: str | None = None, **metrics: float) -> Run:
    contestants = {
        "model": metrics,
        "persistence": dict.fromkeys(metrics, 2.0),
        "drift": dict.fromkeys(metrics, 2.5),
    }
    return Run(preset=preset, seed=seed, seconds=10.0 * seed, contestants=None if error else contestants, error=error)


def test_every_tutorials_system_is_a_recipe_as_published_and_as_it_should_be():
    names = [preset.name for preset in recipes()]
    assert len(names) == 24
    assert {f"{name}+" for name in names if not name.endswith("+")} == {name for name in names if name.endswith("+")}


def test_a_line_has_the_median_and_the_range_of_the_seeds_beside_what_was_reported():
    (line,) = lines(
        [preset_of("ibm-lstm")], [ran("ibm-lstm", seed, rmse=value) for seed, value in ((1, 6), (2, 3), (3, 4))]
    )
    cells = dict(zip(COLUMNS, line.cells, strict=True))
    assert cells["recipe"] == "ibm-lstm"
    assert cells["reported"] == "5.172"
    assert cells["ours, median (range)"] == "4 (3 to 6)"
    assert cells["yesterday's value"] == "2"
    assert cells["ratio"] == "2.000"
    assert cells["seconds"] == "20"


def test_several_steps_have_a_line_of_their_own():
    one, year = lines([preset_of("ibm-sequence")], [ran("ibm-sequence", 1, rmse=3.0, rmse_path=12.0)])
    assert (one.of, one.reported, one.ours) == ("one session ahead", None, (3.0,))
    assert (year.of, year.reported, year.ours) == ("251 sessions written", 10.885, (12.0,))


def test_a_training_that_failed_is_told_in_its_line():
    (line,) = lines([preset_of("msft-gru")], [ran("msft-gru", 1, error="fit_diverged: the loss was not a number")])
    assert "fit_diverged: the loss was not a number" in line.cells
    assert as_markdown([line]).splitlines()[2].startswith("| msft-gru | one session ahead | – | fit_diverged")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--only", "ibm-nothing"), "no such recipe"),
        (("--only", "ibm-lstm"), "has no IBM.csv"),
        (("--format", "html"), "--format html: one of table, markdown, json"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(run: Morrow, tmp_path: Path, arguments, words):
    ended = run("bench", "recipes", "--data", str(tmp_path), *arguments)
    assert ended.returncode == 2
    assert words in ended.stderr
