"""Sizes, parameters, multiply-adds and receptive fields of layers and nets whose numbers are published or countable."""

from __future__ import annotations

import numpy as np
import pytest

from cnnc.graph.analysis import receptive_fields
from cnnc.graph.graph import Graph
from cnnc.network import check, load
from cnnc.reference.engine import forward
from cnnc.reference.initializers import initialize
from tests.op_cases import CASES, graph_of, random_feeds
from tests.paths import MODELS


def graph(text: str) -> Graph:
    return check(text).require_graph()


@pytest.mark.parametrize(
    ("text", "layer", "parameters", "macs"),
    [
        # AlexNet's first layer: 96 kernels of 11x11x3 at 55x55
        ("input 3x227x227; conv 96 k=11 s=4", "conv1", 34_944, 105_415_200),
        # VGG-16's last convolution and its first full connection
        ("input 512x14x14; conv 512 k=3 p=1", "conv1", 2_359_808, 462_422_016),
        ("input 512x7x7; fc 4096", "fc1", 102_764_544, 102_760_448),
        # ResNet's stem has no bias: 64·7·7·3
        ("input 3x224x224; conv 64 k=7 s=2 p=3 bias=false", "conv1", 9_408, 118_013_952),
        # 1x1 bottleneck
        ("input 256x56x56; conv 64 k=1", "conv1", 16_448, 51_380_224),
        # MobileNet's depthwise separable pair at 112x112: 32·9 and 64·32 weights
        ("input 32x112x112; conv c_in k=3 p=1 groups=c_in bias=false", "conv1", 288, 3_612_672),
        ("input 32x112x112; conv 64 k=1 bias=false", "conv1", 2_048, 25_690_112),
        # groups divide weights and work: AlexNet's second layer, as it was on two cards
        ("input 96x27x27; conv 256 k=5 p=2 groups=2", "conv1", 307_456, 223_948_800),
        # one and three axes
        ("input 4x1000; conv 16 k=9 s=4", "conv1", 592, 142_848),
        ("input 3x16x112x112; conv 64 k=3 p=1", "conv1", 5_248, 1_040_449_536),
        # a larger window has more weights, dilation has not
        ("input 3x32x32; conv 8 k=3 d=4", "conv1", 224, 124_416),
        ("input 100; fc 10 bias=false", "fc1", 1_000, 1_000),
        ("input 64x14x14; bn", "bn1", 128, 0),
        ("input 64x14x14; bn affine=false", "bn1", 0, 0),
        ("input 64x14x14; pool max k=2", "pool1", 0, 0),
        ("input 64x14x14; relu", "relu1", 0, 0),
    ],
)
def test_parameters_and_macs_of_known_layers(text: str, layer: str, parameters: int, macs: int) -> None:
    made = graph(text)
    node = made.by_name[layer]
    assert sum(p.size for p in made.parameters(node) if p.trainable) == parameters == made.total_parameters
    assert made.macs(node) == macs == made.total_macs


def test_running_statistics_are_counted_apart() -> None:
    made = graph("input 64x14x14; bn")
    assert (made.total_parameters, made.total_buffers) == (128, 128)


def test_lenet5() -> None:
    network = load(MODELS / "lenet5.cnn")
    made = network.require_graph()
    assert (made.total_parameters, made.total_macs) == (61_706, 416_520)
    assert made.by_name["pool2"].type.shape == (16, 5, 5)
    counts = {
        node.name: (sum(p.size for p in made.parameters(node)), made.macs(node))
        for node in made.nodes
        if made.parameters(node)
    }
    assert counts == {
        "conv1": (156, 117_600),
        "conv2": (2_416, 240_000),
        "fc1": (48_120, 48_000),
        "fc2": (10_164, 10_080),
        "fc3": (850, 840),
    }


VGG16 = """input 3x224x224
conv 64 k=3 p=1; relu; conv 64 k=3 p=1; relu; pool max k=2
conv 128 k=3 p=1; relu; conv 128 k=3 p=1; relu; pool max k=2
conv 256 k=3 p=1; relu; conv 256 k=3 p=1; relu; conv 256 k=3 p=1; relu; pool max k=2
conv 512 k=3 p=1; relu; conv 512 k=3 p=1; relu; conv 512 k=3 p=1; relu; pool max k=2
conv 512 k=3 p=1; relu; conv 512 k=3 p=1; relu; conv 512 k=3 p=1; relu; pool max k=2
expect 512x7x7
fc 4096; relu; dropout; fc 4096; relu; dropout; fc 1000; softmax
"""

ALEXNET = """input 3x224x224
conv 64 k=11 s=4 p=2; relu; pool max k=3 s=2
conv 192 k=5 p=2; relu; pool max k=3 s=2
conv 384 k=3 p=1; relu; conv 256 k=3 p=1; relu; conv 256 k=3 p=1; relu; pool max k=3 s=2
expect 256x6x6
dropout; fc 4096; relu; dropout; fc 4096; relu; fc 1000
"""


@pytest.mark.parametrize(
    ("text", "parameters", "macs"),
    [(VGG16, 138_357_544, 15_470_264_320), (ALEXNET, 61_100_840, 714_188_480)],
    ids=["VGG-16", "AlexNet (one tower, as in torchvision)"],
)
def test_known_nets(text: str, parameters: int, macs: int) -> None:
    made = graph(text)
    assert (made.total_parameters, made.total_macs) == (parameters, macs)


def test_receptive_fields_of_vgg16() -> None:
    """As published: 212 pixels, 32 apart, at the last pool (Araujo, Norris & Sim 2019)."""
    fields = receptive_fields(graph(VGG16))
    sizes = {f"pool{i}": [(f.size, f.step) for f in fields[f"pool{i}"]] for i in range(1, 6)}
    assert sizes == {
        "pool1": [(6, 2)] * 2,
        "pool2": [(16, 4)] * 2,
        "pool3": [(44, 8)] * 2,
        "pool4": [(100, 16)] * 2,
        "pool5": [(212, 32)] * 2,
    }


def test_receptive_fields_of_alexnet() -> None:
    """As published: 195 pixels, 32 apart, with 32 pixels of effective padding."""
    fields = receptive_fields(graph(ALEXNET))
    assert {(f.size, f.step) for f in fields["pool3"]} == {(195, 32)}
    # the padding of the layers, each times the step it is taken at: 2 + 2·8 + (1 + 1 + 1)·16
    assert fields["conv5"][0].first == -(2 + 2 * 8 + 3 * 16)


def test_a_receptive_field_is_what_an_output_depends_on() -> None:
    """Measured: where a change of the input changes a given output."""
    text = "input 1x40; conv 1 k=3 s=2 p=[2,0] bias=false; conv 1 k=2 d=3 bias=false; pool avg k=3 s=2; conv 1 k=2"
    made = graph(text)
    field = receptive_fields(made)["conv3"][0]
    weights = {
        name: np.random.default_rng(0).uniform(1, 2, p.shape) for name, p in made.weights.items() if p.init
    }  # positive: nothing cancels
    base = np.zeros((1, 1, 40))
    at_rest = forward(made, weights, {"input1": base}).values["conv3"]
    reads: dict[int, list[int]] = {}
    for i in range(40):
        moved = base.copy()
        moved[0, 0, i] = 1
        changed = np.flatnonzero(forward(made, weights, {"input1": moved}).values["conv3"][0, :, 0] != at_rest[0, :, 0])
        for o in changed:
            reads.setdefault(int(o), []).append(i)
    assert len(reads) >= 2
    for place, seen in reads.items():
        first = field.first + place * field.step
        assert seen[0] == max(0, first)
        assert seen[-1] == first + field.size - 1


def test_shapes_that_are_told_are_shapes_that_are_made() -> None:
    """The type of each node is what NumPy makes, at the weights' shapes that the graph announces."""
    for case in CASES:
        made = graph_of(case)
        weights = initialize(made, 0)
        assert {n: a.shape for n, a in weights.items()} == {n: p.shape for n, p in made.weights.items()}, case.id
        trace = forward(made, weights, random_feeds(case, made, 2, 0), outputs=[n.name for n in made.nodes])
        for node in made.nodes:
            value = trace.values[node.name]
            channels_last = (*node.type.spatial, node.type.channels)
            assert value.shape == (2, *channels_last), (case.id, node.name)
