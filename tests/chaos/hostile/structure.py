"""Requests of every shape that the OpenAPI schema allows or just does not allow, drawn by schemathesis."""

from __future__ import annotations

import warnings
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from tests.chaos.hostile.answers import Answers

_ENDLESS = "/events"
_BATCH = 250


def send(url: str, answers: Answers, *, count: int, number: int) -> None:
    """Send ``count`` requests, as many to each operation, half of them against the schema."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [one for one in operations if not one.path.endswith(_ENDLESS)]
    each = max(count // len(operations) // 2, 1)
    with requests.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                for start in range(0, each, _BATCH):
                    _draw(operation, mode, answers, session, count=min(_BATCH, each - start), number=number + start)


def _draw(operation: Any, mode: GenerationMode, answers: Answers, session: requests.Session, **how: int) -> None:
    @seed(how["number"])
    @settings(
        max_examples=how["count"],
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        request = (case.method, case.formatted_path, case.query, case.body)
        try:
            answer = case.call(session=session, timeout=30)
        except (requests.ConnectionError, requests.Timeout) as error:
            answers.silence("structure", request, error)
            return
        except (requests.RequestException, ValueError):  # no client can send that
            return
        known = (operation.method.upper(), operation.path)
        same = case.method.upper() == known[0]
        answers.note("structure", known if same else None, answer.status_code, request, answer.content)

    try:
        asked()
    except BaseException as error:
        if type(error).__name__ not in ("Unsatisfiable", "SkipTest", "Skipped", "InvalidArgument"):
            raise  # an operation without parameters cannot be asked wrongly
