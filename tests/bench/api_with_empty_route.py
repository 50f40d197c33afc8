"""The API with one route more, which does nothing: what the framework itself costs."""

from __future__ import annotations

import argparse

import uvicorn
from fastapi import Response

from app.api.app import create_app
from app.bootstrap import open_services
from app.settings import Settings

EMPTY_PATH = "/bench/empty"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    api = create_app(open_services(Settings()))

    @api.get(EMPTY_PATH)
    async def empty() -> Response:
        return Response(b"{}", media_type="application/json")

    uvicorn.run(api, host="127.0.0.1", port=parser.parse_args().port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
