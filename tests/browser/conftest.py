"""Browsers, and the files of onnxruntime-web: from CNNC_WEB_RUNTIME (a folder or package file), cnnc-web, or the cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import cnnc
from cnnc.cli.web_runtime import web_runtime
from cnnc.diagnostics import CnncError
from cnnc.view.web.runtime import Build, WebRuntime
from tests.browser.bidi import Browser, missing, open_browser
from tests.cli.conftest import run
from tests.cli.nets import NETS, write_nets
from tests.paths import MODELS

NAMES = ("chromium", "firefox")
VARIABLE = "CNNC_WEB_RUNTIME"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test here that uses a browser has the markers `browser` and `long`."""
    if "browser" in getattr(item, "fixturenames", ()):
        item.add_marker("browser")
        item.add_marker("long")


def given_runtime() -> Path | None:
    """The folder or package file that CNNC_WEB_RUNTIME names; None if it is not set."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


@pytest.fixture(scope="session")
def web_files() -> WebRuntime:
    """The build that computes on the CPU."""
    return find_files("wasm")


@pytest.fixture(scope="session")
def webgpu_files() -> WebRuntime:
    """The build that computes on the GPU too."""
    return find_files("webgpu")


def find_files(build: Build) -> WebRuntime:
    """The files of a build; skips the test where they are not on this machine. No test downloads them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.which", lambda name: None)
        try:
            return web_runtime(given_runtime(), build, lambda line: None)
        except CnncError as error:
            if given_runtime() is not None:
                raise
            pytest.skip(f"{error.diagnostics[0].message}; the variable {VARIABLE} may name it")


DIGITS = {"digits": (), "digits_int8": ("--int8",), "digits_fp16": ("--fp16",)}
"""Exported models of models/digits.cnn, with the options of the export."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with digits.cnn and the networks of tests/cli/nets.py as models NAME.onnx."""
    folder = tmp_path_factory.mktemp("exported")
    words = ("--run", "run", "--set", "train.epochs=3")
    assert run("train", MODELS / "digits.cnn", *words, cwd=folder).returncode == 0
    for name, options in DIGITS.items():
        done = run("export", "run", "-o", f"{name}.onnx", *options, cwd=folder)
        assert done.returncode == 0, done.stderr
    write_nets(folder)
    for name in NETS:
        cnnc.train(cnnc.load(folder / f"{name}.cnn"), folder / name, data=folder)
        cnnc.export(folder / name, folder / f"{name}.onnx")
    return folder


@pytest.fixture(scope="session", params=NAMES)
def started_browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests that use it."""
    name = request.param
    if missing(name):
        pytest.skip(missing(name))
    with ExitStack() as stack:
        yield stack.enter_context(open_browser(name, tmp_path_factory.mktemp(name)))


@pytest.fixture
def browser(started_browser: Browser) -> Browser:
    """A browser with an empty page of 1000 x 800 pixels; each test with it runs in Chromium and in Firefox."""
    started_browser.reset()
    return started_browser
