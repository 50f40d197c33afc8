"""A forecast document in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

_REASONS = {
    "degraded": "the price source is down, so the last good bars had to do",
    "stale": "the bars end on {as_of_session}, and sessions have closed since",
    "baseline": "no version has earned the champion alias, so the baseline answers",
}
_BASELINES = {"persistence": "the last close", "drift": "the drift"}


def forecast_table(document: Mapping[str, Any]) -> Table:
    """Return one table that says what is forecast, how sure that is and how far to believe it."""
    grid = Table(
        title=f"{document['ticker']}: the next close", box=box.ROUNDED, show_header=False, title_justify="left"
    )
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _rows(document):
        grid.add_row(name, value)
    return grid


def state_in_words(document: Mapping[str, Any]) -> str:
    """Say the state and every reason for it: ``stale: the bars end on 2018-12-31, and …``."""
    reasons = [_REASONS.get(code, code).format(**document) for code in document["reasons"]]
    if document["provenance"].get("source") == "sample" and "stale" in document["reasons"]:
        reasons.append("the bundled sample is history; another source goes on to today")
    return f"{document['state']}: {'; '.join(reasons) or 'no session has closed since the last bar'}"


def skill_in_words(skill: Mapping[str, Any]) -> str:
    """Say how the point forecast and the whole distribution compare with the baseline, and how sure that is."""
    against = _BASELINES.get(skill["vs"], skill["vs"])
    facts = [f"{skill['n']} sessions out of sample"]
    if skill["ci95"]:
        facts.insert(0, "95 % interval {:+z.2%} to {:+z.2%}".format(*skill["ci95"]))
    point = f"{skill['value']:+z.2%} in {skill['metric'].upper()} against {against} ({', '.join(facts)})"
    verdict = "better" if skill["beats_baseline"] else "not proven better"
    p = "" if skill["dm_p"] is None else f" ({skill['crps']:+z.2%} in CRPS, p = {skill['dm_p']:.3f})"
    return f"{point}; as a distribution {verdict}{p}"


def _rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    currency = f" {document['currency']}" if document["currency"] else ""
    rows = [("Last close", f"{document['last_close']:,.2f}{currency} on {document['as_of_session']}")]
    for step in document["steps"]:
        rows.append(("Session", f"{step['target_session']}, closes {step['target_close_at']}"))
        rows.append(("Point", f"{step['point']:,.2f}{currency} ({step['expected_return']:+.2%})"))
        rows += [(f"{i['level']:g} % band", f"{i['lower']:,.2f} to {i['upper']:,.2f}") for i in step["intervals"]]
        rows.append(("P(up)", f"{step['prob_up']:.1%}"))
    rows.append(("Skill", skill_in_words(document["skill"])))
    for entry in document["calibration"]:
        held = f"held {entry['empirical']:.1%} of {entry['n']} sessions out of sample"
        rows.append((f"{entry['level']:g} % kept", held))
    return [*rows, ("Model", _model_in_words(document["model"])), ("State", state_in_words(document))]


def _model_in_words(model: Mapping[str, Any]) -> str:
    if model["version"] is None:
        return f"the baseline {model['architecture']}"
    named = f" ({model['alias']})" if model["alias"] else ""
    return f"version {model['version']}{named}, {model['architecture']}, trained through {model['trained_through']}"
