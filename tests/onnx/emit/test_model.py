"""Contents of an exported model: names, types, versions, folded layers, and reproducible bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.network import Network, check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import Pass, drop_identity, fold_scale, run_passes
from cnnc.onnx.export import export
from cnnc.onnx.run.session import open_model
from cnnc.reference.engine import forward
from cnnc.reference.initializers import initialize
from cnnc.reference.layout import to_channels_first
from tests.op_cases import Case, cases_for, graph_of, random_feeds, random_weights

TEXT = """net Small
input 1x8x8
conv 4 k=3 p=1 bias=false
bn
relu
pool max k=2
second: conv 6 k=3
dropout 0.3
bn affine=false
tanh
head: fc 3
softmax
"""


def small() -> tuple[Network, Graph]:
    network = check(TEXT, name="small.cnn")
    return network, network.require_graph()


def small_model(opset: int = 17) -> onnx.ModelProto:
    _, graph = small()
    return emit(*run_passes(graph, random_weights(graph, 0)), {}, opset)


def shape(info: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]


OF_SIZES = ("shape", "size", "spatial", "single_shape", "ones", "padded_ones", "seen")
"""Tensors computed from spatial sizes alone, which have no batch axis."""
FLAT = ("zeros", "places", "values", "scattered")
"""Tensors of an unpool that hold all samples in one axis."""
BATCH_LAST = ("batch_last", "patches", "sums", "by_position")
"""Tensors of a local whose last axis is the batch."""


@pytest.mark.long
@pytest.mark.parametrize("case", cases_for("parity"))
def test_checker_passes_and_every_tensor_has_a_type(case: Case) -> None:
    graph = graph_of(case)
    emitted, weights = run_passes(graph, random_weights(graph, 0))
    model = emit(emitted, weights, {})
    onnx.checker.check_model(model, full_check=True)
    known = {i.name: shape(i) for i in [*model.graph.input, *model.graph.value_info, *model.graph.output]}
    flat = {f"{n.name}.{what}" for n in graph.nodes for what in FLAT if n.op.keyword == "unpool"}
    batch_last = {f"{n.name}.{what}" for n in emitted.nodes for what in BATCH_LAST if n.op.keyword == "local"}
    for node in model.graph.node:
        for name in node.output:
            if name in batch_last:
                assert isinstance(known[name][-1], str), f"{name}: the batch is not symbolic"
                assert all(isinstance(size, int) and size > 0 for size in known[name][:-1])
                continue
            if name in flat:
                assert len(known[name]) == 1
                continue
            if re.sub(r"\d+$", "", name.rpartition(".")[2]) not in OF_SIZES:
                assert known[name][0] == "N", f"{name}: the batch is not symbolic"
            assert all(isinstance(size, int) and size > 0 for size in known[name][1:])
    for node_ in graph.nodes:
        if node_.name in known:
            assert known[node_.name][1:] == list(node_.type.shape)


def test_default_versions_load_in_older_runtimes() -> None:
    model = small_model()
    assert [(i.domain, i.version) for i in model.opset_import] == [("", 17)]
    assert model.ir_version == 8
    assert model.producer_name == "cnnc"


def test_names_are_those_of_the_source() -> None:
    model = small_model()
    assert model.graph.name == "Small"
    assert [i.name for i in model.graph.input] == ["input1"]
    assert [o.name for o in model.graph.output] == ["softmax1"]
    assert [(n.name, n.op_type) for n in model.graph.node] == [
        ("bn1", "Conv"),
        ("relu1", "Relu"),
        ("pool1", "MaxPool"),
        ("bn2", "Conv"),
        ("tanh1", "Tanh"),
        ("head.flat", "Flatten"),
        ("head", "Gemm"),
        ("softmax1", "Softmax"),
    ]
    assert {i.name for i in model.graph.initializer} == {
        f"{layer}.{what}" for layer in ("conv1", "second", "head") for what in ("weight", "bias")
    }
    assert [n.doc_string for n in model.graph.node if n.name in ("relu1", "head")] == ["small.cnn:5", "small.cnn:11"]


def test_the_batch_has_one_name_for_inputs_and_outputs() -> None:
    model = small_model()
    assert shape(model.graph.input[0]) == ["N", 1, 8, 8]
    assert shape(model.graph.output[0]) == ["N", 3]


def test_a_uint8_input_stays_uint8() -> None:
    graph = check("input 3x4x4 dtype=uint8; fc 2").require_graph()
    model = emit(*run_passes(graph, random_weights(graph, 0)), {})
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_padding_larger_than_the_kernel_becomes_a_pad_node() -> None:
    """onnxruntime's MaxPool rejects it; minus infinity never is the maximum."""
    model = exported("input 2x9; pool max k=2 s=1 d=3 p=full")
    assert [(n.op_type, n.name) for n in model.graph.node] == [("Pad", "pool1.padded"), ("MaxPool", "pool1")]
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    assert stored["pool1.borders"].tolist() == [0, 0, 3, 0, 0, 3]
    assert stored["pool1.border"].shape == ()  # ONNX requires a scalar
    assert stored["pool1.border"] == -np.inf


def test_names_outside_ascii_and_with_spaces_export() -> None:
    graph = check('net "größe 1"; input 4; fc 2').require_graph()
    onnx.checker.check_model(emit(*run_passes(graph, random_weights(graph, 0)), {}))


# --- passes ------------------------------------------------------------------------------------------------


def kinds(model: onnx.ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


def exported(text: str) -> onnx.ModelProto:
    graph = check(text).require_graph()
    return emit(*run_passes(graph, random_weights(graph, 0)), {})


def test_dropout_is_removed() -> None:
    assert kinds(exported("input 4; fc 3; dropout; dropout 0.2; relu; dropout; fc 2")) == ["Gemm", "Relu", "Gemm"]


def test_dropout_that_is_an_output_keeps_its_name() -> None:
    model = exported("input 4; fc 3; dropout")
    assert [o.name for o in model.graph.output] == ["dropout1"]
    assert kinds(model) == ["Gemm", "Identity"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input 2x5x5; conv 3 k=2; bn", ["Conv"]),
        ("input 2x5x5; conv 3 k=2 bias=false; bn affine=false", ["Conv"]),
        ("input 6; fc 3; bn", ["Gemm"]),
        ("input 2x5x5; conv 3 k=2; dropout; bn", ["Conv"]),
        ("input 2x5x5; conv 3 k=2; bn; bn", ["Conv"]),
        ("input 2x5x5; conv 3 k=2; relu; bn", ["Conv", "Relu", "BatchNormalization"]),
        ("input 2x5x5; bn", ["BatchNormalization"]),
        # the convolution's output is also an output of the model
        ("input 2x5x5; c: conv 3 k=2; b: bn; output c b", ["Conv", "BatchNormalization"]),
        ("input 2x5x5; c: conv 3 k=2; b: bn; from c; t: tanh; output b t", ["Conv", "BatchNormalization", "Tanh"]),
        # unless its other reader is dropped
        ("input 2x5x5; c: conv 3 k=2; b: bn; from c; t: tanh; output b", ["Conv"]),
    ],
)
def test_batch_norm_is_folded_if_no_other_layer_reads_its_input(text: str, expected: list[str]) -> None:
    assert kinds(exported(text)) == expected


def test_folding_multiplies_the_weights() -> None:
    graph = check("input 1; fc 1; bn eps=1").require_graph()
    weights = {
        name: np.array(values, np.float32)
        for name, values in {
            "fc1.weight": [[3]],
            "fc1.bias": [5],
            "bn1.scale": [10],
            "bn1.shift": [7],
            "bn1.mean": [1],
            "bn1.var": [3],
        }.items()
    }
    folded, values = fold_scale(graph, weights)
    assert [n.name for n in folded.nodes] == ["input1", "bn1"]
    # factor 10/sqrt(3 + 1) = 5: weight 3·5, bias (5 - 1)·5 + 7
    assert {name: array.tolist() for name, array in values.items()} == {"fc1.weight": [[15]], "fc1.bias": [27]}


def test_passes_do_not_change_their_arguments() -> None:
    _, graph = small()
    weights = random_weights(graph, 0)
    before = {name: array.copy() for name, array in weights.items()}
    nodes = graph.nodes
    run_passes(graph, weights)
    assert graph.nodes == nodes
    assert weights.keys() == before.keys()
    assert all(np.array_equal(weights[name], before[name]) for name in before)


def test_each_pass_computes_the_same() -> None:
    _, graph = small()
    weights = random_weights(graph, 0, np.float64)
    feeds = random_feeds(Case("small", TEXT), graph, 2, 0, np.float64)
    expected = forward(graph, weights, feeds).values["softmax1"]
    for run in (drop_identity, fold_scale):
        graph, weights = run(graph, weights)
        np.testing.assert_allclose(forward(graph, weights, feeds).values["softmax1"], expected, rtol=1e-12)


# --- the file ----------------------------------------------------------------------------------------------


def test_the_file_runs_at_any_batch_and_carries_its_source(tmp_path: Path) -> None:
    network, graph = small()
    weights = random_weights(graph, 0)
    done = export(network, weights, tmp_path / "small.onnx", classes=["a", "b", "c"])
    assert done.size == done.path.stat().st_size
    assert done.verification.deviations
    session = open_model(done.path, "cpu")
    assert session.metadata["cnnc.source"] == TEXT
    assert session.metadata["cnnc.sha256"] == network.sha256
    assert session.facts.classes == ("a", "b", "c")
    for batch in (1, 2, 7):
        feeds = random_feeds(Case("small", TEXT), graph, batch, batch)
        expected = to_channels_first(forward(graph, weights, feeds).values["softmax1"])
        np.testing.assert_allclose(session.run(feeds)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_failed_verification_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnc.onnx import export as module

    def spoil(
        graph: Graph, weights: dict[str, np.ndarray], passes: Sequence[Pass]
    ) -> tuple[Graph, dict[str, np.ndarray]]:
        smaller, folded = run_passes(graph, weights, passes)
        return smaller, {**folded, "head.bias": folded["head.bias"] + np.float32(0.1)}

    monkeypatch.setattr(module, "run_passes", spoil)
    network, graph = small()
    path = tmp_path / "small.onnx"
    with pytest.raises(CnncError, match="head of the exported graph deviates"):
        export(network, random_weights(graph, 0), path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_at_the_output_path_is_an_error(tmp_path: Path) -> None:
    network, graph = small()
    with pytest.raises(CnncError, match="it is a folder") as caught:
        export(network, random_weights(graph, 0), tmp_path)
    assert caught.value.diagnostics[0].code == "E902"


_WRITE = """
import sys
from pathlib import Path
from cnnc.onnx.export import export
from cnnc.network import load
from cnnc.reference.initializers import initialize
network = load(sys.argv[1])
export(network, initialize(network.require_graph(), 0), Path(sys.argv[2]), classes=["a", "b", "c"])
"""


@pytest.mark.long
def test_the_same_source_and_weights_give_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "small.cnn"
    source.write_text(TEXT)
    network = check(TEXT, name=str(source))
    weights = initialize(network.require_graph(), 0)
    files = [export(network, weights, tmp_path / f"{i}.onnx", classes=["a", "b", "c"]).path for i in range(2)]
    elsewhere = tmp_path / "other.onnx"  # another process with another hash seed
    subprocess.run(
        [sys.executable, "-c", _WRITE, str(source), str(elsewhere)],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    first, second, third = (path.read_bytes() for path in (*files, elsewhere))
    assert first == second
    assert first == third
