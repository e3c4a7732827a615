"""The language server on a WebSocket of 127.0.0.1, for editors in pages of this machine.

In: a server and a port. A browser lets the pages of every site connect with the ports of its own machine, and says in the
Origin header, which a page cannot change, where a page is from. Pages from elsewhere are refused (403), also those that a
browser loads from a file; programs send no such header.

    serve(make_server(), 8765)
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from http import HTTPStatus
from threading import Event
from typing import Any

from pygls.io_ import run_websocket
from websockets.asyncio import server as websockets

from cnnc.editor.server import Server

_LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.ASCII)


def is_local(origin: str | None) -> bool:
    """Whether a connection with this Origin header comes from a page of this machine, or without one from a program."""
    return origin is None or _LOCAL.fullmatch(origin) is not None


def serve(server: Server, port: int) -> None:
    """Serves until the first connection ends. Raises OSError where the port is taken."""
    with suppress(asyncio.CancelledError):
        asyncio.run(_serve(server, port))


async def _serve(server: Server, port: int) -> None:
    stop = server._stop_event = Event()  # as pygls' own start_ws, which accepts every origin

    async def connected(connection: Any) -> None:
        await run_websocket(connection, stop, server.protocol, error_handler=server.report_server_error)
        server.shutdown()  # type: ignore[no-untyped-call]

    def refusal(connection: Any, request: Any) -> Any:
        """The response to a page of another machine; None to all others."""
        if len(origins := request.headers.get_all("Origin")) <= 1 and is_local(next(iter(origins), None)):
            return None
        return connection.respond(HTTPStatus.FORBIDDEN, "only pages of this machine may connect\n")

    async with websockets.serve(connected, "127.0.0.1", port, process_request=refusal) as listening:
        server._server = listening
        await listening.serve_forever()
