"""``morrow bench``: measurements that anybody can repeat on data of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

from app.cli.console import WIDTH, describe, describe_problem, err, give_up, out, table
from app.cli.panel import output
from app.cli.recipe_runs import recipes as all_recipes
from app.cli.recipe_runs import run_all, service
from app.cli.recipe_table import as_markdown, as_table, lines
from app.client import ClientError
from app.domain.presets import preset_of
from app.domain.spec import NetworkSpec
from app.errors import AppError

STYLES = ("table", "markdown", "json")
PANEL_PRESETS = ("pooled", "default")
PANEL_STYLES = ("table", "markdown")


def recipes(*, data: Path, seeds: int, workers: int, only: Sequence[str], style: str) -> None:
    """Train the recipes on the CSV files in ``data`` and print their figures as ``table``, ``markdown`` or ``json``."""
    if style not in STYLES:
        give_up(f"--format {style}: one of {', '.join(STYLES)}", code=2)
    presets = [preset for preset in all_recipes() if not only or preset.name in only]
    if unknown := sorted(set(only) - {preset.name for preset in presets}):
        known = ", ".join(preset.name for preset in all_recipes())
        give_up(f"--only {unknown[0]}: no such recipe; there are {known}", code=2)
    if missing := sorted({p.ticker for p in presets if p.ticker and not (data / f"{p.ticker}.csv").is_file()}):
        give_up(f"{data} has no {', '.join(f'{ticker}.csv' for ticker in missing)}", code=2)
    started = time.monotonic()
    try:
        with service(data, workers=workers) as client:
            runs = run_all(client, presets, seeds=seeds, tell=lambda line: err.print(line, markup=False))
    except ClientError as refusal:
        give_up(describe_problem(refusal.problem))
    found = lines(presets, runs)
    if style == "json":
        out.print_json(json.dumps([asdict(line) for line in found]))
    elif style == "markdown":
        out.print(as_markdown(found), markup=False, soft_wrap=True)
    else:
        out.width = max(out.width, WIDTH)
        out.print(as_table(found))
    err.print(f"{len(runs)} trainings, {workers} at a time: {(time.monotonic() - started) / 60:.0f} minutes.")
    if any(run.error for run in runs):
        raise SystemExit(1)


def panel(*, data: Path, first: date, preset: str, file: Path | None, style: str) -> None:
    """Forecast every session since ``first`` of the tickers in ``data``, and print the network beside GARCH."""
    # Statistics that the other benches do without.
    from app.cli.panel.figures import evidence, panel_line, ticker_lines, year_lines
    from app.cli.panel.losses import losses_of
    from app.cli.panel.market import read_panel
    from app.cli.panel.run import forecast_panel

    if preset not in PANEL_PRESETS:
        give_up(f"--preset {preset}: one of {', '.join(PANEL_PRESETS)}", code=2)
    if style not in PANEL_STYLES:
        give_up(f"--format {style}: one of {', '.join(PANEL_STYLES)}", code=2)
    started = time.monotonic()
    spec = NetworkSpec.from_dict(preset_of(preset).spec)
    try:
        tickers = read_panel(data, spec, first=first, now=datetime.now(UTC), tell=_tell)
        if not tickers:
            give_up(f"{data} has no ticker with a session to forecast since {first}", code=2)
        said = forecast_panel(tickers, pooled=preset == "pooled", first=first, tell=_tell)
    except AppError as error:
        give_up(describe(error))
    if file:
        output.write_predictions(file, tickers, [one["network"] for one in said])
    scored = [losses_of(one, answers) for one, answers in zip(tickers, said, strict=True)]
    overall = panel_line(scored)
    _print_table(output.COLUMNS, [output.cells(line) for line in [*ticker_lines(scored), overall]], style)
    _print_table(output.COLUMNS, [output.cells(line) for line in [*year_lines(scored), overall]], style)
    _print_table(("evidence", preset), output.sentences(evidence(scored)), style)
    err.print(f"{len(tickers)} tickers, {overall.n} forecasts: {(time.monotonic() - started) / 60:.0f} minutes.")


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> None:
    if style == "markdown":
        out.print(output.as_markdown(header, rows), markup=False, soft_wrap=True)
        out.print()
        return
    out.width = max(out.width, WIDTH)
    out.print(table(*header, rows=rows))


def _tell(line: str) -> None:
    err.print(line, markup=False)
