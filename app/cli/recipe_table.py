"""What the recipes came to, beside what was reported and beside yesterday's value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from rich.table import Table

from app.cli.console import table
from app.cli.recipe_runs import Run
from app.domain.presets import Preset

COLUMNS = ("recipe", "of", "reported", "ours, median (range)", "yesterday's value", "drift", "ratio", "seconds")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure of one recipe, in price units; ``ours`` has an entry a seed, ``seconds`` too."""

    recipe: str
    of: str
    reported: float | None
    ours: tuple[float, ...]
    persistence: float | None
    drift: float | None
    seconds: tuple[float, ...]
    search_seconds: float | None
    errors: tuple[str, ...]

    @property
    def cells(self) -> tuple[str | None, ...]:
        """The line as text, a cell a column; ``None`` is nothing."""
        middle = median(self.ours) if self.ours else None
        ratio = middle / self.persistence if middle and self.persistence else None
        seconds = f"{median(self.seconds):.0f}" if self.seconds else None
        if self.search_seconds is not None:
            seconds = f"{seconds or '–'} + {self.search_seconds:.0f} to search"
        return (
            self.recipe,
            self.of,
            _number(self.reported),
            f"{_number(middle)} ({_number(min(self.ours))} to {_number(max(self.ours))})"
            if self.ours
            else "; ".join(self.errors) or None,
            _number(self.persistence),
            _number(self.drift),
            f"{ratio:.3f}" if ratio else None,
            seconds,
        )


def lines(presets: Sequence[Preset], runs: Sequence[Run]) -> list[Line]:
    """Return the figures recipe by recipe: RMSE a session ahead, and over all steps where there are several."""
    return [line for preset in presets for line in _lines(preset, [run for run in runs if run.preset == preset.name])]


def _lines(preset: Preset, runs: Sequence[Run]) -> Iterator[Line]:
    horizon = preset.spec.get("horizon", 1)
    figures = {"rmse": "one session ahead"} | ({"rmse_path": f"{horizon} sessions written"} if horizon > 1 else {})
    good = [run.contestants for run in runs if run.contestants]
    for metric, of in figures.items():
        first = good[0] if good else {}
        yield Line(
            recipe=preset.name,
            of=of,
            reported=preset.reported.get(metric),
            ours=tuple(value for card in good if (value := card["model"].get(metric)) is not None),
            persistence=first.get("persistence", {}).get(metric),
            drift=first.get("drift", {}).get(metric),
            seconds=tuple(run.seconds for run in runs),
            search_seconds=next((run.search_seconds for run in runs if run.search_seconds is not None), None),
            errors=tuple(run.error for run in runs if run.error),
        )


def as_table(found: Sequence[Line]) -> Table:
    """Return the figures for a terminal."""
    return table(*COLUMNS, rows=[line.cells for line in found])


def as_markdown(found: Sequence[Line]) -> str:
    """Return the figures for a document."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(line.cells for line in found)]
    return "\n".join(f"| {' | '.join(cell or '–' for cell in row)} |" for row in rows)


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
