"""Between a row of ``versions`` and a ``ModelVersion``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import date
from typing import Any

from sqlalchemy import RowMapping

from app.domain.version import DataFacts, ModelVersion

FIELDS = tuple(field.name for field in fields(ModelVersion))


def to_row(version: ModelVersion) -> dict[str, Any]:
    """Return the version as columns."""
    data = asdict(version.data)
    for name in ("first_session", "last_session"):
        data[name] = data[name].isoformat()
    row = {name: getattr(version, name) for name in FIELDS}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in row.items()} | {"data": data}


def to_version(row: RowMapping, prefix: str = "") -> ModelVersion:
    """Build a version from the columns named ``prefix`` + field."""
    values = {name: row[prefix + name] for name in FIELDS}
    data = dict(values["data"])
    for name in ("first_session", "last_session"):
        data[name] = date.fromisoformat(data[name])
    data["findings"] = tuple(data["findings"])
    return ModelVersion(**{**values, "data": DataFacts(**data)})
