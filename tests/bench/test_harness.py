"""The bench itself: what it makes of figures, of sections that break off and of peers that are not there."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import __main__ as bench
from tests.bench import engines
from tests.bench.peers.job import Job
from tests.bench.race import Entrant, Peer, race
from tests.bench.report import document, markdown, table_of
from tests.bench.rows import Row, measured, more, once, quicker, within
from tests.bench.sections import rows_of, section_of

JOB = Job(network="gru", units=(2,), window=3, columns=1, samples=8, batch_size=4)
ECHO = """
from tests.bench.peers.job import compete
compete(lambda job: lambda: float(job.samples))
"""


def printed(*rows: Row) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table_of(rows))
    return captured.get()


def test_a_figure_is_a_median_between_its_outer_tenths():
    figure = measured([3.0, 1.0, 2.0, 50.0, 2.5], "s")
    assert (figure.value, figure.unit) == (2.5, "s")
    assert 1.0 < figure.low < 2.0
    assert 3.0 < figure.high < 50.0
    assert once(2.0, "s").text == "2 s"


@pytest.mark.parametrize(("seconds", "verdict"), [(1.9, "met"), (2.1, "missed")])
def test_a_duration_is_judged_by_how_many_times_as_long_the_peer_takes(seconds, verdict):
    row = quicker("epoch", once(seconds, "s"), "Keras", once(10.0, "s"), at_least=5)
    assert row.ratio == pytest.approx(10 / seconds)
    assert (row.goal, row.verdict) == ("≥ 5x", verdict)


@pytest.mark.parametrize(("rate", "verdict"), [(51.0, "met"), (49.0, "missed")])
def test_a_rate_is_judged_by_how_many_times_as_many_there_are(rate, verdict):
    row = more("models", once(rate, "1/h"), "Keras", once(10.0, "1/h"), at_least=5)
    assert (row.ratio, row.verdict) == (pytest.approx(rate / 10), verdict)


@pytest.mark.parametrize(("p99", "verdict"), [(2.9, "met"), (3.1, "missed")])
def test_what_should_not_grow_is_judged_by_how_many_times_as_much_it_is(p99, verdict):
    row = within("p99", once(p99, "ms"), "p50", once(1.0, "ms"), at_most=3)
    assert (row.goal, row.verdict) == ("≤ 3x", verdict)


@pytest.mark.parametrize(("value", "verdict"), [(159.0, "met"), (161.0, "missed")])
def test_a_figure_without_a_peer_is_judged_by_itself(value, verdict):
    row = Row(what="memory", ours=once(value, "MB"), at_most=160)
    assert (row.goal, row.verdict) == ("≤ 160 MB", verdict)


def test_a_figure_without_a_goal_is_only_told():
    row = Row(what="stage", ours=once(2.0, "s"))
    assert (row.goal, row.verdict) == (None, None)


def test_a_peer_that_is_not_there_is_named_and_nothing_is_held_against_it():
    row = quicker("epoch", once(2.0, "s"), "PyTorch", None, at_least=1.5)
    assert (row.ratio, row.verdict) == (None, "not available")
    assert "PyTorch: not available" in printed(row)


def test_a_section_that_breaks_off_keeps_its_rows_and_says_why(tmp_path):
    def section(_: Path):
        yield Row(what="first", ours=once(1.0, "s"))
        raise SystemExit("the API did not get ready")

    first, last = rows_of("start", section, tmp_path)
    assert first.what == "first"
    assert (last.what, last.verdict, last.failed) == ("start", "failed", "SystemExit: the API did not get ready")
    assert "the API did not get ready" in printed(first, last)


def test_the_rest_runs_on_and_is_kept_with_the_machine_when_a_section_breaks_off(tmp_path, monkeypatch, capsys):
    def broken(_: Path):
        raise ValueError("no")

    sections = {"broken": broken, "whole": lambda _: [Row(what="stage", ours=once(2.0, "s"))]}
    monkeypatch.setattr(bench, "SECTIONS", sections)
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results.json")
    bench.main([])
    kept = json.loads((tmp_path / "results.json").read_text())
    assert [(row["section"], row["verdict"]) for row in kept["rows"]] == [("broken", "failed"), ("whole", None)]
    assert kept["machine"]["cores"] >= 1
    assert kept["seconds"].keys() == sections.keys()


def test_a_section_that_cannot_be_imported_is_a_row_too(tmp_path):
    (row,) = rows_of("absent", section_of("absent"), tmp_path)
    assert row.failed == "ModuleNotFoundError: No module named 'tests.bench.absent'"


def test_every_section_is_there():
    for name in bench.SECTIONS:
        assert callable(importlib.import_module(f"tests.bench.{name}").section)


def test_single_sections_can_be_chosen_and_unknown_ones_are_refused(tmp_path, monkeypatch, capsys):
    sections = {name: lambda _: [Row(what="stage", ours=once(2.0, "s"))] for name in ("one", "two")}
    monkeypatch.setattr(bench, "SECTIONS", sections)
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results.json")
    bench.main(["two"])
    assert {row["section"] for row in json.loads((tmp_path / "results.json").read_text())["rows"]} == {"two"}
    with pytest.raises(SystemExit, match="2"):
        bench.main(["three"])
    assert "one, two" in capsys.readouterr().err


def test_a_row_is_kept_with_all_that_is_printed():
    row = quicker("epoch", measured([1.0, 2.0], "s"), "Keras", once(10.0, "s"), at_least=5, note="from half epochs")
    (kept,) = document({"training": [row]}, {"training": 1.0}, now=datetime(2026, 1, 1, tzinfo=UTC))["rows"]
    assert kept["ours"] == {"value": 1.5, "low": pytest.approx(1.1), "high": pytest.approx(1.9), "unit": "s"}
    assert (kept["goal"], kept["verdict"], kept["note"]) == ("≥ 5x", "met", "from half epochs")


def test_what_is_kept_can_be_printed_again_as_markdown():
    rows = [quicker("epoch", once(2.0, "s"), "Keras", once(10.0, "s"), at_least=5, note="half epochs"), Row(what="API")]
    kept = json.loads(json.dumps(document({"training": rows}, {}, now=datetime(2026, 1, 1, tzinfo=UTC))))
    assert markdown(kept).splitlines()[2:] == [
        "| epoch; half epochs | Keras: 10 s | 2 s | 5x | ≥ 5x | met |",
        "| API | – | – | – | – | not available |",
    ]


@pytest.fixture
def echo(tmp_path, monkeypatch) -> Peer:
    """A peer whose round takes as many seconds, it says, as there are samples."""
    (tmp_path / "echo.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Peer(name="Echo", module="echo")


def test_two_processes_at_a_time_count_half_and_the_better_form_is_kept(echo):
    alone = Entrant(peer=echo, job=replace(JOB, samples=6, threads=2), processes=1)
    both = Entrant(peer=echo, job=replace(JOB, samples=8), processes=2)
    raced = race([alone, both], rounds=2)[echo]
    assert raced.seconds == (4.0,) * 4
    assert raced.entrant.form == "2 × 1 thread"


def test_a_peer_without_its_environment_does_not_race(echo, tmp_path):
    missing = replace(echo, name="PyTorch", python=tmp_path / "python")
    entrants = [Entrant(peer=peer, job=JOB, processes=1) for peer in (echo, missing)]
    assert race(entrants, rounds=1).keys() == {echo}


def test_a_peer_that_breaks_off_is_quoted():
    broken = Peer(name="Echo", module="surely_no_such_module", python=Path(sys.executable))
    with pytest.raises(RuntimeError, match="surely_no_such_module"):
        race([Entrant(peer=broken, job=JOB, processes=1)], rounds=1)


@pytest.mark.slow
@pytest.mark.redis
def test_both_engines_do_their_jobs(tmp_path):
    pytest.importorskip("celery", reason="the extra `scale` is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    (row,) = engines.section(tmp_path, jobs=2, rounds=1, seconds=0.1)
    assert (row.peer, row.goal) == ("embedded", "≥ 0.95x")
    assert row.ours.value > 0
    assert row.ratio == pytest.approx(row.ours.value / row.theirs.value)
