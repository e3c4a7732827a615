"""The server over real connections: where it listens, several and slow readers, and its end."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from cnnc.diagnostics import CnncError, Exit

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from cnnc.live import server as servers
from cnnc.live.server import LiveServer
from tests.live.reader import Events, request

Readers = Callable[[], Events]


class Source:
    """What a server shows: a page, and events that count."""

    def __init__(self) -> None:
        self.number = 0
        self.drawn = 0
        self.padding = ""

    def page(self) -> str:
        return "<p>page</p>"

    def event(self) -> str:
        self.drawn += 1
        return json.dumps({"number": self.number, "padding": self.padding})


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def server(source: Source, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveServer]:
    monkeypatch.setattr(servers, "PAUSE", 0.01)
    server = LiveServer()
    server.start(source.page, source.event)
    yield server
    server.close("over")


@pytest.fixture
def events(server: LiveServer) -> Iterator[Callable[[], Events]]:
    """Opens readers of the server, which are closed after the test."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(Events(server.address))


def test_the_page(server: LiveServer) -> None:
    url = urlsplit(server.address)
    assert url.hostname == "127.0.0.1"
    assert len(url.path) >= 34, "a token of 24 random bytes"
    reply = request(server.address)
    assert (reply.status, reply.body) == (200, "<p>page</p>")
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in reply.headers


def test_requests_without_the_token_or_from_elsewhere(server: LiveServer) -> None:
    path = urlsplit(server.address).path
    for bad in ("/", "/events", "/../../../etc/passwd", f"{path}../../etc/passwd", f"{path}%2e%2e%2fetc/passwd"):
        assert request(server.address, bad).status == 404
    assert request(server.address, Host="evil.example").status == 403
    assert request(server.address, Origin="http://evil.example").status == 403
    reply = request(server.address, path + "events", Origin="http://evil.example")
    assert (reply.status, reply.body) == (403, "403 Forbidden\n")
    assert request(server.address, method="POST").status == 405


def test_nothing_listens_on_other_addresses(server: LiveServer) -> None:
    port = urlsplit(server.address).port
    for host in ("127.0.0.2", "::1"):
        with pytest.raises(OSError), socket.create_connection((host, port), timeout=2):  # noqa: PT011
            pass


def test_tokens_differ() -> None:
    first, second = LiveServer(), LiveServer()
    assert first.address.rpartition("1/")[2] != second.address.rpartition("1/")[2]
    first.close("")
    second.close("")


def test_several_readers_and_the_end(server: LiveServer, source: Source, events: Readers) -> None:
    readers = [events() for _ in range(3)]
    assert [reader.next()[1]["number"] for reader in readers] == [0, 0, 0]
    source.number = 1
    server.notify()
    assert [reader.next()[1]["number"] for reader in readers] == [1, 1, 1]
    assert source.drawn == 2, "an event is drawn once for all readers"
    source.number = 2
    server.close("over")
    for reader in readers:
        assert reader.next()[1]["number"] == 2, "the last event arrives"
        assert reader.next() == ("end", "over")
        assert reader.next() == ("closed", None)


def test_a_reader_who_leaves(server: LiveServer, source: Source, events: Readers) -> None:
    left, stays = events(), events()
    left.next()
    stays.next()
    left.close()
    for number in (1, 2, 3):
        source.number = number
        server.notify()
        assert stays.next()[1]["number"] == number


def test_a_reader_who_does_not_read_blocks_nobody_and_gets_the_latest(
    server: LiveServer, source: Source, events: Readers
) -> None:
    source.padding = "x" * 4_000_000  # more than the buffers of a connection
    slow = events()
    for number in range(50):  # notify returns at once
        source.number = number
        server.notify()
    quick = events()
    while quick.next()[1]["number"] < 49:
        pass
    received: list[int] = []
    while not received or received[-1] < 49:
        received.append(slow.next()[1]["number"])
    assert len(received) < 10, "what a slow reader has missed is not queued"


def test_too_many_readers(server: LiveServer, events: Readers) -> None:
    readers = [events() for _ in range(servers.READERS)]
    for reader in readers:
        reader.next()
    assert request(server.address, urlsplit(server.address).path + "events").status == 503
    assert request(server.address).status == 200


def test_a_reader_who_does_not_read_cannot_keep_the_server(server: LiveServer, source: Source, events: Readers) -> None:
    source.padding = "x" * 4_000_000
    events()
    server.close("over")
    assert not any(thread.name == "live page" for thread in threading.enumerate())


def test_the_port_is_in_use(server: LiveServer) -> None:
    port = urlsplit(server.address).port
    assert port is not None
    with pytest.raises(CnncError) as caught:
        LiveServer(port)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, caught.value.status) == ("E908", Exit.RESOURCES)
    assert str(port) in diagnostic.message
    assert "--live-port" in diagnostic.help


def test_the_port_is_free_again_after_the_end(source: Source) -> None:
    first = LiveServer()
    first.start(source.page, source.event)
    port = urlsplit(first.address).port
    with Events(first.address) as reader:
        reader.next()
        first.close("over")
    second = LiveServer(port or 0)
    assert urlsplit(second.address).port == port
    second.close("")


def test_without_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(CnncError) as caught:
        LiveServer()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E906"
    assert "pip install cnnc[live]" in diagnostic.help
