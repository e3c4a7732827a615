"""The camera of a page of `cnnc demo`: Chromium films a digit from a file, Firefox its own test pattern."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnc.data import load
from tests.browser.bidi import missing, open_browser
from tests.browser.conftest import given_runtime
from tests.cli.conftest import run

PRESS = "(text) => [...document.querySelectorAll('button')].find((b) => b.textContent === text).click()"
RUNS = "() => document.body.dataset.runs"


def filmed(digit: np.ndarray, path: Path) -> Path:
    """A digit of 8x8 pixels as a video of 320x240 that does not move: Y4M, in grey, the digit in the middle square."""
    square = np.kron(digit, np.ones((30, 30), np.uint8))
    frame = np.zeros((240, 320), np.uint8)
    frame[:, 40:280] = square
    brightness = (16 + frame * (219 / 255)).astype(np.uint8)
    colour = np.full(2 * 160 * 120, 128, np.uint8)
    picture = b"FRAME\n" + brightness.tobytes() + colour.tobytes()
    path.write_bytes(b"YUV4MPEG2 W320 H240 F10:1 Ip A1:1 C420\n" + 10 * picture)
    return path


@pytest.mark.browser
@pytest.mark.parametrize("name", ["chromium", "firefox"])
def test_what_the_camera_sees_is_classified(name: str, exported: Path, web_files: object, tmp_path: Path) -> None:
    if missing(name):
        pytest.skip(missing(name))
    test = load("digits").test
    video = filmed(test.images[3, 0], tmp_path / "digit.y4m")
    runtime = ("--runtime", str(given_runtime())) if given_runtime() is not None else ()
    done = run("demo", "digits.onnx", "-o", tmp_path / "camera.html", *runtime, cwd=exported)
    assert done.returncode == 0, done.stderr
    fake = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    options = (*fake, f"--use-file-for-fake-video-capture={video}") if name == "chromium" else ()
    with open_browser(name, tmp_path / name, options=options) as browser:
        browser.open(tmp_path / "camera.html")
        browser.wait_for("() => document.querySelector('#status').dataset.checked")
        before = int(browser.run(RUNS))
        browser.run(PRESS, "Camera")
        browser.wait_for("(before) => Number(document.body.dataset.runs) > before + 2", before)
        answer = browser.run("() => document.querySelector('.answer').textContent")
        if name == "chromium":
            assert answer.startswith(str(test.labels[3])), answer
        browser.run(PRESS, "Stop the camera")
        browser.wait_for("() => [...document.querySelectorAll('button')].some((b) => b.textContent === 'Camera')")
        assert browser.messages == []
