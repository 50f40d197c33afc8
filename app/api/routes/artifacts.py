"""The files of a version."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Request, Response

from app.api.dependencies import ArtifactPath, TheServices, TickerPath, VersionPath
from app.api.documents import TAGGED, Ready
from app.api.problems import problems
from app.api.routes import router_of
from app.api.schemas.models import CurvesOut, FittedOut, PathOut, PredictionsOut
from app.domain.version import ModelVersion
from app.errors import NoSuchArtifact
from app.forecasting.services import Services
from app.registry import versions

router = router_of("models")
_BASE = "/v1/models/{ticker}/versions/{version}"
_CURVES = "curves.json"
_PREDICTIONS = {"test": "predictions.json", "train": "fitted.json", "path": "path.json"}

Part = Annotated[
    Literal["test", "train", "path"],
    Query(
        description="`test`: a session ahead, out of sample. `train`: a session ahead, on what the network has learnt "
        "from. `path`: all steps of the first forecast out of sample."
    ),
]


@router.get(
    _BASE + "/predictions",
    response_model=PredictionsOut | FittedOut | PathOut,
    responses={**TAGGED, **problems(404, 422)},
    summary="True against predicted",
)
def predictions(
    ticker: TickerPath, version: VersionPath, services: TheServices, request: Request, part: Part = "test"
) -> Response:
    """Show actual and predicted as columns of equal length, ready for a chart."""
    return _file(_version(ticker, version, services), _PREDICTIONS[part], services).respond(request)


@router.get(
    _BASE + "/curves",
    response_model=CurvesOut,
    responses={**TAGGED, **problems(404, 422)},
    summary="Learning curves",
)
def curves(ticker: TickerPath, version: VersionPath, services: TheServices, request: Request) -> Response:
    """Show loss and validation loss of each epoch, as columns."""
    return _file(_version(ticker, version, services), _CURVES, services).respond(request)


@router.get(
    _BASE + "/artifacts/{name}",
    response_class=Response,
    responses={
        **TAGGED,
        200: {
            **TAGGED[200],
            "description": "The file.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": {}},
            },
        },
        **problems(404, 422),
    },
    summary="A file of a version",
)
def artifact(
    ticker: TickerPath, version: VersionPath, name: ArtifactPath, services: TheServices, request: Request
) -> Response:
    """Download one file; its hash is checked against the registry before it leaves."""
    found = _version(ticker, version, services)
    download = {"content-disposition": f'attachment; filename="{ticker}-{version}-{name}"'}
    return _file(found, name, services).respond(request, download)


def _version(ticker: str, number: int, services: Services) -> ModelVersion:
    with services.database.read() as tx:
        return versions.get(tx, ticker, number)


def _file(version: ModelVersion, name: str, services: Services) -> Ready:
    """Read and verify one file; its entity tag is its hash.

    Raises:
        NoSuchArtifact: the version has no such file; the version's document lists them.
        CorruptArtifact: the file is not the one that was registered.
    """
    if name not in version.artifacts:
        known = sorted(version.artifacts)
        detail = f"Version {version.number} of {version.ticker} has no file {name!r}. It has: {', '.join(known)}."
        raise NoSuchArtifact(detail, ticker=version.ticker, version=version.number, known=known)
    sha256 = version.artifacts[name]["sha256"]
    body = services.artifacts.read(version.location, name, sha256=sha256)
    media_type = "application/json" if name.endswith(".json") else "application/octet-stream"
    return Ready(body, f'"{sha256}"', media_type=media_type)
