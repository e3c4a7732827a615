"""Weights in other files are read by cnnc, within the model's folder and once; onnxruntime opens no file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnc.diagnostics import CnncError
from cnnc.onnx.run import session as sessions
from cnnc.onnx.run.complete_model import complete_model, embedded_model
from cnnc.onnx.run.inspect import describe
from cnnc.onnx.run.model_content import model_content
from cnnc.onnx.run.session import open_model

WEIGHTS = np.arange(8, dtype=np.float32)
X = {"x": np.ones((1, 4), np.float32)}


def external(
    name: str, location: str, offset: int = 0, element: int = TensorProto.FLOAT, size: int = 4
) -> onnx.TensorProto:
    """A tensor of four elements in another file."""
    tensor = TensorProto(name=name, data_type=element, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(4 * size))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def saved(path: Path, nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]) -> Path:
    """A model of x and y, beside a file of weights; in the folder above lies another file."""
    path.parent.mkdir(exist_ok=True)
    (path.parent / "w.bin").write_bytes(WEIGHTS.tobytes())
    (path.parent.parent / "secret.bin").write_bytes(WEIGHTS.tobytes())
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], initializers)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path


def initializer(location: str) -> Any:
    return [helper.make_node("Add", ["x", "w"], ["y"])], [external("w", location, 16)]


def constant(location: str) -> Any:
    nodes = [helper.make_node("Constant", [], ["w"], value=external("w", location, 16))]
    return [*nodes, helper.make_node("Add", ["x", "w"], ["y"])], []


def branch(location: str) -> Any:
    output = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph(
            [helper.make_node("Add", ["x", name], ["z"])], name, [], [output], [external(name, location, at)]
        )
        for name, at in (("a", 16), ("b", 0))
    ]
    always = numpy_helper.from_array(np.array(True))
    nodes = [helper.make_node("Constant", [], ["always"], value=always)]
    return [*nodes, helper.make_node("If", ["always"], ["y"], then_branch=branches[0], else_branch=branches[1])], []


def half(location: str) -> Any:
    nodes = [
        helper.make_node("Cast", ["w"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["c", "zero"], ["zeros"]),
        helper.make_node("Add", ["x", "zeros"], ["x0"]),
        helper.make_node("Add", ["x0", "v"], ["y"]),
    ]
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    return nodes, [external("w", location, 0, TensorProto.BFLOAT16, 2), external("v", location, 16), zero]


@pytest.mark.parametrize("place", [initializer, constant, branch, half])
def test_weights_are_read_wherever_they_stand(place: Any, tmp_path: Path) -> None:
    path = saved(tmp_path / "model" / "m.onnx", *place("w.bin"))
    (expected,) = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, X)
    np.testing.assert_array_equal(open_model(path, "cpu").run(X)[0], expected)
    np.testing.assert_array_equal(expected, 1 + WEIGHTS[None, 4:])
    assert describe(path)["external"] == [{"file": "w.bin", "bytes": 32}]
    assert onnx.load_from_string(model_content(path, "m", 1 << 20)).ByteSize() > 0


@pytest.mark.parametrize("place", [initializer, constant, branch])
@pytest.mark.parametrize("location", ["../secret.bin", "hard.bin", "soft.bin"])
def test_files_of_other_folders_are_refused_wherever_they_are_named(place: Any, location: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "model" / "m.onnx", *place(location))
    os.link(tmp_path / "secret.bin", path.parent / "hard.bin")
    (path.parent / "soft.bin").symlink_to(tmp_path / "secret.bin")
    for read in (lambda: open_model(path, "cpu"), lambda: model_content(path, "m", 1 << 20)):
        with pytest.raises(CnncError, match="E604"):
            read()


def test_onnxruntime_opens_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "model" / "m.onnx", *initializer("w.bin"))

    def complete(*arguments: Any) -> Any:
        model = complete_model(*arguments)
        for file in path.parent.iterdir():  # what was judged may be replaced now
            file.write_bytes(b"another file")
        return model

    monkeypatch.setattr(sessions, "complete_model", complete)
    np.testing.assert_array_equal(open_model(path, "cpu").run(X)[0], 1 + WEIGHTS[None, 4:])


def test_two_initializers_of_one_name_are_refused(tmp_path: Path) -> None:
    nodes, initializers = initializer("w.bin")
    path = saved(tmp_path / "model" / "m.onnx", nodes, [*initializers, external("w", "w.bin", 0)])
    with pytest.raises(CnncError, match="is damaged: two initializers are named w") as error:
        open_model(path, "cpu")
    assert error.value.diagnostics[0].code == "E604"


PACKED = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
"""Element types of which several share a byte, with their bits."""


def of_elements(element: int, dims: list[int]) -> onnx.ModelProto:
    """A message with a tensor of this many elements at the begin of w.bin; the file alone says how long it is."""
    tensor = TensorProto(name="w", data_type=element, dims=dims, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    return helper.make_model(helper.make_graph([], "g", [], [], [tensor]))


@pytest.mark.parametrize(
    "name", [name for name, _ in TensorProto.DataType.items() if name not in ("UNDEFINED", "STRING")]
)
@pytest.mark.parametrize("dims", [[], [3], [5, 1], [2, 0]])
def test_a_tensor_of_any_element_type_takes_its_bytes(name: str, dims: list[int], tmp_path: Path) -> None:
    element, count = TensorProto.DataType.Value(name), int(np.prod(dims, dtype=int))
    bits = PACKED.get(name) or 8 * helper.tensor_dtype_to_np_dtype(element).itemsize
    (tmp_path / "w.bin").write_bytes(bytes(range(100)))
    model = of_elements(element, dims)
    (tensor,) = embedded_model(model, tmp_path / "m.onnx").graph.initializer
    assert tensor.raw_data == bytes(range((count * bits + 7) // 8))
    assert (tensor.data_location, len(tensor.external_data)) == (TensorProto.DEFAULT, 0)
    message, weights = complete_model(of_elements(element, dims), {}, tmp_path / "m.onnx")
    if "w" in weights:
        assert weights["w"].shape == tuple(dims)
        assert weights["w"].tobytes() == tensor.raw_data
        assert message.graph.initializer[0].data_location == TensorProto.EXTERNAL
    else:
        assert message.graph.initializer[0] == tensor
    is_numpy = np.dtype(helper.tensor_dtype_to_np_dtype(element)).kind in "fiub" and name not in PACKED
    assert ("w" in weights) == is_numpy


@pytest.mark.parametrize(
    ("element", "dims"), [(TensorProto.FLOAT, [-1]), (TensorProto.FLOAT, [2, -3]), (TensorProto.STRING, [2]), (0, [2]), (99, [2])]
)  # fmt: skip
def test_a_tensor_whose_size_is_not_known_is_refused(element: int, dims: list[int], tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(100))
    for read in (
        lambda path: complete_model(of_elements(element, dims), {}, path),
        lambda path: embedded_model(of_elements(element, dims), path),
    ):
        with pytest.raises(CnncError, match="has a shape or element type that cannot be read"):
            read(tmp_path / "m.onnx")


@pytest.mark.parametrize("dims", [[4], [3, 1], [-2, -1], [-2, -1, 1], [-2]])
def test_raw_data_of_another_size_than_the_shape_says_is_left_to_onnxruntime(dims: list[int], tmp_path: Path) -> None:
    """Which refuses it; an array of another shape is never made of it."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
    content = np.zeros(8, np.uint8)
    found, weights = complete_model(model, {0: content}, tmp_path / "m.onnx")
    assert weights == {}
    assert found.graph.initializer[0].raw_data == content.tobytes()
    assert found.graph.initializer[0].data_location == TensorProto.DEFAULT


def test_raw_data_that_were_left_out_are_given_beside_the_message(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 1])
    model = helper.make_model(helper.make_graph([], "g", [], [], [tensor]))
    raw = {0: np.array([1, 2], "<f4").view(np.uint8)}
    message, weights = complete_model(model, raw, tmp_path / "m.onnx")
    assert raw == {}
    assert weights["w"].tolist() == [[1], [2]]
    (named,) = message.graph.initializer
    assert (named.data_location, named.raw_data) == (TensorProto.EXTERNAL, b"")
    assert [(entry.key, entry.value) for entry in named.external_data] == [("location", "given beside the message")]
