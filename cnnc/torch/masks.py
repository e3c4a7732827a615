"""Which elements dropout and drop_path keep: those that the NumPy engine keeps, drawn from the same random numbers.

In: a graph, the size of the batch, and the random numbers of a step. Out: for each layer that drops elements a tensor of
bool, True where an element is kept. NumPy draws for each shard of a batch separately, and so does this.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.ops.activation import Dropout, DropPath
from cnnc.reference.engine import random_of_shard, shard_count
from cnnc.reference.parallel.threads import split_evenly
from cnnc.reference.registry import Random


def dropping_nodes(graph: Graph, outputs: Iterable[str]) -> list[Node]:
    """The layers that drop elements in training, of those that the outputs need."""
    return [n for n in needed_nodes(graph, outputs) if isinstance(n.op, Dropout | DropPath) and n.op.p > 0]


def kept_elements(graph: Graph, nodes: Iterable[Node], batch: int, random: Random) -> dict[str, Tensor]:
    """The mask of each of these layers, (N, C, *spatial), or (N, 1, ...) for drop_path."""
    shards = split_evenly(batch, shard_count(graph, batch, training=True))
    generators = [(random_of_shard(random, i, start), stop - start) for i, (start, stop) in enumerate(shards)]
    return {
        node.name: torch.from_numpy(
            np.concatenate([_mask(node, generator(node.name), count) for generator, count in generators if generator])
        )
        for node in nodes
    }


def _mask(node: Node, generator: np.random.Generator, count: int) -> Array:
    op, type_ = node.op, node.type
    assert isinstance(op, Dropout | DropPath)
    if isinstance(op, DropPath):
        kept = generator.random((count, *(1,) * (type_.rank + 1)), np.float32) >= op.p
        return kept
    kept = generator.random((count, *type_.spatial, type_.channels), np.float32) >= op.p
    return np.ascontiguousarray(np.moveaxis(kept, -1, 1))
