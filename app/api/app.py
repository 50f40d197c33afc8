"""The HTTP application: routes, their documentation, and what every request passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp

from app import __version__
from app.api.body_limit import BodyLimitMiddleware
from app.api.front import Front, MorrowApi
from app.api.guard import Guard, GuardMiddleware
from app.api.hot_answers import HotAnswers
from app.api.keyring import Keyring, file_keys
from app.api.limiter import Limiter
from app.api.middleware import RequestMiddleware
from app.api.problems import install_problems, problem_schema, problems
from app.api.readiness import Readiness
from app.api.routes import (
    aliases,
    artifacts,
    backtest,
    catalogue,
    events,
    forecasts,
    jobs,
    market,
    models,
    operations,
    pages,
    peers,
    refresh,
    scores,
    train,
    tune,
)
from app.api.scopes import scope_needed
from app.api.watch import Watch
from app.domain.access import Scope
from app.forecasting.services import Services
from app.observability.metrics import BUILD

_ROUTERS = (
    forecasts,
    scores,
    train,
    tune,
    backtest,
    catalogue,
    jobs,
    events,
    models,
    artifacts,
    aliases,
    market,
    peers,
    refresh,
    operations,
    pages,
)
_ALLOWED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-ID",
)
_EXPOSED = (
    "ETag",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "WWW-Authenticate",
    "X-Next-Page-Token",
    "X-Request-ID",
)
_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "mrw_<id>_<secret>",
    "description": "A key that `morrow keys create` has shown.",
}
_DESCRIPTION = """
Where will this instrument close on its next session, and how sure are we?

Errors are `application/problem+json` (RFC 9457). Lists are paged by `page_token`; work that takes time is a job.
Forecasts are statistics, not investment advice; Yahoo's data is for personal use.
"""


def create_app(services: Services) -> MorrowApi:
    """Build the application over ``services``; their owner opens and closes them.

    A path prefix that a proxy strips is the server's setting (``uvicorn --root-path``); links follow it.
    """
    settings = services.settings
    hot = HotAnswers(partial(forecasts.read_edition, services), services.clock)
    guard = _guard_of(services)
    app = MorrowApi(
        Front(hot, guard, with_cors=bool(settings.cors_origins)),
        title="Morrow",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,  # the three are routes of ours, so that nothing comes from elsewhere
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    BUILD.labels(__version__).set(1)
    app.state.services = services
    app.state.guard = guard
    app.state.hot_answers = hot
    app.state.readiness = Readiness(services)
    app.state.watch = Watch(services, hot.saw)
    for module in _ROUTERS:
        # Not ``include_router``, which builds every route once more, a twelfth of the start: what else it does (options
        # of the application for its routes, overridden dependencies, routers in routers) is not used here.
        app.router.routes.extend(module.router.routes)
    app.state.methods_of = _method_finder(app)
    install_problems(app)
    app.add_middleware(GuardMiddleware, guard=guard)
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes)
    # Around both, and around the answer to what nobody foresaw, so that pages of others can read all refusals.
    let_in = _for_pages_of(settings.cors_origins)
    app.add_middleware(let_in)
    app.add_middleware(RequestMiddleware, around_error=let_in)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign] # FastAPI's documented way to extend it
    return app


def _guard_of(services: Services) -> Guard:
    settings = services.settings
    keyring = Keyring(
        services,
        file_keys=file_keys(services),
        is_exposed=settings.is_exposed,
    )
    limiter = Limiter(reads=settings.rate_limit, writes=settings.write_rate_limit, storage=settings.rate_limit_storage)
    return Guard(keyring, limiter, origins=settings.cors_origins)


def _for_pages_of(origins: Sequence[str]) -> Callable[[ASGIApp], ASGIApp]:
    """Return what lets browsers call an application from pages of ``origins``; without any it leaves it as it is."""
    if not origins:
        return lambda app: app
    return partial(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=list(_ALLOWED),
        expose_headers=list(_EXPOSED),
    )


def _method_finder(app: FastAPI) -> Callable[[str], list[str]]:
    """Return a function from a path to the methods that any route answers there, for ``Allow``."""
    table = [(route.path_regex, route.methods or set()) for route in app.routes if isinstance(route, Route)]

    def methods_of(path: str) -> list[str]:
        found = {method for pattern, methods in table if pattern.match(path) for method in methods}
        return sorted(found | ({"HEAD"} if "GET" in found else set()))

    return methods_of


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the API once; every problem refers to one schema."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, summary=app.summary
        )
        schemas = document["components"]["schemas"]
        schemas["Problem"] = problem_schema()
        document["components"]["securitySchemes"] = {"key": _SCHEME}
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _say_who_may(operation, scope_needed(method.upper(), path))
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema


def _say_who_may(operation: dict[str, Any], needed: Scope | None) -> None:
    """Tell of an operation what it needs a key for, and how it refuses."""
    if needed is None:
        return
    operation["security"] = [{"key": []}, {}]  # the second: a service without keys asks for none
    refusals = problems(401, 403, 429)
    refusals[401]["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    refusals[403]["description"] = f"The key's scope is smaller than `{needed}`."
    refusals[429]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    operation["responses"] |= {str(status): refusals[status] for status in (401, 403, 429)}
