"""Rows that training would have written: versions with their files, and forecasts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.artifacts.base import manifest_sha256
from app.artifacts.bundle import Bundle, bundle_key, to_files
from app.dataset.features import column_names
from app.dataset.scaling import Scaler, Scaling, Spread
from app.domain.forecast import Bands, Forecast, Step
from app.domain.order import TrainingOrder
from app.domain.scorecard import Calibration, ConfidenceSet, Scorecard, Skill
from app.domain.spec import NetworkSpec
from app.domain.version import DataFacts, ModelVersion
from app.forecasting.services import Services
from app.registry import aliases, editions, forecasts, tickers, versions

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # a Saturday
AS_OF = date(2026, 11, 20)
PROVENANCE = {
    **{"snapshot_id": "sha256:" + "0" * 64, "source": "files"},
    **{"price_basis": "unknown", "code_version": "0.1.0"},
}
_PRICES = {
    "actual": [100.0, None],
    "predicted": [99.5, 100.5],
    "lower_80": [98.5, 99.5],
    "upper_80": [100.5, 101.5],
    "lower_95": [97.5, 98.5],
    "upper_95": [101.5, 102.5],
}
FITTED = {"session": ["2024-11-19", "2024-11-20"], "last_value": [99.0, 100.0], **_PRICES}
PREDICTIONS = {
    **{"session": ["2026-11-19", "2026-11-20"], "last_value": [99.0, 100.0], **_PRICES},
    **{"pit": [0.6, 0.4], "crps": [0.004, 0.005], "crps_persistence": [0.006, 0.006], "crps_ewma_t": [0.005, 0.005]},
}
PATH = {"step": [1, 2], "session": ["2026-11-20", None], **_PRICES}
OUTPUTS = [0.01, 0.0, 5.0]
CURVE = {"epoch": [1, 2], "loss": [0.5, 0.4], "val_loss": [0.6, 0.55], "best_epoch": 2}

SKILL = Skill(
    vs="persistence", metric="rmse", value=-0.001, ci95=(-0.004, 0.002), dm_p=0.6, n=1000, beats_baseline=False
)
CARD = Scorecard(
    contestants={
        "model": {"rmse": 1.01, "mae": 0.8, "crps": 0.006, "hit_rate": 0.52, "coverage_80": 0.79, "qlike_squared": 0.9},
        "persistence": {"rmse": 1.0, "mae": 0.8, "crps": 0.008, "hit_rate": None, "coverage_80": 0.9},
        "ewma_t": {"rmse": 1.0, "mae": 0.8, "crps": 0.007, "hit_rate": None, "coverage_80": 0.8},
    },
    tests={"ewma_t": {"dm_statistic": -0.3, "dm_p": 0.38, "crps_gain": 0.002, "n": 1000}},
    skill=SKILL,
    calibration=(Calibration(level=80, empirical=0.803, n=1000),),
    protocol={"kind": "walk_forward", "n_windows": 4, "step_size": 250},
    reasons=("not_better_than_baseline",),
    confidence_set=ConfidenceSet(
        level=90.0, metric="crps", p={"model": 1.0, "ewma_t": 0.4}, included=("model", "ewma_t")
    ),
    pit={"lower": [place / 10 for place in range(10)], "model": [0.1] * 10, "ewma_t": [0.1] * 10},
)


def add_version(
    services: Services,
    ticker: str = "AAA",
    *,
    spec: dict[str, Any] | None = None,
    preset: str = "default",
    alias: str | None = None,
    network: bytes | None = None,
    source: str = "files",
    predictions: Mapping[str, Any] | None = None,
    reasons: tuple[str, ...] = CARD.reasons,
) -> ModelVersion:
    """Register a version with files and, of the source ``files``, its own forecast; ``alias`` points to it."""
    order = _order(spec, preset, ticker, source)
    with services.database.write() as tx:
        number = versions.reserve_number(tx, ticker)
    bundle = bundle_of(order, network or network_of(spec, preset))
    files = to_files(replace(bundle, predictions=predictions or PREDICTIONS))
    manifest = services.artifacts.publish(bundle_key(ticker, number), files)
    version = ModelVersion(
        ticker=ticker,
        number=number,
        created_at=NOW,
        order=order.to_dict(),
        data=DataFacts(
            source=source,
            snapshot_id="sha256:" + "0" * 64,
            first_session=date(2019, 1, 2),
            last_session=AS_OF,
            rows=1500,
        ),
        scorecard=json.loads(json.dumps(replace(CARD, reasons=reasons).to_dict())),
        location=bundle_key(ticker, number),
        artifacts=manifest["files"],
        manifest_sha256=manifest_sha256(manifest),
        libraries={"keras": "3.15.1"},
        seconds={"fit": 3.5},
        job_id=None,
        code_version="0.1.0",
    )
    with services.database.write() as tx:
        tickers.set_source_state(tx, ticker, ok=True, error=None, now=NOW)
        versions.register(tx, version)
        if alias:
            aliases.point(tx, ticker, alias, number, by="test", reason="", now=NOW)
    if source != "files":
        return version
    values = {target.field: 100.0 for target in order.spec.targets}
    named = {"version": number, "architecture": order.spec.network_name, "preset": order.preset}
    add_forecast(services, ticker, values=values, horizon=order.spec.horizon, **named)
    return version


def bundle_of(order: TrainingOrder, network: bytes) -> Bundle:
    """Return the files of a version whose network answers as ``network_of`` makes it."""
    spec, columns = order.spec, _columns(order.spec)
    members = [{"architecture": m.architecture, "seed": spec.seed, **CURVE} for m in spec.members]
    return Bundle(
        onnx=network,
        weights=b"weights",
        spec=spec.to_dict(),
        scalers=_scaling(spec).to_dict(),
        scorecard=CARD.to_dict(),
        golden={"window": [[0.5] * columns] * spec.window, "outputs": [_outputs(spec)] * _answers(spec)},
        predictions=PREDICTIONS,
        fitted=FITTED,
        path=PATH,
        curves={**CURVE, "members": members} if members else CURVE,
    )


def network_of(spec: dict[str, Any] | None = None, preset: str = "default") -> bytes:
    """Return an ONNX network that answers ``OUTPUTS`` whatever it is shown."""
    onnx = pytest.importorskip("onnx")
    network_spec = _order(spec, preset, "X").spec
    answers, outputs, columns = _answers(network_spec), _outputs(network_spec), _columns(network_spec)
    real, make = onnx.TensorProto.FLOAT, onnx.helper
    constants = [
        make.make_tensor("zero", real, [1], [0.0]),
        make.make_tensor("outputs", real, [1, answers, len(outputs)], outputs * answers),
    ]
    nodes = [
        make.make_node("ReduceSum", ["window"], ["sum"], keepdims=1, axes=[1, 2]),
        make.make_node("Mul", ["sum", "zero"], ["nothing"]),
        make.make_node("Add", ["nothing", "outputs"], ["answer"]),
    ]
    window = make.make_tensor_value_info("window", real, [None, network_spec.window, columns])
    answer = make.make_tensor_value_info("answer", real, [None, answers, len(outputs)])
    graph = make.make_graph(nodes, "constant", [window], [answer], constants)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 11)], ir_version=8)
    network: bytes = model.SerializeToString()
    return network


def _order(spec: dict[str, Any] | None, preset: str, ticker: str, source: str = "files") -> TrainingOrder:
    body = {"ticker": ticker, "preset": preset, "data": {"source": source}, "spec": spec or {}}
    return TrainingOrder.from_dict(body)


def _columns(spec: NetworkSpec) -> int:
    """How many columns the network reads."""
    return len(column_names(spec.features)) + len(spec.peers) * len(column_names(spec.read_of_peers))


def _answers(spec: NetworkSpec) -> int:
    """How many steps the network answers, of all targets together."""
    return spec.reach * len(spec.targets)


def _outputs(spec: NetworkSpec) -> list[float]:
    """What the network answers of each step."""
    return OUTPUTS if spec.head == "student_t" else OUTPUTS[:1]


def _scaling(spec: NetworkSpec) -> Scaling:
    """Scalers that change nothing, and a spread of 1 where the network answers none itself."""
    answers_it = spec.head == "student_t" and spec.strategy != "recursive"
    spread = Spread(np.ones(spec.horizon), np.full(spec.horizon, 5.0))
    return Scaling(
        features=_unscaled(_columns(spec)),
        target=_unscaled(len(spec.targets)) if spec.target.transform == "price" else None,
        spreads=() if answers_it else (spread,) * len(spec.targets),
    )


def _unscaled(columns: int) -> Scaler:
    return Scaler("standard", np.zeros(columns), np.ones(columns))


def add_forecast(services: Services, ticker: str = "AAA", **changes: Any) -> Forecast:
    """Store a forecast under a new edition: ``horizon`` sessions of each field in ``values``, from its value there."""
    return add_forecasts(services, [ticker], **changes)[0]


def add_forecasts(services: Services, names: Sequence[str], **changes: Any) -> list[Forecast]:
    """Store a forecast of each ticker in ``names`` as ``add_forecast`` does, all under one edition."""
    values, horizon = changes.pop("values", {"close": 100.0}), changes.pop("horizon", 1)
    drafts = [replace(_forecast(ticker, values, horizon), **changes) for ticker in names]
    with services.database.write() as tx:
        before, edition = editions.current(tx), editions.next_edition(tx)
        issued = [
            replace(draft, forecast_id=f"{draft.ticker}-{draft.version}-{draft.as_of_session}-{before}").published(
                edition, now=draft.issued_at
            )
            for draft in drafts
        ]
        for forecast in issued:
            forecasts.store(tx, forecast)
    return issued


def _forecast(ticker: str, values: Mapping[str, float], horizon: int) -> Forecast:
    days = [AS_OF + timedelta(days=3 + k) for k in range(horizon)]
    steps = tuple(
        Step(
            step=k + 1,
            field=field,
            last_value=last_value,
            target_session=day,
            target_open_at=datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC),
            target_close_at=datetime(day.year, day.month, day.day, 21, 0, tzinfo=UTC),
            location=0.0005 * (k + 1),
            scale=0.01 * math.sqrt(k + 1),
            df=5.0,
        )
        for field, last_value in values.items()
        for k, day in enumerate(days)
    )
    return Forecast(
        forecast_id="",
        ticker=ticker,
        currency=None,
        targets=tuple({"field": field, "transform": "log_return"} for field in values),
        origin="live",
        as_of_session=AS_OF,
        issued_at=NOW,
        last_close=values.get("close", 100.0),
        steps=steps,
        version=1,
        architecture="gru",
        preset="default",
        trained_through=AS_OF,
        skill=SKILL,
        bands=Bands(kept=CARD.calibration),
        provenance=PROVENANCE,
        calendar={"exchange": "XNYS", "approximate": False, "timezone": "America/New_York"},
        next_update_at=datetime(2026, 11, 23, 22, 30, tzinfo=UTC),
    )


def csv_of(bars: int, *, last: date = AS_OF) -> str:
    """Return ``bars`` weekdays of smooth prices, the last on ``last``."""
    days: list[date] = []
    day = last
    while len(days) < bars:
        if day.weekday() < 5:
            days.append(day)
        day -= timedelta(days=1)
    lines = ["Date,Open,High,Low,Close,Volume"]
    for n, session in enumerate(reversed(days)):
        close = 100 + 5 * math.sin(n / 9) + 0.7 * math.sin(n * 1.7)
        lines.append(f"{session},{close - 0.2:.4f},{close + 1:.4f},{close - 1:.4f},{close:.4f},{100000 + n}")
    return "\n".join(lines) + "\n"


def write_csv(folder: Path, ticker: str, bars: int) -> None:
    """Write the price file of a ticker."""
    folder.mkdir(exist_ok=True)
    (folder / f"{ticker}.csv").write_text(csv_of(bars))
