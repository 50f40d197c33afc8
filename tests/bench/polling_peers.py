"""What a user would pick instead: a bare Starlette route that returns given bytes, or an empty route of FastAPI."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

READY_PATH = "/readyz"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["starlette", "fastapi"])
    parser.add_argument("--bodies", type=Path, help="folder of files; the route /NAME returns NAME's bytes")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = _starlette(given.bodies) if given.kind == "starlette" else _fastapi()
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_config=None, access_log=False)


def _starlette(folder: Path) -> ASGIApp:
    bodies = {path.name: path.read_bytes() for path in folder.iterdir()} | {READY_PATH.removeprefix("/"): b"{}"}

    def route(name: str) -> Route:
        body = bodies[name]

        async def answer(_: Request) -> Response:
            return Response(body, media_type="application/json")

        return Route(f"/{name}", answer)

    return Starlette(routes=[route(name) for name in bodies])


def _fastapi() -> ASGIApp:
    app = FastAPI()

    @app.get(READY_PATH)
    async def empty() -> Response:
        return Response(b"{}", media_type="application/json")

    return app


if __name__ == "__main__":
    main()
