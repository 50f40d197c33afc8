"""LSTM with convolutional gates."""

from __future__ import annotations

from keras import KerasTensor, layers

from app.domain.spec import NetworkSpec
from app.training.architectures.registry import architecture

KERNEL = 3  # bars
BLOCK = 5  # bars, a week of sessions; short windows have blocks of two


@architecture("conv_lstm")
def conv_lstm(window: KerasTensor, spec: NetworkSpec, _: type[layers.Layer]) -> KerasTensor:
    """Blocks of the window are read in order, ``(batch, blocks, block, columns)``; the oldest odd bars are left out."""
    block = BLOCK if spec.window >= 2 * BLOCK else 2
    blocks = spec.window // block
    folded = layers.Reshape((blocks, block, window.shape[-1]))(window[:, -blocks * block :, :])
    state = layers.ConvLSTM1D(spec.units[0], KERNEL, padding="same", activation=spec.activation)(folded)
    return layers.Flatten()(state)
