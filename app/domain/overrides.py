"""Single fields over a whole spec, as JSON data: one rule for orders, presets and searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.spec import MEMBER_FIELDS


def merged_spec(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``overrides`` over ``defaults``, and over those of every member; nested objects field by field.

    Another architecture starts from its own layer sizes, and rates of dropout that were given a layer end with the
    layers.
    """
    merged = dict(defaults)
    if "architecture" in overrides and overrides["architecture"] != merged.get("architecture"):
        merged.pop("units", None)
    layers = overrides.get("units", merged.get("units", ()))
    if isinstance(merged.get("dropout"), list) and len(merged["dropout"]) != len(layers):
        del merged["dropout"]
    if "members" in merged:
        of_members = {name: overrides[name] for name in MEMBER_FIELDS if name in overrides}
        merged["members"] = [merged_spec(member, of_members) for member in merged["members"]]
    if "target" in overrides or "targets" in overrides:
        overrides = _leading(merged, overrides)
        merged.pop("target", None)
    for name, value in overrides.items():
        below = merged.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = {**below, **value}
        merged[name] = value
    return merged


def _leading(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    """Complete the ``target`` of ``overrides`` by that of the defaults; ``targets`` stand for themselves."""
    if "targets" in overrides:
        return overrides
    return {**overrides, "target": {**defaults.get("target", {}), **overrides["target"]}}
