"""The gradients in the step graph against those of the NumPy engine in float64: every row of tests/op_cases.py."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.onnx.emit.model import DEFAULT_OPSET, OLDEST_OPSET, assemble, complete, newest_opset
from cnnc.onnx.run.session import Session
from cnnc.onnx.train_step.differentiate import differentiate, emit_forward
from cnnc.onnx.train_step.random_bits import SEED, StepMasks
from cnnc.onnx.train_step.step_emitter import TRAINING_EMISSIONS, StepEmitter
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first
from cnnc.reference.registry import TRAITS
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights

BATCH = 3
RTOL = 2e-5
ZERO = 2e-6


def step_gradients(graph: Graph, feeds: dict[str, Array], opset: int = DEFAULT_OPSET) -> dict[str, Array]:
    """The gradients of all weights and inputs that have one, computed by onnxruntime.

    `feeds` holds inputs, weights, and the gradients of the outputs as `seed.NAME`.
    """
    e = StepEmitter(graph, opset)
    emit_forward(e, list(graph.nodes))
    seeds = {name: e.add_input(f"seed.{name}", ("N", *graph.by_name[name].type.shape)) for name in graph.outputs}
    weights, inputs = differentiate(e, graph, seeds, needs_input_gradients=True)
    tensors = {**weights, **inputs}
    shapes: dict[str, list[int | str]] = {
        name: list(graph.weights[name].shape) if name in weights else ["N", *graph.by_name[name].type.shape]
        for name in tensors
    }
    outputs = []
    for name, tensor in tensors.items():
        e.nodes.append(helper.make_node("Identity", [tensor], [f"gradient.{name}"]))
        outputs.append(helper.make_tensor_value_info(f"gradient.{name}", TensorProto.FLOAT, shapes[name]))
    model = complete(assemble(e, outputs, [], {}), e.content)
    session = Session(model.SerializeToString(), "step", "cpu", threads=1)
    results = session.run({name: feeds[name] for name in session.inputs}, [info.name for info in outputs])
    return dict(zip(tensors, results, strict=True))


@pytest.mark.long
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_gradients_equal_those_of_numpy(case: Case) -> None:
    require_equal_gradients(case, DEFAULT_OPSET)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [OLDEST_OPSET, newest_opset()])
def test_gradients_at_other_opsets(opset: int) -> None:
    """All rows in one test: each worker of pytest collects the slow tests too."""
    for case in CASES:
        try:
            require_equal_gradients(case, opset)
        except CnncError as error:
            (diagnostic, *_) = error.diagnostics
            assert opset < 16, case.id
            assert diagnostic.code == "E805"
            assert diagnostic.help == "`--opset 16` or later can express it"


def require_equal_gradients(case: Case, opset: int) -> None:
    graph, seed = graph_of(case), 7
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
    computed = step_gradients(graph, {**feeds, **weights, **named_seeds, SEED: np.array(seed, np.int32)}, opset)
    assert set(computed) == set(expected)
    largest = {name: float(np.abs(gradient).max()) for name, gradient in expected.items()}
    # a bias before a batch norm has a gradient of 0, the sum of large terms
    allowed = {name: RTOL * scale + ZERO * max(largest.values()) for name, scale in largest.items()}
    for name, gradient in expected.items():
        assert float(np.abs(computed[name] - gradient).max()) <= allowed[name], (case.id, name)


def test_layers_that_differ_in_training_have_an_emission_for_it() -> None:
    """tests/test_architecture.py names a missing gradient; this one a missing forward pass."""
    differ = {op.keyword for op, traits in TRAITS.items() if traits.uses_rng or traits.needs_batch_sums}
    assert sorted(differ - {op.keyword for op in TRAINING_EMISSIONS}) == [], (
        "write its nodes: @training_emission_of(...) in cnnc/onnx/train_step/ops/"
    )
