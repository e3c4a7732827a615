"""Drives Chromium and Firefox for tests: opens a page from a file, runs scripts in it, sends input, takes screenshots.

Both speak WebDriver BiDi over a websocket: Firefox itself, Chromium through chromedriver. No host can be reached from the
page: Chromium resolves no name, Firefox has a proxy that does not exist. With `local`, 127.0.0.1 can be.

    with open_browser("firefox", folder) as browser:
        browser.open(Path("page.html"))
        browser.run("() => document.title")
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")

START_TIMEOUT = 60.0
"""Seconds that a browser may take to start."""

TIMEOUT = 300.0
"""Seconds that one command may take; a busy machine compiles WebAssembly slowly."""

FIREFOX_PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.navigator.permission.disabled": True,  # the camera needs no answer, and shows a pattern
    "media.navigator.streams.fake": True,
    "network.proxy.type": 1,  # nothing listens at this proxy
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


def missing(name: str) -> str:
    """Why a browser cannot be used on this machine; "" if it can."""
    programs = {"chromium": [CHROMIUM, CHROMEDRIVER], "firefox": [FIREFOX]}[name]
    if None in programs:
        return {"chromium": "chromium or chromedriver is not installed", "firefox": "firefox is not installed"}[name]
    return "" if find_spec("websocket") else "websocket-client is not installed"


class BrowserError(Exception):
    """A command failed, or a script raised an error."""


class Browser:
    """A page in a browser. `messages` are what its console printed and the errors of its scripts."""

    def __init__(self, name: str, url: str) -> None:
        import websocket

        self.name = name
        self.messages: list[str] = []
        self._count = 0
        self._socket = websocket.create_connection(url, timeout=TIMEOUT, suppress_origin=True)
        self.context = ""

    def attach(self) -> None:
        """Uses the first tab."""
        self.command("session.subscribe", events=["log.entryAdded"])
        self.context = self.command("browsingContext.getTree")["contexts"][0]["context"]

    def command(self, method: str, **parameters: Any) -> Any:
        """Sends a command and returns its result. Raises BrowserError."""
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("method") == "log.entryAdded":
                self.messages.append(f"{message['params']['level']}: {message['params']['text']}")
            if message.get("id") == self._count:
                if message.get("type") == "error":
                    raise BrowserError(f"{method}: {message['error']}: {message['message']}")
                return message["result"]

    def reset(self) -> None:
        """An empty page of 1000 x 800 pixels, and no messages."""
        self.command("browsingContext.navigate", context=self.context, url="about:blank", wait="complete")
        self.set_size(1000, 800)
        self.messages.clear()

    def open(self, page: Path) -> None:
        """Opens a file and waits until it is loaded."""
        self.open_address(page.resolve().as_uri())

    def open_address(self, url: str) -> None:
        """Opens a page of a server and waits until it is loaded."""
        self.command("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def run(self, function: str, *arguments: Any) -> Any:
        """Calls a JavaScript function, also an async one, and returns its result; both ways as JSON."""
        wrapped = f"async (text) => JSON.stringify((await ({function})(...JSON.parse(text))) ?? null)"
        result = self.command(
            "script.callFunction",
            functionDeclaration=wrapped,
            arguments=[{"type": "string", "value": json.dumps(arguments)}],
            target={"context": self.context},
            awaitPromise=True,
            userActivation=True,
        )
        if result["type"] == "exception":
            raise BrowserError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    def wait_for(self, function: str, *arguments: Any, seconds: float = TIMEOUT) -> Any:
        """Calls a JavaScript function until its result is true in JavaScript's sense; returns it. Raises BrowserError."""
        end = time.monotonic() + seconds
        while not (result := self.run(function, *arguments)):
            if time.monotonic() > end:
                raise BrowserError(f"still {result!r} after {seconds:g} s: {function}")
            time.sleep(0.05)
        return result

    def draw(self, points: list[tuple[float, float]], selector: str = "body", kind: str = "mouse") -> None:
        """Presses a pointer at the first point, moves it along the others and releases it.

        Points are in pixels from the corner of an element; `kind` is mouse, pen or touch.
        """
        left, top = self.run(
            "(selector) => { const e = document.querySelector(selector); e.scrollIntoView({block: 'center'});"
            " const box = e.getBoundingClientRect(); return [box.left, box.top]; }",
            selector,
        )
        moves = [{"type": "pointerMove", "x": round(left + x), "y": round(top + y), "duration": 5} for x, y in points]
        down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        actions = [moves[0], down, *moves[1:], up]
        self._perform({"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions})

    def click(self, selector: str) -> None:
        """Clicks on the centre of an element."""
        width, height = self.run(
            "(selector) => { const box = document.querySelector(selector).getBoundingClientRect(); return [box.width, box.height]; }",
            selector,
        )
        self.draw([(width / 2, height / 2)], selector)

    def press(self, *keys: str) -> None:
        """Presses keys one after the other: characters, or code points of WebDriver such as "\\ue014" (right arrow)."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._perform({"type": "key", "id": "keyboard", "actions": actions})

    def _perform(self, source: dict[str, Any]) -> None:
        self.command("input.performActions", context=self.context, actions=[source])
        self.command("input.releaseActions", context=self.context)

    def set_files(self, selector: str, *paths: Path) -> None:
        """Chooses files in an <input type="file">."""
        found = self.command(
            "browsingContext.locateNodes", context=self.context, locator={"type": "css", "value": selector}
        )
        element = {"sharedId": found["nodes"][0]["sharedId"]}
        self.command("input.setFiles", context=self.context, element=element, files=[str(path) for path in paths])

    def set_size(self, width: int, height: int) -> None:
        """The size of the page's area in CSS pixels."""
        self.command("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Writes a PNG of what is visible, or of the whole document."""
        origin = "document" if whole else "viewport"
        shot = self.command("browsingContext.captureScreenshot", context=self.context, origin=origin)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Ends the session and the browser."""
        with suppress(Exception):
            self._socket.settimeout(5)
            self.command("browser.close")
        with suppress(Exception):
            self._socket.close()


@contextmanager
def open_browser(
    name: str, folder: Path, *, dark: bool = False, local: bool = False, options: tuple[str, ...] = ()
) -> Iterator[Browser]:
    """A headless browser, `chromium` or `firefox`, with a new profile in a folder.

    `dark` prefers dark colours; `local` lets pages reach servers at 127.0.0.1.
    """
    start = {"chromium": _chromium, "firefox": _firefox}[name]
    with ExitStack() as stack:
        browser = start(stack, folder, dark, local, options)
        stack.callback(browser.close)
        browser.attach()
        yield browser


def _firefox(stack: ExitStack, folder: Path, dark: bool, local: bool, options: tuple[str, ...]) -> Browser:
    profile = folder / "firefox"
    profile.mkdir(parents=True, exist_ok=True)
    preferences = {
        **FIREFOX_PREFERENCES,
        "layout.css.prefers-color-scheme.content-override": 0 if dark else 1,
        "network.proxy.allow_hijacking_localhost": not local,
    }
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
    (profile / "user.js").write_text("".join(lines))
    port = _free_port()
    command = [str(FIREFOX), "--headless", "--no-remote", f"--remote-debugging-port={port}", *options]
    _start(stack, [*command, "--profile", str(profile), "about:blank"], port, folder / "firefox.log")
    browser = Browser("firefox", f"ws://127.0.0.1:{port}/session")
    browser.command("session.new", capabilities={})
    return browser


def _chromium(stack: ExitStack, folder: Path, dark: bool, local: bool, options: tuple[str, ...]) -> Browser:
    port = _free_port()
    _start(stack, [str(CHROMEDRIVER), f"--port={port}"], port, folder / "chromedriver.log")
    arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        f"--host-resolver-rules=MAP * ~NOTFOUND{', EXCLUDE 127.0.0.1' if local else ''}",
        f"--user-data-dir={folder / 'chromium'}",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        *options,
    ]
    chrome = {"binary": CHROMIUM, "args": arguments}
    wanted = {"capabilities": {"alwaysMatch": {"webSocketUrl": True, "goog:chromeOptions": chrome}}}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/session", json.dumps(wanted).encode())
    with urllib.request.urlopen(request, timeout=START_TIMEOUT) as response:
        session = json.load(response)["value"]
    return Browser("chromium", session["capabilities"]["webSocketUrl"])


def _start(stack: ExitStack, command: list[str], port: int, log: Path) -> None:
    """Starts a program that ends with the stack, and waits until it listens at the port."""
    log.parent.mkdir(parents=True, exist_ok=True)
    output = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(command, stdout=output, stderr=output)
    stack.callback(_stop, process)
    end = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise BrowserError(f"{command[0]} did not start: {log.read_text(errors='replace')[-500:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
        return
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
