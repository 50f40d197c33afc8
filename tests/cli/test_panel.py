"""The bench over a folder of tickers: nothing knows the future, and every figure can be computed again."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scoringrules
from statsmodels.tsa.api import diebold_mariano_test

from app.cli.panel.contestants import GARCH, NETWORK, classical, periods_of
from app.cli.panel.figures import evidence, panel_line, ticker_lines, year_lines
from app.cli.panel.losses import TickerLosses, losses_of
from app.cli.panel.market import PanelTicker, read_panel
from app.cli.panel.output import FILE_COLUMNS, write_predictions
from app.domain.distribution import PROBABILITIES, Predictive, Quantiles, StudentT, concatenate
from app.domain.history import Bars
from app.domain.presets import preset_of
from app.domain.spec import NetworkSpec
from tests.dataset.series import with_other_future
from tests.forecasting.conftest import make_bars

NOW = datetime(2024, 3, 6, 12, tzinfo=UTC)
FIRST = date(2023, 6, 1)
SPEC = NetworkSpec.from_dict(preset_of("pooled").spec)


def write(folder: Path, ticker: str, bars: Bars) -> None:
    columns = ("open", "high", "low", "close", "adj_close", "volume")
    with (folder / f"{ticker}.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"])
        for row, session in enumerate(bars.sessions):
            writer.writerow([session, *(repr(float(bars.column(name)[row])) for name in columns)])


def paying(bars: Bars) -> Bars:
    """The same bars with a dividend every hundred: what is quoted before it counts a hundredth less."""
    return replace(bars, adj_close=bars.close * 0.99 ** (np.arange(len(bars))[::-1] // 100))


def panel_of(folder: Path, **bars: Bars) -> tuple[PanelTicker, ...]:
    for ticker, of_ticker in bars.items():
        write(folder, ticker, of_ticker)
    return read_panel(folder, SPEC, first=FIRST, now=NOW, tell=lambda _: None)


def said_of(one: PanelTicker) -> dict[str, Predictive]:
    """What the rivals say, and a network that is HAR by its quantiles."""
    parts: dict[str, list[Predictive]] = {}
    for _, name, said in classical(one):
        parts.setdefault(name, []).append(said)
    together = {name: concatenate(said) for name, said in parts.items()}
    har = together["har_range_t"]
    return {NETWORK: Quantiles(np.stack([har.quantile(p) for p in PROBABILITIES], axis=-1)), **together}


@pytest.fixture(scope="module")
def panel(tmp_path_factory) -> tuple[PanelTicker, ...]:
    folder = tmp_path_factory.mktemp("panel")
    return panel_of(folder, LONG=paying(make_bars(600, seed=1)), LATE=make_bars(150, seed=2))


@pytest.fixture(scope="module")
def said(panel) -> list[Mapping[str, Predictive]]:
    return [said_of(one) for one in panel]


@pytest.fixture(scope="module")
def scored(panel, said) -> list[TickerLosses]:
    return [losses_of(one, answers) for one, answers in zip(panel, said, strict=True)]


def test_returns_are_those_of_the_adjusted_close(panel):
    bars = paying(make_bars(600, seed=1))
    returns = np.diff(np.log(bars.adj_close))
    np.testing.assert_allclose(panel[1].actual, returns[-len(panel[1].actual) :], atol=1e-12)


def test_every_session_since_the_first_has_a_row_and_a_late_ticker_once_its_window_is_full(panel):
    late, long = panel
    assert (late.ticker, long.ticker) == ("LATE", "LONG")
    assert long.sessions[0] == np.datetime64(FIRST)
    assert late.origins[0] == late.dataset.first_origin
    for one in panel:
        np.testing.assert_array_equal(one.sessions, one.dataset.sessions[one.origins[0] + 1 :])


def test_a_file_that_cannot_be_used_is_left_out_and_told_of(tmp_path):
    write(tmp_path, "GOOD", make_bars(200))
    (tmp_path / "BAD.csv").write_text("no bars at all\n")
    told: list[str] = []
    panel = read_panel(tmp_path, SPEC, first=FIRST, now=NOW, tell=told.append)
    assert [one.ticker for one in panel] == ["GOOD"]
    assert [line.split()[0] for line in told] == ["BAD"]


def test_a_network_is_fitted_anew_at_the_start_and_each_new_year():
    days = [date(2019, 3, 1), date(2020, 1, 1), date(2021, 1, 1), None]
    assert periods_of(date(2019, 3, 1), date(2021, 1, 4)) == list(pairwise(days))


def test_the_rivals_know_nothing_of_the_session_that_they_forecast(tmp_path):
    bars = make_bars(500, seed=4)
    cut = 420
    before, after = ({}, {})
    for folder, of_ticker, kept in (("a", bars, before), ("b", with_other_future(bars, cut), after)):
        (tmp_path / folder).mkdir()
        (one,) = panel_of(tmp_path / folder, X=of_ticker)
        known = one.origins <= cut
        kept |= {name: said.quantile(0.05)[known] for name, said in said_of(one).items()}
    assert len(before[GARCH]) > 100
    for name, quantile in before.items():
        np.testing.assert_allclose(after[name], quantile, rtol=1e-9, err_msg=name)


def test_losses_are_those_of_scoringrules(panel, said, scored):
    one, answers, losses = panel[1], said[1], scored[1]
    actual, garch = one.actual, answers[GARCH]
    expected = scoringrules.crps_t(actual, garch.df[:, 0], garch.location[:, 0], garch.scale[:, 0])
    np.testing.assert_allclose(losses.crps[GARCH], expected)
    lower, upper = garch.quantile(0.05)[:, 0], garch.quantile(0.95)[:, 0]
    np.testing.assert_allclose(losses.interval[GARCH], scoringrules.interval_score(actual, lower, upper, 0.1))
    # The network is HAR by its quantiles, and both kinds of CRPS are the same integral.
    assert losses.crps[NETWORK].mean() == pytest.approx(losses.crps["har_range_t"].mean(), rel=2e-3)


def test_qlike_is_least_for_the_variance_that_came(panel):
    one = panel[1]
    losses = {}
    for factor in (0.5, 1.0, 2.0):
        scale = factor * np.maximum(np.abs(one.actual), 1e-4)[:, None]
        exact = StudentT(np.zeros_like(scale), scale * np.sqrt(3 / 5), np.full_like(scale, 5.0))
        losses[factor] = losses_of(one, {NETWORK: exact}).qlike_squares[NETWORK].mean()
    assert losses[1.0] == pytest.approx(0.0, abs=0.02)
    assert losses[0.5] > losses[1.0] < losses[2.0]


def test_a_network_that_is_garch_gains_nothing(panel, said):
    same = [losses_of(one, {**answers, NETWORK: answers[GARCH]}) for one, answers in zip(panel, said, strict=True)]
    line = panel_line(same)
    assert (line.crps, line.interval, line.qlike_range, line.qlike_squares) == (0.0, 0.0, 0.0, 0.0)


def test_the_panels_figures_are_those_of_its_rows(scored):
    line = panel_line(scored)
    ours, theirs = (np.concatenate([one.crps[name] for one in scored]) for name in (NETWORK, GARCH))
    assert line.crps == pytest.approx(100 * (1 - ours.mean() / theirs.mean()))
    assert line.n == len(ours) == sum(year.n for year in year_lines(scored)) == sum(t.n for t in ticker_lines(scored))
    singles = [np.sqrt(one.squared[NETWORK].mean() / one.squared["persistence"].mean()) for one in scored]
    assert line.rmse_ratio == pytest.approx(np.mean(singles))
    assert line.coverage == pytest.approx(100 * np.concatenate([one.inside for one in scored]).mean())


def test_the_evidence_is_on_the_daily_mean_over_tickers(scored):
    difference: dict[np.datetime64, list[float]] = {}
    for one in scored:
        for session, ours, theirs in zip(one.sessions, one.crps[NETWORK], one.crps[GARCH], strict=True):
            difference.setdefault(session, []).append(ours - theirs)
    daily = np.array([np.mean(difference[session]) for session in sorted(difference)])
    test = diebold_mariano_test(
        np.zeros(len(daily)), daily, np.zeros(len(daily)), lags=11, criterion=lambda _, f: f, harvey_adj=True
    )
    found = evidence(scored)
    assert found.dm == pytest.approx(-test.statistic)
    assert found.ci95[0] < panel_line(scored).crps < found.ci95[1]
    assert set(found.confidence_set) <= {NETWORK, GARCH, "ewma_t", "har_range_t", "persistence"}


def test_the_file_has_every_prediction_in_prices_on_the_quoted_close(panel, said, tmp_path):
    write_predictions(tmp_path / "out.csv", panel, [answers[NETWORK] for answers in said])
    with (tmp_path / "out.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == FILE_COLUMNS
    assert FILE_COLUMNS[5:8] == ("q0.01", "q0.025", "q0.05")
    assert [row["ticker"] for row in rows] == ["LATE"] * len(panel[0].origins) + ["LONG"] * len(panel[1].origins)
    row, one = rows[-1], panel[1]
    close = one.closes[-2]
    assert (row["session"], float(row["last_close"])) == (str(one.sessions[-1]), pytest.approx(close))
    for p in PROBABILITIES:
        move = np.log(float(row[f"q{p}"]) / close)
        assert move == pytest.approx(said[1][NETWORK].quantile(p)[-1, 0], abs=1e-7)
    assert row["point"] == row["q0.5"]
    assert float(row["sigma"]) == pytest.approx(said[1][NETWORK].volatility[-1, 0], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--preset", "ibm-lstm"], "one of pooled, default"), (["--format", "html"], "one of table, markdown")],
)
def test_an_unknown_choice_is_refused(run, tmp_path, options, message):
    ended = run("bench", "panel", "--data", str(tmp_path), "--from", "2023-01-01", *options)
    assert ended.returncode == 2
    assert message in ended.stderr


def test_a_folder_without_anything_to_forecast_is_refused(run, tmp_path):
    ended = run("bench", "panel", "--data", str(tmp_path), "--from", "2023-01-01")
    assert ended.returncode == 2
    assert "no ticker with a session to forecast" in ended.stderr


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("preset", ["pooled", "default"])
def test_a_folder_becomes_tables_and_a_file(run, tmp_path, preset):
    pytest.importorskip("tensorflow", reason="the worker extra is not installed")
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, "A", make_bars(800, seed=1))
    write(folder, "B", make_bars(300, seed=2))
    file = tmp_path / "out.csv"
    options = ["--from", "2024-01-02", "--preset", preset, "--out", str(file), "--format", "markdown"]
    ended = run("bench", "panel", "--data", str(folder), *options)
    assert ended.returncode == 0, ended.stderr
    with file.open() as handle:
        rows = list(csv.DictReader(handle))
    assert {row["ticker"] for row in rows} == {"A", "B"}
    assert len(rows) == 2 * len({row["session"] for row in rows})
    assert f"| all | {len(rows)} |" in ended.stdout
