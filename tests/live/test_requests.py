"""Which requests the server answers: only those from the page itself, with the token."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from cnnc.live.requests import answer

TOKEN = "abcDEF-_123"
HOST = {b"host": b"127.0.0.1:8800"}


@pytest.mark.parametrize("host", [b"127.0.0.1:8800", b"localhost:8800", b"127.0.0.1:9000", b"localhost"])
def test_the_page_and_its_events(host: bytes) -> None:
    """Under another port too, which ssh forwards."""
    own = {b"host": host, b"origin": b"http://" + host}
    assert answer("GET", f"/{TOKEN}/", {b"host": host}, TOKEN) == "page"
    assert answer("GET", f"/{TOKEN}/events", own, TOKEN) == "events"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/events",
        f"/{TOKEN}",
        f"/{TOKEN}/index.html",
        f"/{TOKEN}/events/",
        f"/{TOKEN}/../{TOKEN}/",
        f"/{TOKEN}/../../etc/passwd",
        f"/{TOKEN}//",
        f"//{TOKEN}/",
        f"/{TOKEN.lower()}/",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        "/é/",
        "/favicon.ico",
    ],
)
def test_every_other_path_is_not_found(path: str) -> None:
    assert answer("GET", path, HOST, TOKEN) is HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example:8800",
        b"127.0.0.1.evil.example:8800",
        b"127.0.0.1@evil.example",
        b"localhost.evil.example",
        b"evil.example:127.0.0.1",
        b"[::1]:8800",
        b"0.0.0.0:8800",
        b"\xff",
        b"",
    ],
)
def test_a_host_name_that_resolves_here_is_refused(host: bytes) -> None:
    """DNS rebinding, even with the token."""
    assert answer("GET", f"/{TOKEN}/", {b"host": host}, TOKEN) is HTTPStatus.FORBIDDEN
    assert answer("GET", f"/{TOKEN}/", {}, TOKEN) is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "origin",
    [
        b"http://evil.example",
        b"http://localhost:3000",
        b"https://127.0.0.1:8800",
        b"null",
        b"",
        b"http://localhost:8800",
    ],
)
def test_another_origin_is_refused(origin: bytes) -> None:
    """Also a page of another server on this machine."""
    assert answer("GET", f"/{TOKEN}/events", {**HOST, b"origin": origin}, TOKEN) is HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "CONNECT"])
def test_only_reading(method: str) -> None:
    assert answer(method, f"/{TOKEN}/", HOST, TOKEN) is HTTPStatus.METHOD_NOT_ALLOWED
