"""The address that a client shows, and the key that it sends."""

from __future__ import annotations

import asyncio

import pytest

from app.client import ApiError, AsyncClient, Client, Denied, Unreachable
from app.domain.access import Scope
from tests.api.conftest import clock, services, serving, template
from tests.api.keyed import make_key
from tests.bench.processes import free_port
from tests.client.canned import canned, html_said

__all__ = ["clock", "services", "template"]


@pytest.fixture
def url(services):
    with serving(services) as address:
        yield address


def test_a_key_opens_what_its_scope_is_for(url, services):
    _, headers = make_key(services, Scope.READ)
    token = headers["Authorization"].removeprefix("Bearer ")
    with Client(url) as nobody, pytest.raises(Denied) as refused:
        list(nobody.models())
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")
    with Client(url, key=token) as reader:
        assert list(reader.models()) == []
        with pytest.raises(Denied) as refused:
            reader.train("AAA")
    assert (refused.value.status, refused.value.facts["need"]) == (403, "train")


def test_without_one_the_environments_is_sent_and_an_empty_one_is_none(url, services, monkeypatch):
    _, headers = make_key(services)
    monkeypatch.setenv("MORROW_API_KEY", headers["Authorization"].removeprefix("Bearer "))

    async def read() -> list:
        async with AsyncClient(url) as reader:
            return [row async for row in reader.models()]

    assert asyncio.run(read()) == []
    with Client(url, key="") as nobody, pytest.raises(Denied):
        list(nobody.models())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("key", ["mrw_sesame\nmrw_other", "mrw_sesame\u00fc", "mrw sesame"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(kind, key, monkeypatch):
    with pytest.raises(ValueError, match=r"^The key has characters that no key has$"):
        kind("http://127.0.0.1:1", key=key)
    monkeypatch.setenv("MORROW_API_KEY", key)
    with pytest.raises(ValueError, match=r"^MORROW_API_KEY has characters that no key has$"):
        kind("http://127.0.0.1:1")


def test_no_error_shows_the_password_in_an_address():
    with Client(f"http://ada:sesame@127.0.0.1:{free_port()}", attempts=1) as morrow:
        with pytest.raises(Unreachable, match=r"No answer from http://\*\*\*@127") as gone:
            morrow.ready()
        assert "sesame" not in str(gone.value)
    for answer in (html_said(403), html_said(200)):
        with canned(answer) as server, Client(server.url.replace("//", "//ada:sesame@")) as morrow:
            with pytest.raises(ApiError, match=r"http://\*\*\*@127") as refused:
                morrow.presets()
            assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["redis:sesame@x", "http://ada:pa/sesame@x", "http://[sesame@x", "http://ada:sesame@x:port"]
)
def test_an_address_that_is_none_is_refused_without_its_password(url):
    with pytest.raises(ValueError, match=r"\*\*\*@x.* is no address") as refused:
        Client(url)
    assert "sesame" not in str(refused.value)
