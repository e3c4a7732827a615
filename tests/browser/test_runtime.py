"""Exported models compute the same in a browser as in Python: pages opened from a file, without a network."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnc.data import load
from cnnc.onnx.run.session import Session
from cnnc.view.web.runtime import WebRuntime
from tests.browser.bidi import Browser, BrowserError
from tests.browser.conftest import DIGITS
from tests.browser.pages import run_model, write_page
from tests.cli.conftest import run
from tests.cli.nets import NETS
from tests.data.conftest import data_folder
from tests.paths import MODELS

TOLERANCE = 1e-4
"""The most that a probability may deviate from that of `cnnc predict`."""


@pytest.fixture(scope="session")
def page(exported: Path, web_files: WebRuntime) -> Path:
    """A page with all of them."""
    models = {name: (exported / f"{name}.onnx").read_bytes() for name in (*DIGITS, *NETS)}
    return write_page(exported / "page.html", web_files, models)


def predicted(folder: Path, model: str, examples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The probabilities of 10 classes that `cnnc predict` prints for examples."""
    np.save(folder / "examples.npy", examples)
    done = run("predict", model, "examples.npy", "--json", "--top", "10", cwd=folder)
    assert done.returncode == 0, done.stderr
    rows = [{int(guess["class"]): guess["probability"] for guess in entry["top"]} for entry in json.loads(done.stdout)]
    return np.array([[row[label] for label in range(10)] for row in rows])


def agrees(browser: Browser, folder: Path, model: str, examples: NDArray[np.float32]) -> None:
    """Checks classes and probabilities of examples."""
    expected = predicted(folder, f"{model}.onnx", examples)
    (scores,) = run_model(browser, model, {"input1": examples}).values()
    assert scores.shape == expected.shape
    assert scores.argmax(1).tolist() == expected.argmax(1).tolist()
    assert len(set(scores.argmax(1))) > 5
    assert abs(scores - expected).max() < TOLERANCE


@pytest.mark.parametrize("model", DIGITS)
def test_twenty_digits(browser: Browser, page: Path, exported: Path, model: str) -> None:
    browser.open(page)
    agrees(browser, exported, model, load("digits").test.images[:20].astype(np.float32) / np.float32(255))
    assert browser.messages == []


@pytest.fixture(scope="session")
def lenet5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with LeNet-5 after an epoch on MNIST, as lenet5.onnx."""
    data = data_folder("mnist", "train-images-idx3-ubyte.gz").parent
    folder = tmp_path_factory.mktemp("lenet5")
    words = ("--data", data, "--run", "run", "--export", "lenet5.onnx", "--set", "train.epochs=1")
    done = run("train", MODELS / "lenet5.cnn", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_twenty_digits_of_mnist(browser: Browser, lenet5: Path, web_files: WebRuntime) -> None:
    images = load("mnist", data_folder("mnist", "train-images-idx3-ubyte.gz").parent).test.images
    model = (lenet5 / "lenet5.onnx").read_bytes()
    browser.open(write_page(lenet5 / "page.html", web_files, {"lenet5": model}))
    agrees(browser, lenet5, "lenet5", images[:20].astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("net", NETS)
def test_networks_of_every_kind(browser: Browser, page: Path, exported: Path, net: str) -> None:
    """Words, series, label maps, images, several inputs and outputs, on random inputs."""
    session = Session(exported / f"{net}.onnx", net, "cpu")
    random = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for name, signature in session.inputs.items():
        shape = (3, *(signature.fixed or ()))
        integers = signature.dtype == np.int64
        feeds[name] = random.integers(0, 10, shape) if integers else random.random(shape, np.float32)
    browser.open(page)
    outputs = run_model(browser, net, feeds)
    assert list(outputs) == session.outputs
    for name, expected in zip(session.outputs, session.run(feeds), strict=True):
        assert outputs[name].shape == expected.shape
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-5)


def test_no_host_is_reached(browser: Browser, tmp_path: Path) -> None:
    """A page without a policy cannot reach a server that listens on this machine, nor any other host."""
    (tmp_path / "page.html").write_text("<!doctype html><title>a page without a policy</title>")
    browser.open(tmp_path / "page.html")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        for host in (
            f"127.0.0.1:{server.getsockname()[1]}",
            f"localhost:{server.getsockname()[1]}",
            "onnxruntime.ai",
        ):
            with pytest.raises(BrowserError):
                browser.run("(url) => fetch(url, {mode: 'no-cors'})", f"http://{host}/")
        with pytest.raises(BlockingIOError):
            server.accept()
