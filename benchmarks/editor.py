"""Measures `cnnc lsp` with a client that types: `python -m benchmarks.editor [--lines 20 200 2000] [--edits 10000]`.

Out: for networks of so many lines, the milliseconds from a keystroke to its diagnostics, and to the inlay hints of the 60 lines
around it, and those that the server computes for both: median, 95th percentile, maximum. The last ones do not depend on what
else runs on the machine. The server runs in a process of its own, on one core. A layer is typed into the
middle of the network, character by character, and deleted again; each keystroke comes `--pause` seconds after the last answer.
`--edits N` types N characters into a file of the first number of lines instead and prints the memory of the server.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Self

TYPED = "skip: conv 24 k=3 p=same bias=false  # typed\nbn\nrelu\nconv 16 k=1\nexpect 16x32x32\n"
URI = "file:///tmp/benchmark-of-cnnc/typed.cnn"


def network(lines: int) -> str:
    """A network of about so many lines, without warnings."""
    body: list[str] = []
    number = 0
    while len(body) < lines - 12:
        number += 1
        body += [f"s{number}: conv 16 k=3 p=1 bias=false", "bn", "relu", "conv 16 k=3 p=1 bias=false", "bn"]
        body += [f"add s{number}", "relu", ""]
    train = ["train {", "  data cifar10", "  batch 64", "  epochs 3", "  optimizer adam lr=0.001", "}"]
    head = ["# A residual network", "net Typed", "", "input 3x32x32"]
    return "\n".join([*head, *body, "global_pool avg", "fc 10", *train]) + "\n"


class Client:
    """A client that sends messages and waits for answers."""

    def __init__(self, one_core: bool = True) -> None:
        command = [sys.executable, "-m", "cnnc", "lsp"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if one_core:
            os.sched_setaffinity(self.process.pid, {min(os.sched_getaffinity(0))})
        self.number = 0
        self.version = 0
        self.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        self.notify("initialized", {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:  # closes its pipes
            self.request("shutdown", None)
            self.notify("exit", None)

    def notify(self, method: str, params: Any) -> None:
        """Sends a notification."""
        self.send({"method": method, "params": params})

    def request(self, method: str, params: Any) -> Any:
        """Sends a request and returns its result."""
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        while True:
            message = self.receive()
            if message.get("id") == self.number and "method" not in message:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def send(self, message: Mapping[str, Any]) -> None:
        """Writes a message."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Reads a message."""
        assert self.process.stdout is not None
        length = 0
        while (line := self.process.stdout.readline().strip()) or not length:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if not line and self.process.poll() is not None:
                raise RuntimeError("the server has ended")
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        return message

    def open(self, text: str) -> list[dict[str, Any]]:
        """Opens a text and returns its diagnostics."""
        self.version += 1
        document = {"uri": URI, "languageId": "cnn", "version": self.version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})
        return self.diagnostics()

    def change(self, line: int, character: int, deleted: int, text: str) -> None:
        """Replaces characters of a line."""
        self.version += 1
        end = {"line": line, "character": character + deleted}
        change = {"range": {"start": {"line": line, "character": character}, "end": end}, "text": text}
        document = {"uri": URI, "version": self.version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})

    def diagnostics(self) -> list[dict[str, Any]]:
        """Waits for the diagnostics of the newest version."""
        while True:
            message = self.receive()
            if message.get("method") == "textDocument/publishDiagnostics":
                params = message["params"]
                if params.get("version") == self.version:
                    found: list[dict[str, Any]] = params["diagnostics"]
                    return found

    def hints(self, line: int) -> Any:
        """The inlay hints of the lines around one."""
        window = {
            "start": {"line": max(0, line - 30), "character": 0},
            "end": {"line": line + 30, "character": 0},
        }
        return self.request("textDocument/inlayHint", {"textDocument": {"uri": URI}, "range": window})

    def computed(self) -> float:
        """The seconds that the server has computed, without waiting for the core."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> float:
        """The memory of the server in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1000


class Times:
    """Seconds from keystrokes to answers."""

    def __init__(self) -> None:
        self.to_diagnostics: list[float] = []
        self.to_hints: list[float] = []
        self.computing: list[float] = []

    def row(self, lines: int) -> str:
        """The row of the table."""

        def shown(seconds: list[float]) -> str:
            return f"{1e3 * median(seconds):.0f} | {1e3 * quantiles(seconds, n=20)[-1]:.0f} | {1e3 * max(seconds):.0f}"

        return f"| {lines:,} | {shown(self.to_diagnostics)} | {shown(self.to_hints)} | {shown(self.computing)} |"


def keystroke(client: Client, times: Times, line: int, character: int, deleted: int, text: str) -> None:
    """One change, and the time to its answers."""
    begun, computed = time.perf_counter(), client.computed()
    client.change(line, character, deleted, text)
    client.diagnostics()
    times.to_diagnostics.append(time.perf_counter() - begun)
    client.hints(line)
    times.to_hints.append(time.perf_counter() - begun)
    times.computing.append(client.computed() - computed)


def type_and_delete(client: Client, line: int, rounds: int, pause: float) -> Times:
    """Types lines into a file above a line, character by character, and deletes them again."""
    times = Times()
    for _ in range(rounds):
        at, character = line, 0
        for sign in TYPED:
            keystroke(client, times, at, character, 0, sign)
            at, character = (at + 1, 0) if sign == "\n" else (at, character + 1)
            time.sleep(pause)
        client.version += 1
        window = {"start": {"line": line, "character": 0}, "end": {"line": at, "character": 0}}
        document = {"uri": URI, "version": client.version}
        changes = [{"range": window, "text": ""}]
        client.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})
        client.diagnostics()
    return times


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.02)
    parser.add_argument("--edits", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.edits:
        with Client() as client:
            text = network(arguments.lines[0])
            client.open(text)
            for rounds in (1, arguments.edits // len(TYPED) // 2, arguments.edits // len(TYPED) // 2):
                type_and_delete(client, text.count("\n") // 2, rounds, 0)
                print(f"after {client.version:,} edits: {client.memory():.0f} MB", flush=True)
        return
    print(
        "| lines | diagnostics: median, ms | 95 % | max | inlay hints: median, ms | 95 % | max | computing: median, ms | 95 % | max |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for lines in arguments.lines:
        with Client() as client:
            text = network(lines)
            client.open(text)
            times = type_and_delete(client, text.count("\n") // 2, arguments.rounds, arguments.pause)
        print(times.row(lines), flush=True)


if __name__ == "__main__":
    main()
