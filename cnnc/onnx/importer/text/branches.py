"""Layers, which are a graph, as statements in the order of a text: branches of merges within braces.

In: a `Net`. Out: a list of `Item`s. A merge takes its branches into braces where nothing outside reads what
is within; else it names its operands. Which lines repeat is the affair of patterns.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnnc.onnx.importer.recognize.layers import Net
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops.conv import ConvTranspose
from cnnc.ops.dense import Bilinear, Input
from cnnc.ops.merge import Merge
from cnnc.ops.pool import Unpool, Upsample
from cnnc.ops.reshape import DepthToSpace

MAX_BRANCHES = 60  # layers within the braces of one merge; longer ones are named
MAX_DEPTH = 8
MAX_STEPS = 2_000_000  # upwards in search of what ways have in common; then operands are named
MAX_ENLARGING = 4  # layers of branches that make an image larger again
_ENLARGING = ConvTranspose | Unpool | Upsample | DepthToSpace


class Item:
    """A layer as a statement. `source` is the layer that must be the current one, None where that says nothing.

    `bodies` are the branches of a merge; `operands` the layers that it names instead.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.bodies: list[list[Item]] = []
        self.operands: tuple[Layer, ...] = ()
        self.source: Layer | None = layer.inputs[0] if layer.inputs else None
        self.depth = 0

    @property
    def first(self) -> Layer | None:
        return self.source

    @property
    def last(self) -> Layer:
        return self.layer

    def layers(self) -> Iterable[Layer]:
        """The layers in the order in which the language makes them: those of branches before the merge."""
        for body in self.bodies:
            for item in body:
                yield from item.layers()
        yield self.layer

    def named(self) -> Iterable[Layer]:
        """The layers that the statement names, those within its braces included."""
        yield from self.operands
        yield from self.layer.names.values()
        for body in self.bodies:
            yield from named_in(body, self.source)


def named_in(items: Sequence[Item], current: Layer | None) -> Iterable[Layer]:
    """The layers that statements name one after another, those of `from` included."""
    for item in items:
        if item.source is not None and item.source is not current:
            yield item.source
        yield from item.named()
        current = item.layer


def arrange(net: Net) -> list[Item]:
    """The statements of a network, inputs first."""
    above = _dominators(net.layers)
    readers = _readers(net)
    found: dict[int, Item] = {}
    inputs = [layer for layer in net.layers if isinstance(layer.op, Input)]
    for layer in [*inputs, *(la for la in net.layers if not isinstance(la.op, Input))]:
        item = Item(layer)
        found[id(layer)] = item
        if isinstance(layer.op, Bilinear):
            item.source = None
        if isinstance(layer.op, Merge):
            branches = _branches(layer, above[id(layer)], found, readers)
            if branches is None:
                item.operands = layer.inputs[1:]
                continue
            item.source = above[id(layer)]
            for branch in branches:
                item.bodies.append([found.pop(id(inner)) for inner in branch if id(inner) in found])
            item.depth = 1 + max((i.depth for body in item.bodies for i in body), default=0)
    return list(found.values())


def _dominators(layers: Iterable[Layer]) -> dict[int, Layer | None]:
    """For each layer, the nearest one that all ways from the inputs to it go through; None where there is none."""
    above: dict[int, Layer | None] = {}
    depth: dict[int, int] = {}
    left = MAX_STEPS
    for layer in layers:
        reads: list[Layer | None] = list(layer.reads)
        common: Layer | None = reads[0] if reads else None
        for other in reads[1:]:
            a, b = common, other
            while a is not b and a is not None and b is not None:
                left -= 1
                if left < 0:
                    a = None
                    break
                if depth[id(a)] >= depth[id(b)]:
                    a = above[id(a)]
                else:
                    b = above[id(b)]
            common = a if a is b else None
        above[id(layer)] = common
        depth[id(layer)] = 0 if common is None else depth[id(common)] + 1
    return above


def _readers(net: Net) -> dict[int, list[int]]:
    """Who reads or names each layer; an output is read from outside, as is the owner of shared parameters."""
    found: dict[int, list[int]] = {id(layer): [] for layer in net.layers}
    for layer in net.layers:
        for read in layer.inputs:
            found[id(read)].append(id(layer))
        for read in layer.names.values():
            found[id(read)] += [id(layer)] if read not in layer.inputs else []
        owner = net.owner(layer)
        if owner is not None:
            found[id(owner)].append(id(layer))
    for layer in net.outputs:
        found[id(layer)].append(0)
    return found


def _branches(
    merge: Layer, source: Layer | None, items: dict[int, Item], readers: dict[int, list[int]]
) -> list[list[Layer]] | None:
    """The layers of each branch of a merge, or None where they cannot stand, or read badly, in braces."""
    if source is None:
        return None
    branches: list[list[Layer]] = []
    seen: set[int] = set()
    for operand in merge.inputs:
        branch = _between(source, operand)
        if branch is None or seen & {id(layer) for layer in branch}:
            return None
        own = {id(layer) for layer in branch}
        seen |= own
        for layer in branch:
            outside = [r for r in readers[id(layer)] if r not in own]
            if outside != ([id(merge)] if layer is operand else []):
                return None
        branches.append(branch)
    if not 0 < len(seen) <= MAX_BRANCHES or any(items[i].depth >= MAX_DEPTH for i in seen if i in items):
        return None
    enlarging = any(isinstance(layer.op, _ENLARGING) for branch in branches for layer in branch)
    if enlarging and (len(seen) > MAX_ENLARGING or any(operand is source for operand in merge.inputs)):
        return None  # the way down and up of an encoder and decoder reads better in a line
    return branches


def _between(source: Layer, operand: Layer) -> list[Layer] | None:
    """All that an operand is made from after `source`, in order; None where it is too much."""
    found: dict[int, Layer] = {}
    waiting = [operand]
    while waiting:
        layer = waiting.pop()
        if layer is source or id(layer) in found:
            continue
        if isinstance(layer.op, Input) or len(found) > MAX_BRANCHES:
            return None
        found[id(layer)] = layer
        waiting += layer.reads
    order: list[Layer] = []
    done: set[int] = {id(source)}

    def visit(layer: Layer) -> None:
        if id(layer) not in done:
            done.add(id(layer))
            for read in layer.reads:
                visit(read)
            order.append(layer)

    visit(operand)
    return order
