"""What is served while the store of bundles or snapshots is damaged or away."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from app.api.app import create_app
from app.bootstrap import INSTALL_SCALE, open_services
from app.errors import CorruptArtifact
from app.forecasting.loaded_models import LoadedModels
from app.forecasting.services import Services
from app.settings import Settings
from tests.api.conftest import Clock, look_anew
from tests.api.rows import add_version
from tests.api.test_own_bars import rows
from tests.architecture import ROOT
from tests.support.s3_server import CREDENTIALS, S3Server, new_bucket, s3_server

DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:1] + bytes([data[1] ^ 1]) + data[2:],
    "deleted": lambda data: None,
}
NAMES = (
    *("model.onnx", "weights.npz", "spec.json", "scalers.json", "scorecard.json", "golden.json"),
    *("predictions.json", "fitted.json", "path.json", "curves.json"),
)


def restarted(services: Services) -> TestClient:
    """The API of a new process: the same stores, and nothing in memory."""
    return TestClient(create_app(replace(services, models=LoadedModels(services.artifacts))))


def asked(client: TestClient, ticker: str) -> tuple[int, dict[str, Any]]:
    """Ask for a forecast on bars of one's own, which takes the network."""
    answer = client.post("/v1/forecasts", json={"ticker": ticker, "bars": rows()})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_of_a_champion_whose_file_is_damaged_only_what_was_good_is_served(
    client: TestClient, services: Services, name: str, damage: str
) -> None:
    champion = add_version(services, alias="champion")
    add_version(services, "BBB", alias="champion")
    assert set(champion.artifacts) == set(NAMES)
    good = asked(client, "AAA")
    stored = client.get("/v1/forecasts/AAA").json()
    assert (good[0], stored["model"]["version"]) == (200, 1)

    path = services.artifacts.path(champion.location, name)
    damaged = DAMAGES[damage](path.read_bytes())
    path.unlink() if damaged is None else path.write_bytes(damaged)

    assert asked(client, "AAA")[1]["steps"] == good[1]["steps"], "what is in memory is as it was"
    with restarted(services) as anew:
        status, problem = asked(anew, "AAA")
        assert (status, problem["code"]) == (500, "corrupt_artifact")
        assert name in problem["detail"]
        assert anew.get("/v1/forecasts/AAA").json()["steps"] == stored["steps"], "a forecast is a row"
        refused = anew.get(f"/v1/models/AAA/versions/1/artifacts/{name}")
        assert (refused.status_code, refused.json()["code"]) == (500, "corrupt_artifact")
        assert asked(anew, "BBB")[0] == 200
        assert anew.get("/readyz").status_code == 200


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with s3_server() as server:
        yield server


@pytest.fixture
def on_s3(tmp_path: Path, template: Path, clock: Clock, services: Services, s3: S3Server) -> Iterator[Services]:
    bucket = new_bucket()
    stores = {"models_store": f"{bucket.url}/models", "snapshots_store": f"{bucket.url}/snapshots"}
    settings = services.settings.model_dump() | stores | {"s3_endpoint_url": s3.url}
    opened = open_services(Settings(**settings), clock=clock)
    yield opened
    opened.database.close()


def test_while_s3_is_away_what_is_stored_or_in_memory_is_served_and_the_rest_says_try_again(
    on_s3: Services, s3: S3Server
) -> None:
    version = add_version(on_s3, alias="champion")
    with TestClient(create_app(on_s3)) as client:
        assert client.get("/readyz").status_code == 200
        loaded = asked(client, "AAA")
        stored = client.get("/v1/forecasts/AAA").json()
        s3.fail = lambda number, method, path: "cut"
        look_anew(client)
        assert asked(client, "AAA")[1]["steps"] == loaded[1]["steps"]
        assert client.get("/v1/forecasts/AAA").json() == stored
        file = client.get("/v1/models/AAA/versions/1/artifacts/model.onnx")
        assert (file.status_code, file.json()["code"]) == (503, "store_unavailable")
        assert int(file.headers["retry-after"]) > 0
        ready = client.get("/readyz")
        assert (ready.status_code, [one["name"] for one in ready.json()["checks"] if not one["ok"]]) == (
            503,
            ["models_store"],
        )
        with restarted(on_s3) as anew:
            assert asked(anew, "AAA")[0] == 503
            assert anew.get("/v1/forecasts/AAA").status_code == 200
            s3.fail = None
            assert asked(anew, "AAA")[1]["steps"] == loaded[1]["steps"]
        sha256 = version.artifacts["model.onnx"]["sha256"]
        assert client.get("/v1/models/AAA/versions/1/artifacts/model.onnx").headers["etag"] == f'"{sha256}"'
        look_anew(client)
        assert client.get("/readyz").status_code == 200


def test_bars_that_are_handed_in_go_to_s3_and_come_back(on_s3: Services, s3: S3Server) -> None:
    lines = [f"2026-11-{day:02},{day}.5,{day + 1},{day},{day}.5,10" for day in range(2, 7)]
    with TestClient(create_app(on_s3)) as client:
        csv = "\n".join(["Date,Open,High,Low,Close,Volume", *lines])
        taken = client.post("/v1/tickers/OWN/bars", content=csv, headers={"content-type": "text/csv"})
        assert taken.is_success, taken.text
        shown = client.get("/v1/tickers/OWN/bars").json()
        assert not (on_s3.settings.state_dir / "snapshots").exists()
        s3.fail = lambda number, method, path: "503"
        away = client.get("/v1/tickers/OWN/bars")
        assert (away.status_code, away.json()["code"]) == (503, "store_unavailable")
        s3.fail = None
        assert client.get("/v1/tickers/OWN/bars").json() == shown


def test_a_version_is_deleted_while_s3_is_away_and_the_sweep_takes_its_files(
    on_s3: Services, s3: S3Server, clock: Clock
) -> None:
    gone, kept = add_version(on_s3), add_version(on_s3)
    with TestClient(create_app(on_s3)) as client:
        s3.fail = lambda number, method, path: "403"
        assert client.delete("/v1/models/AAA/versions/1").status_code == 204
        s3.fail = None
        assert client.get("/v1/models/AAA/versions/1").status_code == 404
        assert client.delete("/v1/models/AAA/versions/2").status_code == 204
    with pytest.raises(CorruptArtifact):
        on_s3.artifacts.read(kept.location, "spec.json", sha256=kept.artifacts["spec.json"]["sha256"])
    later = datetime.now(UTC) + timedelta(days=3)
    assert on_s3.artifacts.sweep(set(), older_than_seconds=60, now=later) == [gone.location]


def test_a_store_on_s3_without_its_packages_says_which_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from app.bootstrap import open_services; from app.errors import StoreUnavailable\n"
        "from app.settings import Settings\n"
        f"try: open_services(Settings(home={str(tmp_path)!r}, models_store='s3://bucket/models'))\n"
        "except StoreUnavailable as error: print(error.detail)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == f"A store on S3 needs more packages (s3fs is missing): {INSTALL_SCALE}\n"


@pytest.mark.parametrize(
    "place",
    ["gs://bucket", "s3://", "s3:///prefix", "s3:/bucket", "s3://b/p", "s3://Bucket", "s3://b/a//b", "https://x/y"],
)
def test_a_store_is_a_folder_or_on_s3(place: str) -> None:
    with pytest.raises(ValidationError, match="neither a folder nor s3://bucket/prefix"):
        Settings(models_store=place)
    with pytest.raises(ValidationError, match="neither a folder nor s3://bucket/prefix"):
        Settings(snapshots_store=place)


def test_a_store_may_be_any_folder(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, models_store=tmp_path / "a", snapshots_store=str(tmp_path / "b"))
    assert (settings.models_dir, settings.snapshots_dir) == (tmp_path / "a", tmp_path / "b")
    assert Settings(home=tmp_path).snapshots_dir == tmp_path / "snapshots"
