"""``morrow tune``: hand in a search, follow it, and show the leaderboard."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from app.api.schemas.search import TuneOne
from app.cli.console import out, table
from app.cli.places import place
from app.cli.training import data_of, fields_of, give_up_on

SHOWN_TRIALS = 10


def tune(
    ticker: str,
    *,
    preset: str,
    source: str | None,
    changes: Sequence[str],
    search: Mapping[str, Any],
    url: str | None,
) -> None:
    """Search as an order over HTTP would, under a progress bar; Ctrl-C cancels the job.

    ``search`` holds ``method``, ``budget_seconds`` and, as ``KEY=JSON``, ``space``; what is ``None`` has a default.
    """
    body = _body(ticker, preset=preset, data=data_of(source, None, None), changes=changes, search=search)
    with place(url) as at:
        result = at.outcome("tune", body, title=f"Searching {body.ticker}")
    _show(result)
    epochs = f"epochs={result['best_spec']['epochs']}"
    _show_training(result, preset=preset, source=source, changes=[*changes, epochs])


def _body(
    ticker: str, *, preset: str, data: dict[str, Any], changes: Sequence[str], search: Mapping[str, Any]
) -> TuneOne:
    """Check the options by the same rules as a request body."""
    spec, space = fields_of(changes), fields_of(search["space"], option="--space")
    asked = {**search, "space": space or None}
    body = {"ticker": ticker, "preset": preset, "data": data, "spec": spec}
    body["search"] = {name: value for name, value in asked.items() if value is not None}
    try:
        return TuneOne.model_validate_json(json.dumps({name: part for name, part in body.items() if part}))
    except ValidationError as refusal:
        give_up_on(refusal)


def _show(result: Mapping[str, Any]) -> None:
    """Show the best trials beside the baseline."""
    baseline = result["baseline"]
    rows = [
        (entry["rank"], _score(entry, baseline["value"]), entry["epochs"], f"{entry['seconds']:.1f}", _words(entry))
        for entry in result["leaderboard"][:SHOWN_TRIALS]
    ]
    out.print(table("rank", "CRPS", "epochs", "seconds", "changes", rows=rows))
    days = result["validation"]
    trials = "1 trial" if result["trials"] == 1 else f"{result['trials']} trials"
    ended = "; the budget is used up" if result["budget_used_up"] else ""
    out.print(
        f"{trials}, {result['pruned']} of them ended early, in {result['seconds']:.0f} s{ended}. "
        f"Compared on {days['sessions']} sessions, {days['first_session']} to {days['last_session']}, "
        f"where the baseline {baseline['name']} scores {baseline['value']:.6f}. "
        "The best of many looks better than it is: train it to see what it is worth.",
        markup=False,
        soft_wrap=True,
    )


def _score(entry: Mapping[str, Any], baseline: float) -> str:
    if entry["value"] is None:
        return str(entry["state"])
    return f"{entry['value']:.6f} ({1 - entry['value'] / baseline:+z.2%})"


def _words(entry: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_short(value)}" for name, value in _flat(entry["changes"]))


def _show_training(result: Mapping[str, Any], *, preset: str, source: str | None, changes: Sequence[str]) -> None:
    """Say which command trains the best of them."""
    winner = dict(_flat(result["leaderboard"][0]["changes"]))
    if "architecture" in winner:
        # Another architecture was tried with layers of its own, whatever was asked for those of the order.
        winner |= {name: result["best_spec"][name] for name in ("units", "dropout")}
    best = [f"{name}={json.dumps(value)}" for name, value in winner.items()]
    options = ["--preset", preset] * (preset != "default") + (["--source", source] if source else [])
    fields = [part for change in dict.fromkeys((*changes, *best)) for part in ("--set", change)]
    out.print(
        shlex.join(["morrow", "train", result["train"]["ticker"], *options, *fields]), markup=False, soft_wrap=True
    )


def _flat(changes: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Give nested changes as ``KEY=VALUE`` options name them."""
    for name, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value, separators=(",", ":"))
