"""What needs more memory or has more parameters than the caller allows ends with E913, which names need, limit and what fits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import cnnc
from cnnc.core.limits import (
    human_bytes,
    memory_size,
    most_memory,
    most_parameters,
    parameter_count,
    require_memory_limit,
    require_parameter_limit,
)
from cnnc.data import image_column
from cnnc.graph.analysis import training_memory
from cnnc.onnx.run.needs import running_memory
from tests.commands import environment, run_in_process

NET = "input 1x8x8\nconv 16 k=3\nrelu\nfc 10\nsoftmax\ntrain { data digits; batch 512; epochs 1 }\n"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.cnn"
    path.write_text(NET)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.cnn, net.onnx and net.safetensors."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "net.cnn").write_text(NET)
    model = cnnc.Model(cnnc.load(folder / "net.cnn"))
    cnnc.export(model, folder / "net.onnx")
    model.save(folder / "net.safetensors")
    return folder


@pytest.mark.parametrize(
    ("text", "size"),
    [("500", 500), ("500M", 500_000_000), ("1.5 GB", 1_500_000_000), ("2GiB", 1 << 31), ("8k", 8000), ("1B", 1),
     ("3TB", 3 * 10**12), ("1KiB", 1024), ("0.5Mi", 1 << 19)],
)  # fmt: skip
def test_sizes_are_read(text: str, size: int) -> None:
    assert memory_size(text, "--max-memory").value == size
    if "B" not in text:
        assert parameter_count(text, "--max-params").value == size


@pytest.mark.parametrize("text", ["", "0", "-1", "٣M", "1e9", "M", "1 0M", "0.0001", "nan", "9" * 40, "1Q"])
def test_other_sizes_are_refused(text: str) -> None:
    for read in (memory_size, parameter_count):
        with pytest.raises(cnnc.CnncError, match="E010"):
            read(text, "--max-memory")


def test_training_names_a_batch_that_fits(net: Path) -> None:
    graph = cnnc.load(net).require_graph()
    limit = training_memory(graph, 100, 2) + 2_000_000  # with the digits, of 115 KB
    words = ["train", net.name, "--dry-run", "--max-memory", str(limit)]
    refused = run_in_process(words, net.parent, environment())
    assert refused.returncode == 6
    assert f"needs {(training_memory(graph, 512, 2) + 1797 * 64) / 1e6:.1f} MB of memory" in refused.stderr
    edit = re.search(r"a batch of \d+ fits: (--set train\.batch=)(\d+)", refused.stderr)
    assert edit is not None
    assert run_in_process([*words, *f"{edit[1]}{edit[2]}".split()], net.parent, environment()).returncode == 0
    assert run_in_process([*words, *f"{edit[1]}{int(edit[2]) + 1}".split()], net.parent, environment()).returncode == 6


def test_check_names_a_batch_that_fits_and_still_shows_the_table(net: Path) -> None:
    words = ["check", net.name, "--max-memory", "1MB", "--batch", "512"]
    refused = run_in_process(words, net.parent, environment())
    assert refused.returncode == 6
    assert "conv1" in refused.stdout
    edit = re.search(r"fits: --batch=(\d+)", refused.stderr)
    assert edit is not None
    assert run_in_process([*words[:-1], edit[1]], net.parent, environment()).returncode == 0


@pytest.mark.parametrize(
    "words",
    ["check net.cnn", "train net.cnn", "export net.cnn", "draw net.cnn", "inspect net.cnn", "info net.onnx", "bench net.onnx",
     "predict net.onnx net.onnx", "eval net.onnx", "import net.onnx -o new.cnn", "demo net.onnx", "unfold net.cnn conv1",
     "eval net.safetensors", "export net.safetensors", "train --resume net.safetensors"],
)  # fmt: skip
def test_every_command_compares_parameters(folder: Path, words: str) -> None:
    before = sorted(folder.iterdir())
    for variables, option in ({}, ["--max-params", "1k"]), ({"CNNC_MAX_PARAMS": "1k"}, []):
        done = run_in_process([*words.split(), *option], folder, environment(**variables))
        assert (done.returncode, "error[E913]" in done.stderr) == (6, True), done.stderr
        assert "5,930" in done.stderr
        assert ("CNNC_MAX_PARAMS" if variables else "--max-params") in done.stderr
    assert sorted(folder.iterdir()) == before


def test_limits_end_with_their_block() -> None:
    with cnnc.limits(memory="2G"), cnnc.limits(memory=1000, params="1M"):
        limit = most_memory()
        assert limit is not None
        assert limit.value == 1000
    assert most_memory() is None


def test_a_limit_that_an_inner_block_does_not_set_stays() -> None:
    with cnnc.limits(memory=1000, params=7), cnnc.limits(memory=500), cnnc.limits(params=5):
        memory, parameters = most_memory(), most_parameters()
    assert memory is not None
    assert parameters is not None
    assert (memory.value, parameters.value) == (500, 5)
    assert most_parameters() is None
    with cnnc.limits(params=7), cnnc.limits(memory=500):
        parameters = most_parameters()
    assert parameters is not None
    assert parameters.value == 7


def test_the_limit_itself_is_allowed_and_one_more_is_not() -> None:
    with cnnc.limits(memory=1000, params=10):
        require_memory_limit(1000, "x")
        require_parameter_limit(10, "x")
        for need, shown in (
            (1001, "1,001 B of memory; the limit is 1,000 B"),
            (2500, "2.5 KB of memory; the limit is 1.0 KB"),
        ):
            with pytest.raises(cnnc.CnncError, match=f"x needs {re.escape(shown)} "):
                require_memory_limit(need, "x")
        with pytest.raises(cnnc.CnncError, match="x has 11 parameters; the limit is 10 "):
            require_parameter_limit(11, "x")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (999_900, "999.9 KB"), (1_000_000, "1.0 MB"), (10**9, "1.0 GB"), (10**13, "10000.0 GB")],
)  # fmt: skip
def test_sizes_as_they_are_shown(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_the_memory_of_a_model_counts_what_is_alive_at_once(tmp_path: Path) -> None:
    shape = [1, 1000]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in ("xa", "ab", "bc", "cy")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [500], np.zeros(500, np.float32))
    model = helper.make_model(helper.make_graph(nodes, "g", [values[0]], [values[1]], [weight]))
    assert running_memory(model, {}) == 2 * 500 * 4 + 3 * 1000 * 4  # the input, and two activations at a time
    assert running_memory(model, {"x": (8, 1000)}) == 2 * 500 * 4 + 8 * 3 * 1000 * 4


def test_a_small_model_with_a_huge_activation_is_refused(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    size = helper.make_tensor("size", TensorProto.INT64, [2], [100_000, 100_000])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", [values[0]], [values[1]], [size])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.zeros(1, np.float32))
    with (
        cnnc.limits(memory="500M"),
        pytest.raises(cnnc.CnncError, match=r"needs 40\.0 GB of memory; the limit is 500\.0 MB"),
    ):
        cnnc.predict(tmp_path / "m.onnx", tmp_path / "x.npy", progress=False)


def test_predictions_take_smaller_batches_under_a_limit(folder: Path) -> None:
    path = folder / "net.onnx"
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), np.uint8)
    expected = cnnc.predict(path, images, progress=False).outputs["softmax1"]
    with cnnc.limits(memory="80k"):
        np.testing.assert_allclose(cnnc.predict(path, images, progress=False).outputs["softmax1"], expected, rtol=1e-5)


def test_data_are_compared_before_they_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "own.npz", x=np.zeros((1000, 1, 8, 8), np.float32), y=np.zeros(1000, np.int64))
    network = cnnc.check("input 1x8x8\nfc 2\nsoftmax\ntrain { data npz 'own.npz' }".replace("'", '"'), root=tmp_path)
    with cnnc.limits(memory="100k"), pytest.raises(cnnc.CnncError, match=r"own\.npz.* needs 256\.0 KB of memory"):
        cnnc.train(network, tmp_path / "run", tmp_path, progress=False)
    (tmp_path / "rows.csv").write_text("1,2,3\n" * 1000)
    with cnnc.limits(memory="5k"), pytest.raises(cnnc.CnncError, match=r"rows\.csv needs 6\.0 KB"):
        cnnc.data("series", tmp_path / "rows.csv")


def test_images_leave_most_of_the_memory_to_others() -> None:
    with cnnc.limits(memory="4M"):
        assert image_column.largest_in_memory() == 1_000_000
