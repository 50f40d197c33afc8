"""The README's table of settings, as the code says it is: ``python -m tests.packaging.settings_table``."""

from __future__ import annotations

import html
import sys
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from app.settings import Settings

_SIGNS: tuple[tuple[type, str, str], ...] = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))


def settings_table() -> str:
    """Return the table in Markdown, one row a setting, in the order of the code."""
    lines = ["| variable | default | allowed | what it is |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (
            f"`MORROW_{name.upper()}`",
            _default(field.default),
            _allowed(field),
            html.escape(field.description or "", quote=False),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _default(value: Any) -> str:
    return "" if value in (None, "", ()) else f"`{value}`"


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    bounds = []
    for constraint in field.metadata:
        for kind, name, sign in _SIGNS:
            if isinstance(constraint, kind):
                bounds.append(f"{sign} {getattr(constraint, name)}")
    return ", ".join(bounds)


if __name__ == "__main__":
    sys.stdout.write(settings_table() + "\n")
