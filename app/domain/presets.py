"""Named sets of defaults: the default, the systems of well-known tutorials, and each of them trained honestly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from app.errors import UnknownPreset

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named set of defaults; whatever it leaves out is the default of the field itself.

    ``spec``, ``evaluation``, ``data`` (first and last session) and ``search`` are defaults of the parts of an order.
    ``source`` says where the system comes from, ``ticker`` what it was shown on there, ``reported`` which figures it
    claims for itself: ``rmse`` in price units a session ahead, ``rmse_path`` over all steps of one forecast.
    """

    name: str
    summary: str
    spec: Json = field(default_factory=dict)
    source: str = "Morrow"
    ticker: str | None = None
    evaluation: Json = field(default_factory=dict)
    data: Json = field(default_factory=dict)
    search: Json | None = None
    reported: Mapping[str, float] = field(default_factory=dict)


_IBM: dict[str, Any] = {
    "source": "Tutorial: IBM's daily highs by LSTM and GRU",
    "ticker": "IBM",
    "evaluation": {"kind": "fixed", "train_end": "2016-12-31"},
    "data": {"start": "2006-01-01", "end": "2017-12-31"},
}
_GOOGLE: dict[str, Any] = {
    "source": "Tutorial: Google's opens of January 2017 by a stacked LSTM",
    "ticker": "GOOGL",
    "evaluation": {"kind": "fixed", "train_end": "2016-12-31"},
    "data": {"start": "2012-01-01", "end": "2017-01-31"},
}
_MSFT: dict[str, Any] = {
    "source": "Tutorial: Microsoft from the prices of its largest peers",
    "ticker": "MSFT",
    "evaluation": {"kind": "fixed", "test_fraction": 0.2},
    "data": {"start": "2015-01-01"},
}
_BTC: dict[str, Any] = {
    "source": "Tutorial: Bitcoin's opens for the next month",
    "ticker": "BTC-USD",
    "evaluation": {"kind": "fixed", "test_fraction": 0.2},
}

_PRICES: Json = {"scaler": "minmax", "loss": "mse", "validation_fraction": 0.0, "early_stopping": None}
_FOUR: Json = {"units": [50] * 4, "dropout": 0.2}
_LSTM_FIT: Json = {
    "architecture": "lstm",
    **_FOUR,
    "optimizer": {"name": "rmsprop", "learning_rate": 0.001, "clip_norm": None},
    "epochs": 50,
    "batch_size": 32,
}
_GRU_FIT: Json = {
    "architecture": "gru",
    **_FOUR,
    "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "clip_norm": None},
    "epochs": 50,
    "batch_size": 150,
}
_HIGH: Json = {**_PRICES, "target": {"field": "high", "transform": "price"}, "features": ["high"], "window": 60}
_PEERS: Json = {
    **_PRICES,
    "target": {"field": "adj_close", "transform": "price"},
    "features": ["adj_close"],
    "peers": ["AVGO", "GOOG", "META", "AAPL", "NVDA"],
    "window": 15,
    "architecture": "lstm",
    "units": [256],
    "optimizer": {"name": "adam", "learning_rate": 0.001, "clip_norm": None},
    "epochs": 50,
    "batch_size": 32,
    "validation_fraction": 0.2,
}

_PUBLISHED = (
    Preset(
        name="ibm-lstm",
        summary="Four LSTM layers read 60 scaled highs and name the next one.",
        spec={**_HIGH, **_LSTM_FIT},
        reported={"rmse": 5.172},
        **_IBM,
    ),
    Preset(
        name="ibm-gru",
        summary="Four GRU layers read 60 scaled highs and name the next one.",
        spec={**_HIGH, **_GRU_FIT},
        reported={"rmse": 3.320},
        **_IBM,
    ),
    Preset(
        name="ibm-sequence",
        summary="The same GRU writes a whole year: each of 251 highs is fed back to find the next.",
        spec={**_HIGH, **_GRU_FIT, "strategy": "recursive", "horizon": 251},
        reported={"rmse_path": 10.885},
        **_IBM,
    ),
    Preset(
        name="ibm-lstm-gru",
        summary="The LSTM and the GRU together: the mean of what both say.",
        spec={**_HIGH, **_LSTM_FIT, "members": [_LSTM_FIT, _GRU_FIT]},
        **_IBM,
    ),
    Preset(
        name="google-lstm",
        summary="Four LSTM layers read 60 scaled opens and name the next one.",
        spec={
            **_PRICES,
            **_FOUR,
            "target": {"field": "open", "transform": "price"},
            "features": ["open"],
            "window": 60,
            "architecture": "lstm",
            "optimizer": {"name": "adam", "learning_rate": 0.001, "clip_norm": None},
            "epochs": 20,
            "batch_size": 64,
        },
        **_GOOGLE,
    ),
    Preset(
        name="msft-peers",
        summary="One wide LSTM reads the adjusted closes of six large companies and names the next of one.",
        spec={**_PEERS, "optimizer": {"name": "adam", "learning_rate": 0.005, "clip_norm": None}},
        **_MSFT,
    ),
    Preset(
        name="msft-ohlc",
        summary="One wide LSTM reads open, high, low and close of six large companies, 24 columns.",
        spec={
            **_PEERS,
            "target": {"field": "close", "transform": "price"},
            "features": ["open", "high", "low", "close"],
        },
        **_MSFT,
    ),
    Preset(
        name="msft-stacked",
        summary="Two LSTM layers with dropout read six adjusted closes.",
        spec={**_PEERS, "architecture": "stacked_lstm", "units": [128, 64], "dropout": 0.2},
        **_MSFT,
    ),
    Preset(
        name="msft-gru",
        summary="One wide GRU reads six adjusted closes.",
        spec={**_PEERS, "architecture": "gru"},
        **_MSFT,
    ),
    Preset(
        name="msft-rnn",
        summary="Plain recurrence reads six adjusted closes: what the gates are worth.",
        spec={**_PEERS, "architecture": "simple_rnn"},
        **_MSFT,
    ),
    Preset(
        name="msft-hyperband",
        summary="An LSTM on one adjusted close whose sizes a Hyperband search finds; POST /v1/tune runs it.",
        spec={**_PEERS, "peers": [], "units": [64]},
        search={
            "method": "hyperband",
            "max_epochs": 27,
            "factor": 3,
            "budget_seconds": 600,
            "space": {
                "units": [[32], [64], [128], [256], [64, 32], [128, 64]],
                "dropout": [0.0, 0.1, 0.2],
                "optimizer.learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
            },
        },
        **_MSFT,
    ),
    Preset(
        name="btc-lstm",
        summary="Two relu LSTM layers read all seven columns of ten days; the open is fed back for 30 days.",
        spec={
            "target": {"field": "open", "transform": "price"},
            "features": ["open", "high", "low", "close", "volume", "volume_currency", "weighted_price"],
            "window": 10,
            "horizon": 30,
            "strategy": "recursive",
            "architecture": "lstm",
            "units": [64, 32],
            "activation": "relu",
            "dropout": [0.0, 0.2],
            "scaler": "standard",
            "loss": "mse",
            "optimizer": {"name": "adam", "learning_rate": 0.001, "clip_norm": None},
            "epochs": 10,
            "batch_size": 16,
            "validation_fraction": 0.1,
            "early_stopping": None,
        },
        **_BTC,
    ),
)


def _honest(published: Preset) -> Preset:
    """The same inputs, window and layers: log returns, and the best of the epochs by newer rows that are no test."""
    spec = dict(published.spec)
    spec["target"] = {"field": spec["target"]["field"], "transform": "log_return"}
    honest = {
        "loss": "student_t",
        "validation_fraction": 0.15,
        "early_stopping": {"patience": 5},
    }
    return Preset(
        name=f"{published.name}+",
        summary=f"{published.name} as it should be: log returns, a distribution, early stopping by validation.",
        spec={**spec, **honest},
        source=published.source,
        ticker=published.ticker,
        evaluation=published.evaluation,
        data=published.data,
        search=published.search,
    )


_PRESETS = (
    Preset(
        name="default",
        summary="A small GRU scales recent volatility by what the daily ranges say; Student-t, drift-only mean.",
    ),
    Preset(
        name="pooled",
        summary="One GRU over many tickers, from their daily ranges to eleven quantiles; drift-only median.",
        spec={
            "units": [16],
            "dropout": 0.1,
            "loss": "pinball",
            "epochs": 12,
            "batch_size": 1024,
            "validation_fraction": 0.12,
            "early_stopping": {"patience": 3},
            "seeds": 4,
        },
    ),
    *_PUBLISHED,
    *(_honest(published) for published in _PUBLISHED),
)

PRESETS: Mapping[str, Preset] = MappingProxyType({p.name: p for p in _PRESETS})


def preset_of(name: str) -> Preset:
    """Return the preset called ``name``.

    Raises:
        UnknownPreset: there is none; use one of those the error names.
    """
    if name not in PRESETS:
        known = sorted(PRESETS)
        raise UnknownPreset(f"Unknown preset {name!r}. Known: {', '.join(known)}.", pointer="/preset", known=known)
    return PRESETS[name]
