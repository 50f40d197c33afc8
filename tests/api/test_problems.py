from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app import errors
from app.api.app import create_app
from app.api.problems import document_of, status_of
from app.forecasting.services import Services

STANDARD = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def test_every_refusal_has_the_one_shape(client: TestClient) -> None:
    """The shape of an error.

    ``application/problem+json`` with ``type`` (a URN made of the code), ``title``, ``status`` (as in
    the status line), ``detail`` (a sentence for people), ``instance`` (the path), ``code`` (stable,
    snake_case) and ``request_id`` (as in ``X-Request-ID``). A 422 has ``errors``: ``detail`` and a
    JSON ``pointer`` each. Numbers behind the message stand beside.
    """
    refusals = {
        400: client.post("/v1/train", content=b"{", headers={"content-type": "application/json"}),
        404: client.get("/v1/forecasts/AAA"),
        405: client.delete("/v1/train"),
        413: client.post("/v1/train", content=b"[" + b"1," * 6_000_000, headers={"content-type": "application/json"}),
        415: client.post("/v1/tickers/AAA/bars", content=b"x", headers={"content-type": "text/plain"}),
        422: client.post("/v1/train", json={"ticker": "AAA", "epochs": 3}),
    }
    for status, response in refusals.items():
        body = response.json()
        assert response.status_code == status, body
        assert response.headers["content-type"] == "application/problem+json"
        assert set(body) >= STANDARD
        assert body["status"] == status
        assert body["type"] == f"urn:morrow:problem:{body['code']}"
        assert body["instance"] == response.request.url.path
        assert body["request_id"] == response.headers["x-request-id"]
        assert response.headers["cache-control"] == "no-store"
    assert refusals[422].json()["errors"] == [{"detail": "There is no field 'epochs' here.", "pointer": "/epochs"}]
    assert refusals[400].json()["code"] == "malformed_json"
    assert refusals[404].json()["code"] == "no_model_yet"
    assert "errors" not in refusals[404].json()


def test_an_unknown_path_is_a_problem_too(client: TestClient) -> None:
    response = client.get("/v2/nothing")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_405_names_every_method_of_the_path(client: TestClient) -> None:
    response = client.patch("/v1/models/AAA/aliases/champion")
    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, HEAD, PUT"


def test_a_body_that_is_no_text_is_refused_as_malformed(client: TestClient) -> None:
    response = client.post("/v1/train", content=b'{"ticker": "\xff"}', headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


def test_lone_surrogates_and_numbers_beyond_measure_are_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for content in (
        b'{"\\ud800": 1, "ticker": "AAA"}',
        b'{"ticker": "\\ud800"}',
        b'{"ticker": "AAA", "priority": 1e999}',
    ):
        assert client.post("/v1/train", content=content, headers=headers).status_code == 422


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded; charset=utf-8", None])
def test_a_body_that_says_it_is_no_json_is_refused_for_that(client: TestClient, media_type: str | None) -> None:
    headers = {"content-type": media_type} if media_type else {}
    response = client.post("/v1/train", content=b'{"ticker": "AAA"}', headers=headers)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert (media_type or "without a type").partition(";")[0] in response.json()["detail"]


def test_a_hundred_errors_are_enough(client: TestClient) -> None:
    body = {"ticker": "AAA", "bars": [{}] * 1000}
    assert len(client.post("/v1/forecasts", json=body).json()["errors"]) == 100


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidSpec("x"), 422),
        (errors.NoModelYet("x"), 404),
        (errors.JobAlreadyOver("x"), 409),
        (errors.PreconditionMissing("x"), 428),
        (errors.PreconditionFailed("x"), 412),
        (errors.StoreUnavailable("x"), 503),
        (errors.CorruptArtifact("x"), 500),
        (errors.AppError("x"), 500),
    ],
)
def test_each_family_has_its_status(error: errors.AppError, status: int) -> None:
    assert status_of(error) == status


def test_the_facts_of_an_error_never_replace_the_members_of_a_problem() -> None:
    error = errors.NotEnoughHistory("too few", pointer="/data", have=3, need=9, title="no", request_id="no")
    document = document_of(error, instance="/v1/train", request_id="r")
    assert (document["have"], document["need"]) == (3, 9)
    assert (document["title"], document["request_id"]) == ("Not enough history", "r")
    assert document["errors"] == [{"detail": "too few", "pointer": "/data"}]


def test_503_says_when_to_come_back_and_is_logged(services: Services) -> None:
    app = create_app(services)

    @app.get("/down")
    def down() -> None:
        raise errors.SourceUnavailable("down", delay=float("nan"))

    with capture_logs() as lines:
        response = TestClient(app).get("/down")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["delay"] is None
    assert [(line["event"], line["path"], line["code"]) for line in lines] == [
        ("request_failed", "/down", "source_unavailable")
    ]


def test_an_unforeseen_error_says_nothing_of_the_inside(services: Services) -> None:
    app = create_app(services)

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("secret")

    with capture_logs() as lines:
        response = TestClient(app).get("/broken", headers={"X-Request-ID": "abc-1"})
    assert [(line["event"], line["path"]) for line in lines] == [("unexpected_error", "/broken")]
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert response.json()["request_id"] == "abc-1"
    assert "secret" not in response.text and "Traceback" not in response.text
