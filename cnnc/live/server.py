"""A web server in a thread of its own, on 127.0.0.1 only, for one page and the events that it follows.

In: functions that return the page and the latest event as text; they are called in the thread of the server. Out: pages
and server-sent events. `notify` says that there is a new event, and never waits: a reader gets the latest event when it
can take one, and misses those in between, so that nothing is queued for a slow one.

    server = LiveServer(port=0)
    server.start(page, event)
    server.notify()
    server.close("The training has ended.")

Needs uvicorn, which is imported when a server is made.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from cnnc.core.files import reason
from cnnc.diagnostics import CnncError
from cnnc.live.requests import answer

HOST = "127.0.0.1"
PAUSE, KEEP_ALIVE, CLOSING = 1.0, 15.0, 2.0
"""Seconds: the least time between two events to a reader, between two signs of life, and for the last event at the end."""
READERS = 16
"""The most pages that follow at once."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


def require_uvicorn() -> Any:
    """The module uvicorn. Raises CnncError E906 where it is not installed."""
    try:
        import uvicorn
    except ImportError:
        help = "run `pip install cnnc[live]`, or omit --live: metrics.jsonl and curves.svg are always written"
        raise CnncError.of("E906", "--live needs uvicorn", help=help) from None
    return uvicorn


class LiveServer:
    """The server. Its port is taken at once, with 0 a free one; it answers from `start` on.

    Raises CnncError E906 where uvicorn is not installed, E908 where the port cannot be used.
    """

    def __init__(self, port: int = 0) -> None:
        self._uvicorn = require_uvicorn()
        self._socket = _listening(port)
        self._token = secrets.token_urlsafe(24)
        self._thread: threading.Thread | None = None
        self._number, self._readers = 0, 0
        self._farewell = ""
        self._sent: tuple[int, bytes] = (-1, b"")

    @property
    def address(self) -> str:
        """The address of the page, with its token."""
        return f"http://{HOST}:{self._socket.getsockname()[1]}/{self._token}/"

    def start(self, page: Callable[[], str | None], event: Callable[[], str | None]) -> None:
        """Starts the thread, and returns when it answers. Where a function returns None, the page has ended."""
        self._page, self._event = page, event
        config = self._uvicorn.Config(
            self._answer,
            interface="asgi3",
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=4 * READERS,
            timeout_graceful_shutdown=int(CLOSING),
        )
        self._server = self._uvicorn.Server(config)
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="live page", daemon=True)
        self._thread.start()
        ready.wait()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed, self._ending = asyncio.Event(), asyncio.Event()
        ready.set()
        await self._server.serve(sockets=[self._socket])
        for connection in list(self._server.server_state.connections):  # of readers who do not read
            connection.transport.abort()
        await asyncio.sleep(0)

    def notify(self) -> None:
        """Says that there is a new event; called from any thread, returns at once."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._wake)

    def close(self, farewell: str) -> None:
        """Sends the last event and the farewell to all readers, and ends the thread; waits a few seconds at most."""
        if self._thread is None:
            self._socket.close()
            return
        if self._thread.is_alive():
            self._farewell = farewell
            self._loop.call_soon_threadsafe(self._end)
            self._thread.join(2 * CLOSING)

    def _wake(self) -> None:
        self._number += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _end(self) -> None:
        self._wake()
        self._ending.set()
        self._server.should_exit = True

    # Requests

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        what = answer(scope["method"], scope["path"], dict(scope["headers"]), self._token)
        page = self._page() if what == "page" else None
        if page is not None:
            await _send_all(send, HTTPStatus.OK, b"text/html; charset=utf-8", page.encode())
        elif what == "events" and self._readers < READERS:
            self._readers += 1
            try:
                await self._send_events(receive, send)
            finally:
                self._readers -= 1
        else:
            status = what if isinstance(what, HTTPStatus) else HTTPStatus.SERVICE_UNAVAILABLE
            await _send_all(send, status, b"text/plain; charset=utf-8", f"{status} {status.phrase}\n".encode())

    async def _send_events(self, receive: Receive, send: Send) -> None:
        """Sends the latest event whenever there is a newer one, until the reader leaves or the training ends."""
        await send(_start(HTTPStatus.OK, b"text/event-stream"))
        left = asyncio.ensure_future(_left(receive))
        sent = -1
        try:
            while not left.done():
                changed, number = self._changed, self._number
                if number == sent:
                    await _first(left, changed, KEEP_ALIVE)
                    if not changed.is_set():
                        await send(_part(b": still there\n\n"))
                    continue
                sent = number
                await send(_part(self._latest(number)))
                if self._ending.is_set() or not self._sent[1]:
                    await send(_part(f"event: end\ndata: {json.dumps(self._farewell)}\n\n".encode()))
                    break
                await _first(left, self._ending, PAUSE)
        finally:
            left.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _latest(self, number: int) -> bytes:
        """The latest event, which is made once for all readers."""
        if self._sent[0] != number:
            event = self._event()
            self._sent = number, b"" if event is None else f"event: moment\ndata: {event}\n\n".encode()
        return self._sent[1]


def _listening(port: int) -> socket.socket:
    """A socket at this port of 127.0.0.1. Raises CnncError E908."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # a port is free again as soon as its server has ended
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((HOST, port))
        server.listen(128)
    except OSError as error:
        server.close()
        help = "omit --live-port: a free port is taken" if port else "omit --live"
        raise CnncError.of("E908", f"port {port} of {HOST} cannot be used: {reason(error)}", help=help) from error
    return server


async def _left(receive: Receive) -> None:
    """Returns when the reader has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _first(left: asyncio.Future[None], event: asyncio.Event, seconds: float) -> None:
    """Waits until the reader leaves, the event is set, or the time is over."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait((left, waiting), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _start(status: HTTPStatus, kind: bytes, *more: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": int(status),
        "headers": [(b"content-type", kind), *_HEADERS, *more],
    }


def _part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


async def _send_all(send: Send, status: HTTPStatus, kind: bytes, body: bytes) -> None:
    await send(_start(status, kind, (b"content-length", str(len(body)).encode())))
    await send({"type": "http.response.body", "body": body})
