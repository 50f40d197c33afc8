"""The registry that the bench fills is one that the service reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fastapi.testclient import TestClient

from app.api.app import create_app
from app.api.pagination import token_of
from app.bootstrap import open_services
from app.db.tables import metadata
from app.registry import forecasts
from app.settings import Settings
from tests.api.rows import add_version
from tests.bench.registry.fill import JOBS_A_VERSION, Size, fill, name_of
from tests.bench.registry.latency import latency_of

SIZE = Size(tickers=3, versions=12, forecasts=30)


def test_a_registry_is_filled_through_all_tables_and_answers(tmp_path: Path) -> None:
    seeded = open_services(Settings(home=tmp_path / "seed"))
    version = add_version(seeded, "SEED", alias="champion")
    with seeded.database.read() as tx:
        forecast = forecasts.latest(tx, "SEED", 1)
    assert forecast is not None
    seeded.database.close()
    fill(tmp_path / "filled", SIZE, version=version, forecast=forecast)
    services = open_services(Settings(home=tmp_path / "filled"))
    with closing(sqlite3.connect(tmp_path / "filled" / "morrow.db")) as tx:
        count = {name: tx.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in metadata.tables}
    jobs = sum(JOBS_A_VERSION.values()) * SIZE.versions
    assert (count["tickers"], count["versions"], count["jobs"]) == (3, 12, jobs)
    assert count["forecasts"] == count["forecast_chain"] == count["scores"] == 30
    assert (count["aliases"], count["drift"], count["score_sums"], count["score_days"]) == (3, 3, 6, 9)
    with TestClient(create_app(services)) as client:
        listed = client.get("/v1/models").json()["items"]
        assert [item["ticker"] for item in listed] == [name_of(number) for number in range(3)]
        assert {item["champion"]["version"] for item in listed} == {4}
        said = client.get(f"/v1/forecasts/{name_of(2)}").json()
        issued = client.get(f"/v1/forecasts/{name_of(2)}/history").json()["items"]
        assert (said["ticker"], said["forecast_id"]) == (name_of(2), issued[0]["forecast_id"])
        assert [item["steps"][0]["state"] for item in issued] == ["pending", *["scored"] * 9]
        scored = client.get(f"/v1/scores?page_token={token_of('scores', (name_of(1),))}").json()
        assert [(item["ticker"], item["model"]["version"], item["n"]) for item in scored["items"]] == [
            (name_of(2), 2, 5),
            (name_of(2), 4, 4),
        ]
        assert scored["overall"][0]["n"] == 27
        assert client.get("/v1/jobs?state=queued").json()["items"]
    services.database.close()


def test_one_answer_in_a_hundred_is_slower_than_p99() -> None:
    found = latency_of([n / 1000 for n in range(101)])
    assert (round(found.p50, 6), round(found.p99, 6)) == (50.0, 99.0)
