"""What exists by name: presets and architectures."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from app.api.problems import problems
from app.api.routes import router_of
from app.api.schemas.catalogue import ArchitecturesOut, PresetsOut
from app.api.schemas.orders import EvaluationIn
from app.domain.catalogue import ARCHITECTURES
from app.domain.presets import PRESETS, Preset
from app.domain.spec import NetworkSpec

router = router_of("training")
_EVALUATION: TypeAdapter[Any] = TypeAdapter(EvaluationIn)


@router.get("/v1/presets", response_model=PresetsOut, responses=problems(), summary="Presets")
def presets() -> dict[str, Any]:
    """List the presets with the full spec, evaluation and data that each stands for."""
    return {"items": [_preset(preset) for preset in PRESETS.values()]}


@router.get("/v1/architectures", response_model=ArchitecturesOut, responses=problems(), summary="Architectures")
def architectures() -> dict[str, Any]:
    """List the kinds of network with the layer sizes that each starts from."""
    items = [
        {"name": a.name, "summary": a.summary, "defaults": {"units": list(a.units)}} for a in ARCHITECTURES.values()
    ]
    return {"items": items}


def _preset(preset: Preset) -> dict[str, Any]:
    """Write ``preset`` out, the defaults of the fields that it leaves to them included."""
    evaluation = _EVALUATION.validate_python(dict(preset.evaluation))
    return {
        "name": preset.name,
        "summary": preset.summary,
        "source": preset.source,
        "ticker": preset.ticker,
        "reported": dict(preset.reported),
        "defaults": NetworkSpec.from_dict(preset.spec).to_dict(),
        "evaluation": _EVALUATION.dump_python(evaluation, mode="json"),
        "data": {"start": None, "end": None, **preset.data},
        "search": preset.search,
    }
