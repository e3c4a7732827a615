"""Which requests the server of a live page answers, decided from their address and headers alone.

In: method, path and headers of a request, and the token of the address. Out: what is asked for, or the status that
refuses it. There are two resources; nothing is read from a folder.

A page of another site can make a browser send requests to 127.0.0.1. It does not know the token. If its host name is made
to resolve to 127.0.0.1 (DNS rebinding), the Host header still has that name; if it reads across sites, the Origin header
has another origin than the one that is asked. Both are refused before the token is looked at.

    answer("GET", "/TOKEN/events", {b"host": b"127.0.0.1:8800"}, "TOKEN")     # "events"
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

_HOSTS = ("127.0.0.1", "localhost")
"""The names under which a browser may reach the page. The port is not compared, as ssh may forward another one."""

_RESOURCES: Mapping[str, Literal["page", "events"]] = {"": "page", "events": "events"}


def answer(
    method: str, path: str, headers: Mapping[bytes, bytes], token: str
) -> Literal["page", "events"] | HTTPStatus:
    """What a request is for, or the status that refuses it; `headers` have lower-case names."""
    host = headers.get(b"host", b"").decode("latin-1")
    if host.rpartition(":")[0 if ":" in host else 2] not in _HOSTS:
        return HTTPStatus.FORBIDDEN
    if headers.get(b"origin", f"http://{host}".encode("latin-1")) != f"http://{host}".encode("latin-1"):
        return HTTPStatus.FORBIDDEN
    empty, _, rest = path.partition("/")
    given, slash, name = rest.partition("/")
    if empty or not slash or not hmac.compare_digest(given.encode(), token.encode()) or name not in _RESOURCES:
        return HTTPStatus.NOT_FOUND
    return _RESOURCES[name] if method == "GET" else HTTPStatus.METHOD_NOT_ALLOWED
