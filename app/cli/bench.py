"""``morrow bench``: measurements that anybody can repeat on data of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from app.cli.client import ApiRefused
from app.cli.console import describe_problem, err, give_up, out
from app.cli.recipe_runs import recipes as all_recipes
from app.cli.recipe_runs import run_all, service
from app.cli.recipe_table import as_markdown, as_table, lines

WIDTH = 132
STYLES = ("table", "markdown", "json")


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
    except ApiRefused as refusal:
        give_up(describe_problem(refusal.problem))
    found = lines(presets, runs)
    if style == "json":
        out.print_json(json.dumps([asdict(line) for line in found]))
    elif style == "markdown":
        out.print(as_markdown(found), markup=False, soft_wrap=True)
    else:
        out.width = max(out.width, WIDTH)  # a pipe has none, and figures broken into lines cannot be read
        out.print(as_table(found))
    err.print(f"{len(runs)} trainings, {workers} at a time: {(time.monotonic() - started) / 60:.0f} minutes.")
    if any(run.error for run in runs):
        raise SystemExit(1)
