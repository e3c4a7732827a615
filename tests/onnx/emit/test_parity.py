"""Parity: every row of the table, exported and run on onnxruntime, computes what the network computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cnnc.core.arrays import Weights
from cnnc.diagnostics import CnncError, Exit
from cnnc.graph.graph import Graph
from cnnc.network import check
from cnnc.onnx.emit.model import emit, newest_opset
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.tolerance import ATOL, RTOL
from cnnc.onnx.emit.verify import Verification, verify_model
from cnnc.onnx.run.segments import RunnableModel
from cnnc.ops.dense import Input
from tests.cuda import needs_cuda
from tests.op_cases import CASES, Case, cases_for, graph_of, random_feeds, random_weights

NET = """input 1x8x8
first: conv 4 k=3 p=1
relu
pool max k=2
second: conv 6 k=3
bn
tanh
fc 3
softmax
"""


def model_of(graph: Graph, weights: Weights, opset: int = 17) -> onnx.ModelProto:
    smaller, folded = run_passes(graph, weights)
    return emit(smaller, folded, {}, opset)


@pytest.mark.long
@pytest.mark.parametrize("case", cases_for("parity"))
def test_every_tensor_agrees(case: Case) -> None:
    graph = graph_of(case)
    weights = random_weights(graph, 0)
    smaller, folded = run_passes(graph, weights)
    model = emit(smaller, folded, {})
    verification = verify_model(
        model, graph, weights, random_feeds(case, graph, 4, 1)
    )  # of one example, and of all four
    verification.require_within_tolerance(graph)
    kept = [node.name for node in smaller.nodes if not isinstance(node.op, Input)]
    # each layer that the passes keep, then each output again, from the optimized model
    assert [d.name for d in verification.deviations] == [*kept, *graph.outputs]
    assert all(d.scale > 0 for d in verification.deviations), "only zeros were compared"


@needs_cuda
def test_every_tensor_agrees_on_a_gpu() -> None:
    """With the tolerance of float32 for a tensor, as a GPU adds in another order."""
    apart = []
    for case in CASES:
        graph = graph_of(case)
        weights = random_weights(graph, 0)
        subject = RunnableModel(model_of(graph, weights), {}, graph.name, "cuda")
        verification = verify_model(subject, graph, weights, random_feeds(case, graph, 3, 1))
        apart += [(case.id, d) for d in verification.deviations if not d.difference <= ATOL + RTOL * d.scale]
    assert apart == []


@pytest.mark.slow
@pytest.mark.parametrize("opset", [n for n in range(13, newest_opset() + 1) if n != 17])
def test_every_tensor_agrees_at_every_opset(opset: int) -> None:
    """All rows in one test: each worker of pytest collects the slow tests too."""
    apart = []
    for case in CASES:
        if opset < 16 and "unpool" in case.text:
            continue  # ScatterElements adds from opset 16 on
        graph = graph_of(case)
        weights = random_weights(graph, 0)
        verification = verify_model(model_of(graph, weights, opset), graph, weights, random_feeds(case, graph, 2, 0))
        apart += [(case.id, d) for d in verification.deviations if not d.passes]
    assert apart == []


def fresh() -> tuple[Graph, Weights, onnx.ModelProto, Case]:
    case = Case("net", NET)
    graph = check(NET, name="net.cnn").require_graph()
    weights = random_weights(graph, 0)
    return graph, weights, model_of(graph, weights), case


def verification_of(graph: Graph, weights: Weights, model: onnx.ModelProto, case: Case) -> Verification:
    return verify_model(model, graph, weights, random_feeds(case, graph, 2, 0))


@pytest.mark.parametrize(
    ("initializer", "layer", "line", "text"),
    [
        ("first.weight", "first", 2, "first: conv 4 k=3 p=1"),
        ("first.bias", "first", 2, "first: conv 4 k=3 p=1"),
        ("second.weight", "bn1", 6, "bn"),  # folded: the wrong output is the batch norm's
        ("fc1.bias", "fc1", 8, "fc 3"),
    ],
)
def test_a_wrong_weight_fails_at_its_line(initializer: str, layer: str, line: int, text: str) -> None:
    graph, weights, model, case = fresh()
    verification_of(graph, weights, model, case).require_within_tolerance(graph)
    (stored,) = [tensor for tensor in model.graph.initializer if tensor.name == initializer]
    values = numpy_helper.to_array(stored).copy()
    values.flat[0] += 0.01
    stored.CopyFrom(numpy_helper.from_array(values, initializer))
    with pytest.raises(CnncError) as caught:
        verification_of(graph, weights, model, case).require_within_tolerance(graph)
    (found,) = caught.value.diagnostics
    assert found.code == "E801"
    assert caught.value.status is Exit.EXPORT
    assert found.message.startswith(f"{layer} ")
    assert found.span is not None
    assert (found.span.line, found.span.text) == (line, text)
    assert f"net.cnn:{line}:" in str(caught.value)


def test_a_nan_fails() -> None:
    graph, weights, model, case = fresh()
    (stored,) = [tensor for tensor in model.graph.initializer if tensor.name == "fc1.bias"]
    stored.CopyFrom(numpy_helper.from_array(np.full(3, np.nan, np.float32), "fc1.bias"))
    with pytest.raises(CnncError, match="fc1 of the exported graph deviates"):
        verification_of(graph, weights, model, case).require_within_tolerance(graph)


def test_a_wrong_shape_fails() -> None:
    """A last layer of another size fails, whatever its numbers are."""
    wide, narrow = (check(f"input 4; fc {n}").require_graph() for n in (3, 2))
    weights = {"fc1.weight": np.zeros((3, 4), np.float32), "fc1.bias": np.zeros(3, np.float32)}
    less = {name: array[:2] for name, array in weights.items()}
    model = model_of(narrow, less)
    with pytest.raises(CnncError, match="fc1 of the exported graph deviates"):
        verify_model(model, wide, weights, {"input1": np.ones((2, 4), np.float32)}).require_within_tolerance(wide)


def test_every_deviation_is_within_tolerance() -> None:
    graph, weights, model, case = fresh()
    worst = verification_of(graph, weights, model, case).worst
    assert worst.passes
    assert all(d.difference <= 1e-5 + 1e-4 * d.scale for d in verification_of(graph, weights, model, case).deviations)


@pytest.mark.long
@pytest.mark.parametrize("opset", range(13, 27))
def test_every_opset_computes_the_same(opset: int) -> None:
    """Opsets 13 to 26, on a network with every kind of layer."""
    text = (
        "input 3x16x16 dtype=uint8; normalize mean=[0.4, 0.5, 0.6] std=0.3; conv 4 k=3 p=same s=2 d=1 bias=false; bn; "
        "relu; pool max k=3 s=2 p=1 d=1; conv 4 k=3 p=2 d=2 groups=c_in; sigmoid; bn; pool avg k=2 s=1 d=2; tanh; "
        "pool avg k=2 s=1 ceil=true count_pad=true p=1; pool max k=2 s=1 d=2; dropout; flatten; fc 12; "
        "reshape 3x2x2; softmax"
    )
    case = Case("all", text)
    graph = check(text).require_graph()
    weights = random_weights(graph, 0)
    model = model_of(graph, weights, opset)
    assert [(i.domain, i.version) for i in model.opset_import] == [("", opset)]
    assert model.ir_version == onnx.helper.OP_SET_ID_VERSION_MAP[("ai.onnx", opset)]
    verify_model(model, graph, weights, random_feeds(case, graph, 2, 0)).require_within_tolerance(graph)


@pytest.mark.parametrize("opset", [0, 12, 27, 999])
def test_other_opsets_are_rejected(opset: int) -> None:
    graph, weights, _, _ = fresh()
    with pytest.raises(CnncError, match=f"opset {opset} is not supported") as caught:
        model_of(graph, weights, opset)
    assert caught.value.diagnostics[0].code == "E804"
    assert f"13 to {newest_opset()}" in caught.value.diagnostics[0].help
    assert newest_opset() in range(21, 27)
