"""What exists by name: architectures and presets. How a network is built is training's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from app.errors import UnknownArchitecture, UnknownPreset


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of network: one sentence, the layer sizes it starts from and how many layers it may have."""

    name: str
    summary: str
    units: tuple[int, ...]
    max_layers: int = 8


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named set of defaults for ``spec``; whatever it leaves out is the spec's own default."""

    name: str
    summary: str
    spec: Mapping[str, Any]


_ARCHITECTURES = (
    Architecture(
        name="lstm", summary="One LSTM layer; its last state is the whole summary of the window.", units=(32,)
    ),
    Architecture(name="stacked_lstm", summary="LSTM layers on top of each other.", units=(32, 16)),
    Architecture(
        name="bidirectional_lstm",
        summary="An LSTM that reads the window in both directions.",
        units=(16,),
        max_layers=1,
    ),
    Architecture(name="gru", summary="Gated recurrent units, a quarter fewer weights than an LSTM.", units=(8,)),
    Architecture(name="simple_rnn", summary="Plain recurrence: what the gated networks must beat.", units=(16,)),
    Architecture(
        name="cnn_lstm", summary="A causal convolution finds shapes, an LSTM orders them.", units=(32,), max_layers=1
    ),
    Architecture(
        name="conv_lstm",
        summary="An LSTM whose gates are convolutions over blocks of the window.",
        units=(16,),
        max_layers=1,
    ),
    Architecture(
        name="encoder_decoder",
        summary="One LSTM reads the window, another writes the steps.",
        units=(32,),
        max_layers=1,
    ),
)

_PRESETS = (
    Preset(
        name="default",
        summary="A small GRU scales recent volatility by what the daily ranges say; Student-t, drift-only mean.",
        spec={},
    ),
    Preset(
        name="price_lstm",
        summary="The tutorials' way: an LSTM on min-max scaled closes, fitted to the price itself.",
        spec={
            "architecture": "lstm",
            "units": [50],
            "window": 60,
            "features": ["close"],
            "target": {"field": "close", "transform": "price"},
            "scaler": "minmax",
            "loss": "mse",
            "dropout": 0.2,
        },
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({a.name: a for a in _ARCHITECTURES})
PRESETS: Mapping[str, Preset] = MappingProxyType({p.name: p for p in _PRESETS})


def architecture_of(name: str) -> Architecture:
    """Return the architecture called ``name``.

    Raises:
        UnknownArchitecture: there is none; use one of those the error names.
    """
    if name not in ARCHITECTURES:
        known = sorted(ARCHITECTURES)
        detail = f"Unknown architecture {name!r}. Known: {', '.join(known)}."
        raise UnknownArchitecture(detail, pointer="/spec/architecture", known=known)
    return ARCHITECTURES[name]


def preset_of(name: str) -> Preset:
    """Return the preset called ``name``.

    Raises:
        UnknownPreset: there is none; use one of those the error names.
    """
    if name not in PRESETS:
        known = sorted(PRESETS)
        raise UnknownPreset(f"Unknown preset {name!r}. Known: {', '.join(known)}.", pointer="/preset", known=known)
    return PRESETS[name]
