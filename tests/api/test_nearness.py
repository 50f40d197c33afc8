"""A service without keys answers its own machine, and nobody whom a proxy or a browser brings."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.api.app import create_app
from app.api.nearness import is_near
from tests.api.keyed import make_key
from tests.api.rows import add_version

FOREIGN_PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
PAGES_OF_OTHERS = [
    FOREIGN_PAGE,
    {"Origin": "http://testserver:3000", "Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},  # of a browser that says no more
    {"Origin": "null"},
]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.9"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Port": "443"},
        {"X-Forwarded-Server": "proxy"},
        {"X-Real-IP": "203.0.113.9"},
        {"CF-Connecting-IP": "203.0.113.9"},
        {"True-Client-IP": "203.0.113.9"},
        {"X-Client-IP": "203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"Forwarded": "for=203.0.113.9"},
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
    ],
)
def test_who_comes_from_elsewhere_needs_a_key(services, headers):
    add_version(services, alias="champion")
    with TestClient(create_app(services)) as client:
        assert client.get("/v1/forecasts/AAA").status_code == 200
        answer = client.get("/v1/forecasts/AAA", headers=headers)  # from memory for others
        assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (401, "unauthorized", "not_near")
        assert client.post("/v1/refresh", headers=headers).status_code == 401
        assert client.get("/livez", headers=headers).status_code == 200


@pytest.mark.parametrize("claimed", ["127.0.0.1", "::1", "localhost", ""])
def test_who_is_believed_whatever_address_he_names_is_not_near_for_it(services, claimed):
    believing = ProxyHeadersMiddleware(create_app(services), trusted_hosts="*")
    with TestClient(believing, client=("203.0.113.9", 5000)) as client:
        answer = client.get("/v1/models", headers={"X-Forwarded-For": claimed})
        assert (answer.status_code, answer.json()["reason"]) == (401, "not_near")


@pytest.mark.parametrize("headers", PAGES_OF_OTHERS)
def test_a_page_of_another_site_makes_nobody_write(services, headers):
    with TestClient(create_app(services)) as client:
        assert client.post("/v1/refresh", headers=headers).status_code == 401
        assert client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://testserver"},
    ],
)
def test_its_own_page_and_programs_may_write(services, headers):
    with TestClient(create_app(services)) as client:
        assert client.post("/v1/refresh", headers=headers).status_code == 202


def test_with_a_key_it_does_not_matter_where_one_comes_from(services):
    _, key = make_key(services)
    with TestClient(create_app(services)) as client:
        assert client.get("/v1/models", headers={**key, "Host": "morrow.example"}).status_code == 200
        assert client.get("/v1/models", headers={**key, "X-Forwarded-For": "203.0.113.9"}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5:80", "api:8000", "TESTSERVER"]
)
def test_addresses_and_names_without_a_dot_are_our_own(host):
    assert is_near("POST", [(b"host", host.encode())], origins=())


def test_pages_that_the_settings_name_may_write():
    headers = [(name.lower().encode(), value.encode()) for name, value in FOREIGN_PAGE.items()]
    assert is_near("POST", headers, origins=("https://evil.example",))
    assert not is_near("POST", headers, origins=())
