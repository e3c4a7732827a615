"""Downloads from a server on this machine that breaks, lies, stalls and redirects; nothing leaves the machine.

The server speaks plain HTTP: only `https_open` is replaced, and in `test_certificates` not even that.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cnnc.core.file_lock import acquire, release
from cnnc.data import download as module
from cnnc.data.download import DownloadError, RemoteFile, download
from cnnc.diagnostics import CnncError

CONTENT = bytes(range(256)) * 400  # more than one part
FILE = RemoteFile("a.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
HALF = len(CONTENT) // 2

Answer = Callable[[BaseHTTPRequestHandler], None]


class Mirror:
    """A server on this machine: `answers` holds, by path, what it does for each request in turn; the last is repeated."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[str] = []
        self.answers: dict[str, list[Answer]] = {}

    def url(self, folder: str = "", host: str = "127.0.0.1") -> str:
        return f"https://{host}:{self.port}/{folder}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers a request, which `requests` lists as its path and range."""
        self.requests.append(" ".join([handler.path, handler.headers.get("Range", "")]).strip())
        answers = self.answers.get(handler.path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(handler)
        handler.close_connection = True


def status(code: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


def sends(content: bytes = CONTENT, cut: int | None = None, ranges: bool = True, length: bool = True) -> Answer:
    """Sends the content from where the range begins, but closes the connection at byte `cut`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1]) if ranges else 0
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if length:
            handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:cut])

    return answer


def wrong_range(handler: BaseHTTPRequestHandler) -> None:
    status(206, **{"Content-Range": f"bytes 7-{len(CONTENT) - 1}/{len(CONTENT)}"})(handler)


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(0.3)


def endless(handler: BaseHTTPRequestHandler) -> None:
    status(200)(handler)
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:  # the reader has enough
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        self.server.mirror.answer(self)  # type: ignore[attr-defined]

    def do_CONNECT(self) -> None:
        """As a proxy: the requests in the tunnel come to this server."""
        self.server.mirror.requests.append(f"CONNECT {self.path}")  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.close_connection = False

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def mirror(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    def https_open(self: urllib.request.HTTPSHandler, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(http.client.HTTPConnection, request)

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", https_open)
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    mirror = Mirror(server.server_address[1])
    mirror.answers["/a.gz"] = [sends()]
    server.mirror = mirror  # type: ignore[attr-defined]
    return mirror


def arrives(mirror: Mirror, folder: Path, *urls: str) -> list[str]:
    """Checks that the file arrives, alone; returns the reported lines, with HOST for the server."""
    lines: list[str] = []
    path = download(FILE, urls or (mirror.url(),), folder, lines.append)
    assert path == folder / "a.gz"
    assert path.read_bytes() == CONTENT
    assert [each.name for each in folder.iterdir()] == ["a.gz"]
    return [line.replace("127.0.0.1", "HOST") for line in lines]


def fails(mirror: Mirror, folder: Path) -> str:
    with pytest.raises(DownloadError) as caught:
        download(FILE, (mirror.url(),), folder, lambda line: None)
    assert not (folder / "a.gz").exists()
    return str(caught.value)


def partial(folder: Path, content: bytes) -> Path:
    """What an earlier download left."""
    path = folder / "a.gz.partial"
    path.write_bytes(content)
    return path


# ---- a mirror that works, and mirrors that do not


def test_a_whole_file(mirror: Mirror, tmp_path: Path) -> None:
    assert arrives(mirror, tmp_path) == ["downloading a.gz (102,400 bytes) from HOST"]
    assert mirror.requests == ["/a.gz"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (status(404), "HTTP status 404"),
        (status(503), "HTTP status 503"),
        (status(416), "HTTP status 416"),
        (status(302, Location="/one/a.gz"), "HTTP status 302"),  # to itself
        (status(301, Location="http://one.example/a"), "it redirects to http, and only https is read"),
        (status(302, Location="ftp://one.example/a"), "it redirects to ftp, and only https is read"),
        (status(302, Location="file:///etc/hostname"), "HTTP status 302"),
        (silent, "no answer in time"),
        (lambda handler: None, "remote end closed connection"),
        (sends(cut=0), "expected 102,400 bytes, received 0"),
        (sends(b"a page that asks for a password"), "expected 102,400 bytes, found a file of 31"),
        (sends(CONTENT + b"!"), "expected 102,400 bytes, found a file of 102,401"),
        (endless, "expected 102,400 bytes, received more"),
        (sends(CONTENT[::-1]), f"expected SHA-256 {FILE.sha256}, received "),
    ],
)
def test_the_next_mirror_is_used(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, problem: str
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    mirror.answers["/one/a.gz"] = [answer]
    with pytest.raises(DownloadError, match=problem):
        download(FILE, (mirror.url("one/"),), tmp_path, lambda line: None)
    assert list(tmp_path.iterdir()) == []
    lines = arrives(mirror, tmp_path, mirror.url("one/"), mirror.url())
    assert lines == ["downloading a.gz (102,400 bytes) from HOST"] * 2


def test_a_mirror_that_is_not_there(mirror: Mirror, tmp_path: Path) -> None:
    arrives(mirror, tmp_path, "https://127.0.0.1:9/", mirror.url())


def test_a_mirror_that_is_too_slow(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD", 0.0)
    monkeypatch.setattr(module, "SLOWEST", 10**15)
    monkeypatch.setattr(module, "_CHUNK", HALF)
    assert "it delivers fewer than 1,000,000,000,000,000 bytes per second" in fails(mirror, tmp_path)


def test_a_redirection_within_https_is_followed(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/one/a.gz"] = [status(302, Location=mirror.url("a.gz"))]
    partial(tmp_path, CONTENT[:HALF])
    arrives(mirror, tmp_path, mirror.url("one/"))
    assert mirror.requests == [f"/one/a.gz bytes={HALF}-", f"/a.gz bytes={HALF}-"]


@pytest.mark.parametrize("url", ["http://one.example/a", "ftp://one.example/a", "file:///etc/hostname", "data:,a"])
def test_only_https_is_opened(url: str) -> None:
    with pytest.raises(urllib.error.URLError, match="unknown url type"):
        module.open_url(url)


# ---- the rest of a file


def test_a_broken_connection_is_continued(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/a.gz"] = [sends(cut=1000), sends(cut=HALF), sends()]
    arrives(mirror, tmp_path)
    assert mirror.requests == ["/a.gz", "/a.gz bytes=1000-", f"/a.gz bytes={HALF}-"]


def test_what_arrived_stays_for_the_next_time(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/a.gz"] = [sends(cut=HALF), status(503), sends()]
    assert "HTTP status 503" in fails(mirror, tmp_path)
    assert (tmp_path / "a.gz.partial").read_bytes() == CONTENT[:HALF]
    assert arrives(mirror, tmp_path) == ["downloading a.gz from HOST: 51,200 of 102,400 bytes are here already"]
    assert mirror.requests[-1] == f"/a.gz bytes={HALF}-"


def test_the_next_mirror_continues(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/one/a.gz"] = [sends(cut=HALF), status(503)]
    arrives(mirror, tmp_path, mirror.url("one/"), mirror.url())
    assert mirror.requests[-1] == f"/a.gz bytes={HALF}-"


def test_a_mirror_without_ranges_sends_all_of_it(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/a.gz"] = [sends(ranges=False)]
    partial(tmp_path, CONTENT[:HALF])
    arrives(mirror, tmp_path)
    assert mirror.requests == [f"/a.gz bytes={HALF}-"]


def test_another_range_than_asked_for(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["/a.gz"] = [wrong_range]
    kept = partial(tmp_path, CONTENT[:HALF])
    assert "it answers with another part of the file" in fails(mirror, tmp_path)
    assert kept.read_bytes() == CONTENT[:HALF]


@pytest.mark.parametrize("wrong", [b"wrong", bytes(len(CONTENT)), bytes(len(CONTENT) + 1)])
def test_wrong_bytes_of_an_earlier_download_are_replaced(mirror: Mirror, tmp_path: Path, wrong: bytes) -> None:
    partial(tmp_path, wrong)
    arrives(mirror, tmp_path)
    assert mirror.requests[-1] == "/a.gz"


def test_all_of_it_is_here_already(mirror: Mirror, tmp_path: Path) -> None:
    partial(tmp_path, CONTENT)
    arrives(mirror, tmp_path)
    assert mirror.requests == []


def test_a_connection_that_breaks_always_is_given_up(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def some(handler: BaseHTTPRequestHandler) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        sends(cut=start + 1)(handler)

    monkeypatch.setattr(module, "RECONNECTIONS", 3)
    mirror.answers["/a.gz"] = [some]
    assert "the connection broke 3 times" in fails(mirror, tmp_path)
    assert (tmp_path / "a.gz.partial").read_bytes() == CONTENT[:3]


def test_a_download_that_is_stopped(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is free, and the next download continues."""
    received = module._received

    def stops(response: http.client.HTTPResponse) -> Iterator[bytes]:
        yield next(received(response))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_CHUNK", 1000)
        patched.setattr(module, "_received", stops)
        with pytest.raises(KeyboardInterrupt):
            download(FILE, (mirror.url(),), tmp_path, lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gz.partial"]
    arrives(mirror, tmp_path)
    assert mirror.requests == ["/a.gz", "/a.gz bytes=1000-"]


# ---- this machine


def test_a_full_disk(mirror: Mirror, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "a.gz.partial").symlink_to("/dev/full")
    with pytest.raises(CnncError) as caught:
        download(FILE, (mirror.url(),), tmp_path, lambda line: None)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, "no space left on device" in diagnostic.message) == ("E902", True)


def test_two_at_the_same_time(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits, and takes what the first downloaded."""
    monkeypatch.setattr(module, "_POLL", 0.01)
    waits, lines = threading.Event(), []

    def report(line: str) -> None:
        lines.append(line)
        waits.set()

    lock = tmp_path / ".a.gz.lock"
    handle, is_locked = acquire(lock)
    if not is_locked:
        pytest.skip("the file system has no locks")
    second = threading.Thread(target=download, args=(FILE, (mirror.url(),), tmp_path, report))
    second.start()
    assert waits.wait(10)
    (tmp_path / "a.gz").write_bytes(CONTENT)
    release(handle, lock)
    second.join()
    assert lines == ["another process downloads a.gz: waiting for it"]
    assert mirror.requests == []
    assert [path.name for path in tmp_path.iterdir()] == ["a.gz"]


def test_the_proxy_of_the_environment(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`one.example` is reached through it; a host that NO_PROXY names is reached without."""
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{mirror.port}")
    arrives(mirror, tmp_path, "https://one.example:443/")
    assert mirror.requests == ["CONNECT one.example:443", "/a.gz"]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "a.gz").unlink()
    mirror.requests.clear()
    arrives(mirror, tmp_path)
    assert mirror.requests == ["/a.gz"]


def test_certificates(server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that nobody vouches for is refused, unless SSL_CERT_FILE names it."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -days 1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *options.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    cache = tmp_path / "cache"
    cache.mkdir()

    class Encrypted(ThreadingHTTPServer):
        def get_request(self) -> tuple[ssl.SSLSocket, Any]:
            connection, address = self.socket.accept()
            return context.wrap_socket(connection, server_side=True), address

    with Encrypted(("127.0.0.1", 0), Handler) as encrypted:
        threading.Thread(target=encrypted.serve_forever, args=(0.01,), daemon=True).start()
        mirror = encrypted.mirror = Mirror(encrypted.server_address[1])  # type: ignore[attr-defined]
        mirror.answers["/a.gz"] = [sends()]
        assert "certificate verify failed" in fails(mirror, cache)
        assert mirror.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        arrives(mirror, cache)
        encrypted.shutdown()
