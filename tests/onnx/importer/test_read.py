"""Reading untrusted files: every invalid file is one error with a code, and no memory is allocated for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnc.diagnostics import CnncError, Exit
from cnnc.onnx.importer.importer import import_model
from cnnc.onnx.importer.read.model import MAX_NODES, model_from_proto, read_model
from cnnc.onnx.importer.verify import verify_import
from tests.onnx.importer.model_builders import export_graph, import_proto, model, node
from tests.op_cases import CASES, graph_of, random_weights
from tests.paths import ROOT

WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3)


def dense(**changes: Any) -> onnx.ModelProto:
    return model([node("Gemm", "x w", transB=1)], {"x": ["N", 3]}, {"w": WEIGHT}, **changes)


def refusal(proto: onnx.ModelProto, folder: Path | None = None) -> CnncError:
    with pytest.raises(CnncError) as caught:
        model_from_proto(proto, folder)
    assert len(caught.value.diagnostics) == 1
    return caught.value


def code(error: CnncError) -> str:
    return error.diagnostics[0].code


def external(proto: onnx.ModelProto, **entries: object) -> onnx.ModelProto:
    """The model with its weight as external data."""
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return proto


# --- damaged files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"hello, world\n" * 20, b"\xff" * 100, b"\x08\x08", np.random.default_rng(0).bytes(4096)]
)
def test_other_files_are_not_models(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    with pytest.raises(CnncError) as caught:
        read_model(path)
    assert (code(caught.value), caught.value.status) == ("E624", Exit.DATA)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(CnncError) as caught:
            read_model(path)
        assert code(caught.value) == "E901"


def test_a_model_cut_anywhere_is_an_error_or_a_smaller_model(tmp_path: Path) -> None:
    data = dense().SerializeToString()
    path = tmp_path / "x.onnx"
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(CnncError) as caught:
            import_model(path)
        assert code(caught.value) in ("E624", "E621", "E623")


def test_bytes_changed_anywhere_never_crash(tmp_path: Path) -> None:
    data = bytearray(dense().SerializeToString())
    path = tmp_path / "x.onnx"
    random = np.random.default_rng(0)
    for position in range(len(data)):
        changed = data.copy()
        changed[position] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        with suppress(CnncError):  # but no other exception
            import_model(path)


@pytest.mark.long
def test_graphs_changed_anywhere_never_crash() -> None:
    """Attributes, inputs, operators, shapes and sizes of exported layers, changed at random."""
    random = Random(0)
    protos = []
    for case in random.sample(CASES, 25):
        graph = graph_of(case)
        protos.append(export_graph(graph, random_weights(graph, 0)))
    operators = [n.op_type for proto in protos for n in proto.graph.node]
    outcomes: Counter[str] = Counter()
    for _ in range(400):
        proto = onnx.ModelProto()
        proto.CopyFrom(random.choice(protos))
        change(proto, random, operators)
        try:
            import_proto(proto)
            outcomes["imported"] += 1
        except CnncError as error:
            outcomes[error.diagnostics[0].code] += 1
    assert outcomes.keys() <= {"imported", "E624", "E621"}
    assert outcomes["E621"] > 100


def change(proto: onnx.ModelProto, random: Random, operators: list[str]) -> None:
    graph = proto.graph
    chosen = random.choice(graph.node)
    attribute = random.choice(chosen.attribute) if chosen.attribute else None
    huge = (-1, 0, 1, 2, 5, 2**31, -(2**62), 2**62)
    kind = random.randrange(7)
    if kind == 0 and attribute is not None and attribute.ints:
        attribute.ints[random.randrange(len(attribute.ints))] = random.choice(huge)
    elif kind == 1 and attribute is not None:
        attribute.type = random.choice((1, 2, 3, 4, 5, 6, 7, 8))
        attribute.i, attribute.f, attribute.s = random.choice(huge), 1.5, b"x"
    elif kind == 2 and attribute is not None:
        chosen.attribute.remove(attribute)
    elif kind == 3:
        chosen.op_type = random.choice(operators)
    elif kind == 4 and chosen.input:
        names = [tensor.name for tensor in graph.initializer] + [info.name for info in graph.input]
        chosen.input[random.randrange(len(chosen.input))] = random.choice([*names, ""])
    elif kind == 5 and graph.initializer:
        tensor = random.choice(graph.initializer)
        shape = random.choice([(1,), (2, 3), (4, 1, 1), (), (0,), (1, 1, 2, 2), (3, 3, 3, 3)])
        array = np.resize(numpy_helper.to_array(tensor), shape) * random.choice([0, 1, -1, 100_000])
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    else:
        size = random.choice(random.choice(graph.input).type.tensor_type.shape.dim)
        size.dim_value = random.choice((0, 1, 2, 3, 7, 2**31, 2**60))


def test_nested_beyond_what_protobuf_takes() -> None:
    inner = helper.make_graph([], "g", [], [])
    data = inner.SerializeToString()
    for _ in range(200):  # a graph in an attribute of a node of a graph ...
        data = _field(1, _field(5, _field(1, b"a") + _field(6, data)))
    proto = _field(7, data) + _field(8, b"\x10\x11")
    from cnnc.onnx.importer.read.model import parse

    with pytest.raises(CnncError) as caught:
        parse(proto, "deep.onnx")
    assert code(caught.value) == "E624"


def _field(number: int, content: bytes) -> bytes:
    length, size = b"", len(content)
    while True:
        length += bytes([size & 127 | (128 if size > 127 else 0)])
        size >>= 7
        if not size:
            return bytes([number << 3 | 2]) + length + content


def test_too_many_nodes() -> None:
    proto = dense()
    proto.graph.node.extend(node("Relu", "x", f"r{i}") for i in range(MAX_NODES))
    assert code(refusal(proto)) == "E624"


# --- contradictions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [[4, 4], [2**31, 2**31], [4], [-4, -3], [0, 3], [2**62, 2**62, 2**62]], ids=str)
def test_a_tensor_that_its_bytes_do_not_fill(dims: list[int]) -> None:
    """Sizes are compared before memory is allocated: 2^62 elements are an error, not a MemoryError."""
    proto = dense()
    tensor = proto.graph.initializer[0]
    del tensor.dims[:]
    tensor.dims.extend(dims)
    assert code(refusal(proto)) == "E624"


def test_a_tensor_with_too_few_elements() -> None:
    proto = dense()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.float_data.extend([1.0] * 11)
    assert "11" in str(refusal(proto))


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.UNDEFINED, 99])
def test_element_types_that_are_not_read(kind: int) -> None:
    proto = dense()
    proto.graph.initializer[0].data_type = kind
    assert code(refusal(proto)) == "E624"


def test_the_tensor_of_a_constant_node_is_checked_too() -> None:
    tensor = numpy_helper.from_array(WEIGHT, "t")
    tensor.dims[0] = 10**12
    proto = model([node("Constant", "", "w", value=tensor), node("Gemm", "x w", transB=1)], {"x": ["N", 3]})
    assert code(refusal(proto)) == "E624"


def test_graphs_that_contradict_themselves() -> None:
    undefined = model([node("Relu", "nothing")], {"x": ["N", 3]})
    circle = model([node("Relu", "b", "a"), node("Relu", "a", "b")], {"x": ["N", 3]}, outputs=("b",))
    twice = model([node("Relu", "x"), node("Tanh", "x")], {"x": ["N", 3]})
    unmade = model([node("Relu", "x", "z")], {"x": ["N", 3]})
    silent = model([node("Relu", "x")], {"x": ["N", 3]}, outputs=())
    nameless = dense()
    nameless.graph.node[0].op_type = ""
    doubled = dense()
    doubled.graph.initializer.append(doubled.graph.initializer[0])
    for proto in (undefined, circle, twice, unmade, silent, nameless, doubled):
        assert code(refusal(proto)) == "E624"


def test_constant_folding_is_bounded() -> None:
    """Constant folding of a few bytes that would compute 2^60 elements is refused."""
    huge = np.array([2**20, 2**20, 2**20], np.int64)
    nodes = [node("ConstantOfShape", "s", "c"), node("ReduceSum", "c", "d", keepdims=0), node("Add", "x d")]
    proto = model(nodes, {"x": ["N", 3]}, {"s": huge})
    with pytest.raises(CnncError) as caught:
        import_proto(proto)
    assert "too large" in str(caught.value)
    tiles = [node("Tile", "v r", "t0"), *(node("Tile", f"t{i} r", f"t{i + 1}") for i in range(12))]
    proto = model([*tiles, node("Mul", "x t12")], {"x": ["N", 1]}, {"v": [1.0], "r": np.array([1000])})
    with pytest.raises(CnncError) as caught:
        import_proto(proto)
    assert "too large" in str(caught.value)
    proto = model([node("Reshape", "x s")], {"x": ["N", 1]}, {"s": np.full(40, 2**40)})
    with pytest.raises(CnncError, match="as many elements"):
        import_proto(proto)
    ranges = [node("Range", "a b c", "r"), node("Mul", "x r")]
    proto = model(ranges, {"x": ["N", 1]}, {"a": np.int64(0), "b": np.int64(2**60), "c": np.int64(1)})
    with pytest.raises(CnncError):
        import_proto(proto)


def test_weights_that_are_not_finite() -> None:
    bad = WEIGHT.copy()
    bad[0, 0] = np.nan
    with pytest.raises(CnncError) as caught:
        import_proto(model([node("Gemm", "x w", transB=1)], {"x": ["N", 3]}, {"w": bad}))
    assert "finite" in str(caught.value)


# --- versions and domains --------------------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [1, 6, onnx.defs.onnx_opset_version() + 1, 10**6])
def test_opsets_that_are_not_read(opset: int) -> None:
    assert code(refusal(dense(opset=opset))) == "E623"


def test_versions_that_are_not_known_or_contradict() -> None:
    newer, both = dense(), dense()
    newer.ir_version = onnx.IR_VERSION + 1
    both.opset_import.add(domain="ai.onnx", version=13)
    assert code(refusal(newer)) == "E623"
    assert code(refusal(both)) == "E624"


def test_an_unknown_domain_is_refused_where_it_is_used() -> None:
    proto = dense()
    proto.opset_import.add(domain="com.example", version=1)
    model_from_proto(proto, None)  # declared, not used
    proto.graph.node[0].domain = "com.example"
    with pytest.raises(CnncError) as caught:
        import_proto(proto)
    assert code(caught.value) == "E621"
    assert "com.example" in str(caught.value)


def test_untrusted_names_cannot_inject_source() -> None:
    """Newlines, quotes, braces and terminal escapes in names reach neither the source nor the terminal."""
    evil = 'x\n}\ntrain { data npz "/etc/passwd" }\x1b[31m#"'
    nodes = [helper.make_node("Gemm", [evil, "w"], [f"y{evil}"], name=evil, transB=1)]
    proto = model(nodes, {evil: ["N", 3]}, {"w": WEIGHT}, outputs=(f"y{evil}",))
    proto.graph.name = evil
    proto.producer_name = evil
    result = import_proto(proto)
    assert result.network.recipe is None
    assert "\x1b" not in result.source
    assert [n.op.keyword for n in result.network.require_graph().nodes] == ["input", "fc"]
    nodes[0].op_type = evil
    with pytest.raises(CnncError) as caught:
        import_proto(model(nodes, {evil: ["N", 3]}, {"w": WEIGHT}, outputs=(f"y{evil}",)))
    assert "\x1b" not in str(caught.value)


# --- external data -------------------------------------------------------------------------------------------


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1234" + WEIGHT.tobytes())
    proto = external(dense(), location="w.bin", offset=4, length=WEIGHT.nbytes)
    np.testing.assert_array_equal(model_from_proto(proto, tmp_path).constants["w"], WEIGHT)
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "weights").mkdir()
    (inside / "weights" / "w.bin").write_bytes(WEIGHT.tobytes())
    model_from_proto(external(dense(), location="weights/w.bin"), inside)


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "../w.bin"},
        {"location": "sub/../../w.bin"},
        {"location": "/etc/hostname"},
        {"location": "absent.bin"},
        {"location": "."},
        {"location": ""},
        {"location": "a\0b"},
        {"location": "inside.bin", "offset": 1},
        {"location": "inside.bin", "offset": -4},
        {"location": "inside.bin", "offset": 2**62},
        {"location": "inside.bin", "length": 2**50},
        {"location": "inside.bin", "length": "many"},
        {},
    ],
    ids=str,
)
def test_external_data_elsewhere_or_short(tmp_path: Path, entries: dict[str, object]) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "w.bin").write_bytes(WEIGHT.tobytes())
    (folder / "inside.bin").write_bytes(WEIGHT.tobytes())
    error = refusal(external(dense(), **entries), folder)
    assert (code(error), error.status) == ("E622", Exit.DATA)


def test_links_that_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(WEIGHT.tobytes())
    (folder / "w.bin").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    for location in ("w.bin", "up/secret", "loop"):
        assert code(refusal(external(dense(), location=location), folder)) == "E622"
    (folder / "real.bin").write_bytes(WEIGHT.tobytes())
    (folder / "link.bin").symlink_to("real.bin")
    model_from_proto(external(dense(), location="link.bin"), folder)


def test_no_more_is_read_of_a_file_than_it_holds(tmp_path: Path) -> None:
    """A thousand tensors that read the same megabytes would take gigabytes; tensors may only divide a file."""
    (tmp_path / "w.bin").write_bytes(2 * WEIGHT.tobytes())
    proto = external(dense(), location="w.bin", offset=0)
    for name, offset in (("second", WEIGHT.nbytes), ("third", 4)):
        tensor = proto.graph.initializer.add()
        tensor.CopyFrom(external(dense(), location="w.bin", offset=offset).graph.initializer[0])
        tensor.name = name
        if name == "second":
            assert set(model_from_proto(proto, tmp_path).constants) == {"w", "second"}
    error = refusal(proto, tmp_path)
    assert (code(error), error.status) == ("E622", Exit.DATA)
    assert "the initializer third and the tensors before it" in str(error)


def test_a_pipe_is_not_a_data_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    assert code(refusal(external(dense(), location="w.bin"), tmp_path)) == "E622"


@pytest.mark.long
def test_a_huge_declared_size_takes_no_memory(tmp_path: Path) -> None:
    """In a process with limited memory: declared sizes are compared with the file before memory is allocated."""
    resource = pytest.importorskip("resource", reason="Windows has no memory limit per process")
    proto = external(dense(), location="w.bin", length=2**40)
    del proto.graph.initializer[0].dims[:]
    proto.graph.initializer[0].dims.extend([2**19, 2**19])
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(2**20)
    (tmp_path / "x.onnx").write_bytes(proto.SerializeToString())

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))

    words = [sys.executable, "-m", "cnnc", "import", "x.onnx"]
    root = str(ROOT)
    done = subprocess.run(
        words,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=120,
        check=False,
    )
    assert done.returncode == Exit.DATA
    assert "E622" in done.stderr


@pytest.mark.parametrize("shape", [["N", 1, 2**16, 2**16], [2**31, 3], [2**40, 3]], ids=str)
def test_huge_declared_inputs_are_not_run(tmp_path: Path, shape: list[Any]) -> None:
    """A model of a hundred bytes that would take gigabytes to run is imported, but not compared."""
    path = tmp_path / "x.onnx"
    path.write_bytes(model([node("Relu", "x")], {"x": shape}).SerializeToString())
    agreement = verify_import(import_model(path), path)
    assert not agreement.compared
    assert "GB" in agreement.reason
