"""Presets and architectures as clients read them."""

from __future__ import annotations

from pydantic import Field

from app.api.schemas.common import Document, Json


class NamedOut(Document):
    """Something that orders can name: one sentence, and the defaults that come with it."""

    name: str
    summary: str
    defaults: Json


class ArchitecturesOut(Document):
    """All there are."""

    items: list[NamedOut]


class PresetOut(NamedOut):
    """A set of defaults; each part is what the same part of an order takes, and single fields of it can be changed."""

    source: str = Field(description="Where the system comes from.")
    ticker: str | None = Field(description="What it was shown on there.")
    reported: dict[str, float] = Field(
        description="What is claimed for it there, if anything: `rmse` in price units a session ahead, `rmse_path` "
        "over all steps of one forecast."
    )
    defaults: Json = Field(description="The full spec.")
    evaluation: Json
    data: Json = Field(description="First and last session; null is open.")
    search: Json | None = Field(description="What POST /v1/tune searches; null: nothing of its own.")


class PresetsOut(Document):
    """All there are."""

    items: list[PresetOut]
