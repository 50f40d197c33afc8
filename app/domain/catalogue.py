"""The kinds of network that exist by name; how one is built is training's business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from app.errors import UnknownArchitecture


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of network: one sentence, the layer sizes it starts from and how many layers it may have."""

    name: str
    summary: str
    units: tuple[int, ...]
    max_layers: int = 8


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

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({a.name: a for a in _ARCHITECTURES})


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
