"""Time cut into honest train and test pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.history import to_date
from app.domain.order import (
    SHORT_TEST_FRACTION,
    TEST_SESSIONS,
    TRAIN_SAMPLES,
    TRAIN_SESSIONS,
    Evaluation,
    fewest_sessions,
)
from app.domain.pooled import Window
from app.errors import InvalidSpec, NotEnoughHistory

Sessions = NDArray[np.datetime64]


@dataclass(frozen=True)
class Fold:
    """Ranges of origins: the fit learns from ``train``, then forecasts at ``test``.

    The last target of ``train`` is known at the first origin of ``test``: ``train.stop + horizon == test.start + 1``.
    """

    train: range
    test: range


@dataclass(frozen=True)
class Split:
    """The folds, oldest first, and the protocol in words for the scorecard."""

    folds: tuple[Fold, ...]
    protocol: dict[str, Any]

    @property
    def tested(self) -> NDArray[np.intp]:
        """The test origins of all folds, oldest first."""
        return np.concatenate([np.arange(fold.test.start, fold.test.stop) for fold in self.folds])


def split(
    evaluation: Evaluation, sessions: Sessions, *, first_origin: int, horizon: int, samples: int = TRAIN_SAMPLES
) -> Split:
    """Cut the bars of ``sessions`` ``(bars,)`` into folds; test targets of step 1 tile the end of the history.

    ``horizon`` counts the steps that the network itself answers: as many sessions lie between the last origin that a
    fold learns from and the first one it is tested at.

    Walk-forward shrinks ``n_windows``, then ``step_size``, so that 500 sessions train, and says so in the protocol.

    Raises:
        NotEnoughHistory: fewer than ``samples`` origins would train; bring ``need`` bars, or test from a later
            ``train_end`` on, with ``need`` bars before.
        InvalidSpec: ``train_end`` leaves nothing to test.
    """
    bars = len(sessions)
    untested = first_origin + horizon + samples
    walks = evaluation.kind == "walk_forward"
    windows, step = _walk(evaluation, bars, untested) if walks else _fixed(evaluation, sessions)
    length = step if walks and evaluation.refit else windows * step
    starts = range(bars - windows * step - 1, bars - 1, length)
    folds = tuple(Fold(range(first_origin, s - horizon + 1), range(s, s + length)) for s in starts)
    if (trained := len(folds[0].train)) < samples:
        fewest = f"{trained} samples to train on, at least {samples} needed."
        if evaluation.train_end is not None:
            detail = f"{bars - step} sessions up to {evaluation.train_end} leave {fewest}"
            raise NotEnoughHistory(detail, pointer="/evaluation/train_end", have=bars - step, need=untested)
        need = fewest_sessions(evaluation, first_origin=first_origin, horizon=horizon, samples=samples)
        raise NotEnoughHistory(f"{bars} sessions leave {fewest}", have=bars, need=max(need, bars + 1))
    return Split(folds, _protocol(evaluation, sessions, folds, windows=windows, step=step))


def shared_windows(
    evaluation: Evaluation, sessions: Sequence[Sessions], *, first_origin: int, horizon: int, samples: int
) -> tuple[tuple[Window, ...], dict[str, Any]]:
    """Cut the days on which any of several tickers was traded into windows to forecast, the same for all of them.

    ``sessions`` has one entry a ticker. Also returns the protocol in words.

    Raises:
        NotEnoughHistory, InvalidSpec: as ``split``, of the days together.
    """
    days = np.unique(np.concatenate(sessions))
    cut = split(evaluation, days, first_origin=first_origin, horizon=horizon, samples=samples)
    ends = [(days[fold.test.start + 1], days[fold.test.stop]) for fold in cut.folds]
    return tuple(Window(first=to_date(first), last=to_date(last)) for first, last in ends), cut.protocol


def folds_in(
    windows: Sequence[Window], sessions: Sessions, *, first_origin: int, horizon: int, samples: int
) -> dict[int, Fold]:
    """Return one ticker's fold by the number of the window: its target sessions lie in it, its rivals learn before it.

    A window in which the ticker has no session, or before which it has fewer than ``samples``, has none.

    Raises:
        NotEnoughHistory: no window is left; bring ``need`` bars.
    """
    found: dict[int, Fold] = {}
    missing: list[int] = []
    for number, window in enumerate(windows):
        start = int(np.searchsorted(sessions, np.datetime64(window.first))) - 1
        stop = len(sessions) - 1
        if window.last is not None:
            stop = int(np.searchsorted(sessions, np.datetime64(window.last), side="right")) - 1
        train = range(first_origin, start - horizon + 1)
        if stop > start and len(train) >= samples:
            found[number] = Fold(train, range(start, stop))
        elif stop > start:
            missing.append(samples + first_origin + horizon - 1 - start)
    if not found:
        if not missing:
            raise NotEnoughHistory(f"No session since {windows[0].first} to be tested on.", have=0, need=1)
        have, need = len(sessions), len(sessions) + min(missing)
        detail = f"{have} sessions, at least {need} needed for {samples} samples before the last window that is tested."
        raise NotEnoughHistory(detail, have=have, need=need)
    return found


def split_of(folds: Mapping[int, Fold], sessions: Sessions, protocol: Mapping[str, Any]) -> Split:
    """Return one ticker's split at windows shared with others, whose ``protocol`` says how they were asked for."""
    own = tuple(folds.values())
    return Split(own, {**protocol, **_tested(sessions, own)})


def require_scored(cut: Split, *, horizon: int) -> None:
    """Refuse a horizon of which no tested forecast could be scored to its end.

    The first tested origin knows as many of its steps as there are tested sessions, every later one fewer.

    Raises:
        NotEnoughHistory: there are ``have`` tested sessions, ``need`` steps; look less far ahead, or test on more.
    """
    tested = sum(len(fold.test) for fold in cut.folds)
    if tested < horizon:
        detail = f"{tested} sessions are left to test on: no forecast of {horizon} steps could be scored to its end."
        raise NotEnoughHistory(detail, pointer="/spec/horizon", have=tested, need=horizon)


def _walk(evaluation: Evaluation, bars: int, untested: int) -> tuple[int, int]:
    """Return the windows and the step size that the history can bear."""
    spare = bars - max(TRAIN_SESSIONS, untested)
    if spare >= evaluation.step_size:
        return min(evaluation.n_windows, spare // evaluation.step_size), evaluation.step_size
    step = spare if spare >= TEST_SESSIONS else max(int(bars * SHORT_TEST_FRACTION), 1)
    return 1, min(step, evaluation.step_size)


def _fixed(evaluation: Evaluation, sessions: Sessions) -> tuple[int, int]:
    """Return one window: the sessions after ``train_end``, or the newest ``test_fraction``."""
    if evaluation.train_end is None:
        tested = max(1, int(len(sessions) * (evaluation.test_fraction or SHORT_TEST_FRACTION)))
        return 1, min(tested, len(sessions) - 1)
    tested = int(np.sum(sessions > np.datetime64(evaluation.train_end)))
    if not 0 < tested < len(sessions):
        raise InvalidSpec(
            f"train_end {evaluation.train_end} does not lie inside the history.",
            pointer="/evaluation/train_end",
            first_session=str(sessions[0]),
            last_session=str(sessions[-1]),
        )
    return 1, tested


def _protocol(
    evaluation: Evaluation, sessions: Sessions, folds: tuple[Fold, ...], *, windows: int, step: int
) -> dict[str, Any]:
    """Say how the out-of-sample forecasts are made."""
    walks = evaluation.kind == "walk_forward"
    return {
        "kind": evaluation.kind,
        "n_windows_asked": evaluation.n_windows if walks else 1,
        "n_windows": windows,
        "step_size_asked": evaluation.step_size if walks else step,
        "step_size": step,
        "shrunk": walks and (windows, step) != (evaluation.n_windows, evaluation.step_size),
        "refit": walks and evaluation.refit,
        **_tested(sessions, folds),
    }


def _tested(sessions: Sessions, folds: tuple[Fold, ...]) -> dict[str, Any]:
    """Say what is learnt from and tested."""
    first, last = folds[0].test[0] + 1, folds[-1].test[-1] + 1
    return {
        "fits": len(folds),
        "history_sessions": len(sessions),
        "first_train_samples": len(folds[0].train),
        "sessions": last - first + 1,
        "first_session": str(sessions[first]),
        "last_session": str(sessions[last]),
    }
