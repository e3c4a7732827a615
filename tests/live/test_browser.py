"""The live page in a browser: it follows the server, and says when the training has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from cnnc.live.server import LiveServer
from cnnc.view.live.page import event_json, live_html
from cnnc.view.live.parts import Parts
from tests.browser.bidi import Browser, missing, open_browser
from tests.view.test_live import hostile, moment

pytestmark = [pytest.mark.long, pytest.mark.browser]

TEXT = "(id) => document.getElementById(id).textContent"
HAS = "(id, text) => document.getElementById(id).textContent.includes(text)"


@pytest.fixture(params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Browser]:
    if missing(request.param):
        pytest.skip(missing(request.param))
    with open_browser(request.param, tmp_path, local=True) as opened:
        yield opened


def test_the_page_follows_the_server(browser: Browser) -> None:
    who, when = hostile()
    parts, shown = Parts(who), [when._replace(epoch=1)]
    server = LiveServer()
    server.start(lambda: live_html(who, shown[0], parts.of(shown[0])), lambda: event_json(parts.of(shown[0])))
    try:
        browser.open_address(server.address)
        assert browser.run(HAS, "state", "Epoch 1 of 10 ended")
        shown[0] = moment(4, 3, learned=when.learned)
        server.notify()
        browser.wait_for(HAS, "state", "Epoch 5 of 10, step 3 of 20")
        assert browser.run(HAS, "news", "Epoch 4: training loss")
        assert browser.run(TEXT, "connection").startswith("Live")
        assert browser.run("() => document.querySelectorAll('img[src=\"x\"], [onerror]').length") == 0
        assert browser.run("() => document.documentElement.scrollWidth <= window.innerWidth")
        shown[0] = moment(10, 0, learned=when.learned, state="finished")
    finally:
        server.close("The training has ended. Its replay is <b>here</b>.")
    browser.wait_for(HAS, "connection", "<b>here</b>")
    assert browser.run(HAS, "state", "Finished: epoch 10 of 10 ended")
    assert [message for message in browser.messages if message.startswith("error") and "favicon" not in message] == []
