"""What people look at: the dashboard and the interactive documentation, every byte served by ourselves."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from app.api.documents import Ready, etag_of, ready
from app.api.routes import router_of

_PAGE = Path(__file__).parent.parent / "page"
_MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".png": "image/png"}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A page needs no other window and nothing of the machine, and no page of others may hold it open.
_PAGE_HEADERS = {
    "content-security-policy": _PAGE_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_PAGE_FILES = frozenset(file.name for file in _PAGE.iterdir() if file.suffix in (".css", ".js"))
_PLOTLY = "plotly.min.js"
_SWAGGER_FILES = {"swagger-ui.css", "swagger-ui-bundle.js", "favicon.png"}

router = router_of(include_in_schema=False)


@router.get("/")
def dashboard(request: Request) -> Response:
    """Serve the dashboard."""
    return _static("index.html", (_PAGE / "index.html").read_bytes(), request)


@router.get("/page/{name}")
def page_file(name: str, request: Request) -> Response:
    """Serve a script or a style of a page; that of the charts out of the installed package that ships it."""
    if name == _PLOTLY:
        packed, plain = _plotly()
        takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
        coding = {"content-encoding": "gzip"} if takes_gzip else {}
        return (packed if takes_gzip else plain).respond(request, {"vary": "Accept-Encoding", **coding})
    if name not in _PAGE_FILES:
        raise HTTPException(404, "There is no such file.")
    return _static(name, (_PAGE / name).read_bytes(), request)


@router.get("/docs")
def docs(request: Request) -> Response:
    """Serve the interactive documentation."""
    return _static("docs.html", (_PAGE / "docs.html").read_bytes(), request)


@router.get("/docs/{name}")
def docs_file(name: str, request: Request) -> Response:
    """Serve a file of Swagger UI, out of the installed package that ships it."""
    if name not in _SWAGGER_FILES:
        raise HTTPException(404, "There is no such file.")
    return _static(name, files("fastapi_offline").joinpath("static", name).read_bytes(), request)


@router.get("/openapi.json")
def openapi(request: Request) -> Response:
    """Serve the description of this API."""
    app: FastAPI = request.app
    document: dict[str, Any] = app.openapi()
    root = request.scope.get("root_path", "")
    return ready({**document, "servers": [{"url": root}]} if root else document).respond(request)


@cache
def _plotly() -> tuple[Ready, Ready]:
    """Read the script of the charts once, packed and plain: it has five million characters."""
    # Not through importlib.resources, which imports the package.
    shipped = Path(str(distribution("plotly").locate_file(f"plotly/package_data/{_PLOTLY}")))
    plain, kind = shipped.read_bytes(), _MEDIA_TYPES[".js"]
    packed = gzip.compress(plain, mtime=0)
    return Ready(packed, etag_of(packed), media_type=kind), Ready(plain, etag_of(plain), media_type=kind)


def _static(name: str, body: bytes, request: Request) -> Response:
    kind = Path(name).suffix
    # A 304 says it too: a browser takes over its headers into the page that it has kept.
    policy = _PAGE_HEADERS if kind == ".html" else {}
    return Ready(body, etag_of(body), media_type=_MEDIA_TYPES[kind]).respond(request, policy)
