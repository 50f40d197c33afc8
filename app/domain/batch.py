"""Which trainings may share a process: those of small networks that differ in ticker and seed alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.domain.job import Job
from app.domain.order import POOLED

LARGEST_BATCH = 32
"""Jobs that one process takes at most."""

_SMALL_UNITS = 64  # larger networks train for minutes: a process of their own costs them next to nothing
_LONGEST_WINDOW = 60  # the windows of all are held at once
_SHARED = ("preset", "data", "evaluation", "timeout_seconds")


def shape_of(job: Job) -> str | None:
    """Return what trainings have to agree in to share a process; ``None`` for a job that always runs alone.

    Alone is whatever may be to blame for the death of a process: a job on its second attempt. So are those that
    have no other attempt, since a process that dies takes one of each job in it.
    """
    spec = job.payload.get("spec")
    if job.kind != "train" or not spec or "universe" in job.payload or job.payload.get("preset") == POOLED:
        return None
    if job.fell_before or job.max_attempts == 1:
        return None
    if _units(spec) > _SMALL_UNITS or spec.get("window", 0) > _LONGEST_WINDOW:
        return None
    shared = {name: job.payload.get(name) for name in _SHARED}
    return json.dumps({**shared, "spec": {**spec, "seed": None}}, sort_keys=True)


def _units(spec: Mapping[str, Any]) -> int:
    """Count the recurrent units of all networks that are averaged."""
    networks = spec.get("members") or [spec]
    return int(sum(sum(network.get("units") or ()) for network in networks) * (spec.get("seeds") or 1))
