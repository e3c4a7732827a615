"""A reader of a live page: requests, and events one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit


class Reply(NamedTuple):
    """A response that was read to its end; the names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


def request(address: str, path: str | None = None, method: str = "GET", **headers: str) -> Reply:
    """The reply to a request for a path, without one for the page of this address."""
    url = urlsplit(address)
    connection = HTTPConnection(str(url.hostname), url.port, timeout=30)
    try:
        connection.request(method, url.path if path is None else path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
    finally:
        connection.close()


class Events:
    """The events of a live page, read when `next` is called."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        self._connection = HTTPConnection(str(url.hostname), url.port, timeout=30)
        self._connection.request("GET", url.path + "events")
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        assert self._response.getheader("content-type") == "text/event-stream"

    def next(self) -> tuple[str, Any]:
        """The name and the data of the next event; ("closed", None) after the last."""
        name, data = "", None
        for line in self._response:
            text = line.decode().strip()
            if text.startswith("event: "):
                name = text[7:]
            elif text.startswith("data: "):
                data = json.loads(text[6:])
            elif not text and name:
                return name, data
        return "closed", None

    def close(self) -> None:
        """Leaves, as a browser does that closes the page."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
