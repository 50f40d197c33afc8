"""The networks of a backtest in one file, so that a ticker which none of them saw can be judged by them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

#: ONNX and scalers.
Fold = tuple[bytes, Mapping[str, Any]]


def to_zip(folds: Sequence[Fold]) -> bytes:
    """Return ``0.onnx``, ``0.scalers.json``, ``1.onnx`` and so on, oldest first; equal folds give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, (onnx, scalers) in enumerate(folds):
            # Entries made by ZipInfo carry no time.
            archive.writestr(zipfile.ZipInfo(f"{number}.onnx"), onnx)
            archive.writestr(zipfile.ZipInfo(f"{number}.scalers.json"), json.dumps(scalers, allow_nan=False))
    return buffer.getvalue()


def from_zip(data: bytes) -> list[Fold]:
    """Read back what ``to_zip`` wrote."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [
            (archive.read(f"{number}.onnx"), json.loads(archive.read(f"{number}.scalers.json")))
            for number in range(len(archive.namelist()) // 2)
        ]
