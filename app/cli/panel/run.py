"""What all contestants say of a panel, computed in two processes."""

from __future__ import annotations

import multiprocessing
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date

from app.cli.panel.contestants import Answers, Period, classical, own_networks, periods_of, pooled_network
from app.cli.panel.market import PanelTicker
from app.domain.distribution import Predictive, concatenate
from app.domain.history import to_date

PROCESSES = 2
PARTS = 8  # of a panel whose tickers have networks of their own: what compiling costs is shared within a part


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task:
    """A piece of the work, told of under ``name``."""

    name: str
    work: Callable[..., Answers]
    arguments: tuple[object, ...]


def forecast_panel(
    panel: Sequence[PanelTicker], *, pooled: bool, first: date, tell: Callable[[str], None]
) -> list[dict[str, Predictive]]:
    """Return what every contestant said of every session, one mapping a ticker.

    The network is fitted anew at ``first`` and at each New Year, on everything before; ``pooled``: one for all tickers.

    Raises:
        NotEnoughHistory, FitDiverged: a network could not be fitted; ask for a later ``first``.
    """
    periods = periods_of(first, to_date(max(one.sessions[-1] for one in panel)))
    tasks = _network_tasks(panel, periods, pooled=pooled)
    tasks += [_Task(name=f"rivals on {one.ticker}", work=classical, arguments=(one,)) for one in panel]
    begun = time.monotonic()
    # Spawned, for a process that has used TensorFlow hangs in its forks.
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
        futures = {processes.submit(task.work, *task.arguments): task.name for task in tasks}
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            tell(f"{time.monotonic() - begun:5.0f} s, {done} of {len(tasks)}: {futures[future]}")
        return _by_ticker(panel, [future.result() for future in futures])


def _network_tasks(panel: Sequence[PanelTicker], periods: Sequence[Period], *, pooled: bool) -> list[_Task]:
    if pooled:
        return [
            _Task(name=f"network of {start.year}", work=pooled_network, arguments=(panel, start, end))
            for start, end in periods
        ]
    parts = [part for place in range(PARTS) if (part := panel[place::PARTS])]
    return [
        _Task(name=f"networks of {', '.join(one.ticker for one in part)}", work=own_networks, arguments=(part, periods))
        for part in parts
    ]


def _by_ticker(panel: Sequence[PanelTicker], answers: Sequence[Answers]) -> list[dict[str, Predictive]]:
    """Join what was said of each ticker by each contestant, in the order of time."""
    parts: dict[str, dict[str, list[Predictive]]] = {one.ticker: defaultdict(list) for one in panel}
    for answer in answers:
        for ticker, name, said in answer:
            parts[ticker][name].append(said)
    return [{name: concatenate(said) for name, said in of_one.items()} for of_one in parts.values()]
