"""Receptive fields, memory use and vocabulary sizes of a graph.

In: a `Graph`. Out: a `ReceptiveField` per node and axis, and bytes of memory for inference and training. Reports, the
language's assertions and budgets, and the export read them. Needs no NumPy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from cnnc.graph.for_training import for_training
from cnnc.graph.graph import Graph
from cnnc.ops.activation import Relu
from cnnc.ops.base import Window
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.local import Local
from cnnc.ops.merge import Add
from cnnc.ops.norm import BatchNorm
from cnnc.ops.sequence import Embed
from cnnc.ops.spectrogram import Spectrogram

if TYPE_CHECKING:
    from fractions import Fraction


FRESH_OUTPUT = (Add, BatchNorm, Conv, ConvTranspose, Local, Spectrogram)
"""The ops whose output in training is new memory that a relu may overwrite; tests compare it with cnnc.reference."""


class ReceptiveField(NamedTuple):
    """The receptive field on one axis: output i depends on `size` input elements from first + step·i on.

    Computed as in Araujo, Norris & Sim (2019), "Computing receptive fields of convolutional neural networks". After
    upsampling all three are fractions, see `cnnc.ops.Window`. After a merge it is the smallest interval that contains
    the fields of all operands. Padding counts, so a field may be larger than the input.
    """

    size: int | Fraction
    step: int | Fraction = 1
    first: int | Fraction = 0

    @property
    def elements(self) -> int:
        """The largest number of input elements that one output depends on."""
        return math.floor(self.size)


def receptive_fields(graph: Graph) -> dict[str, tuple[ReceptiveField, ...]]:
    """For each node its receptive field in the network's input, one per spatial axis of that input.

    A vector keeps the field of the image that it was computed from; of an image that is reshaped from a vector, all positions
    have the field of the vector, with step 0. Behind a spectrogram the last of two axes is that of time.
    """
    fields: dict[str, tuple[ReceptiveField, ...]] = {}
    has_frequencies: set[str] = set()  # nodes with an axis of frequency, which the input lacks
    for node in graph.nodes:
        if not node.inputs:
            fields[node.name] = tuple(ReceptiveField(1) for _ in node.type.spatial)
            continue
        types = graph.input_types(node)
        of_time = slice(-1, None) if has_frequencies.intersection(node.inputs) and node.type.rank == 2 else slice(None)
        if isinstance(node.op, Spectrogram) or of_time.start:
            has_frequencies.add(node.name)
        windows = [node.op.reads(i, *types)[of_time] for i in range(len(types))]
        operands = [_through(fields[name], w) for name, w in zip(node.inputs, windows, strict=True)]
        if node.type.spatial and not any(type.spatial for type in types):  # all positions come from one vector
            operands = [tuple(field._replace(step=0) for field in operand) for operand in operands]
        fields[node.name] = _union(operands)
    return fields


def _through(fields: tuple[ReceptiveField, ...], windows: tuple[Window, ...]) -> tuple[ReceptiveField, ...]:
    """The fields of a layer that reads, through `windows`, a tensor with these fields."""
    if len(windows) != len(fields):  # between vector and image, where axes do not correspond: unchanged
        return fields
    return tuple(_compose(f, w) for f, w in zip(fields, windows, strict=True))


def _compose(field: ReceptiveField, window: Window) -> ReceptiveField:
    if window.size == 1 and window.step == 1 and window.first == 0:
        return field
    size = field.size + (window.size - 1) * field.step
    return ReceptiveField(size, field.step * window.step, field.first + window.first * field.step)


def _union(operands: list[tuple[ReceptiveField, ...]]) -> tuple[ReceptiveField, ...]:
    """On each axis the smallest field that contains those of all operands; operands with fewer axes are ignored."""
    most_axes = max(map(len, operands))
    operands = [fields for fields in operands if len(fields) == most_axes]
    if len(operands) == 1 or not most_axes:
        return operands[0]
    union = []
    for axis in zip(*operands, strict=True):
        first = min(f.first for f in axis)
        end = max(f.first + f.size for f in axis)
        union.append(ReceptiveField(end - first, max(f.step for f in axis), first))
    return tuple(union)


class PeakMemory(NamedTuple):
    """The peak activation memory in bytes, the layer at which it occurs, and the layers whose outputs are alive there."""

    bytes: int
    at: str
    alive: tuple[str, ...]


def peak_memory(graph: Graph) -> PeakMemory:
    """The peak activation memory of a forward pass of one sample, layer by layer in source order; weights excluded.

    The output of a layer is alive from that layer to its last reader, an output of the network to the end. Every layer
    has an output of its own, also one that could share that of its input (reshape, dropout).
    """
    last = {node.name: i for i, node in enumerate(graph.nodes)}
    for i, node in enumerate(graph.nodes):
        for name in node.inputs:
            last[name] = i
    for name in graph.outputs:
        last[name] = len(graph.nodes)
    alive: dict[str, int] = {}
    current, peak = 0, PeakMemory(0, "", ())
    ends: dict[int, list[str]] = {}
    for name, index in last.items():
        ends.setdefault(index, []).append(name)
    for i, node in enumerate(graph.nodes):
        alive[node.name] = node.type.bytes
        current += node.type.bytes
        if current > peak.bytes:
            peak = PeakMemory(current, node.name, tuple(alive))
        for name in ends.get(i, ()):
            current -= alive.pop(name)
    return peak


def training_memory(graph: Graph, batch: int, slots: int = 2) -> int:
    """An estimate of the peak memory of a training step in bytes, in float32, for a batch of this size.

    `slots` is the number of arrays that the optimizer keeps per weight (2 for Adam). Layer outputs in the graph of
    `for_training` are alive until the backward pass of their layer, unless a relu overwrites them. The gradient of an
    output is alive from the backward pass of its last reader to that of its layer, that of a weight until the update,
    which needs one more array of the size of the largest weight. Temporary arrays of single layers and threads are not counted.
    """
    graph = for_training(graph, graph.outputs)
    weight_bytes = {name: 4 * p.size for name, p in graph.weights.items() if p.trainable and not p.frozen}
    update = sum(weight_bytes.values()) + max(weight_bytes.values(), default=0)
    permanent = 4 * sum(p.size for p in graph.weights.values()) + slots * sum(weight_bytes.values())
    return permanent + max(_backward_peak(graph, batch, weight_bytes), update)


def _backward_peak(graph: Graph, batch: int, weight_bytes: dict[str, int]) -> int:
    """The peak of outputs and gradients together in the backward pass; `weight_bytes` are those of trained weights."""
    trained = {
        n.name: [k for p in graph.parameters(n) if (k := f"{n.parameter_owner}.{p.name}") in weight_bytes]
        for n in graph.nodes
    }
    with_gradient: set[str] = set()  # nodes with a trained weight at or before them: their outputs get a gradient
    for node in graph.nodes:
        if trained[node.name] or with_gradient.intersection(node.inputs):
            with_gradient.add(node.name)
    overwritten = _overwritten(graph)
    outputs = sum(node.type.bytes for node in graph.nodes if node.name not in overwritten)
    output_gradients = {name: graph.by_name[name].type.bytes for name in graph.outputs}
    counted: set[str] = set()
    weight_gradients, peak = 0, 0
    for node in reversed(graph.nodes):
        weight_gradients += sum(weight_bytes[name] for name in trained[node.name] if name not in counted)
        counted.update(trained[node.name])
        inputs = {name: graph.by_name[name].type.bytes for name in node.inputs if name in with_gradient}
        alive = (
            outputs
            + sum(output_gradients.values())
            + sum(size for name, size in inputs.items() if name not in overwritten)
        )
        peak = max(peak, batch * alive + weight_gradients)
        output_gradients.pop(node.name, None)
        output_gradients |= inputs
        outputs -= node.type.bytes if node.name not in overwritten else 0
    return peak


def _overwritten(graph: Graph) -> set[str]:
    """The layers whose outputs a relu overwrites in training, forward and backward: no other layer may read them."""
    return {
        node.name
        for node in graph.nodes
        if type(node.op) in FRESH_OUTPUT and node.name not in graph.outputs
        if [type(reader.op) for reader in graph.consumers[node.name]] == [Relu]
    }


def vocabularies(graph: Graph) -> dict[str, int]:
    """For each int64 node that embeddings read, directly or through other int64 layers, the smallest vocabulary size."""
    vocabulary: dict[str, int] = {}
    for node in reversed(graph.nodes):
        readers = graph.consumers[node.name]
        sizes = [r.op.vocab if isinstance(r.op, Embed) else vocabulary.get(r.name) for r in readers]
        known = [size for size in sizes if size is not None]
        if known and node.type.dtype == "int64":
            vocabulary[node.name] = min(known)
    return vocabulary
