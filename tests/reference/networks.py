"""Helpers for the tests of the NumPy engine: networks from source, their outputs and gradients, random arrays."""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph
from cnnc.network import check
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first


def graph(text: str) -> Graph:
    return check(text).require_graph()


def out(text: str, *feeds: Array, weights: Weights | None = None) -> Array:
    """The output of a network, channels first, for feeds in the order of its inputs."""
    net = graph(text)
    by_name = {node.name: feed for node, feed in zip(net.inputs, feeds, strict=True)}
    return to_channels_first(forward(net, weights or {}, by_name).values[net.outputs[0]])


def input_gradient(text: str, x: Array, seed: Array, weights: Weights | None = None) -> Array:
    """The gradient of the input of a network, given that of its output, both channels first."""
    net = graph(text)
    weights = weights or {}
    trace = forward(net, weights, {"input1": x}, training=True, keep_all=True)
    name = net.outputs[0]
    seeds = {name: np.moveaxis(seed, 1, -1) if trace.values[name].ndim > 2 else seed}  # not contiguous
    return backward(net, weights, trace, seeds, needs_input_gradients=True)[1]["input1"]


def normal(*shape: int, seed: int = 0) -> Array:
    """Numbers drawn from the standard normal distribution."""
    return np.random.default_rng(seed).normal(size=shape)
