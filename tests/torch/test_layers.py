"""The layers on PyTorch against those of the NumPy engine in float64: every row of tests/op_cases.py, forward and gradients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from cnnc.core.arrays import Array
from cnnc.reference.engine import StepRandom, backward, forward
from cnnc.reference.layout import to_channels_first
from cnnc.torch.masks import dropping_nodes, kept_elements
from cnnc.torch.module import ForwardResult, GraphModule
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights

BATCH = 3
RTOL = 1e-9
RANDOM = StepRandom(7, 0, 0)


class Step:
    """The same batch in both engines: activations, buffers, and gradients of weights and inputs."""

    def __init__(self, case: Case) -> None:
        self.graph = graph = graph_of(case)
        self.weights = {name: array.astype(np.float64) for name, array in random_weights(graph, 7).items()}
        feeds = random_feeds(case, graph, BATCH, 7)
        self.feeds = {n: a.astype(np.float64) if a.dtype == np.float32 else a for n, a in feeds.items()}
        self.trace = forward(graph, self.weights, self.feeds, training=True, random=RANDOM, outputs=graph.outputs)
        random = np.random.default_rng(7)
        self.seeds = {name: random.normal(size=value.shape) for name, value in self.trace.values.items()}
        self.expected = {name: to_channels_first(value) for name, value in self.trace.values.items()}
        self.buffers = dict(self.trace.buffers)
        weights, inputs = backward(graph, self.weights, self.trace, self.seeds, needs_input_gradients=True)
        scaled = {name for name, feed in feeds.items() if feed.dtype == np.uint8}
        self.gradients = {**weights, **{name: g for name, g in inputs.items() if name not in scaled}}

    def on_torch(self) -> tuple[ForwardResult, dict[str, Array], GraphModule]:
        graph = self.graph
        weights = {name: torch.tensor(array) for name, array in self.weights.items()}
        module = GraphModule(graph, graph.outputs, weights, torch.float64)
        feeds = {name: torch.tensor(array) for name, array in self.feeds.items()}
        differentiable = {name: feed.requires_grad_() for name, feed in feeds.items() if feed.is_floating_point()}
        result = module(feeds, kept_elements(graph, dropping_nodes(graph, graph.outputs), BATCH, RANDOM))
        seeded = [(result.activations[name], to_channels_first(seed)) for name, seed in self.seeds.items()]
        learned = [(value, torch.tensor(seed)) for value, seed in seeded if value.requires_grad]
        torch.autograd.backward([value for value, _ in learned], [seed for _, seed in learned])
        leaves = {**module.tensors, **differentiable}
        return result, {n: leaf.grad.numpy() for n, leaf in leaves.items() if leaf.grad is not None}, module


def require_close(name: str, computed: Array, expected: Array, scale: float) -> None:
    """Equal but for rounding: of a number that is the small sum of large terms, relative to these."""
    assert computed.shape == expected.shape, name
    excess = np.abs(computed - expected) - RTOL * np.abs(expected) - 1e-13 * scale
    assert float(excess.max(initial=0.0)) == 0, name


@pytest.mark.long
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_outputs_buffers_and_gradients_equal_those_of_numpy(case: Case) -> None:
    step = Step(case)
    result, gradients, module = step.on_torch()
    for name, expected in step.expected.items():
        require_close(name, result.activations[name].detach().numpy(), expected, float(np.abs(expected).max()))
    module.update_statistics(result.statistics)
    for name, expected in step.buffers.items():
        require_close(name, module.tensors[name].numpy(), expected, float(np.abs(expected).max()))
    scale = max((float(np.abs(g).max()) for g in step.gradients.values()), default=0.0)
    for name, expected in step.gradients.items():
        require_close(name, gradients.get(name, np.zeros_like(expected)), expected, scale)
    assert set(gradients) <= set(step.gradients)
