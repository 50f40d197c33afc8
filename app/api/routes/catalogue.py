"""What exists by name: presets and architectures."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app.api.problems import problems
from app.api.schemas.common import Document, Json
from app.domain.catalogue import ARCHITECTURES, PRESETS
from app.domain.spec import NetworkSpec

router = APIRouter(tags=["training"])


class NamedOut(Document):
    """Something that orders can name: one sentence, and the defaults that come with it."""

    name: str
    summary: str
    defaults: Json


class CatalogueOut(Document):
    """All there are."""

    items: list[NamedOut]


@router.get("/v1/presets", response_model=CatalogueOut, responses=problems(), summary="Presets")
def presets() -> dict[str, Any]:
    """List the presets with the full spec that each stands for."""
    items = [
        {"name": p.name, "summary": p.summary, "defaults": NetworkSpec.from_dict(p.spec).to_dict()}
        for p in PRESETS.values()
    ]
    return {"items": items}


@router.get("/v1/architectures", response_model=CatalogueOut, responses=problems(), summary="Architectures")
def architectures() -> dict[str, Any]:
    """List the kinds of network with the layer sizes that each starts from."""
    items = [
        {"name": a.name, "summary": a.summary, "defaults": {"units": list(a.units)}} for a in ARCHITECTURES.values()
    ]
    return {"items": items}
