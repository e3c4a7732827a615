"""The page that trains, in browsers: it begins as `cnnc train` does, learns, and its weights go to and from cnnc."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import cnnc
from cnnc.core.random_streams import Stream
from cnnc.training import checkpoint as checkpoints
from cnnc.training.loop import one_step, open_data, start
from cnnc.training.run import Run
from tests.browser.bidi import Browser
from tests.browser.conftest import given_runtime
from tests.cli.conftest import run
from tests.cli.nets import NETS, write_nets
from tests.paths import MODELS

Learn = Callable[..., Path]

PLAIN = """net Plain
input 1x8x8
conv 6 k=3 p=1
relu
pool max k=2
fc 10
softmax
train { data digits; optimizer sgd lr=0.1 momentum=0.9; schedule cosine; batch 64; epochs 3 }
"""

HOSTILE = "<img src=x onerror=alert(1)>&\"'"
CURVES = "() => ({ ...document.querySelector('#curves').dataset })"
RUNNING = "() => document.body.dataset.running === 'true'"


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with networks and their data."""
    folder = tmp_path_factory.mktemp("learn")
    write_nets(folder)
    (folder / "plain.cnn").write_text(PLAIN)
    (folder / "wide.cnn").write_text(PLAIN.replace("conv 6", "conv 7"))
    (folder / "digits.cnn").write_text((MODELS / "digits.cnn").read_text())
    (folder / "lenet5.cnn").write_text((MODELS / "lenet5.cnn").read_text())
    with (folder / "hostile.tsv").open("w") as file:
        for i in range(60):
            file.write(f"{HOSTILE if i % 2 else 'plain'}\t{'a fine </script> film' if i % 2 else 'a dull film'}\n")
    (folder / "hostile.cnn").write_text(NETS["words"].replace("reviews.tsv", "hostile.tsv"))
    return folder


@pytest.fixture(scope="session")
def learn(sources: Path) -> Learn:
    """Writes the page of a network in the folder `sources`, once."""
    written: dict[str, Path] = {}

    def page(name: str, *words: str) -> Path:
        if name not in written:
            written[name] = sources / f"{name}-learn.html"
            runtime = ("--runtime", str(given_runtime())) if given_runtime() is not None else ()
            done = run("demo", f"{name}.cnn", "--training", "-o", written[name], *runtime, *words, cwd=sources)
            assert done.returncode == 0, done.stderr
        return written[name]

    return page


@pytest.fixture(autouse=True)
def _files(request: pytest.FixtureRequest) -> None:
    """Skips where the runtime is not on this machine."""
    request.getfixturevalue("web_files")


def opened(browser: Browser, page: Path) -> None:
    """Opens a page, and waits until the test examples are scored."""
    browser.open(page)
    failed = "document.querySelector('#status').classList.contains('bad')"
    browser.wait_for(f"() => document.querySelector('#curves').dataset.loss || {failed}")
    assert not browser.run(f"() => {failed}"), status(browser)
    assert float(browser.run("() => document.querySelector('#status').dataset.deviation")) < 1e-4


def status(browser: Browser) -> str:
    text: str = browser.run("() => document.querySelector('#status').textContent")
    return text


def press(browser: Browser, text: str) -> None:
    browser.run("(text) => [...document.querySelectorAll('button')].find((b) => b.textContent === text).click()", text)


def set_number(browser: Browser, label: str, value: float) -> None:
    """Changes the value of a box as a user does."""
    browser.run(
        "(label, value) => { const box = [...document.querySelectorAll('label')].find((l) => l.textContent === label).control;"
        " box.value = value; box.dispatchEvent(new Event('change')); }",
        label,
        value,
    )


def train_to_the_end(browser: Browser) -> dict[str, str]:
    """Presses Start, waits until all epochs are done, and returns what was measured."""
    press(browser, "Start")
    browser.wait_for(RUNNING)
    browser.wait_for(f"() => !({RUNNING})()", seconds=300)
    assert status(browser).startswith("All "), status(browser)
    found: dict[str, str] = browser.run(CURVES)
    return found


def do_steps(browser: Browser, count: int) -> None:
    for number in range(1, count + 1):
        press(browser, "Step")
        browser.wait_for("(n) => document.querySelector('#curves').dataset.steps === String(n)", number)


def saved_weights(browser: Browser, path: Path) -> Path:
    """Presses Save weights, and writes what the page offers."""
    browser.run(
        "() => { const url = URL.createObjectURL; URL.createObjectURL = (blob) => { window.saved = blob; return url(blob); }; }"
    )
    press(browser, "Save weights")
    browser.wait_for("() => Boolean(window.saved)")
    text = browser.run(
        "async () => { const bytes = new Uint8Array(await window.saved.arrayBuffer()); let text = '';"
        " for (const byte of bytes) text += String.fromCharCode(byte); return btoa(text); }"
    )
    path.write_bytes(base64.b64decode(text))
    return path


def load(browser: Browser, path: Path) -> str:
    """Loads weights, and returns what the page says about them."""
    browser.run("() => { document.querySelector('#weights [role=status]').textContent = ''; }")
    browser.set_files("#weights input[type=file]", path)
    said: str = browser.wait_for("() => document.querySelector('#weights [role=status]').textContent")
    return said


@pytest.mark.parametrize("name", NETS)
def test_a_network_of_each_kind_learns(browser: Browser, learn: Learn, name: str) -> None:
    opened(browser, learn(name))
    before = float(browser.run(CURVES)["loss"])
    after = train_to_the_end(browser)
    assert float(after["loss"]) < before
    assert browser.messages == []


def test_the_first_steps_are_those_of_the_trainer(
    browser: Browser, learn: Learn, sources: Path, tmp_path: Path
) -> None:
    """Losses and weights after three steps on the same batches."""
    opened(browser, learn("plain"))
    do_steps(browser, 3)
    saved = checkpoints.load(saved_weights(browser, tmp_path / "x.safetensors"))
    network = cnnc.load(sources / "plain.cnn")
    trained = start(network, open_data(network, None, lambda line: None), tmp_path / "run")
    losses = list(islice(losses_of(trained), 3))
    first = float(browser.run("() => document.querySelector('#status').dataset.first"))
    assert first == pytest.approx(losses[0], rel=1e-5)
    assert saved.weights.keys() == trained.weights.keys()
    for kind in ("weights", "slots"):
        for name, array in getattr(trained, kind).items():
            np.testing.assert_allclose(getattr(saved, kind)[name], array, rtol=1e-4, atol=1e-6, err_msg=name)


def losses_of(run: Run) -> Iterator[float]:
    """The losses of the steps of the first epoch, which are done as they are asked for."""
    order = np.random.default_rng(Stream.SHUFFLE.key(run.recipe.seed, 0)).permutation(len(run.train))
    with run.engine.running(run):
        for step in range(run.steps_per_epoch):
            rows = order[step * run.recipe.batch : (step + 1) * run.recipe.batch]
            inputs, targets = (tuple(c[rows] for c in part) for part in (run.train.inputs, run.train.targets))
            yield one_step(run, 0, step, inputs, targets).loss


def test_the_weights_go_to_cnnc_and_back(browser: Browser, learn: Learn, sources: Path, tmp_path: Path) -> None:
    opened(browser, learn("plain"))
    do_steps(browser, 12)
    measured = browser.run(CURVES)
    path = saved_weights(browser, tmp_path / "plain.safetensors")
    evaluated = json.loads(run("eval", path, "--json", cwd=sources).stdout)
    assert evaluated["accuracy"] == pytest.approx(float(measured["metric"]), abs=1e-9)
    assert evaluated["loss"] == pytest.approx(float(measured["loss"]), rel=1e-4)
    done = run("export", path, "-o", tmp_path / "plain.onnx", cwd=sources)
    assert done.returncode == 0, done.stderr
    press(browser, "Reset")
    browser.wait_for("() => document.querySelector('#curves').dataset.steps === '0'")
    assert float(browser.run(CURVES)["loss"]) > float(measured["loss"])
    assert load(browser, path).startswith(f"Loaded plain.safetensors: accuracy {100 * float(measured['metric']):.1f} %")
    assert browser.run(CURVES)["loss"] == measured["loss"]
    assert "12 steps" in browser.run("() => document.querySelector('.place').textContent")


def test_a_file_that_does_not_fit_is_refused(browser: Browser, learn: Learn, sources: Path, tmp_path: Path) -> None:
    opened(browser, learn("plain"))
    before = browser.run(CURVES)
    assert run("train", "wide.cnn", "--run", tmp_path / "wide", "--set", "train.epochs=1", cwd=sources).returncode == 0
    wide = tmp_path / "wide" / "last.safetensors"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(wide.read_bytes()[:-1] + b"\0")
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    name = tmp_path / f"{HOSTILE.replace('/', '')}.safetensors"
    name.write_text("")
    for path, problem in [
        (wide, "it does not fit this network: conv1.weight is 7×1×3×3, not 6×1×3×3"),
        (damaged, "it is damaged: its checksum does not match"),
        (text, "it is truncated, or not a .safetensors file"),
        (name, "it is truncated, or not a .safetensors file"),
    ]:
        assert load(browser, path) == f"{path.name} was not loaded: {problem}."
    assert browser.run(CURVES) == before


def test_a_checkpoint_of_the_trainer_is_loaded(browser: Browser, learn: Learn, sources: Path, tmp_path: Path) -> None:
    opened(browser, learn("plain"))
    done = run("train", "plain.cnn", "--run", tmp_path / "run", "--set", "train.epochs=1", cwd=sources)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "run" / "last.safetensors"
    accuracy = json.loads(run("eval", path, "--json", cwd=sources).stdout)["accuracy"]
    assert load(browser, path).startswith(f"Loaded last.safetensors: accuracy {100 * accuracy:.1f} %")
    press(browser, "Step")
    browser.wait_for("() => document.querySelector('#curves').dataset.steps === '22'")


def test_the_keyboard_starts_and_pauses(browser: Browser, learn: Learn) -> None:
    if browser.name == "firefox":
        pytest.skip("headless Firefox gives its window no focus: keys do not press any button")
    opened(browser, learn("digits", "--set", "train.epochs=8"))
    browser.run("() => document.querySelector('#training button').focus()")
    browser.press(" ")
    browser.wait_for("() => Number(document.querySelector('.place').dataset.steps) > 2")
    assert browser.run(RUNNING)
    browser.press(" ")
    browser.wait_for(f"() => !({RUNNING})()")
    assert status(browser).startswith("Paused: accuracy ")
    steps = browser.run("() => document.querySelector('.place').dataset.steps")
    assert browser.run(CURVES)["steps"] == steps
    assert browser.run("() => document.activeElement.textContent") == "Start"


def test_rate_and_batch_size_change(browser: Browser, learn: Learn) -> None:
    """With a learning rate of 0 the weights stay, and a batch of 10 moves on by 10 examples."""
    opened(browser, learn("plain"))
    before = browser.run(CURVES)["loss"]
    set_number(browser, "Learning rate", 0)
    set_number(browser, "Batch size", 10)
    do_steps(browser, 2)
    assert browser.run(CURVES)["loss"] == before
    assert "20 of 1,293 examples" in browser.run("() => document.querySelector('.place').textContent")


def test_a_loss_that_is_not_finite_stops_the_training(browser: Browser, learn: Learn) -> None:
    opened(browser, learn("plain"))
    browser.run(
        "() => { const box = document.querySelector('#training input'); box.value = 1e38; box.dispatchEvent(new Event('change')); }"
    )
    press(browser, "Start")
    said = browser.wait_for("() => document.querySelector('.warning').textContent")
    assert "is not a finite number: choose a smaller learning rate" in said
    assert not browser.run(RUNNING)


def test_names_and_words_of_the_data_stay_text(browser: Browser, learn: Learn) -> None:
    opened(browser, learn("hostile"))
    browser.run("() => document.querySelectorAll('.example')[0].click()")
    text = browser.run("() => document.querySelector('#answers').textContent")
    assert HOSTILE in text
    assert browser.run("() => document.querySelectorAll('main img, main script').length") == 0
    assert browser.messages == []


def test_a_narrow_page_does_not_scroll_sideways(browser: Browser, learn: Learn) -> None:
    browser.set_size(360, 740)
    for name in ("plain", "words", "maps"):
        opened(browser, learn(name))
        assert browser.run("() => document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_a_page_without_a_worker_trains_itself(browser: Browser, learn: Learn, tmp_path: Path) -> None:
    """In slices, so that its buttons work all the same."""
    html = learn("plain").read_text()
    first = "serve(new TrainingTasks("
    assert html.count(first) == 1
    (tmp_path / "page.html").write_text(html.replace(first, "throw new Error('no worker'); (("))
    opened(browser, tmp_path / "page.html")
    set_number(browser, "Epochs", 1000)  # more than can end before Pause is pressed
    press(browser, "Start")
    browser.wait_for("() => Number(document.querySelector('.place').dataset.steps) > 2")
    press(browser, "Pause")
    browser.wait_for(f"() => !({RUNNING})()")
    assert status(browser).startswith("Paused: accuracy ")


def test_kernels_and_feature_maps_change(browser: Browser, learn: Learn) -> None:
    opened(browser, learn("plain"))
    images = "() => [...document.querySelectorAll('#kernels canvas, #maps canvas')].map((c) => c.toDataURL())"
    browser.run("() => document.querySelector('#maps').scrollIntoView()")
    browser.wait_for("() => document.querySelector('#maps canvas').width > 1")
    before = browser.run(images)
    looks = browser.run("() => Number(document.body.dataset.looks)")
    do_steps(browser, 1)
    browser.wait_for("(n) => Number(document.body.dataset.looks) > n", looks)
    after = browser.run(images)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_digits_reach_95_percent(browser: Browser, learn: Learn) -> None:
    opened(browser, learn("digits", "--set", "train.epochs=8"))
    assert float(train_to_the_end(browser)["metric"]) >= 0.95


@pytest.mark.slow
@pytest.mark.skipif("CNNC_DATA" not in os.environ, reason="the variable CNNC_DATA names no data")
def test_lenet5_reaches_95_percent_on_mnist(browser: Browser, learn: Learn) -> None:
    opened(browser, learn("lenet5", "--examples", "5000"))
    assert float(train_to_the_end(browser)["metric"]) >= 0.95
