"""A network as it computes in inference, in a form that the engine can differentiate.

In: a graph with its weights. Out: a graph and weights that give the same outputs: batch norm, which the engine
differentiates through the statistics of the batch, becomes the scale and shift that it amounts to; dropout is left out.

    fixed, weights = as_in_inference(graph, weights)
    trace = forward(fixed, weights, feeds, training=True)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import Dropout, DropPath, Identity
from cnnc.ops.dense import Input
from cnnc.ops.norm import Affine, BatchNorm
from cnnc.reference.engine import weights_of
from cnnc.reference.norm import inference_scale_and_shift


def as_in_inference(graph: Graph, weights: Mapping[str, Array]) -> tuple[Graph, Weights]:
    """The graph and its weights with a scale and shift for each batch norm, and without dropout."""
    nodes, replaced = [], dict(weights)
    for node in graph.nodes:
        if isinstance(node.op, BatchNorm):
            factor, offset = inference_scale_and_shift(node.op, weights_of(graph, node, weights))
            replaced[f"{node.parameter_owner}.scale"] = factor
            replaced[f"{node.parameter_owner}.shift"] = offset
            node = node.replace(op=Affine.make())
        elif isinstance(node.op, Dropout | DropPath):
            node = node.replace(op=Identity.make())
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes)), replaced


def gradients_of_parameters(graph: Graph, weights: Mapping[str, Array], gradients: Mapping[str, Array]) -> Weights:
    """The gradients of the graph's own parameters, from those of `as_in_inference`.

    Batch norm in inference is factor·x + offset with factor = scale/σ and offset = shift - scale·mean/σ, so that
    dL/dscale = (dL/dfactor - mean·dL/doffset)/σ and dL/dshift = dL/doffset.
    """
    own = {name: array for name, array in gradients.items() if name in graph.weights}
    for node in graph.nodes:
        scale, shift = (f"{node.parameter_owner}.{name}" for name in ("scale", "shift"))
        if not isinstance(node.op, BatchNorm) or node.owner or scale not in own:
            continue
        given = weights_of(graph, node, weights)
        own[scale] = (own[scale] - given["mean"] * own[shift]) / np.sqrt(given["var"] + node.op.eps)
    return own


def with_input(graph: Graph, name: str, shape: tuple[int, ...]) -> Graph:
    """The graph in which a layer is an input of this shape (C, *spatial)."""
    type_ = TensorType(shape)
    source = Node(name, Input.make(shape=type_.shape), (), type_)
    return graph.replace(nodes=tuple(source if node.name == name else node for node in graph.nodes))
