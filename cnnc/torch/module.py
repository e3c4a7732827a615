"""A graph as a torch.nn.Module.

In: a graph, the layers whose activations are needed, and the weights by full name. Out: `GraphModule`; its parameters and
buffers by full name are `tensors`.

    module = GraphModule(graph, ("fc3",), tensors)
    result = module({"input1": images}, {})      # result.activations["fc3"], (N, 10)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.ops.dense import Input
from cnnc.ops.norm import BatchNorm
from cnnc.torch import functions
from cnnc.torch.layers import CONSTANTS, FORWARDS, LayerFunction, LayerMode, Normalizer, Statistics


class ForwardResult(NamedTuple):
    """The activations by layer, and what each batch norm measured, in the order of `GraphModule.batch_norms`."""

    activations: dict[str, Tensor]
    statistics: list[Statistics]


class LayerModule(nn.Module):  # type: ignore[misc]
    """One layer. Layers that share parameters hold the same `nn.Parameter`."""

    def __init__(self, function: LayerFunction, own: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.function = function
        for name, tensor in own.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)
        for name, tensor in constants.items():
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, inputs: tuple[Tensor, ...], mode: LayerMode) -> Tensor:
        return self.function({**self._parameters, **self._buffers}, inputs, mode)


class GraphModule(nn.Module):  # type: ignore[misc]
    """The layers that `outputs` need, in the element type `dtype`, by default that of the weights.

    `tensors` are its parameters and buffers by full name, such as conv1.weight: the weights themselves, which training
    changes in place. `batch_norms` are the owner of the statistics and the momentum of each batch norm.
    """

    normalize: Normalizer = staticmethod(functions.batch_norm)
    """Normalizes over the batch in training."""

    def __init__(
        self,
        graph: Graph,
        outputs: Iterable[str],
        weights: Mapping[str, Tensor],
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.dtype = dtype or next((t.dtype for t in weights.values() if t.is_floating_point()), torch.float32)
        self.order = needed_nodes(graph, self.outputs)
        self.inputs = [node.name for node in self.order if isinstance(node.op, Input)]
        self.batch_norms = [(n.parameter_owner, n.op.momentum) for n in self.order if isinstance(n.op, BatchNorm)]
        self.tensors: dict[str, Tensor] = {}
        self.places: dict[str, tuple[LayerModule, str]] = {}
        """Where the tensors are: a layer that has it, and its name there."""
        device = next((t.device for t in weights.values()), None)
        layers = []
        for node in self.order:
            if isinstance(node.op, Input):
                continue
            own = {}
            for short, full in graph.parameter_names[node.name].items():
                if full not in self.tensors:
                    declared, tensor = graph.weights[full], weights[full]
                    trains = declared.trainable and not declared.frozen
                    self.tensors[full] = nn.Parameter(tensor, trains) if declared.trainable else tensor
                own[short] = self.tensors[full]
            types = graph.input_types(node)
            compute = CONSTANTS.get(type(node.op))
            arrays = compute(node.op, types) if compute else {}
            constants = {name: self._constant(array, device) for name, array in arrays.items()}
            layer = LayerModule(FORWARDS[type(node.op)](node.op, types), own, constants)
            layers.append(layer)
            self.places.update({full: (layer, short) for short, full in graph.parameter_names[node.name].items()})
        self.layers = nn.ModuleList(layers)
        self.released = _released(self.order, self.outputs)

    def _constant(self, array: Array, device: torch.device | None) -> Tensor:
        dtype = self.dtype if np.issubdtype(array.dtype, np.floating) else torch.int64
        return torch.as_tensor(array, dtype=dtype, device=device)

    def forward(self, feeds: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> ForwardResult:
        """Runs the layers; `kept` tells by layer which elements dropout keeps."""
        values: dict[str, Tensor] = {}
        statistics: list[Statistics] = []
        layers, mode = iter(self.layers), LayerMode(self.training, None, self.normalize, statistics)
        for node, released in zip(self.order, self.released, strict=True):
            if isinstance(node.op, Input):
                values[node.name] = self._in_working_dtype(feeds[node.name])
            else:
                inputs = tuple([values[name] for name in node.inputs])
                own = mode._replace(kept=kept[node.name]) if node.name in kept else mode
                values[node.name] = next(layers)(inputs, own)
                del inputs
            for name in released:
                del values[name]
        return ForwardResult(values, statistics)

    def _in_working_dtype(self, feed: Tensor) -> Tensor:
        """Integers stay int64, bytes are scaled from 0..255 to 0..1."""
        if feed.dtype == torch.uint8:
            return feed.to(self.dtype).div_(255)
        return feed.to(self.dtype) if feed.is_floating_point() else feed.to(torch.int64)

    def update_statistics(self, statistics: Iterable[Statistics]) -> None:
        """Moves the running mean and variance of each batch norm; those that share them move them one after the other."""
        with torch.no_grad():
            for (owner, momentum), (mean, var) in zip(self.batch_norms, statistics, strict=True):
                self.tensors[f"{owner}.mean"].mul_(momentum).add_(mean, alpha=1 - momentum)
                self.tensors[f"{owner}.var"].mul_(momentum).add_(var, alpha=1 - momentum)


def _released(order: list[Node], outputs: tuple[str, ...]) -> list[list[str]]:
    """For each node the activations that no later node reads, so that they need not be kept."""
    last = {name: index for index, node in enumerate(order) for name in (*node.inputs, node.name)}
    released: list[list[str]] = [[] for _ in order]
    for name, index in last.items():
        if name not in outputs:
            released[index].append(name)
    return released
