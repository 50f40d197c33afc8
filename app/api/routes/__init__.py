"""One module a noun; ``app.api.app`` puts them together."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute


def router_of(*tags: str, **options: Any) -> APIRouter:
    """Return a router whose operations bear ``tags`` and are named so that generated clients read well."""
    return APIRouter(tags=[*tags], generate_unique_id_function=_operation_id, **options)


def _operation_id(route: APIRoute) -> str:
    """Name an operation after its subject and function: ``forecasts_latest``."""
    return "_".join([*map(str, route.tags[:1]), route.name]).replace(" ", "_")
