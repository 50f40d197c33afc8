"""A network that answers one step is fed its own answers: as many steps as are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.dataset.decoding import Network, answers, by_target, decode, move, scale_of, target_scaler
from app.dataset.features import feature_of
from app.dataset.indicators import OUTLIER
from app.dataset.prepare import Dataset
from app.dataset.scaling import Scaling, Spread
from app.dataset.targets import step_scale
from app.dataset.windows import Origins, make_windows, scaled
from app.domain.distribution import Predictive, StudentT
from app.domain.spec import NetworkSpec
from app.domain.student_t import LOWEST_DF, fit_spread

Floats = NDArray[np.float64]

FARTHEST = 10.0  # e^10 times the first value: keeps what a lost network writes finite
REFERENCE_ORIGINS = 8
PATHS = 32  # from each of them


@dataclass(frozen=True, eq=False)
class _Course:
    """What was fed back: ``moves`` ``(targets, origins, horizon)`` are log returns from the origin on.

    ``unit`` ``(targets, origins)`` is the size of the first step: volatility, or the scale that the network answered.
    """

    moves: Floats
    unit: Floats


def foretell(
    network: Network, dataset: Dataset, origins: Origins, scaling: Scaling, *, steps: int | None = None
) -> tuple[Predictive, ...]:
    """Forecast from each of ``origins`` by ``network``, one distribution a target, ``(origins, horizon)``.

    What is fed back may end after ``steps``.

    Raises:
        NotEnoughHistory: a window would begin before the first row.
    """
    if dataset.spec.strategy != "recursive":
        return decode(answers(network, dataset, origins, scaling), dataset, origins, scaling)
    steps = dataset.spec.horizon if steps is None else min(steps, dataset.spec.horizon)
    course = _feed_back(network, dataset, origins, scaling, steps=steps)
    return tuple(
        StudentT(
            moves,
            spread.scale[:steps] * step_scale(unit, steps),
            np.broadcast_to(np.maximum(spread.df[:steps], LOWEST_DF), moves.shape),
        )
        for moves, unit, spread in zip(course.moves, course.unit, scaling.spreads, strict=True)
    )


def simulate_spreads(
    network: Network, dataset: Dataset, origins: Origins, scaling: Scaling, *, one_step: tuple[Spread, ...], seed: int
) -> tuple[Spread, ...]:
    """Return how far paths stray from the one without surprises, one spread a target over all steps.

    From a few of ``origins``, evenly apart, paths are fed back with a surprise at each step, drawn from ``one_step``
    ``(1,)`` each: what an error does to later steps is the network's own doing, and is measured so. But no spread is
    narrower than surprises that add up: a network that forgets an error has not undone it.
    """
    spec = dataset.spec
    chosen = origins[np.linspace(0, len(origins) - 1, min(REFERENCE_ORIGINS, len(origins))).astype(int)]
    starts = np.repeat(chosen, PATHS)
    generator = np.random.default_rng(seed)
    shape = (len(starts), spec.horizon)
    surprises = np.stack([spread.scale[0] * generator.standard_t(spread.df[0], shape) for spread in one_step])
    calm = _feed_back(network, dataset, chosen, scaling, steps=spec.horizon)
    stormy = _feed_back(network, dataset, starts, scaling, steps=spec.horizon, surprises=surprises)
    strays = stormy.moves - np.repeat(calm.moves, PATHS, axis=1)
    fitted = (fit_spread(stray, unit) for stray, unit in zip(strays, np.repeat(calm.unit, PATHS, axis=1), strict=True))
    return tuple(Spread(np.maximum(scale, one.scale[0]), df) for (scale, df), one in zip(fitted, one_step, strict=True))


def _feed_back(
    network: Network,
    dataset: Dataset,
    origins: Origins,
    scaling: Scaling,
    *,
    steps: int,
    surprises: Floats | None = None,
) -> _Course:
    """Ask step by step, each answer becoming the newest row; ``surprises`` are in units of each step's size."""
    spec, columns = dataset.spec, _Columns.of(dataset.spec)
    rows = make_windows(dataset.features, origins, window=spec.window)
    sigma = np.stack([series.sigma[origins] for series in dataset.series])
    values = np.stack([series.values[origins] for series in dataset.series])
    first, moves = values, np.empty((len(sigma), len(origins), steps))
    so_far = np.zeros_like(sigma)
    size = sigma
    for step in range(steps):
        said = by_target(network(scaled(rows, scaler=scaling.features, spec=spec)), targets=len(sigma))
        went = np.stack([_step(said[j], sigma[j], values[j], scaling, j) for j in range(len(sigma))])
        unit = _size(said, sigma)
        size = unit if step == 0 else size
        if surprises is not None:
            went = went + surprises[:, :, step] * unit
        went = np.clip(so_far + went, -FARTHEST, FARTHEST) - so_far
        so_far = moves[:, :, step] = so_far + went
        values = first * np.exp(so_far)
        newest = columns.next_row(rows[:, -1], values, went, sigma)
        rows = np.concatenate([rows[:, 1:], newest[:, None]], axis=1)
    return _Course(moves, size)


def _step(said: Floats, sigma: Floats, values: Floats, scaling: Scaling, index: int) -> Floats:
    """Return the log return that the network names for the next session, ``(origins,)``."""
    return move(said, sigma[:, None], values, target_scaler(scaling, index))[:, 0]


def _size(said: Floats, sigma: Floats) -> Floats:
    """Return what one step's surprises are measured in, ``(targets, origins)``."""
    return scale_of(said, sigma[..., None])[..., 0] if said.shape[-1] > 1 else sigma


@dataclass(frozen=True, eq=False)
class _Columns:
    """What becomes of each column when a session is made up.

    ``forecast`` maps columns to the target they hold; ``prices``, columns of the bars but for volumes, move as the
    target ``leader`` does, for a bar keeps its shape; ``returns`` hold its return in units of volatility. All others,
    indicators and volumes, stay as they were. The first target that is no volume leads; without one prices stay too.
    """

    leader: int
    forecast: dict[int, int]
    prices: list[int]
    returns: list[int]

    @classmethod
    def of(cls, spec: NetworkSpec) -> _Columns:
        fields = [target.field for target in spec.targets]
        leader = next((index for index, name in enumerate(fields) if not name.startswith("volume")), None)
        forecast: dict[int, int] = {}
        prices: list[int] = []
        returns: list[int] = []
        column = 0
        for place, names in enumerate((spec.features, *(spec.read_of_peers for _ in spec.peers))):
            for name in names:
                feature = feature_of(name)
                if place == 0 and name in fields:
                    forecast[column] = fields.index(name)
                elif feature.is_column and not name.startswith("volume"):
                    prices.append(column)
                elif name == "returns":
                    returns.append(column)
                column += len(feature.columns)
        return cls(0, forecast, [], []) if leader is None else cls(leader, forecast, prices, returns)

    def next_row(self, row: Floats, values: Floats, went: Floats, sigma: Floats) -> Floats:
        """Return the row after ``row`` ``(origins, columns)`` when the targets go to ``values`` by ``went``.

        ``values``, ``went`` and their volatility ``sigma`` are ``(targets, origins)``.
        """
        row = row.copy()
        moved = went[self.leader]
        row[:, self.prices] *= np.exp(moved)[:, None]
        row[:, self.returns] = np.clip(moved / sigma[self.leader], -OUTLIER, OUTLIER)[:, None]
        for column, target in self.forecast.items():
            row[:, column] = values[target]
        return row
