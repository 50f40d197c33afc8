"""The command line: ``morrow serve | api | worker | train | forecast | models | jobs | import | health``."""

from __future__ import annotations

from app.cli.main import main

__all__ = ["main"]
