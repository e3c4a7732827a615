"""`cnnc predict` on networks whose outputs are values, not classes: the numbers themselves, printed, as JSON and in files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.cli.conftest import Cnnc, codes, json_of

MAP = [[4, 5], [-1, 6]]
"""The map of the examples below, [[4, 5], [0, 6]] after a relu."""


def exported(cnnc: Cnnc, folder: Path, name: str, text: str) -> str:
    """Exports a network without training it; returns the name of the model."""
    (folder / f"{name}.cnn").write_text(text)
    done = cnnc("export", f"{name}.cnn")
    assert done.returncode == 0, done.stderr
    return f"{name}.onnx"


def saved(path: Path, values: object, dtype: type = np.float32) -> None:
    np.save(path, np.array(values, dtype))


def shown(cnnc: Cnnc, *words: str | Path) -> list[str]:
    """What `cnnc predict` prints, in lines."""
    done = cnnc("predict", *words)
    assert done.returncode == 0, done.stderr
    return list(done.stdout.splitlines())


@pytest.mark.parametrize(
    ("text", "values", "lines"),
    [
        ("input 4; relu", [-1, 2, -3, 4], ["x.npy: 0 2 0 4"]),
        ("input 1x2x2; relu", [MAP], ["x.npy: 1x2x2", "  4 5", "  0 6"]),
        ("input 3; abs", [-0.1, 1e-7, -123456], ["x.npy: 0.1 1e-07 123456"]),
        ("input 1x1x1; relu", [[[7]]], ["x.npy: 7"]),
        ("input 1; scale -2", [-1.25], ["x.npy: 2.5"]),
        ("input 5x1x1; relu", [[[1]], [[-1]], [[2]], [[10]], [[0]]], ["x.npy: 1 0 2 10 0"]),
        ("input 2x3; relu", [[1, -2, 30], [-4, 5, 6]], ["x.npy: 2x3", "  1 0 30", "  0 5  6"]),
        (
            "input 2x2x2; relu",
            [MAP, [[1, 2], [3, 44]]],
            ["x.npy: 2x2x2", "  channel 0", "    4 5", "    0 6", "  channel 1", "    1  2", "    3 44"],
        ),
        (
            "input 1x2x1x2; relu",
            [[[[1, 2]], [[3, -4]]]],
            ["x.npy: 1x2x1x2", "  channel 0, 0", "    1 2", "  channel 0, 1", "    3 0"],
        ),
        ("input 2; relu", [[1, -1], [float("nan"), float("inf")]], ["x.npy[0]: 1 0", "x.npy[1]: nan inf"]),
        ("input 20; relu", range(20), ["x.npy: 20 values, 0 to 19, mean 9.5"]),
        ("input 1x9x9; relu", [np.arange(81).reshape(9, 9) - 40], ["x.npy: 1x9x9, 0 to 40, mean 10.12"]),
    ],
)
def test_values_are_printed(cnnc: Cnnc, tmp_path: Path, text: str, values: Any, lines: list[str]) -> None:
    model = exported(cnnc, tmp_path, "net", text)
    saved(tmp_path / "x.npy", values)
    assert shown(cnnc, model, "x.npy") == lines


def test_json_and_npy_have_the_exact_values(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 2x5x7; abs")
    values = np.random.default_rng(0).standard_normal((3, 2, 5, 7)).astype(np.float32)
    saved(tmp_path / "x.npy", values)
    results = json_of(cnnc("predict", model, "x.npy", "--json", "--out", "out"))
    assert [example["file"] for example in results] == ["x.npy[0]", "x.npy[1]", "x.npy[2]"]
    for index, example in enumerate(results):
        output = example["outputs"]["abs1"]
        assert (output["shape"], output["dtype"]) == ([2, 5, 7], "float32")
        expected = np.abs(values[index])
        np.testing.assert_array_equal(np.array(output["values"], np.float32), expected)
        assert (output["min"], output["max"]) == (expected.min(), expected.max())
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"x-{index}.npy"), expected)


def test_the_entries_of_json_are_one_list(cnnc: Cnnc, tmp_path: Path) -> None:
    """The list is printed entry by entry."""
    (tmp_path / "net.cnn").write_text("input 2\nrelu\n")
    assert cnnc("export", "net.cnn", "-o", "net.onnx").returncode == 0
    saved(tmp_path / "one.npy", [1, 2])
    saved(tmp_path / "two.npy", [[1, 2], [3, 4]])
    for files, names in (
        (["one.npy", "two.npy"], ["one.npy", "two.npy[0]", "two.npy[1]"]),
        (["one.npy"], ["one.npy"]),
        (["missing.npy"], []),
    ):
        done = cnnc("predict", "net.onnx", *files, "--json")
        entries = json.loads(done.stdout)
        assert [entry["file"] for entry in entries] == names
        assert done.stdout == json.dumps(entries, indent=2) + "\n"


def test_how_to_get_what_is_not_printed(cnnc: Cnnc, tmp_path: Path) -> None:
    small = exported(cnnc, tmp_path, "small", "input 20; relu")
    large = exported(cnnc, tmp_path, "large", "input 70000; relu")
    saved(tmp_path / "small.npy", np.ones(20))
    saved(tmp_path / "large.npy", np.ones(70000))
    assert "relu1: `--json` prints all values, `--out FOLDER` writes them" in cnnc("predict", small, "small.npy").stderr
    assert len(json_of(cnnc("predict", small, "small.npy", "--json"))[0]["outputs"]["relu1"]["values"]) == 20
    for option in ((), ("--json",)):
        assert "relu1: `--out FOLDER` writes all values" in cnnc("predict", large, "large.npy", *option).stderr
    done = cnnc("predict", large, "large.npy", "--json", "--out", "out")
    assert "FOLDER" not in done.stderr
    assert "values" not in json_of(done)[0]["outputs"]["relu1"]
    assert np.load(tmp_path / "out" / "large.npy").shape == (70000,)


def test_several_outputs(cnnc: Cnnc, tmp_path: Path) -> None:
    text = "x: input 1x2x2\na: relu\nfrom x; b: flatten\nc: softmax\nfrom x; d: global_pool max\noutput a b c d"
    model = exported(cnnc, tmp_path, "net", text)
    saved(tmp_path / "x.npy", [[MAP], [[[0, 0], [0, 0]]]])
    assert shown(cnnc, model, "x.npy", "--top", "1") == [
        "x.npy[0] a: 1x2x2",
        "  4 5",
        "  0 6",
        "x.npy[0] b: 4 5 -1 6",
        "x.npy[0] c: 3 66.5%",
        "x.npy[0] d: 6",
        "x.npy[1] a: 1x2x2",
        "  0 0",
        "  0 0",
        "x.npy[1] b: 0 0 0 0",
        "x.npy[1] c: 0 25.0%",
        "x.npy[1] d: 0",
    ]
    outputs = json_of(cnnc("predict", model, "x.npy", "--json"))[0]["outputs"]
    assert outputs["b"]["values"] == [4, 5, -1, 6]
    assert outputs["c"]["top"][0]["class"] == "3"


def test_sizes_that_vary(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 1xHxW; pool max k=2 s=1")
    saved(tmp_path / "a.npy", [[[1, 2], [3, 4]]])
    saved(tmp_path / "b.npy", [[[1, 2, 3], [4, 5, 6]]])
    assert shown(cnnc, model, "a.npy", "b.npy") == ["a.npy: 4", "b.npy: 1x1x2", "  5 6"]


def test_integers(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 4 dtype=int64; slice 1 3")
    saved(tmp_path / "x.npy", [[1, 2**40, 3, 4], [5, 6, 7, 8]], np.int64)
    assert shown(cnnc, model, "x.npy") == ["x.npy[0]: 1099511627776 3", "x.npy[1]: 6 7"]
    output = json_of(cnnc("predict", model, "x.npy", "--json"))[0]["outputs"]["slice1"]
    assert (output["dtype"], output["values"]) == ("int64", [2**40, 3])
    cnnc("predict", model, "x.npy", "--out", "out")
    assert np.load(tmp_path / "out" / "x-1.npy").dtype == np.int64


# --- images ------------------------------------------------------------------------------------------------------


def drawn(path: Path) -> NDArray[Any]:
    image = pytest.importorskip("PIL.Image")
    with image.open(path) as opened:
        assert opened.mode in ("L", "RGB"), "no palette: the pixels are not class indices"
        return np.asarray(opened)


def test_a_signed_map_is_drawn_around_mid_grey(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 1x2x2; identity")
    saved(tmp_path / "x.npy", [[[-4, 0], [2, 4]]])
    done = cnnc("predict", model, "x.npy", "--out", "out")
    assert "identity1 has negative values: in the .png 0 is mid-grey, the largest magnitude is black or white" in (
        done.stderr
    )
    assert drawn(tmp_path / "out" / "x.png").tolist() == [[0, 128], [191, 255]]
    assert np.load(tmp_path / "out" / "x.npy").tolist() == [[[-4, 0], [2, 4]]]


@pytest.mark.parametrize(
    ("values", "pixels", "note"),
    [
        ([[0, 0.5], [1, 0.25]], [[0, 128], [255, 64]], ""),
        ([[0, 5], [10, 2.5]], [[0, 128], [255, 64]], "exceeds 1: in the .png 0 is black, the largest value is white"),
        ([[0, 1], [float("nan"), 0]], [[0, 255], [0, 0]], "has values that are not finite"),
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]], ""),
    ],
)
def test_a_map_without_negative_values(cnnc: Cnnc, tmp_path: Path, values: Any, pixels: Any, note: str) -> None:
    model = exported(cnnc, tmp_path, "net", "input 1x2x2; identity")
    saved(tmp_path / "x.npy", [values])
    done = cnnc("predict", model, "x.npy", "--out", "out")
    assert drawn(tmp_path / "out" / "x.png").tolist() == pixels
    assert note in done.stderr
    assert bool(note) == ("identity1 " in done.stderr)


def test_each_channel_of_a_map_is_one_image(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 2x2x2; identity")
    saved(tmp_path / "x.npy", [[[0, 1], [2, 4]], [[0, 0], [0, -4]]])
    (result,) = json_of(cnnc("predict", model, "x.npy", "--out", "out", "--json"))
    assert result["written"] == ["out/x.npy", "out/x.channel0.png", "out/x.channel1.png"]
    assert drawn(tmp_path / "out" / "x.channel0.png").tolist() == [[128, 159], [191, 255]]
    assert drawn(tmp_path / "out" / "x.channel1.png").tolist() == [[128, 128], [128, 0]], "both on one scale"
    assert np.load(tmp_path / "out" / "x.npy").shape == (2, 2, 2)


def test_the_images_of_channels_replace_no_other_output(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 2x2x2; relu")
    names = ("x", "x.channel0", "x.channel0~2")
    for number, name in enumerate(names):
        saved(tmp_path / f"{name}.npy", np.full((2, 2, 2), number))
    results = json_of(cnnc("predict", model, *(f"{name}.npy" for name in names), "--out", "out", "--json"))
    written = [path for result in results for path in result["written"]]
    assert len(set(written)) == len(written) == 9
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / "out").iterdir()} == set(written)
    for number, result in enumerate(results):
        assert (np.load(tmp_path / result["written"][0]) == number).all()


def test_many_channels_and_other_axes_are_not_drawn(cnnc: Cnnc, tmp_path: Path) -> None:
    many = exported(cnnc, tmp_path, "many", "input 17x2x2; relu")
    saved(tmp_path / "many.npy", np.ones((17, 2, 2)))
    done = cnnc("predict", many, "many.npy", "--out", "out")
    assert "relu1 has 17 channels: it is written as .npy only" in done.stderr
    sequence = exported(cnnc, tmp_path, "sequence", "input 2x5; relu")
    saved(tmp_path / "sequence.npy", np.ones((2, 5)))
    cnnc("predict", sequence, "sequence.npy", "--out", "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["many.npy", "sequence.npy"]


def test_three_channels_are_one_rgb_image(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 3x1x2; tanh")
    saved(tmp_path / "x.npy", [[[0, 20]], [[0, -20]], [[0, 0]]])
    cnnc("predict", model, "x.npy", "--out", "out")
    assert drawn(tmp_path / "out" / "x.png").tolist() == [[[128, 128, 128], [255, 0, 128]]]


def test_a_softmax_over_a_map_without_classes_is_no_label_map(cnnc: Cnnc, tmp_path: Path) -> None:
    model = exported(cnnc, tmp_path, "net", "input 2x1x2; softmax")
    saved(tmp_path / "x.npy", [[[0, 20]], [[0, -20]]])
    assert shown(cnnc, model, "x.npy", "--out", "out")[0] == "x.npy: 2x1x2"
    assert drawn(tmp_path / "out" / "x.channel0.png").tolist() == [[128, 255]]


# --- classes -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_what_info_and_the_card_say(cnnc: Cnnc, tmp_path: Path) -> None:
    for text, meaning in (
        ("input 4; fc 3; relu", "values"),
        ("input 2x4x4; conv 5 k=1", "values"),
        ("input 1x4x4; relu", "values of an image or map, channels first"),
        ("input 1x8x8; conv 1 k=1\ntrain { data digits; loss mse target=input }", "an image, channels first"),
        ("input 2x4x4; conv 5 k=1; softmax", "values"),
        ("input 4; fc 3; softmax", "one score per class"),
        ('input 4; fc 3\ntrain { data npz "x.npz" }', "one score per class"),
        ('input 2x4x4; conv 5 k=1\ntrain { data npz "x.npz" }', "one score per class and pixel"),
    ):
        model = exported(cnnc, tmp_path, "net", text)
        (output,) = json_of(cnnc("info", model, "--json"))["outputs"]
        assert cnnc("export", "net.cnn", "--card").returncode == 0
        card = (tmp_path / "net.md").read_text()
        (row,) = [line for line in card.splitlines() if line.startswith(f"| `{output['name']}` | float32")]
        assert row.endswith(f"| {meaning} |")
        assert ("class" in row) == ("class" in meaning)
        assert f"; {meaning}\n" in cnnc("info", model).stdout


Node = tuple[str, list[str], str, dict[str, Any]]


def other_model(path: Path, nodes: Sequence[Node], element: int, shape: list[Any] | None) -> Path:
    """Writes a model of another program: nodes (operator, inputs, output, attributes) from x, N x 4, to y."""
    made = [helper.make_node(kind, inputs, [output], **attributes) for kind, inputs, output, attributes in nodes]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", element, shape)
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0])
    graph = helper.make_graph(made, "theirs", [x], [y], [zero])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


FLOAT, INT64, BOOL, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING


@pytest.mark.parametrize(
    ("nodes", "element", "shape", "lines"),
    [
        ([("Relu", ["x"], "y", {})], FLOAT, ["N", 4], ["x.npy[0]: 0 2 0 4", "x.npy[1]: 1 0 0 0"]),
        ([("Softmax", ["x"], "y", {"axis": 1})], FLOAT, ["N", 4], ["x.npy[0]: 3 87.5%", "x.npy[1]: 0 47.5%"]),
        (
            [("Softmax", ["x"], "h", {"axis": -1}), ("Identity", ["h"], "y", {})],
            FLOAT,
            ["N", 4],
            ["x.npy[0]: 3 87.5%", "x.npy[1]: 0 47.5%"],
        ),
        ([("LogSoftmax", ["x"], "y", {})], FLOAT, ["N", 4], ["x.npy[0]: 3 87.5%", "x.npy[1]: 0 47.5%"]),
        (
            [("Softmax", ["x"], "h", {}), ("Sub", ["h", "h"], "y", {})],
            FLOAT,
            ["N", 4],
            ["x.npy[0]: 0 0 0 0", "x.npy[1]: 0 0 0 0"],
        ),
        ([("ArgMax", ["x"], "y", {"axis": 1, "keepdims": 0})], INT64, ["N"], ["x.npy[0]: 3", "x.npy[1]: 0"]),
        (
            [("Greater", ["x", "zero"], "y", {})],
            BOOL,
            ["N", 4],
            ["x.npy[0]: false true false true", "x.npy[1]: true false false false"],
        ),
        ([("ReduceMax", ["x"], "y", {"keepdims": 0})], FLOAT, [], ["x.npy[0]: 4", "x.npy[1]: 1"]),
        (
            [("NonZero", ["x"], "y", {})],
            INT64,
            [2, "K"],
            ["x.npy[0]: 2x4", "  0 0 0 0", "  0 1 2 3", "x.npy[1]: 0 0"],
        ),
        ([("ReduceMax", ["x"], "y", {"keepdims": 0})], FLOAT, None, ["x.npy[0]: 4", "x.npy[1]: 1"]),
    ],
    ids=[
        "Relu",
        "Softmax",
        "Softmax+Identity",
        "LogSoftmax",
        "Softmax+Sub",
        "ArgMax",
        "Greater",
        "scalar",
        "NonZero",
        "unknown-shape",
    ],
)
def test_models_of_other_programs(
    cnnc: Cnnc, tmp_path: Path, nodes: list[Node], element: int, shape: list[Any] | None, lines: list[str]
) -> None:
    model = other_model(tmp_path / "other.onnx", nodes, element, shape)
    saved(tmp_path / "x.npy", [[-1, 2, -3, 4], [1, 0, 0, 0]])
    assert shown(cnnc, model, "x.npy", "--top", "1") == lines


def test_an_output_that_is_not_numbers(cnnc: Cnnc, tmp_path: Path) -> None:
    saved(tmp_path / "x.npy", [1, 2, 3, 4])
    model = other_model(tmp_path / "other.onnx", [("Cast", ["x"], "y", {"to": STRING})], STRING, ["N", 4])
    done = cnnc("predict", model, "x.npy")
    assert (done.returncode, codes(done.stderr)) == (3, ["E609"])
    assert "the output y is text, not a tensor of numbers" in done.stderr
    model = other_model(tmp_path / "list.onnx", [("SequenceConstruct", ["x", "x"], "y", {})], FLOAT, None)
    loaded = onnx.load(model)
    loaded.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", FLOAT, ["N", 4]))
    onnx.save(loaded, model)
    done = cnnc("predict", model, "x.npy")
    assert (done.returncode, codes(done.stderr)) == (3, ["E609"])
    assert "the output y is a sequence or map, not a tensor of numbers" in done.stderr


def test_an_output_with_other_rows_than_examples(cnnc: Cnnc, tmp_path: Path) -> None:
    model = other_model(tmp_path / "other.onnx", [("Concat", ["x", "x"], "y", {"axis": 0})], FLOAT, ["M", 4])
    saved(tmp_path / "x.npy", np.ones((3, 4)))
    done = cnnc("predict", model, "x.npy")
    assert (done.returncode, codes(done.stderr), done.stdout) == (3, ["E609"], "")
    assert "the output y is 6x4, not one row for each example (3)" in done.stderr


def test_scores_that_are_not_numbers_have_no_class(cnnc: Cnnc, tmp_path: Path) -> None:
    """And do not change the probabilities of the other examples."""
    model = exported(cnnc, tmp_path, "net", "input 4; softmax")
    saved(tmp_path / "x.npy", [[-1, 2, -3, 4], [float("nan"), 0, 0, 0]])
    assert shown(cnnc, model, "x.npy", "--top", "1") == [
        "x.npy[0]: 3 87.5%",
        "x.npy[1]: no class: the scores are not finite",
    ]
    done = cnnc("predict", model, "x.npy", "--json")
    assert "NaN" not in done.stdout
    assert json.loads(done.stdout)[1]["top"] == []
