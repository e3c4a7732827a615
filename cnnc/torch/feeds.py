"""Arrays of a batch as tensors of the device, and the check of integers before they get there.

In: NumPy arrays, channels first. Out: tensors; bytes stay bytes, and the device scales them. Raises CnncError E602.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph
from cnnc.ops.sequence import Embed
from cnnc.reference.engine import forward

_ELEMENT_TYPES = ("f2", "f4", "f8", "u1", "i8", "b1")


def tensor_of(array: Array, device: torch.device) -> Tensor:
    """The array as a tensor of the device; on the CPU it shares the array's memory where it is contiguous and writeable."""
    if array.dtype.str[1:] not in _ELEMENT_TYPES or array.dtype.byteorder == ">":
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
    array = np.ascontiguousarray(array)
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if device.type == "cpu":
        return tensor
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def check_integers(graph: Graph, feeds: Mapping[str, Array]) -> None:
    """Raises CnncError E602 for an integer outside the vocabulary of an `embed`, before a GPU fails without saying where."""
    embeds, smallest = _embeds(graph)
    integers = [feeds[node.name] for node in graph.inputs if node.type.dtype == "int64" and node.name in feeds]
    if embeds and any(array.size and not 0 <= array.min() <= array.max() < smallest for array in integers):
        types = {name: np.zeros(p.shape, np.float32) for name, p in graph.weights.items() if name in embeds}
        forward(graph, types, feeds, outputs=embeds.values())  # which knows what slices leave out


@lru_cache(maxsize=16)
def _embeds(graph: Graph) -> tuple[dict[str, str], int]:
    """The embeds by the full name of their weight, and the smallest vocabulary."""
    nodes = [node for node in graph.nodes if isinstance(node.op, Embed)]
    names = {graph.parameter_names[node.name]["weight"]: node.name for node in nodes}
    return names, min((node.op.vocab for node in nodes if isinstance(node.op, Embed)), default=0)
