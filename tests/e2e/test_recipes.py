"""Every published system, ordered at once from a running API, and what comes back over HTTP."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Connection

pytest.importorskip("tensorflow", reason="the worker extra is not installed")

from app.artifacts.bundle import FILES
from app.bootstrap import open_services
from app.domain.job import Job
from app.domain.order import TrainingOrder
from app.domain.presets import PRESETS
from app.domain.spec import NetworkSpec
from app.errors import AppError
from app.forecasting.services import Services
from app.jobs import leases
from app.settings import Settings
from app.worker.handlers import HANDLERS
from tests.dataset.series import made_up_bars
from tests.e2e.service import Service, running

BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SEEDS = Path(os.environ.get("MORROW_REFERENCE_DATA", BESIDE)) / "seeds"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tensorflow,
    pytest.mark.data,
    pytest.mark.skipif(not SEEDS.is_dir(), reason="the reference market data are not beside the checkout"),
    pytest.mark.timeout(1800),
]

#: What the published systems are to be compared with: repeating the last value, over the days that they are tested on.
REPEATED = {"IBM": 1.539, "GOOGL": 8.416}
FLAT = {"ibm-sequence": 14.66, "ibm-sequence+": 14.66}

Floats = NDArray[np.float64]
COLUMNS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "adj_close": "Adj Close"}
QUANTILES = ("0.025", "0.1", "0.5", "0.9", "0.975")
SHARE = {"kind": "fixed", "test_fraction": 0.2}
QUICK = {"epochs": 1, "batch_size": 256}


def small(preset: str) -> dict[str, Any]:
    """The order of a preset, its networks narrow and at most two layers deep, its horizon as it is."""
    spec = PRESETS[preset].spec
    less = {**QUICK, "units": [2] * min(2, len(spec["units"]))}
    if spec.get("members"):
        less["members"] = [{**member, **QUICK, "units": less["units"]} for member in spec["members"]]
    window = min(20, spec["window"])
    return {"ticker": PRESETS[preset].ticker, "preset": preset, "spec": {**less, "window": window}, "promote": "never"}


def own(**spec: Any) -> dict[str, Any]:
    """An order of the default preset."""
    return {
        "ticker": "MSFT",
        "spec": {**QUICK, "units": [3], "window": 10, **spec},
        "evaluation": SHARE,
        "promote": "never",
    }


ORDERS = {name: small(name) for name, preset in PRESETS.items() if preset.ticker} | {
    "several targets": own(
        architecture="lstm",
        strategy="encoder_decoder",
        targets=[{"field": "close"}, {"field": "high"}, {"field": "low"}],
        horizon=5,
    ),
    "members with seeds": own(
        architecture="lstm", members=[{"dropout": 0.1}, {"architecture": "simple_rnn", "units": [2]}], seeds=2
    ),
    "fed back": own(strategy="recursive", horizon=10),
}
TWINS = [name for name in ORDERS if name.endswith("+")]
HERE = [name for name in ORDERS if name not in TWINS]
SPECS: Mapping[str, NetworkSpec] = {
    name: TrainingOrder.from_dict({**body, "data": {"source": "files"}}).spec for name, body in ORDERS.items()
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference files, a young stock, and something that is traded on weekends only."""
    folder: Path = tmp_path_factory.mktemp("files")
    for file in SEEDS.glob("*.csv"):
        (folder / file.name).symlink_to(file)
    weekdays = np.busday_offset(np.datetime64("2020-01-01"), np.arange(300), roll="forward")
    days = np.arange(np.datetime64("2016-01-02"), np.datetime64("2023-12-31"))
    write_made_up(folder / "YOUNG.csv", weekdays)
    write_made_up(folder / "WKND-USD.csv", days[~np.is_busday(days)])
    return folder


def write_made_up(file: Path, days: np.ndarray) -> None:
    bars = made_up_bars(len(days))
    columns = (getattr(bars, name) for name in ("open", "high", "low", "close", "volume"))
    with file.open("w", newline="") as text:
        csv.writer(text).writerows(
            [["Date", "Open", "High", "Low", "Close", "Volume"], *zip(days, *columns, strict=True)]
        )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("home")
    return folder


@pytest.fixture(scope="module")
def service(files: Path, home: Path) -> Iterator[Service]:
    settings = {"MORROW_SOURCE": "files", "MORROW_FILES_DIR": str(files), "MORROW_MAX_ATTEMPTS": "1"}
    with running(home, "api", **settings) as service:
        yield service


@pytest.fixture(scope="module")
def orders() -> list[str]:
    return HERE


@pytest.fixture(scope="module")
def jobs(service: Service, files: Path, home: Path, orders: list[str]) -> Mapping[str, dict[str, Any]]:
    """All orders, handed in at once, and done by what does them in a worker's children."""
    queued = {name: service.ask("/v1/train", ORDERS[name]) for name in orders}
    assert {name: answer for name, (status, answer) in queued.items() if status != 202} == {}
    assert not any(job["deduplicated"] for _, job in queued.values())
    services = open_services(Settings(home=home, source="files", files_dir=files, train_threads=1))
    do_all_jobs(services)
    services.database.close()
    return {name: got(service, job["links"]["self"]) for name, (_, job) in queued.items()}


def do_all_jobs(services: Services) -> None:
    """Do what is queued in this one process: a fresh one a job, which only costs seconds here, is tested elsewhere."""
    import keras

    while True:
        with services.database.write() as tx:
            job = leases.claim(tx, owner="test", lease_seconds=3600, now=services.clock())
        if job is None:
            return
        keras.utils.clear_session()

        def complete(tx: Connection, result: dict[str, Any], job: Job = job) -> None:
            assert leases.succeed(tx, job.job_id, job.fence, result, now=services.clock())

        try:
            HANDLERS[job.kind](job, services=services, report=lambda *_, **__: None, complete=complete)
        except AppError as error:
            with services.database.write() as tx:
                leases.fail(tx, job.job_id, job.fence, error, now=services.clock())


@pytest.fixture(params=HERE)
def name(request: pytest.FixtureRequest) -> str:
    ordered: str = request.param
    return ordered


@pytest.fixture
def version(service: Service, jobs: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """The version that came of the order ``name``."""
    job = jobs[name]
    assert job["state"] == "succeeded", job["error"]
    return got(service, job["result"]["url"])


def got(service: Service, path: str) -> dict[str, Any]:
    status, document = service.ask(path)
    assert status == 200, document
    found: dict[str, Any] = document
    return found


def repeating(ticker: str, field: str, *, first: str, last: str, steps: int) -> tuple[float, float | None]:
    """What repeating the last value is off by in the file of ``ticker``, root mean square over the days tested.

    The day before each of them counts as the last, then, for all of the first ``steps`` of them, the day before the
    first; dividends are added back.
    """
    with (SEEDS / f"{ticker}.csv").open() as text:
        rows = [row for row in csv.DictReader(text) if float(row[COLUMNS[field]] or 0) > 0]
    days, prices = [row["Date"] for row in rows], np.array([float(row[COLUMNS[field]]) for row in rows])
    start, end = days.index(first), days.index(last) + 1
    growth = dividends(rows) if field != "adj_close" else np.ones(len(rows))
    path = prices[start : start + steps] * np.cumprod(growth[start : start + steps]) - prices[start - 1]
    moves = prices[start:end] * growth[start:end] - prices[start - 1 : end - 1]
    return float(np.sqrt(np.mean(moves**2))), float(np.sqrt(np.mean(path**2))) if steps > 1 else None


def dividends(rows: list[dict[str, str]]) -> Floats:
    """By how much more each day has brought to who reinvests dividends; below a thousandth of a percent is noise."""
    if "Adj Close" not in rows[0]:
        return np.ones(len(rows))
    share = np.array([float(row["Adj Close"]) / float(row["Close"]) for row in rows])
    growth = np.append(1.0, share[1:] / share[:-1])
    return np.where(np.abs(growth - 1) > 1e-5, growth, 1.0)


def test_each_order_ends_in_a_version_of_what_was_ordered(version: dict[str, Any], name: str) -> None:
    spec = SPECS[name]
    assert version["spec"] == spec.to_dict()
    assert (version["ticker"], version["preset"]) == (ORDERS[name]["ticker"], ORDERS[name].get("preset", "default"))
    assert version["architecture"] == spec.network_name
    assert [target["field"] for target in version["targets"]] == [target.field for target in spec.targets]
    assert set(version["artifacts"]) == set(FILES.values()) - {FILES["folds"]}  # which networks of many tickers keep
    peers = version["data"]["peers"]
    assert (list(peers["snapshots"]) if peers else []) == list(spec.peers)
    if peers:
        assert {item["ticker"] for item in peers["correlation"]["items"]} == set(spec.peers)


def test_each_scorecard_has_what_repeating_the_last_value_is_off_by(
    service: Service, version: dict[str, Any], name: str
) -> None:
    card = got(service, version["links"]["scorecard"])
    spec, ticker, protocol = SPECS[name], version["ticker"], card["protocol"]
    tested = {"first": protocol["first_session"], "last": protocol["last_session"], "steps": spec.horizon}
    for target in spec.targets:
        contestants = card["contestants"] if target == spec.target else card["targets"][target.field]
        assert {"model", "persistence", "ewma_t", "drift", "moving_average", "garch_t", "gjr_t"} <= contestants.keys()
        rmse, path = repeating(ticker, target.field, **tested)
        assert contestants["persistence"]["rmse"] == pytest.approx(rmse)
        assert contestants["persistence"].get("rmse_path") == pytest.approx(path)
        assert all(row["rmse"] > 0 and ("rmse_path" in row) == (spec.horizon > 1) for row in contestants.values())
    persistence = card["contestants"]["persistence"]
    if ticker in REPEATED:
        assert round(persistence["rmse"], 3) == REPEATED[ticker]
    if name in FLAT:
        assert round(persistence["rmse_path"], 2) == FLAT[name]
    assert (card["skill"]["vs"], card["skill"]["n"]) == ("persistence", protocol["sessions"])


def test_each_forecast_goes_as_far_as_the_version_looks(service: Service, version: dict[str, Any], name: str) -> None:
    spec, number = SPECS[name], version["version"]
    at = f"/v1/forecasts/{quote(version['ticker'])}?model={number}&horizon="
    forecast = got(service, f"{at}{spec.horizon}")
    assert forecast["model"]["version"] == number
    card = got(service, version["links"]["scorecard"])
    assert forecast["as_of_session"] == card["protocol"]["last_session"]
    steps = forecast["steps"]
    in_order = [(target.field, step) for target in spec.targets for step in range(1, spec.horizon + 1)]
    assert [(step["field"], step["step"]) for step in steps] == in_order
    for target in spec.targets:
        days = [step["target_session"] for step in steps if step["field"] == target.field]
        assert [forecast["as_of_session"], *days] == sorted({forecast["as_of_session"], *days})
    for step in steps:
        prices = [step["quantiles"][probability] for probability in QUANTILES]
        assert list(step["quantiles"]) == list(QUANTILES)
        assert prices[0] > 0 and prices == sorted(prices) and step["point"] == prices[2]
    status, refusal = service.ask(f"{at}{spec.horizon + 1}")
    assert (status, refusal["code"]) == (422, "horizon_too_long")
    assert (refusal["have"], refusal["need"]) == (spec.horizon, spec.horizon + 1)


def test_each_version_shows_true_against_predicted_and_how_it_learnt(
    service: Service, version: dict[str, Any], name: str
) -> None:
    spec, links = SPECS[name], version["links"]
    protocol = got(service, links["scorecard"])["protocol"]
    test, train, path = (got(service, f"{links['predictions']}?part={part}") for part in ("test", "train", "path"))
    for columns, rows in ((test, protocol["sessions"]), (train, len(train["session"])), (path, spec.horizon)):
        assert {len(values) for values in columns.values()} == {rows}
        assert None not in columns["actual"]
        bands = [columns[line] for line in ("lower_95", "lower_80", "predicted", "upper_80", "upper_95")]
        assert (np.diff(np.array(bands, float), axis=0) > 0).all()
        assert columns["session"] == sorted(set(columns["session"]))
    assert (test["session"][0], test["session"][-1]) == (protocol["first_session"], protocol["last_session"])
    assert path["session"][0] == test["session"][0] > train["session"][-1]
    assert (path["predicted"][0], path["actual"][0]) == (test["predicted"][0], test["actual"][0])
    assert {f"{target.field}_predicted" for target in spec.targets[1:]} <= set(test)
    assert (got(service, links["fitted"]), got(service, links["path"])) == (train, path)

    curves = got(service, links["curves"])
    assert (curves["epoch"], len(curves["loss"])) == ([1], 1)
    assert curves["best_epoch"] in ({1} if spec.head == "point" else {0, 1})  # what starts as HAR may be best so
    assert len(curves["val_loss"]) == (1 if spec.validation_fraction else 0)
    averaged = len(spec.networks) * spec.seeds
    drawn = [(member["architecture"], member["seed"]) for member in curves.get("members", [])]
    expected = [(member.architecture, spec.seed + draw) for member in spec.networks for draw in range(spec.seeds)]
    assert drawn == (expected if averaged > 1 else [])


def test_the_documentation_says_which_predictions_are_a_session_ahead(service: Service) -> None:
    paths = got(service, "/openapi.json")["paths"]
    parameters = paths["/v1/models/{ticker}/versions/{version}/predictions"]["get"]["parameters"]
    (part,) = (parameter for parameter in parameters if parameter["name"] == "part")
    assert "`test`: a session ahead" in part["description"]
    assert "`path`: all steps of the first forecast" in part["description"]


@pytest.mark.parametrize(
    ("body", "code", "pointer", "facts"),
    [
        pytest.param(
            {"ticker": "YOUNG", "spec": {"window": 400}, "evaluation": SHARE},
            "not_enough_history",
            "",
            {"have": 300, "ticker": "YOUNG"},
            id="a window longer than the history",
        ),
        pytest.param(
            {"ticker": "MSFT", "preset": "msft-peers", "spec": {"peers": ["AAPL", "NOPE"]}},
            "unknown_ticker",
            "/spec/peers/1",
            {"peer": "NOPE"},
            id="a peer that the source does not have",
        ),
        pytest.param(
            {"ticker": "MSFT", "spec": {"peers": ["WKND-USD"]}},
            "not_enough_history",
            "/spec/peers",
            {"have": 0, "peers": ["WKND-USD"]},
            id="a peer that never trades on the same day",
        ),
        pytest.param(
            {"ticker": "IBM", "preset": "ibm-sequence", "spec": {"horizon": 252}},
            "not_enough_history",
            "/spec/horizon",
            {"have": 251, "need": 252},
            id="a horizon that nothing is left to test on",
        ),
        pytest.param(
            {"ticker": "IBM", "spec": {"target": {"field": "adj_close"}}},
            "invalid_bars",
            "",
            {"field": "adj_close", "have": 0, "need": 2},
            id="a field that the file does not have",
        ),
        pytest.param(
            {"ticker": "MSFT", "preset": "msft-peers", "spec": {"peers": ["IBM"]}},
            "invalid_bars",
            "/spec/peers/0",
            {"field": "adj_close", "have": 0, "need": 2, "peer": "IBM"},
            id="a field that the file of a peer does not have",
        ),
        pytest.param(
            {"ticker": "IBM", "spec": {"features": ["weighted_price"]}},
            "invalid_spec",
            "/spec/features",
            {},
            id="a column that another file has",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_numbers_before_it_is_queued(
    service: Service, body: dict[str, Any], code: str, pointer: str, facts: dict[str, Any]
) -> None:
    before = got(service, f"/v1/jobs?ticker={body['ticker']}")["items"]
    status, problem = service.ask("/v1/train", body)
    assert (status, problem["code"], problem["errors"][0]["pointer"]) == (422, code, pointer), problem
    assert {name: problem.get(name) for name in facts} == facts
    if code == "not_enough_history":
        assert problem["need"] > problem["have"]
    assert got(service, f"/v1/jobs?ticker={body['ticker']}")["items"] == before
