from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.domain.presets import PRESETS

ROUTES = {
    "/v1/train": {"post"},
    "/v1/tune": {"post"},
    "/v1/backtest": {"post"},
    "/v1/presets": {"get"},
    "/v1/architectures": {"get"},
    "/v1/jobs": {"get"},
    "/v1/jobs/{job_id}": {"get"},
    "/v1/jobs/{job_id}/cancel": {"post"},
    "/v1/jobs/{job_id}/events": {"get"},
    "/v1/events": {"get"},
    "/v1/forecasts": {"get", "post"},
    "/v1/forecasts/{ticker}": {"get"},
    "/v1/forecasts/{ticker}/history": {"get"},
    "/v1/forecasts/{ticker}/series": {"get"},
    "/v1/scores": {"get"},
    "/v1/models": {"get"},
    "/v1/models/{ticker}": {"get", "delete"},
    "/v1/models/{ticker}/versions/{version}": {"get", "delete"},
    "/v1/models/{ticker}/versions/{version}/scorecard": {"get"},
    "/v1/models/{ticker}/versions/{version}/predictions": {"get"},
    "/v1/models/{ticker}/versions/{version}/curves": {"get"},
    "/v1/models/{ticker}/versions/{version}/artifacts/{name}": {"get"},
    "/v1/models/{ticker}/aliases/{alias}": {"get", "put", "delete"},
    "/v1/models/{ticker}/aliases/{alias}/history": {"get"},
    "/v1/models/{ticker}/aliases/{alias}/rollback": {"post"},
    "/v1/tickers/{ticker}/bars": {"get", "post"},
    "/v1/tickers/{ticker}/peers": {"get"},
    "/v1/refresh": {"post"},
    "/livez": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    body: dict[str, Any] = client.get("/openapi.json").json()
    return body


def test_the_description_names_exactly_the_routes_there_are(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: set(methods) for path, methods in document["paths"].items()} == ROUTES


def test_every_status_has_its_shape(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            statuses = set(operation["responses"])
            assert {"500", "503"} <= statuses, (method, path)
            if operation.get("parameters"):
                assert "422" in statuses, (method, path)
            if "requestBody" in operation:
                assert {"400", "413", "415", "422"} <= statuses, (method, path)
            for status, response in operation["responses"].items():
                if status >= "400" and path != "/readyz":
                    content = response["content"]["application/problem+json"]
                    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [ref for value in node.values() for ref in references(value)]
        return [ref for value in node for ref in references(value)] if isinstance(node, list) else []

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_operation_is_named_once_and_summed_up(document: dict[str, Any]) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(one["operationId"].startswith(one["tags"][0].replace(" ", "_") + "_") for one in operations)
    assert all(operation["summary"] and operation["description"] for operation in operations)


def test_the_limits_of_numbers_in_lists_are_told(document: dict[str, Any]) -> None:
    units = document["components"]["schemas"]["SpecIn"]["properties"]["units"]["items"]
    assert units == {"type": "integer", "minimum": 1, "maximum": 1024}


def test_a_forecast_may_look_a_year_ahead_wherever_it_is_asked_for(document: dict[str, Any]) -> None:
    schemas, paths = document["components"]["schemas"], document["paths"]
    asked = [
        parameter["schema"]
        for path in ("/v1/forecasts", "/v1/forecasts/{ticker}")
        for parameter in paths[path]["get"]["parameters"]
        if parameter["name"] == "horizon"
    ]
    asked += [schemas[name]["properties"]["horizon"] for name in ("BarsForecastIn", "SpecIn")]
    assert [schema["maximum"] for schema in asked] == [366] * 4


def test_every_preset_is_named_and_a_member_shows_no_defaults(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["TrainOne"]["properties"]["preset"]["enum"] == sorted(PRESETS)
    assert all("default" not in field for field in schemas["MemberIn"]["properties"].values())
    assert schemas["SpecIn"]["properties"]["epochs"]["default"] == 30


def test_pages_of_forecasts_name_the_token_of_the_next_and_tagged_answers_all_their_headers(
    document: dict[str, Any],
) -> None:
    for name in ("ForecastsOut", "ForecastColumnsOut"):
        schema = document["components"]["schemas"][name]
        assert "next_page_token" in schema["properties"] and "next_page_token" not in schema["required"]
    for path in ("/v1/forecasts", "/v1/forecasts/{ticker}", "/v1/forecasts/{ticker}/series"):
        headers = document["paths"][path]["get"]["responses"]["200"]["headers"]
        assert {"ETag", "Vary", "Cache-Control"} <= headers.keys()
        assert "Origin" in headers["Vary"]["description"]
