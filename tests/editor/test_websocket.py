"""`cnnc lsp --port`: programs and pages of this machine may connect, pages from elsewhere may not."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time

import pytest

pytest.importorskip("pygls", reason="needs pygls")
pytest.importorskip("websockets", reason="needs websockets")
websocket = pytest.importorskip("websocket", reason="needs websocket-client")

from cnnc.editor.websocket import is_local  # noqa: E402


@pytest.mark.parametrize("origin", [None, "http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"])
def test_programs_and_pages_of_this_machine_may_connect(origin: str | None) -> None:
    assert is_local(origin)


@pytest.mark.parametrize(
    "origin",
    ["null", "", "file://", "https://example.org", "http://localhost.example.org", "http://127.0.0.1@example.org"],
)
def test_pages_from_elsewhere_may_not(origin: str) -> None:
    assert not is_local(origin)


@pytest.mark.long
def test_a_page_from_elsewhere_is_refused_and_a_program_is_served() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "cnnc", "lsp", "--port", str(port)])
    try:
        assert _status(port, "https://example.org") == 403
        program = websocket.create_connection(f"ws://127.0.0.1:{port}", suppress_origin=True, timeout=60)
        parameters: dict[str, object] = {"processId": None, "rootUri": None, "capabilities": {}}
        program.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}))
        assert json.loads(program.recv())["result"]["serverInfo"]["name"] == "cnnc"
        program.close()
    finally:
        process.kill()
        process.wait(60)


def _status(port: int, origin: str) -> int:
    """The HTTP status that refuses a page, once the server listens."""
    for _ in range(300):
        try:
            websocket.create_connection(f"ws://127.0.0.1:{port}", origin=origin, timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.2)
        except websocket.WebSocketBadStatusException as error:
            return int(error.status_code)
        else:
            return 101
    raise AssertionError("the server does not listen")
