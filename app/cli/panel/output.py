"""The figures of a panel as tables, and every prediction behind them as a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from app.cli.panel.figures import Evidence, Line
from app.cli.panel.market import PanelTicker
from app.domain.distribution import PROBABILITIES, Predictive

COLUMNS = (
    "of",
    "n",
    "RMSE ÷ last close",
    "CRPS %",
    "interval 90 %",
    "QLIKE range %",
    "QLIKE r² %",
    "raw 90",
    "shown 90",
    "Kupiec p",
    "DM t",
)
FILE_COLUMNS = ("ticker", "session", "last_close", "point", "sigma", *(f"q{p}" for p in PROBABILITIES))


def cells(line: Line) -> tuple[str, ...]:
    """Return a line as text, a cell a column."""
    gains = (line.crps, line.interval, line.qlike_range, line.qlike_squares)
    return (
        line.of,
        str(line.n),
        f"{line.rmse_ratio:.4f}",
        *(f"{gain:+.2f}" for gain in gains),
        f"{line.coverage:.1f}",
        f"{line.coverage_shown:.1f}",
        "–" if line.kupiec_p is None else f"{line.kupiec_p:.3f}",
        "–" if line.dm is None else f"{line.dm:+.2f}",
    )


def sentences(found: Evidence) -> list[tuple[str, str]]:
    """Return the evidence as names and figures."""
    low, high = found.ci95
    return [
        ("Diebold-Mariano of the daily mean CRPS", f"t {found.dm:+.2f}, p {found.dm_p:.2g}"),
        ("95 % interval of the CRPS gain", f"{low:+.2f} to {high:+.2f} %"),
        ("tickers better", f"{found.better:.0f} %"),
        ("tickers significantly worse", f"{found.worse:.0f} %"),
        ("raw 90 % band passes Kupiec's test", f"{found.kupiec:.0f} % of tickers"),
        ("worst RMSE ÷ last close of a ticker", f"{found.worst_rmse_ratio:.4f}"),
        ("90 % model confidence set", ", ".join(found.confidence_set)),
    ]


def as_markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table for a document."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_predictions(file: Path, panel: Sequence[PanelTicker], said: Sequence[Predictive]) -> None:
    """Write every prediction, one row a ticker and session, so that anybody can score them again.

    ``point`` and quantiles are prices on the basis of ``last_close``, the close before the session as quoted; ``sigma``
    is the standard deviation of the log return.
    """
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(FILE_COLUMNS)
        for one, answer in zip(panel, said, strict=True):
            closes = one.closes[one.origins]
            quantiles = [closes * np.exp(answer.quantile(p)[:, 0]) for p in PROBABILITIES]
            numbers = [closes, closes * np.exp(answer.location[:, 0]), answer.volatility[:, 0], *quantiles]
            for session, *row in zip(one.sessions.astype(str), *numbers, strict=True):
                writer.writerow([one.ticker, session, *(f"{value:.9g}" for value in row)])
