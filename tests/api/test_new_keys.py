"""Keys that a process has not seen yet: just made, or made up."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from app.api.app import create_app
from app.api.keyring import NEW_KEY_SECONDS, Keyring, file_keys
from app.errors import Unauthorized
from tests.api.keyed import make_key


def made_up(number):
    return f"Bearer mrw_{number:08d}_{'x' * 43}".encode()


def header_of(services):
    return make_key(services)[1]["Authorization"].encode()


@pytest.fixture
def looks(monkeypatch):
    """Count the looks at the registry; once ``hold`` is cleared, each waits there for it."""
    plain, counted = Keyring._read, []

    def read(self, known):
        counted.append(known)
        assert looks.hold.wait(30)
        return plain(self, known)

    looks = type("Looks", (), {"counted": counted, "hold": threading.Event()})()
    looks.hold.set()
    monkeypatch.setattr(Keyring, "_read", read)
    return looks


@pytest.fixture
def keyring(services):
    return Keyring(services, file_keys=(), is_exposed=True)


def test_a_key_just_made_is_let_in_at_once(services):
    _, known = make_key(services)
    with TestClient(create_app(services)) as client:
        for _ in range(3):
            assert client.get("/v1/models", headers=known).status_code == 200
            _, new = make_key(services)
            assert client.get("/v1/models", headers=new).status_code == 200


def test_all_who_come_with_a_new_key_at_the_same_time_are_let_in(services, keyring):
    async def come():
        await keyring.freshen(None)
        new = header_of(services)
        await asyncio.gather(*(keyring.freshen(new) for _ in range(50)))
        return keyring.caller(new)

    assert asyncio.run(come()).key


def test_a_key_made_while_others_are_looked_for_is_let_in_too(services, keyring, looks):
    async def come():
        await keyring.freshen(header_of(services))
        before = len(looks.counted)
        looks.hold.clear()
        stranger = asyncio.create_task(keyring.freshen(made_up(1)))
        while len(looks.counted) == before:
            await asyncio.sleep(0.01)
        new = header_of(services)
        asker = asyncio.create_task(keyring.freshen(new))
        await asyncio.sleep(0)
        looks.hold.set()
        await asyncio.gather(stranger, asker)
        return keyring.caller(new)

    assert asyncio.run(come()).key


def test_a_flood_of_keys_that_are_made_up_is_no_load_on_the_registry(services, keyring, looks):
    async def flood():
        begun = time.monotonic()
        await keyring.freshen(header_of(services))
        for wave in range(6):
            await asyncio.gather(*(keyring.freshen(made_up(100 * wave + one)) for one in range(100)))
        with pytest.raises(Unauthorized):
            keyring.caller(made_up(1))
        return time.monotonic() - begun

    seconds = asyncio.run(flood())
    # At most one a quarter of a second for those, and the one that all share every half second.
    assert len(looks.counted) <= 3 + 1.5 * seconds / NEW_KEY_SECONDS


def test_keys_that_are_known_do_not_wait_for_those_that_are_made_up(services, keyring, looks):
    async def come():
        known = header_of(services)
        await keyring.freshen(known)
        before = len(looks.counted)
        looks.hold.clear()
        stranger = asyncio.create_task(keyring.freshen(made_up(1)))
        while len(looks.counted) == before:
            await asyncio.sleep(0.01)
        await keyring.freshen(known)
        was_waiting = not stranger.done()
        caller = keyring.caller(known)
        looks.hold.set()
        await stranger
        return was_waiting, caller

    was_waiting, caller = asyncio.run(come())
    assert was_waiting and caller.key


@pytest.mark.parametrize("header", [None, b"", b"Bearer", b"Bearer mrw_short", b"Basic bWU6bWU="])
def test_what_is_no_key_is_not_looked_for(services, keyring, looks, header):
    async def come():
        await keyring.freshen(header_of(services))
        before = len(looks.counted)
        await keyring.freshen(header)
        return len(looks.counted) - before

    assert asyncio.run(come()) == 0


def test_a_wrong_secret_of_a_known_key_is_not_looked_for(services, keyring, looks):
    async def come():
        key = header_of(services)
        await keyring.freshen(key)
        before = len(looks.counted)
        await keyring.freshen(key[:-1] + (b"x" if key[-1:] != b"x" else b"y"))
        return len(looks.counted) - before

    assert asyncio.run(come()) == 0


def test_a_key_in_a_file_that_looks_like_the_registrys_is_not_looked_for(services, looks, tmp_path):
    file = tmp_path / "admin_key"
    file.write_text(made_up(7).decode().removeprefix("Bearer "))
    with_file = replace(services, settings=services.settings.model_copy(update={"admin_key_file": file}))
    keyring = Keyring(with_file, file_keys=file_keys(with_file), is_exposed=True)

    async def come():
        await keyring.freshen(made_up(7))
        return keyring.caller(made_up(7)).key

    assert asyncio.run(come()) and len(looks.counted) == 1
