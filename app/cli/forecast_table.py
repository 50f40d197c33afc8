"""A forecast document in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from math import floor, log10
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

_FIRST_STEPS = 10  # of a long horizon these are shown, and the last

_REASONS = {
    "degraded": "the price source is down, so the last good bars had to do",
    "stale": "the bars end on {as_of_session}, and sessions have closed since",
    "baseline": "no version has earned the champion alias, so the baseline answers",
}
_BASELINES = {"persistence": "the last value", "ewma_t": "EWMA-t"}


def forecast_table(document: Mapping[str, Any]) -> RenderableType:
    """Say what is forecast, how sure that is and how far to believe it; several steps have a table of their own."""
    steps = document["steps"]
    fields = list(dict.fromkeys(step["field"] for step in steps))
    named, horizon = " and ".join(fields), len(steps) // len(fields)
    title = f"{document['ticker']}: " + (f"the next {named}" if horizon == 1 else f"{named}, {horizon} sessions ahead")
    if len(steps) == 1:
        return _grid(title, [_last_close(document), *_one_step(steps[0], document), *_belief(document)])
    table = _steps_table(document, show_field=len(fields) > 1)
    return Group(_grid(title, [_last_close(document)]), table, _grid(None, _belief(document)))


def state_in_words(document: Mapping[str, Any]) -> str:
    """Say the state and every reason for it: ``stale: the bars end on 2018-12-31, and …``."""
    reasons = [_REASONS.get(code, code).format(**document) for code in document["reasons"]]
    if document["provenance"].get("source") == "sample" and "stale" in document["reasons"]:
        reasons.append("the bundled sample is history; another source goes on to today")
    return f"{document['state']}: {'; '.join(reasons) or 'no session has closed since the last bar'}"


def skill_in_words(skill: Mapping[str, Any]) -> str:
    """Say how the point forecast and the whole distribution compare with the baseline, and how sure that is."""
    against, spread_against = (_BASELINES.get(skill[name], skill[name]) for name in ("vs", "crps_vs"))
    facts = [f"{skill['n']} sessions out of sample"]
    if skill["ci95"]:
        facts.insert(0, "95 % interval {:+z.2%} to {:+z.2%}".format(*skill["ci95"]))
    point = f"{skill['value']:+z.2%} in {skill['metric'].upper()} against {against} ({', '.join(facts)})"
    verdict = "better" if skill["beats_baseline"] else "not proven better"
    words = f"{point}; as a distribution {verdict}"
    if skill["dm_p"] is None or skill["crps"] is None:
        return words
    p = "p < 0.001" if skill["dm_p"] < 0.001 else f"p = {skill['dm_p']:.3f}"
    return f"{words} ({skill['crps']:+z.2%} in CRPS against {spread_against}, {p})"


def _grid(title: str | None, rows: list[tuple[str, str]]) -> Table:
    grid = Table(title=title, box=box.ROUNDED, show_header=False, title_justify="left")
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, value)
    return grid


def _steps_table(document: Mapping[str, Any], *, show_field: bool) -> Table:
    """One row a step; of a long horizon the first ones and the last of each field."""
    levels = [interval["level"] for interval in document["steps"][0]["intervals"]]
    names = [
        *(["Field"] if show_field else []),
        "Step",
        "Session",
        "Point",
        *(f"{n:g} % band" for n in levels),
        "P(up)",
    ]
    table = Table(*names, box=box.ROUNDED)
    for field, group in groupby(document["steps"], key=lambda step: step["field"]):
        steps = list(group)
        left_out = len(steps) - _FIRST_STEPS - 1
        shown = [*steps[:_FIRST_STEPS], steps[-1]] if left_out > 0 else steps
        for step in shown:
            if left_out > 0 and step is steps[-1]:
                table.add_row(*([""] if show_field else []), "…", f"{left_out} more")
            bands = (f"{_price(i['lower'])} to {_price(i['upper'])}" for i in step["intervals"])
            point = f"{_price(step['point'])} ({step['expected_return']:+.2%})"
            cells = (str(step["step"]), step["target_session"], point, *bands, f"{step['prob_up']:.1%}")
            table.add_row(*([field] if show_field else []), *cells)
    return table


def _last_close(document: Mapping[str, Any]) -> tuple[str, str]:
    return "Last close", f"{_price(document['last_close'])}{_currency(document)} on {document['as_of_session']}"


def _one_step(step: Mapping[str, Any], document: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Session", f"{step['target_session']}, closes {step['target_close_at']}"),
        ("Point", f"{_price(step['point'])}{_currency(document)} ({step['expected_return']:+.2%})"),
        *((f"{i['level']:g} % band", f"{_price(i['lower'])} to {_price(i['upper'])}") for i in step["intervals"]),
        ("P(up)", f"{step['prob_up']:.1%}"),
    ]


def _belief(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("Skill", skill_in_words(document["skill"]))]
    for entry in document["calibration"]:
        where = "live" if entry.get("origin") == "live" else "out of sample"
        held = f"held {entry['empirical']:.1%} of {entry['n']} sessions {where}"
        rows.append((f"{entry['level']:g} % kept", held))
    return [*rows, ("Model", _model_in_words(document["model"])), ("State", state_in_words(document))]


def _price(value: float) -> str:
    """Two decimals from 10 on, four from 1 on, below four digits that count: a rate or a coin has its moves there."""
    size = abs(value)
    if 0 < size < 1:
        return f"{value:.{3 - floor(log10(size))}f}"
    return f"{value:,.4f}" if 0 < size < 10 else f"{value:,.2f}"


def _currency(document: Mapping[str, Any]) -> str:
    return f" {document['currency']}" if document["currency"] else ""


def _model_in_words(model: Mapping[str, Any]) -> str:
    if model["version"] is None:
        return f"the baseline {model['architecture']}"
    named = f" ({model['alias']})" if model["alias"] else ""
    return f"version {model['version']}{named}, {model['architecture']}, trained through {model['trained_through']}"
