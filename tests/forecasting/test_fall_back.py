"""A champion whose files are damaged leaves the answering to the champion before it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text
from structlog.testing import capture_logs

from app.api.app import create_app
from app.domain.history import PriceHistory
from app.domain.version import CHALLENGER, CHAMPION, ModelVersion
from app.errors import CorruptArtifact, StoreUnavailable
from app.forecasting.challenge import promote_challenger
from app.forecasting.fall_back import Files, note_files
from app.forecasting.loaded_models import LoadedModels
from app.forecasting.market_data import keep
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import aliases, scores, versions
from tests.api.rows import AS_OF, NOW, add_version
from tests.api.test_stores import DAMAGES, NAMES
from tests.forecasting.conftest import Clock, TestSource, make_bars

SPEC = {"features": ["close"], "window": 5}
Damage = Callable[[bytes], bytes | None]


@pytest.fixture
def three(services: Services, source: TestSource, clock: Clock) -> Services:
    """AAA, whose versions 1, 2 and 3 have been champion in turn, and the bar of the day after."""
    clock.now = NOW
    for number in (1, 2, 3):
        add_version(services, "AAA", spec=SPEC | {"window": 4 + number}, alias=CHAMPION)
    clock.now = NOW + timedelta(days=3)
    source.bars["AAA"] = make_bars(300, last=str(AS_OF + timedelta(days=3)))
    return services


def version_of(services: Services, number: int) -> ModelVersion:
    with services.database.read() as tx:
        return versions.get(tx, "AAA", number)


def file_of(services: Services, number: int, name: str = "model.onnx") -> Path:
    return services.artifacts.path(version_of(services, number).location, name)


def damage(services: Services, number: int, name: str = "model.onnx", how: Damage = DAMAGES["flipped"]) -> bytes:
    """Damage a file, and return what it was."""
    path = file_of(services, number, name)
    good = path.read_bytes()
    bad = how(good)
    path.unlink() if bad is None else path.write_bytes(bad)
    return good


def refresh(services: Services) -> dict[str, Any]:
    """Refresh as a worker that has nothing in memory does."""
    anew = replace(services, models=LoadedModels(services.artifacts))
    return refresh_tickers(None, services=anew, report=lambda *_: None)


def champion(services: Services) -> int | None:
    with services.database.read() as tx:
        return aliases.current(tx, "AAA", CHAMPION)


def marked(services: Services) -> list[int]:
    """The versions that say that their files are damaged."""
    return [number for number in (1, 2, 3) if version_of(services, number).damaged_at]


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_damaged_the_champion_before_answers_by_the_newest_bars(
    three: Services, clock: Clock, name: str, how: str
) -> None:
    damage(three, 3, name, DAMAGES[how])
    said = refresh(three)
    assert (said["fell_back"], said["refreshed"], said["promoted"]) == (["AAA"], ["AAA"], [])
    ((ticker, code),) = [(entry["ticker"], entry["problem"]["code"]) for entry in said["failed"]]
    assert (ticker, code) == ("AAA", "corrupt_artifact")
    with TestClient(create_app(three)) as client:
        answer = client.get("/v1/forecasts/AAA").json()
        listed = {row["version"]: row["damaged_at"] for row in client.get("/v1/models/AAA").json()["items"]}
        change = client.get("/v1/models/AAA/aliases/champion/history").json()["items"][0]
    assert (answer["model"]["version"], answer["state"], answer["edition"]) == (2, "fresh", said["edition"])
    assert answer["as_of_session"] == str(AS_OF + timedelta(days=3))
    assert listed == {3: clock.now.isoformat().replace("+00:00", "Z"), 2: None, 1: None}
    assert (change["version"], change["previous"], change["changed_by"]) == (2, 3, "refresh")
    assert change["reason"] == "the files of version 3 are damaged"


def test_what_is_damaged_too_is_passed_over(three: Services) -> None:
    damage(three, 3)
    damage(three, 2)
    with capture_logs() as lines:
        said = refresh(three)
    told = [(line["log_level"], line["event"], line["ticker"]) for line in lines]
    damaged = ("error", "files damaged", "AAA")
    assert told == [damaged, damaged, ("warning", "earlier champion answers", "AAA")]
    assert [entry["problem"]["code"] for entry in said["failed"]] == ["corrupt_artifact"] * 2
    assert (said["fell_back"], champion(three), marked(three)) == (["AAA"], 1, [2, 3])


def test_what_nobody_can_read_is_passed_over(three: Services) -> None:
    damage(three, 3)
    with three.database.write() as tx:
        tx.execute(text("UPDATE versions SET data = '{}' WHERE number = 2"))
    said = refresh(three)
    assert {entry["problem"]["code"] for entry in said["failed"]} == {"corrupt_artifact", "corrupt_record"}
    assert (said["fell_back"], champion(three)) == (["AAA"], 1)


def test_a_stand_in_that_has_its_forecast_already_makes_an_edition_all_the_same(three: Services) -> None:
    with three.database.write() as tx:
        aliases.point(tx, "AAA", "trial", 2, by="test", reason="", now=NOW)
    assert refresh(three)["failed"] == []
    damage(three, 3)
    said = refresh(three)
    assert (said["fell_back"], said["refreshed"], champion(three)) == (["AAA"], [], 2)
    assert said["edition"] is not None


def test_without_an_earlier_one_in_order_nothing_moves_and_restored_files_go_on(three: Services) -> None:
    """A store that was not mounted must not cost any ticker its champion."""
    root = file_of(three, 3).parent.parent
    away = shutil.move(root, root.with_name("away"))
    assert (refresh(three)["fell_back"], champion(three), marked(three)) == ([], 3, [3])
    shutil.move(away, root)
    said = refresh(three)
    assert (said["failed"], said["refreshed"], champion(three), marked(three)) == ([], ["AAA"], 3, [])


@pytest.mark.parametrize(
    ("since", "codes"),
    [
        ("first look", ["store_unavailable"]),
        ("second look", ["corrupt_artifact"]),
        ("stand-in", ["corrupt_artifact", "store_unavailable"]),
    ],
)
def test_a_store_that_does_not_answer_moves_nothing(
    three: Services, monkeypatch: pytest.MonkeyPatch, since: str, codes: list[str]
) -> None:
    damage(three, 3)
    served, read = file_of(three, 3).parent.name, three.artifacts.read
    away = [since == "first look"]

    def gone(key: str, name: str, *, sha256: str) -> bytes:
        if away[0] or (since == "stand-in" and not key.endswith(f"/{served}")):
            raise StoreUnavailable("away")
        try:
            return read(key, name, sha256=sha256)
        except CorruptArtifact:
            away[0] = since == "second look"
            raise

    monkeypatch.setattr(three.artifacts, "read", gone)
    said = refresh(three)
    assert [entry["problem"]["code"] for entry in said["failed"]] == codes
    assert (said["fell_back"], champion(three)) == ([], 3)
    assert marked(three) == ([3] if since == "stand-in" else [])


def test_damaged_bars_are_no_damage_of_the_version(services: Services, clock: Clock) -> None:
    clock.now = NOW
    for number in (1, 2):
        add_version(services, "AAA", spec=SPEC | {"window": 4 + number}, alias=CHAMPION, source="upload")
    keep(PriceHistory(ticker="AAA", source="upload", bars=make_bars(300, last=str(AS_OF))), services=services, now=NOW)
    (snapshot,) = [path for path in (services.settings.home / "snapshots").rglob("*") if path.is_file()]
    snapshot.write_bytes(b"torn")
    said = refresh(services)
    assert {entry["problem"]["code"] for entry in said["failed"]} == {"corrupt_artifact"}
    with services.database.read() as tx:
        assert versions.get(tx, "AAA", 2).damaged_at is None
    assert (said["fell_back"], champion(services)) == ([], 2)


def test_a_stand_in_that_cannot_forecast_the_new_bars_does_not_answer(three: Services, source: TestSource) -> None:
    damage(three, 3)
    source.bars["AAA"] = make_bars(8, last=str(AS_OF + timedelta(days=3)))
    said = refresh(three)
    assert {entry["problem"]["code"] for entry in said["failed"]} == {"corrupt_artifact", "not_enough_history"}
    assert (said["fell_back"], champion(three)) == ([], 3)


def test_a_damaged_challenger_is_marked_and_the_champion_stays(three: Services) -> None:
    with three.database.write() as tx:
        aliases.point(tx, "AAA", CHALLENGER, 2, by="test", reason="", now=NOW)
    damage(three, 2)
    said = refresh(three)
    assert (said["refreshed"], said["fell_back"], champion(three), marked(three)) == (["AAA"], [], 3, [2])


def test_a_damaged_challenger_does_not_rise(three: Services) -> None:
    with three.database.write() as tx:
        aliases.point(tx, "AAA", CHALLENGER, 2, by="test", reason="", now=NOW)
        versions.note_damage(tx, "AAA", 2, at=NOW)
        assert not promote_challenger(tx, "AAA", now=NOW)


@pytest.mark.parametrize("to", [1, 3])
def test_an_alias_that_was_pointed_anywhere_meanwhile_stays_there(three: Services, clock: Clock, to: int) -> None:
    """Also to the damaged one itself, whose files somebody has restored: pointing to it has verified them."""
    with three.database.write() as tx:
        seen = Files(damaged=(3,), stand_in=2, since=since(tx))
        aliases.point(tx, "AAA", CHAMPION, to, by="somebody", reason="", now=clock.now)
        assert not note_files(tx, "AAA", seen, now=clock.now)
    assert (champion(three), marked(three)) == (to, [])


def test_a_stand_in_that_was_deleted_meanwhile_is_no_end_of_the_refresh(three: Services, clock: Clock) -> None:
    with three.database.write() as tx:
        versions.delete(tx, "AAA", 2)
        assert not note_files(tx, "AAA", Files(damaged=(3,), stand_in=2, since=since(tx)), now=clock.now)
    assert version_of(three, 3).damaged_at == clock.now
    assert champion(three) == 3


def since(tx: Connection) -> datetime:
    return aliases.history(tx, "AAA", CHAMPION)[0].changed_at


def test_what_forecasts_from_older_bars_is_passed_over(three: Services) -> None:
    """A version that learnt from an upload which nobody renews says less than the last forecast of the damaged one."""
    old = make_bars(300, last=str(AS_OF - timedelta(days=30)))
    keep(PriceHistory(ticker="AAA", source="upload", bars=old), services=three, now=NOW)
    add_version(three, "AAA", spec=SPEC, alias=CHAMPION, source="upload")
    add_version(three, "AAA", spec=SPEC, alias=CHAMPION)
    damage(three, 5)
    assert (refresh(three)["fell_back"], champion(three)) == (["AAA"], 3)


def test_what_cannot_be_run_is_passed_over_and_is_no_damage(three: Services) -> None:
    add_version(three, "AAA", spec=SPEC, alias=CHAMPION, network=b"of another program")
    add_version(three, "AAA", spec=SPEC, alias=CHAMPION)
    damage(three, 5)
    assert (refresh(three)["fell_back"], champion(three)) == (["AAA"], 3)
    assert [number for number in range(1, 6) if version_of(three, number).damaged_at] == [5]


def test_rolling_back_passes_over_damaged_files_and_says_so_when_there_are_no_others(three: Services) -> None:
    at = "/v1/models/AAA/aliases/champion/rollback"
    damage(three, 2)
    with TestClient(create_app(three)) as client:
        assert client.post(at).json()["version"] == 1
        refused = client.post(at)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    with three.database.write() as tx:
        aliases.point(tx, "AAA", CHAMPION, 2, by="test", reason="", now=NOW)
    damage(three, 1)
    with TestClient(create_app(three)) as client:
        refused = client.post(at)
        assert (refused.status_code, refused.json()["code"]) == (500, "corrupt_artifact")


def test_pointing_the_alias_back_to_restored_files_takes_the_mark_away(three: Services) -> None:
    at = "/v1/models/AAA/aliases/champion"
    with TestClient(create_app(three)) as client:
        three.models.get(version_of(three, 3))  # in memory it is as it was
        good = damage(three, 3)
        refresh(three)
        tag = {"if-match": client.get(at).headers["etag"]}
        refused = client.put(at, json={"version": 3}, headers=tag)
        assert (refused.status_code, refused.json()["code"], marked(three)) == (500, "corrupt_artifact", [3])
        file_of(three, 3).write_bytes(good)
        moved = client.put(at, json={"version": 3}, headers=tag)
        assert (moved.status_code, moved.json()["version"], marked(three)) == (200, 3, [])
    assert (refresh(three)["failed"], champion(three), marked(three)) == ([], 3, [])


def test_what_the_damaged_one_forecast_is_scored_in_its_name(three: Services) -> None:
    damage(three, 3)
    said = refresh(three)
    assert said["scored"] == 3, "each version's own forecast of the session that came"
    with three.database.read() as tx:
        assert scores.record(tx, origin="live", ticker="AAA", version=3, window=10)
