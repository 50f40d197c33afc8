"""Errors that are kept while other work goes on."""

from __future__ import annotations

import traceback
from typing import TypeVar

Error = TypeVar("Error", bound=Exception)


def without_frames(error: Error) -> Error:
    """Return ``error`` without the variables of the calls that raised it: what they hold would stay as long as it."""
    traceback.clear_frames(error.__traceback__)
    return error
