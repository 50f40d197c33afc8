"""What each contestant says of every session of a panel, from the sessions before it alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.cli.panel.market import PanelTicker
from app.domain.distribution import Predictive
from app.domain.scale_line import fit_scale_line
from app.evaluation.classical import garch_t
from app.evaluation.rivals import ewma_t
from app.evaluation.splits import Fold
from app.evaluation.verdict import FEWEST_SESSIONS

Rows = NDArray[np.intp]
#: Ticker, contestant, and what it said of consecutive sessions, ``(n, 1)``.
Answers = list[tuple[str, str, Predictive]]
#: The first day, and the first day after it; ``None``: it lasts.
Period = tuple[date, date | None]

REFIT = 63  # sessions
NETWORK, GARCH, PERSISTENCE = "network", "garch_t", "persistence"


def classical(one: PanelTicker) -> Answers:
    """Let the rivals forecast every session; all are refitted every 63 sessions on all that is known.

    ``persistence``: no change, with the spread of all returns so far; ``ewma_t``: no change, as wide as recent
    volatility; ``har_range_t``: a line from daily ranges to the log scale; ``garch_t``: GARCH(1,1) with Student-t
    errors and a constant mean. Only HAR sees more than closes: what the network sees.
    """
    data, first, stop = one.dataset, int(one.origins[0]), int(one.origins[-1]) + 1
    cuts = list(range(first, stop, REFIT))
    answers: Answers = []
    for cut, end in pairwise([*cuts, stop]):
        # The target of the row before the cut is the return that ended at it: the newest that is known.
        fold = Fold(range(cut), range(cut, end))
        line = fit_scale_line(data.features[:cut], data.targets[:cut, 0] / data.sigma[:cut])
        answers += [
            # Where volatility is always the same, all returns so far count alike.
            (one.ticker, PERSISTENCE, ewma_t(data.targets, np.ones(len(data)), fold)),
            (one.ticker, "ewma_t", ewma_t(data.targets, data.sigma, fold)),
            (one.ticker, "har_range_t", line.predictive(data.features[cut:end], data.sigma[cut:end])),
        ]
    return [*answers, (one.ticker, GARCH, garch_t(data.targets[:-1, 0], cuts, stop=stop).said)]


def pooled_network(panel: Sequence[PanelTicker], start: date, end: date | None) -> Answers:
    """Fit one network on all that ended before ``start`` and let it forecast the sessions up to ``end``, exclusive."""
    # TensorFlow: only processes that fit networks pay for it.
    from app.training.fit import make_learners
    from app.training.pooled import fit_pooled
    from app.training.threads import use_threads

    use_threads(1)
    datasets = [one.dataset for one in panel]
    network = fit_pooled(datasets, make_learners(datasets[0]), _ignore, before=start)
    chosen = [(one, one.between(start, end)) for one in panel]
    return [(one.ticker, NETWORK, network.predict(one.dataset, at)[0]) for one, at in chosen if len(at)]


def own_networks(panel: Sequence[PanelTicker], periods: Sequence[Period]) -> Answers:
    """Fit one network a ticker at the start of each of ``periods``, and let it forecast the sessions of that period.

    While a ticker has fewer sessions than a champion needs, EWMA-t answers, as it does in the service.
    """
    # TensorFlow: as above.
    from app.training.fit import Fit, fit_networks, make_learners
    from app.training.threads import use_threads

    use_threads(1)
    answers: Answers = []
    fits: list[Fit] = []
    tested: list[tuple[str, Rows]] = []
    for one in panel:
        data = one.dataset
        for start, end in periods:
            at = one.between(start, end)
            if not len(at):
                continue
            cut = int(at[0])
            if cut + 1 < FEWEST_SESSIONS:
                said = ewma_t(data.targets, data.sigma, Fold(range(cut), range(cut, int(at[-1]) + 1)))
                answers.append((one.ticker, NETWORK, said))
            else:
                fits.append(Fit(data, range(data.first_origin, cut + 1 - data.spec.reach)))
                tested.append((one.ticker, at))
    networks = fit_networks(fits, make_learners(panel[0].dataset), _ignore)
    for network, fit, (ticker, at) in zip(networks, fits, tested, strict=True):
        answers.append((ticker, NETWORK, network.predict(fit.dataset, at)[0]))
    return answers


def periods_of(first: date, last: date) -> list[Period]:
    """Return the periods at whose start a network is fitted anew: ``first``, and each New Year up to ``last``."""
    starts = [first, *(date(year, 1, 1) for year in range(first.year + 1, last.year + 1))]
    return list(zip(starts, [*starts[1:], None], strict=True))


def _ignore(stage: str, fraction: float, /, **numbers: float) -> None:
    """The work of a bench is told of piece by piece, not from inside."""
