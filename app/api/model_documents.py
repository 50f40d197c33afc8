"""Versions and aliases as documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import Request
from sqlalchemy import Connection

from app.api.documents import path_to
from app.domain.scorecard import Scorecard
from app.domain.spec import NetworkSpec
from app.domain.version import AliasChange, ModelVersion, VersionSummary
from app.errors import NoSuchAlias
from app.forecasting.document import utc
from app.forecasting.state import state_of
from app.registry import aliases

_HEADLINE = ("rmse", "mae", "crps", "hit_rate", "coverage_80")


def version_row(version: VersionSummary, names: Sequence[str], request: Request) -> dict[str, Any]:
    """Return ``version``, carrying the aliases ``names``, as one row of a list."""
    at = path_to(request, f"/v1/models/{version.ticker}/versions/{version.number}")
    targets = [asdict(target) for target in version.spec.targets]
    return {
        "version": version.number,
        "created_at": utc(version.created_at),
        "architecture": version.spec.network_name,
        "preset": version.preset,
        "target": targets[0],
        "targets": targets,
        "source": version.source,
        "trained_through": version.trained_through.isoformat(),
        "aliases": list(names),
        "metrics": headline(version),
        "reasons": list(version.reasons),
        "damaged_at": utc(version.damaged_at) if version.damaged_at else None,
        "links": {
            "self": at,
            "scorecard": f"{at}/scorecard",
            "predictions": f"{at}/predictions",
            "fitted": f"{at}/predictions?part=train",
            "path": f"{at}/predictions?part=path",
            "curves": f"{at}/curves",
        },
    }


def version_document(version: ModelVersion, names: Sequence[str], request: Request) -> dict[str, Any]:
    """Return everything about ``version``."""
    row = version_row(version.summary, names, request)
    at = row["links"]["self"]
    data = asdict(version.data)
    return {
        **row,
        "ticker": version.ticker,
        "spec": NetworkSpec.from_dict(version.order["spec"]).to_dict(),
        "evaluation": version.order["evaluation"],
        "data": {**data, "findings": [dict(finding) for finding in version.data.findings]},
        "artifacts": {
            name: {"sha256": facts["sha256"], "bytes": facts["bytes"], "url": f"{at}/artifacts/{name}"}
            for name, facts in version.artifacts.items()
        },
        "manifest_sha256": version.manifest_sha256,
        "libraries": dict(version.libraries),
        "seconds": dict(version.seconds),
        "job_id": version.job_id,
        "code_version": version.code_version,
        "submitted_by": version.submitted_by,
        "reason": version.reason,
    }


def scorecard_document(version: ModelVersion) -> dict[str, Any]:
    """Return the whole proof of skill of ``version``."""
    card = Scorecard.from_dict(version.scorecard)
    names = {"ticker": version.ticker, "version": version.number}
    return {**names, **card.to_dict(), "earned_champion": card.earned_champion}


def headline(version: VersionSummary) -> dict[str, Any]:
    """Return the few metrics that a list shows; those not measured are null."""
    ours, theirs = version.metrics.get("rmse"), version.persistence.get("rmse")
    return {
        **{name: version.metrics.get(name) for name in _HEADLINE},
        "rmse_ratio": ours / theirs if ours is not None and theirs else None,
        "skill": version.skill["value"],
        "n": version.skill["n"],
        "beats_baseline": version.skill["beats_baseline"],
    }


def model_row(row: Mapping[str, Any], names: Mapping[str, int], request: Request, *, now: datetime) -> dict[str, Any]:
    """Return one ticker of the registry's overview with its aliases ``names``, and the state of what is served."""
    ticker: str = row["ticker"]
    champion, latest, forecast = row["champion"], row["latest"], row["forecast"]
    state = state_of(forecast, known=row, now=now) if forecast else None
    at = path_to(request, f"/v1/models/{ticker}")
    apart = {one.number: one for one in (latest, champion) if one}
    shown = {number: version_row(one, carried(names, number), request) for number, one in apart.items()}
    return {
        "ticker": ticker,
        "champion": shown[champion.number] if champion else None,
        "latest": shown[latest.number],
        "metrics": headline(champion or latest),
        "state": state.name if state else None,
        "reasons": list(state.reasons) if state else [],
        "links": {"self": at, "forecast": path_to(request, f"/v1/forecasts/{ticker}")},
    }


def carried(names: Mapping[str, int], number: int) -> list[str]:
    """Return the aliases that point to ``number``, in order."""
    return sorted(alias for alias, at in names.items() if at == number)


def alias_document(tx: Connection, ticker: str, alias: str, request: Request) -> dict[str, Any]:
    """Return where ``alias`` points and since when; its entity tag guards changes.

    Raises:
        NoSuchAlias: the ticker has no such alias.
    """
    version = aliases.current(tx, ticker, alias)
    if version is None:
        detail = f"No version of {ticker} carries the alias {alias!r}."
        raise NoSuchAlias(detail, ticker=ticker, alias=alias)
    last = next(iter(aliases.history(tx, ticker, alias)))
    return {
        "ticker": ticker,
        "alias": alias,
        "version": version,
        "changed_at": last.changed_at.isoformat().replace("+00:00", "Z"),
        "changed_by": last.changed_by,
        "reason": last.reason,
        "links": {"self": path_to(request, f"/v1/models/{ticker}/aliases/{alias}")},
    }


def change_document(change: AliasChange) -> dict[str, Any]:
    """Return one change of an alias."""
    return {
        "version": change.version,
        "previous": change.previous,
        "changed_at": change.changed_at.isoformat().replace("+00:00", "Z"),
        "changed_by": change.changed_by,
        "reason": change.reason,
    }
