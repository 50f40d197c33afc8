"""Eight networks, one function each; importing this package registers them all."""

from app.training.architectures import (
    cnn_lstm,
    conv_lstm,
    encoder_decoder,
    gru,
    lstm,
    simple_rnn,
)
from app.training.architectures.heads import MeanForecast
from app.training.architectures.registry import BUILDERS, build_network

__all__ = [
    "BUILDERS",
    "MeanForecast",
    "build_network",
    "cnn_lstm",
    "conv_lstm",
    "encoder_decoder",
    "gru",
    "lstm",
    "simple_rnn",
]
