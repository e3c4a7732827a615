"""The live page in a browser: it follows the server, and says when the training has ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")

from cnnc.live.server import LiveServer
from cnnc.view.live.page import event_json, live_html
from cnnc.view.live.parts import Parts
from tests.view.browser import CHROMIUM, needs_browser
from tests.view.test_live import hostile, moment

DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.long,
    needs_browser,
    pytest.mark.skipif(DRIVER is None, reason="chromedriver is not installed"),
]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", f"--user-data-dir={tmp_path / 'user'}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def wait_for(driver: Any, condition: Callable[[], bool]) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, 30).until(lambda _: condition())


def test_the_page_follows_the_server(browser: Any) -> None:
    who, when = hostile()
    parts, shown = Parts(who), [when._replace(epoch=1)]
    server = LiveServer()
    server.start(lambda: live_html(who, shown[0], parts.of(shown[0])), lambda: event_json(parts.of(shown[0])))

    def text_of(name: str) -> str:
        return str(browser.find_element("id", name).text)

    try:
        browser.get(server.address)
        assert "Epoch 1 of 10 ended" in text_of("state")
        shown[0] = moment(4, 3, learned=when.learned)
        server.notify()
        wait_for(browser, lambda: "Epoch 5 of 10, step 3 of 20" in text_of("state"))
        assert "Epoch 4: training loss" in text_of("news")
        assert text_of("connection").startswith("Live")
        assert browser.execute_script("return document.querySelectorAll('img[src=\"x\"], [onerror]').length") == 0
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        shown[0] = moment(10, 0, learned=when.learned, state="finished")
    finally:
        server.close("The training has ended. Its replay is <b>here</b>.")
    wait_for(browser, lambda: "<b>here</b>" in text_of("connection"))
    assert "Finished: epoch 10 of 10 ended" in text_of("state")
    severe = [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]
    assert severe == []
