"""Names of models and their parts stay on one line, so that none looks like a line of cnnc."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import cnnc
from tests.commands import environment, run_in_process

LINES = "cat\nerror[E000]: another line\tof text\r\x1b[31m\u202e"


@pytest.fixture(scope="module")
def two_line_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a.onnx, whose classes and metadata contain line ends, and b.onnx, whose tensors do; and x.npy."""
    folder = tmp_path_factory.mktemp("names")
    network = cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 2; softmax")
    cnnc.export(cnnc.Model(network, classes=[LINES, "dog"]), folder / "a.onnx")
    model = onnx.load(folder / "a.onnx")
    model.producer_name = model.producer_version = model.graph.name = LINES
    model.metadata_props.add(key=LINES, value=LINES)
    onnx.save(model, folder / "a.onnx")
    del model.metadata_props[:]
    for each in model.graph.node:
        each.name += LINES
        each.input[:], each.output[:] = ([name + LINES for name in names] for names in (each.input, each.output))
    for named in (*model.graph.initializer, *model.graph.input, *model.graph.output, *model.graph.value_info):
        named.name += LINES
    onnx.save(model, folder / "b.onnx")
    np.save(folder / "x.npy", np.zeros((1, 1, 8, 8), np.float32))
    return folder


@pytest.mark.parametrize(
    "words", ["info", "predict x.npy", "where", "bench --seconds 0 --warmup 0", "import -o new.cnn --force"]
)
@pytest.mark.parametrize("model", ["a.onnx", "b.onnx"])
def test_a_name_stays_on_one_line(two_line_names: Path, words: str, model: str) -> None:
    command, *rest = words.split()
    done = run_in_process([command, model, *rest], two_line_names, environment())
    assert done.returncode == (3 if (command, model) == ("where", "b.onnx") else 0), done.stderr
    shown = done.stdout + done.stderr
    assert not any(line.startswith("error[E000]") for line in shown.splitlines())
    assert not set(shown) & set("\r\x1b\u202e")
