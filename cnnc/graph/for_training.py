"""Rewrites a graph for training: bit-identical outputs and gradients with fewer passes over memory.

In: a graph, and the layers whose outputs must remain available. Out: a graph for the engine alone; it is neither checked,
shown nor exported.

- If a relu is the only reader of a batch norm, both become one layer, `BatchNormRelu`.
- If a max pool is the only reader of a relu, the relu moves behind the pool, where it has fewer elements to process:
  max(relu(x)) = relu(max(x)), bit for bit, and the same holds for the gradients.

Example: `conv1 -> bn1 -> relu1 -> pool1` becomes `conv1 -> bn1 -> relu1 (a max pool) -> pool1 (a relu)`; the last layer
keeps its name and output.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import Relu
from cnnc.ops.norm import BatchNorm
from cnnc.ops.pool import GlobalPool, Pool


class BatchNormRelu(BatchNorm):
    """A batch norm followed by the relu that is its only reader."""


def for_training(graph: Graph, outputs: Iterable[str]) -> Graph:
    """The graph with relus moved behind max pools and merged into batch norms; the named layers keep their outputs."""
    fixed = set(outputs)
    return _merge_relus_into_norms(move_relus_behind_pools(graph, fixed), fixed)


def _only_reader(graph: Graph, node: Node, fixed: set[str]) -> Node | None:
    """The only reader of a layer's output; None if there are several or the output must remain available."""
    readers = graph.consumers[node.name]
    return readers[0] if len(readers) == 1 and node.name not in fixed else None


def move_relus_behind_pools(graph: Graph, fixed: set[str]) -> Graph:
    """The graph with relus behind the max pools that read them; layers in `fixed` keep their outputs."""
    nodes: list[Node] = []
    moved: dict[str, Node] = {}
    for node in graph.nodes:
        if isinstance(node.op, Relu) and _is_max_pool(_only_reader(graph, node, fixed)):
            moved[node.name] = node
            continue
        relu = moved.get(node.inputs[0]) if node.inputs else None
        if relu is None:
            nodes.append(node)
            continue
        # the pool takes the relu's name and the relu the pool's, so that the last output keeps its name
        pool = node.replace(name=relu.name, inputs=relu.inputs)
        nodes += [pool, relu.replace(name=node.name, inputs=(pool.name,), type=pool.type)]
    return graph.replace(nodes=tuple(nodes))


def _is_max_pool(node: Node | None) -> bool:
    return node is not None and isinstance(node.op, Pool | GlobalPool) and node.op.kind == "max"


def _merge_relus_into_norms(graph: Graph, fixed: set[str]) -> Graph:
    nodes: list[Node] = []
    norms: dict[str, Node] = {}
    for node in graph.nodes:
        reader = _only_reader(graph, node, fixed) if isinstance(node.op, BatchNorm) else None
        if reader is not None and isinstance(reader.op, Relu):
            norms[node.name] = node
            continue
        norm = norms.get(node.inputs[0]) if node.inputs else None
        if norm is not None:
            op = BatchNormRelu(**{name: getattr(norm.op, name) for name in norm.op.fields})
            node = node.replace(op=op, inputs=norm.inputs, owner=norm.parameter_owner)
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes))
