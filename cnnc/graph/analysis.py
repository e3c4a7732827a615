"""What follows from a graph alone: receptive fields, memory.

In: a `Graph`. Out: numbers for each node. No NumPy; the report, the language's contracts and the export
read it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from cnnc.graph.for_training import for_training
from cnnc.graph.graph import Graph
from cnnc.ops.activation import Relu
from cnnc.ops.base import Window
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.merge import Add
from cnnc.ops.norm import BatchNorm

if TYPE_CHECKING:
    from fractions import Fraction


class Field(NamedTuple):
    """The receptive field on one axis: output i reads inputs from first + step·i, `size` of them.

    (Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks".) All three are
    fractions after upsampling (see `cnnc.ops.Window`). Through branches it is the smallest stretch that
    holds those of all operands; padding counts, so it may be larger than the input.
    """

    size: int | Fraction
    step: int | Fraction = 1
    first: int | Fraction = 0

    @property
    def elements(self) -> int:
        """How many inputs one output reads at most."""
        return math.floor(self.size)


def receptive_fields(graph: Graph) -> dict[str, tuple[Field, ...]]:
    """For each node, the part of an input that one of its elements depends on, axis by axis of that input.

    Vectors keep the field of what they were made from.
    """
    fields: dict[str, tuple[Field, ...]] = {}
    for node in graph.nodes:
        if not node.inputs:
            fields[node.name] = tuple(Field(1) for _ in node.type.spatial)
            continue
        types = graph.input_types(node)
        parts = [_through(fields[name], node.op.reads(i, *types)) for i, name in enumerate(node.inputs)]
        fields[node.name] = _union(parts)
    return fields


def _through(before: tuple[Field, ...], windows: tuple[Window, ...]) -> tuple[Field, ...]:
    """The field of a window that looks at values of fields `before`."""
    if len(windows) != len(before):  # a vector made from an image, or the other way round: the field stands
        return before
    return tuple(_compose(f, w) for f, w in zip(before, windows, strict=True))


def _compose(field: Field, window: Window) -> Field:
    if window.size == 1 and window.step == 1 and window.first == 0:
        return field
    size = field.size + (window.size - 1) * field.step
    return Field(size, field.step * window.step, field.first + window.first * field.step)


def _union(parts: list[tuple[Field, ...]]) -> tuple[Field, ...]:
    longest = max(parts, key=len)
    parts = [part for part in parts if len(part) == len(longest)]
    if len(parts) == 1 or not longest:
        return parts[0]
    found = []
    for axis in zip(*parts, strict=True):
        first = min(f.first for f in axis)
        end = max(f.first + f.size for f in axis)
        found.append(Field(end - first, max(f.step for f in axis), first))
    return tuple(found)


class Memory(NamedTuple):
    """Memory of values (not weights): the most that is alive at once, where, and what is alive there."""

    bytes: int
    at: str
    alive: tuple[str, ...]


def peak_memory(graph: Graph) -> Memory:
    """The peak of a forward pass of one sample in float32, layer by layer in the order of the text.

    A value lives from the layer that makes it to the last that reads it; outputs live to the end. Layers
    that only rename (reshape, dropout) are not counted twice.
    """
    last = {node.name: i for i, node in enumerate(graph.nodes)}
    for i, node in enumerate(graph.nodes):
        for name in node.inputs:
            last[name] = i
    for name in graph.outputs:
        last[name] = len(graph.nodes)
    alive: dict[str, int] = {}
    current, peak = 0, Memory(0, "", ())
    ends: dict[int, list[str]] = {}
    for name, index in last.items():
        ends.setdefault(index, []).append(name)
    for i, node in enumerate(graph.nodes):
        alive[node.name] = node.type.bytes
        current += node.type.bytes
        if current > peak.bytes:
            peak = Memory(current, node.name, tuple(alive))
        for name in ends.get(i, ()):
            current -= alive.pop(name)
    return peak


def training_memory(graph: Graph, batch: int, slots: int = 2) -> int:
    """Bytes at the fullest moment of a training step, in float32; `slots` is what the optimizer keeps for each weight.

    Every value of `for_training`'s graph is kept until backward has passed its layer, but where a relu writes over it. A
    gradient is kept from the first reader of its value to the layer that made it, that of a weight to the update, which
    takes one array more of the size of the largest. What single layers and threads take for a moment beside that is not
    counted.
    """
    graph = for_training(graph, graph.outputs)
    learned = {name: 4 * p.size for name, p in graph.weights.items() if p.trainable and not p.frozen}
    update = sum(learned.values()) + max(learned.values(), default=0)
    kept = 4 * sum(p.size for p in graph.weights.values()) + slots * sum(learned.values())
    return kept + max(_fullest(graph, batch, learned), update)


def _fullest(graph: Graph, batch: int, learned: dict[str, int]) -> int:
    """The most bytes of values and gradients together on the way back; `learned` are those of each weight."""
    own = {
        n.name: [k for p in graph.parameters(n) if (k := f"{n.parameter_owner}.{p.name}") in learned]
        for n in graph.nodes
    }
    reached: set[str] = set()  # a gradient has somewhere to go from here
    for node in graph.nodes:
        if own[node.name] or reached.intersection(node.inputs):
            reached.add(node.name)
    gone = _written_over(graph)
    values = sum(node.type.bytes for node in graph.nodes if node.name not in gone)
    flowing = {name: graph.by_name[name].type.bytes for name in graph.outputs}
    made: set[str] = set()
    gradients, fullest = 0, 0
    for node in reversed(graph.nodes):
        gradients += sum(learned[name] for name in own[node.name] if name not in made)
        made.update(own[node.name])
        parts = {name: graph.by_name[name].type.bytes for name in node.inputs if name in reached}
        alive = values + sum(flowing.values()) + sum(size for name, size in parts.items() if name not in gone)
        fullest = max(fullest, batch * alive + gradients)
        flowing.pop(node.name, None)
        flowing |= parts
        values -= node.type.bytes if node.name not in gone else 0
    return fullest


def _written_over(graph: Graph) -> set[str]:
    """The values whose place a relu takes, in training, forward and backward: fresh ones that nothing else reads."""
    fresh = (Add, BatchNorm, Conv, ConvTranspose)
    return {
        node.name
        for node in graph.nodes
        if type(node.op) in fresh and node.name not in graph.outputs
        if [type(reader.op) for reader in graph.consumers[node.name]] == [Relu]
    }
