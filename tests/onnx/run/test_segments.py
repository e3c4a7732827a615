"""A model that is run in segments: the same tensors as in one piece, whatever the segments are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.verify import sample_feeds
from cnnc.onnx.run import segments
from cnnc.onnx.run.segments import RunnableModel, run_in_segments
from cnnc.onnx.run.session import Session
from tests.op_cases import random_weights

BRANCHES = """input 3x12x12
stem: conv 8 k=3 p=1
relu
concat { conv 4 k=1 } { pool max k=3 s=1 p=1; conv 4 k=3 p=1 }
add { conv 8 k=3 p=1; bn; relu } { }
group_norm groups=2
fc 16
fc 4
softmax
"""


def model_of(text: str) -> tuple[Graph, onnx.ModelProto, RunnableModel]:
    """A graph, its complete model, and the same model with its large tensors apart."""
    graph = check(text).require_graph()
    weights = random_weights(graph, 0)
    content: dict[str, Array] = {}
    message = emit(graph, weights, {}, content=content)
    return graph, emit(graph, weights, {}), RunnableModel(message, content, "net")


def in_one_piece(model: onnx.ModelProto, feeds: Mapping[str, Array], names: list[str]) -> dict[str, Array]:
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = Session(copy.SerializeToString(), "net", "cpu", optimize=False)
    return dict(zip(names, session.run(feeds), strict=True))


@pytest.mark.parametrize("limit", [1, 2000, 20_000, 10**9])
def test_segments_compute_the_tensors_of_the_whole_model(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix product adds in another order where its weight is an input."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", limit)
    graph, whole, model = model_of(BRANCHES)
    names = [name for node in model.message.graph.node for name in node.output]
    batches = [sample_feeds(graph, count, 1) for count in (1, 3)]
    sizes = {node.name: node.type.bytes * 4 for node in graph.nodes}
    computed = dict(run_in_segments(model, batches, names, sizes))
    assert list(computed) == names
    for i, batch in enumerate(batches):
        for name, expected in in_one_piece(whole, batch, names).items():
            np.testing.assert_allclose(computed[name][i], expected, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The operators in each session that a run creates."""
    operators: list[list[str]] = []

    def session(data: bytes, *arguments: object, **options: object) -> Session:
        operators.append([node.op_type for node in onnx.ModelProto.FromString(data).graph.node])
        return Session(data, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(segments, "Session", session)
    return operators


def test_a_small_model_is_one_segment(created: list[list[str]]) -> None:
    graph, _, model = model_of(BRANCHES)
    list(run_in_segments(model, [sample_feeds(graph, 1)], ["softmax1"]))
    assert len(created) == 1


def test_tensors_of_unknown_type_are_not_passed_on(created: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of another program may not declare its inner tensors."""
    operators = [("Relu", "x", "a"), ("Neg", "a", "b"), ("Abs", "b", "y")]
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "xby"}
    graph = helper.make_graph(
        [helper.make_node(kind, [read], [computed]) for kind, read, computed in operators],
        "net",
        [infos["x"]],
        [infos["y"]],
        value_info=[infos["b"]],
    )
    message = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1)
    feeds = {"x": np.ones((2, 4), np.float32)}
    ((name, (value,)),) = run_in_segments(RunnableModel(message, {}, "net"), [feeds], ["y"], dict.fromkeys("aby", 10))
    assert name == "y"
    assert (value == 1).all()
    assert created == [["Relu", "Neg"], ["Abs"]]
