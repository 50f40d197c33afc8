"""The rule about jumps: is a move so large a trade's, a split's, or another instrument's?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.domain.finding import Finding
from app.domain.history import Floats, PriceHistory
from app.prices.audit_finding import OHLC, Checked, finding, log_prices, log_steps, severity_of, traded
from app.prices.audit_scale import nearest_ratio, off_scale, spoken_ratio

_SMALLEST = np.log(1.45)
_PLAIN = np.log(1.85)  # below, real moves come as large, and every sign must speak for a split
_HUGE = np.log(5)  # above, no quiet day is a real move
_NEAR = 0.05  # how closely the overnight gap meets a ratio; it also holds a night's news
_AT_THE_END = 5
_PAST = 20


def check_jumps(history: PriceHistory, fields: Sequence[str]) -> Checked:
    """Refuse jumps to another scale that no trading explains: splits, and bars of another instrument.

    A real move of that size is fought out in the session, with a wide range and much volume. A split
    is over before the open: the day is quiet, and the gap is a simple ratio.
    """
    broken = off_scale(history)
    names = [name for name in traded(history, fields) if name not in broken]
    jumps: dict[int, list[str]] = {}
    for name in names:
        for row in map(int, np.flatnonzero(np.abs(log_steps(history.bars.column(name))) >= _SMALLEST)):
            jumps.setdefault(row, []).append(name)
    findings = []
    for row, moved in sorted(jumps.items()):
        jump = _Jump.of(history, row, moved[-1], names)
        code = jump.verdict()
        if code:
            findings.append(_write(history, jump, code, moved, fields))
    if any(found.code == "unadjusted_split" for found in findings):
        history = replace(history, price_basis="as_traded")
    return history, findings


@dataclass(frozen=True)
class _Jump:
    """What is known about one jump: the evidence for and against trading as its cause.

    ``move`` (close to close) and ``gap`` (overnight) are log steps. ``span`` and ``volume`` are the
    bar's range and volume in units of the median of the 20 before, NaN where unknown. ``left``
    counts the bars from the jump to the end.
    """

    row: int
    field: str
    move: float
    gap: float
    span: float
    volume: float
    stays: bool
    left: int

    @classmethod
    def of(cls, history: PriceHistory, row: int, field: str, sound: Sequence[str]) -> _Jump:
        """Gather the evidence around the bar ``row``; fields that are not ``sound`` give none."""
        bars = history.bars
        logs = log_prices(bars.column(field))
        move = float(logs[row] - logs[row - 1])
        overnight = float(log_prices(bars.open)[row] - log_prices(bars.close)[row - 1])
        spans = log_prices(bars.high) - log_prices(bars.low)
        return cls(
            row=row,
            field=field,
            move=move,
            gap=overnight if field in OHLC and {"open", "close"} <= set(sound) and np.isfinite(overnight) else move,
            span=_against(spans, row),
            volume=_against(bars.volume, row),
            stays=bool(abs(np.nanmedian(logs[row : row + 6]) - logs[row]) < 0.5 * abs(move)),
            left=len(bars) - row,
        )

    def verdict(self) -> str | None:
        """Return the finding's code, ``None`` when the jump may well be a real move."""
        size = abs(self.gap)
        if not self.stays or self.span > 2.5 or abs(self.move - self.gap) > 0.5 * size:
            return None
        if size < _HUGE and self.volume > 4 * self._more_shares():
            return None
        if self.left <= _AT_THE_END and size >= _HUGE:
            return "wrong_instrument"
        if self._meets_ratio():
            return "unadjusted_split"
        if size >= (np.log(3) if self.left <= _AT_THE_END else _HUGE):
            return "wrong_instrument"
        return None

    def _meets_ratio(self) -> bool:
        """Whether the gap is a split's; small ratios are believed only of a day quiet in every way."""
        size = abs(self.gap)
        distance = abs(self.gap - float(nearest_ratio(np.array([self.gap]))[0]))
        if size >= _PLAIN:
            return distance < _NEAR and (np.isfinite(self.span) or abs(self.move - self.gap) < _NEAR)
        quiet = self.span < 1.5 and self.volume < 2 * self._more_shares()
        return size >= _SMALLEST - _NEAR and distance < 0.5 * _NEAR and quiet

    def _more_shares(self) -> float:
        """A split makes more shares, and so more of them change hands."""
        return float(np.exp(max(0.0, -self.gap)))


def _against(values: Floats, row: int) -> float:
    """Return a value in units of the median of those before; NaN where either is unknown or 0."""
    past = values[max(0, row - _PAST) : row]
    usual = past[np.isfinite(past) & (past > 0)]
    if len(usual) < 5 or not values[row] > 0:
        return float("nan")
    return float(values[row] / np.median(usual))


def _write(history: PriceHistory, jump: _Jump, code: str, moved: Sequence[str], used: Sequence[str]) -> Finding:
    """Write the finding with the numbers on both sides of the jump."""
    rows = np.arange(len(history)) == jump.row
    values = history.bars.column(jump.field)
    ratio = spoken_ratio(float(nearest_ratio(np.array([-jump.gap]))[0]))
    cause = {
        "unadjusted_split": f"the size of a split {ratio} that the prices before it are not adjusted for",
        "wrong_instrument": f"the last {jump.left} bars are on another scale: of another instrument, or after a split",
    }[code]
    detail = (
        f"{jump.field} jumps from {values[jump.row - 1]:g} to {values[jump.row]:g} "
        f"on {history.bars.sessions[jump.row]}: {cause}."
    )
    return finding(code, severity_of(moved, used), detail, history, rows=rows, fields=moved)
