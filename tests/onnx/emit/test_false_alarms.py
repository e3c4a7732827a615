"""No right network is refused: dead activations, random networks, trained classifiers and masks, every example network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import cnnc
from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph
from cnnc.network import check, load
from cnnc.onnx.emit.layer_by_layer import LayerByLayer
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.tolerance import Deviation
from cnnc.onnx.emit.verify import random_weights, sample_feeds, verify_model
from cnnc.onnx.run.segments import RunnableModel, run_in_segments
from cnnc.reference.initializers import initialize
from tests.model_files import FILES, SMALL, network_of
from tests.onnx.importer.random_networks import random_network
from tests.op_cases import CASES, graph_of, random_feeds
from tests.op_cases import random_weights as random_weights_of_case

ACTIVATIONS = (
    "sigmoid", "tanh", "elu", "selu", "softplus", "gelu", "silu", "mish", "hard_sigmoid", "hard_swish", "relu",
    "leaky_relu", "relu6", "prelu", "softmax", "log_softmax",
)  # fmt: skip
BIASES = (-40, -30, -20, -17, -12, -8, -5, -2, 0, 2, 5, 8, 12, 17, 20, 30, 40)
VECTOR, IMAGE = "input 8; p: fc 12; {}", "input 3x8x8; p: conv 6 k=3; {}"
NETWORKS = (
    VECTOR, f"{VECTOR}; fc 5", f"{VECTOR}; layer_norm", f"{VECTOR}; bn", IMAGE, f"{IMAGE}; conv 4 k=3", f"{IMAGE}; bn",
    f"{IMAGE}; instance_norm", f"{IMAGE}; group_norm groups=2", f"{IMAGE}; affine; fc 4", f"{IMAGE}; pool avg k=2",
    f"{IMAGE}; mul {{{{ }}}} {{{{ conv 6 k=1 }}}}", f"{IMAGE}; pool l2 k=2", f"{IMAGE}; lrn size=3 alpha=1",
)  # fmt: skip


def judged(model: onnx.ModelProto, graph: Graph, weights: Weights, feeds: dict[str, Array]) -> list[Deviation]:
    """The deviation of every layer on its own, which verification asks for only where the network's deviates."""
    names = [node.name for node in graph.nodes if any(node.name in n.output for n in model.graph.node)]
    layers = LayerByLayer(graph, weights, feeds, names)
    run = run_in_segments(RunnableModel(model, {}, graph.name), [feeds], names)
    return [layers.deviation(name, value) for name, (value,) in run]


def alarms(graph: Graph, weights: Weights, seed: int, label: object) -> list[object]:
    """Both judgements of a right model, where they refuse it."""
    model, feeds = emit(*run_passes(graph, weights), {}), sample_feeds(graph, 3, seed)
    found = [verify_model(model, graph, weights, feeds).worst, *judged(model, graph, weights, feeds)]
    return [(label, d) for d in found if not d.passes]


def dead(text: str, bias: float, where: str) -> tuple[Graph, Weights]:
    """A network whose channels, or one of them, are shifted before the activation; a batch norm after it divides by 1e-6."""
    graph = check(text).require_graph()
    weights = random_weights(graph, 1)
    weights["p.bias"][... if where == "all" else 1] += bias
    return graph, {name: array * np.float32(1e-12) if ".var" in name else array for name, array in weights.items()}


@pytest.mark.long
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_dead_activation(activation: str) -> None:
    """Each bias with one of the networks, in turn."""
    found: list[object] = []
    for number, bias in enumerate(BIASES):
        for where, shift in (("all", 0), ("one", 7)):
            text = NETWORKS[(number + shift) % len(NETWORKS)].format(activation)
            found += alarms(*dead(text, bias, where), 7, (text, bias, where))
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_dead_activation_in_every_network(activation: str) -> None:
    rows = [(net.format(activation), bias, where) for net in NETWORKS for bias in BIASES for where in ("all", "one")]
    assert [alarm for row in rows for alarm in alarms(*dead(*row), 7, row)] == []


def spread(weights: Weights, seed: int) -> Weights:
    """Weights as training may leave them: channels of very different sizes."""
    random = np.random.default_rng(seed)
    factors = {
        name: np.exp(random.normal(0, 1.5, (len(a), *(1,) * (a.ndim - 1)))).astype(np.float32)
        for name, a in weights.items()
    }
    return {name: array * factors[name] for name, array in weights.items()}


def alarms_of_random_network(seed: int) -> list[object]:
    graph = check(random_network(seed)).require_graph()
    drawn = random_weights(graph, seed)
    sizes = {
        "drawn": drawn,
        "initial": initialize(graph, seed),
        "spread": spread(drawn, seed),
        "large": {name: a if ".var" in name else 5 * a for name, a in drawn.items()},
        "small": {name: a if ".var" in name else a * np.float32(0.03) for name, a in drawn.items()},
    }
    return [alarm for label, w in sizes.items() for alarm in alarms(graph, w, seed, (seed, label))]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_a_random_network(seed: int) -> None:
    assert alarms_of_random_network(seed) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 300, 20))
def test_many_random_networks(first: int) -> None:
    assert [alarm for seed in range(first, first + 20) for alarm in alarms_of_random_network(seed)] == []


@pytest.mark.long
def test_every_layer_of_every_case_passes_alone() -> None:
    """Each configuration of each layer, with random weights, at its own range of inputs and a thousandth of it."""
    found: list[object] = []
    for case in CASES:
        graph = graph_of(case)
        weights = random_weights_of_case(graph, 0)
        model = emit(*run_passes(graph, weights), {})
        for factor in (1, 1e-3):
            feeds = {
                name: a * np.float32(factor) if a.dtype == np.float32 else a
                for name, a in random_feeds(case, graph, 3, 0).items()
            }
            found += [(case.id, factor, d) for d in judged(model, graph, weights, feeds) if not d.passes]
    assert found == []


@pytest.mark.long
@pytest.mark.parametrize("path", [path for path in FILES if path.stem in SMALL], ids=lambda path: path.stem)
def test_every_layer_of_an_example_network_passes_alone(path: Path) -> None:
    """With initial weights; test_example_networks.py exports each with random ones."""
    graph = network_of(path).require_graph()
    assert alarms(graph, initialize(graph, 0), 0, path.stem) == []


@pytest.mark.parametrize(
    "text",
    [
        "input 4; normalize mean=8 std=1; sigmoid",
        "input 4; scale -0.0001; elu",
        "input 4; scale -0.0001; selu",
        "input 4; normalize mean=20 std=1; silu; fc 3",
        "input 4; normalize mean=20 std=1; gelu; affine; sigmoid",
        "input 4; normalize mean=17 std=1; sigmoid; g: fc 4; layer_norm",
        "input 4x6x6; normalize mean=30 std=1; sigmoid; instance_norm; conv 3 k=3",
        "input 3; normalize mean=[0, 100, 200] std=1; softmax; fc 2",
        "input 3; normalize mean=[0, 100, 200] std=1; log_softmax; scale 0.001",
        "input 2x9; normalize mean=1000 std=0.001; layer_norm",
        "input 5x6x6; normalize mean=[0, 500, 1, 2, 0] std=1; lrn size=3 alpha=1 bias=1",
    ],
)
def test_a_small_tensor(text: str) -> None:
    graph = check(text).require_graph()
    assert alarms(graph, random_weights(graph, 0), 0, text) == []


BINARY = """input 1x16x16
conv 8 k=3 p=same; relu; pool max k=2
conv 16 k=3 p=same; {}; global_pool max; fc 1; sigmoid
train {{ data npz "d.npz"; loss bce; optimizer adam lr=0.02; batch 32; epochs 40 }}
"""
MASK = """input 1x16x16
conv 8 k=3 p=same; {}; conv 1 k=3 p=same; sigmoid
train {{ data npz "d.npz"; loss bce; optimizer adam lr=0.02; batch 32; epochs 40 }}
"""


@pytest.mark.long
@pytest.mark.parametrize("activation", ["relu", "silu", "elu"])
@pytest.mark.parametrize("text", [BINARY, MASK], ids=["classifier", "mask"])
def test_a_trained_network_that_is_sure(text: str, activation: str, tmp_path: Path) -> None:
    """Separable data, noise with dark images or regions: on noise, which verification feeds, the scores are far below 0."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, (300, 1)).astype(np.float32)
    masks = np.zeros((300, 1, 16, 16), np.float32)
    masks[:, :, 4:12, 4:12] = y[:, :, None, None]
    x = (random.random(masks.shape) * (1 - 0.95 * masks)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=masks if text is MASK else y)
    (tmp_path / "net.cnn").write_text(text.format(activation))
    cnnc.train(load(tmp_path / "net.cnn"), tmp_path / "run", tmp_path)
    exported = cnnc.export(tmp_path / "run", tmp_path / "net.onnx")
    assert exported.verification.worst.passes
