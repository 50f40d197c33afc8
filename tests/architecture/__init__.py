"""The code as text: every module of the package, parsed."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a migration did is never changed again, nor made prettier.
MIGRATIONS = ROOT / "app" / "db" / "migrations" / "versions"
FILES = sorted(path for path in (ROOT / "app").rglob("*.py") if path.parent != MIGRATIONS)


def name_of(path: Path) -> str:
    """``app/jobs/leases.py`` -> ``app.jobs.leases``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
