"""The server, which is ready for the first forecast soon, and ends the open streams of events when told to stop."""

from __future__ import annotations

import asyncio
import socket
import threading

import uvicorn

from app.api.watch import Watch
from app.domain import special

_LAST_SECONDS = 1.0  # that a stream has to end in order


class ApiServer(uvicorn.Server):
    """Uvicorn's server; of itself it waits at a stop for streams to end, and those of events never do."""

    def __init__(self, config: uvicorn.Config, watch: Watch) -> None:
        super().__init__(config)
        self._watch = watch

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and then load what the first forecast to be answered would wait for, a tenth of a second."""
        await super().startup(sockets)
        threading.Thread(target=special.load, daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, cut off those whose clients take nothing, then end all the rest in order."""
        self._watch.stop()
        for connection in self.server_state.connections:
            scope = getattr(connection, "scope", None)  # none before the first request
            if scope and scope["state"].get("is_event_stream"):
                asyncio.get_running_loop().call_later(_LAST_SECONDS, connection.transport.abort)
        await super().shutdown(sockets)
