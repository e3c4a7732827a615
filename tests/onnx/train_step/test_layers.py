"""The gradients in the step graph against those of the NumPy engine in float64: every row of tests/op_cases.py."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph
from cnnc.onnx.emit.model import DEFAULT_OPSET, assemble
from cnnc.onnx.run.session import Session
from cnnc.onnx.train_step.differentiate import differentiate, emit_forward
from cnnc.onnx.train_step.random_bits import SEED, StepMasks
from cnnc.onnx.train_step.step_emitter import StepEmitter
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights

BATCH = 3
RTOL = 2e-5


def step_gradients(graph: Graph, feeds: dict[str, Array], opset: int = DEFAULT_OPSET) -> dict[str, Array]:
    """The gradients of all weights and inputs that have one, computed by onnxruntime.

    `feeds` holds inputs, weights, and the gradients of the outputs as `seed.NAME`.
    """
    e = StepEmitter(graph, opset)
    emit_forward(e, list(graph.nodes))
    seeds = {name: e.add_input(f"seed.{name}", ("N", *graph.by_name[name].type.shape)) for name in graph.outputs}
    weights, inputs = differentiate(e, graph, seeds, needs_input_gradients=True)
    tensors = {**weights, **inputs}
    outputs = [helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None) for tensor in tensors.values()]
    session = Session(assemble(e, outputs, [], {}).SerializeToString(), "step", "cpu", threads=1)
    results = session.run({name: feeds[name] for name in session.inputs}, list(tensors.values()))
    return dict(zip(tensors, results, strict=True))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_gradients_equal_those_of_numpy(case: Case) -> None:
    graph, seed = graph_of(case), 5
    weights, feeds = random_weights(graph, seed), random_feeds(case, graph, BATCH, seed)
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    exact_feeds = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in feeds.items()}
    trace = forward(graph, exact, exact_feeds, training=True, random=StepMasks(seed), outputs=graph.outputs)
    random = np.random.default_rng(seed)
    seeds = {name: random.normal(size=trace.values[name].shape).astype(np.float32) for name in graph.outputs}
    exact_seeds = {name: array.astype(np.float64) for name, array in seeds.items()}
    expected_weights, expected_inputs = backward(graph, exact, trace, exact_seeds, needs_input_gradients=True)
    expected = {**expected_weights, **expected_inputs}
    named_seeds = {f"seed.{name}": to_channels_first(array) for name, array in seeds.items()}
    computed = step_gradients(graph, {**feeds, **weights, **named_seeds, SEED: np.array(seed, np.int32)})
    assert set(computed) == set(expected)
    for name, gradient in expected.items():
        scale = float(np.abs(gradient).max()) + 1e-12
        assert float(np.abs(computed[name] - gradient).max()) <= RTOL * scale, name
