"""Orders the layers of a graph as statements, with the branches of a merge in braces where possible.

In: a `LayerGraph`. Out: a list of `LayerStatement`s. A merge takes its branches into braces if no layer outside reads a
layer inside; otherwise it names its operands. repetition.py gathers repeats and blocks later.

Example: a convolution whose output is added to its input becomes `add { conv 4 k=3 p=same } { }`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cnnc.onnx.importer.recognize.layers import LayerGraph
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops.conv import ConvTranspose
from cnnc.ops.dense import Bilinear, Input
from cnnc.ops.merge import Merge
from cnnc.ops.pool import Unpool, Upsample
from cnnc.ops.reshape import DepthToSpace

MAX_BRANCHES = 60  # layers in the braces of one merge; with more, operands are named
MAX_DEPTH = 8  # of braces within braces
MAX_SEARCH_STEPS = 2_000_000  # of the search for common ancestors; beyond it, operands are named
MAX_ENLARGING = 4  # layers in branches that upsample; with more, operands are named
_ENLARGING = ConvTranspose | Unpool | Upsample | DepthToSpace


class LayerStatement:
    """A statement that adds one layer.

    `source` is the layer whose output the statement continues from, None where it names all its inputs. `branches` are
    the bodies in braces of a merge, `operands` the layers that a merge names instead. `depth` is that of its braces.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.branches: list[list[LayerStatement]] = []
        self.operands: tuple[Layer, ...] = ()
        self.source: Layer | None = layer.inputs[0] if layer.inputs else None
        self.depth = 0

    @property
    def last_layer(self) -> Layer:
        """The layer that the next statement continues from."""
        return self.layer

    def layers(self) -> Iterable[Layer]:
        """The layers in the order of the graph: those of branches before the merge."""
        for branch in self.branches:
            for statement in branch:
                yield from statement.layers()
        yield self.layer

    def named_layers(self) -> Iterable[Layer]:
        """The layers that the statement mentions by name, inside its braces too."""
        yield from self.operands
        yield from self.layer.layer_arguments.values()
        for branch in self.branches:
            yield from named_layers_in(branch, self.source)


def named_layers_in(statements: Sequence[LayerStatement], current: Layer | None) -> Iterable[Layer]:
    """The layers that a sequence of statements mentions by name, in `from` too; `current` is the layer before it."""
    for statement in statements:
        if statement.source is not None and statement.source is not current:
            yield statement.source
        yield from statement.named_layers()
        current = statement.layer


def statements_of(layer_graph: LayerGraph) -> list[LayerStatement]:
    """The statements of a network, those of its inputs first."""
    dominators = _dominators(layer_graph.layers)
    consumers = _consumers(layer_graph)
    statements: dict[int, LayerStatement] = {}
    inputs = [layer for layer in layer_graph.layers if isinstance(layer.op, Input)]
    for layer in [*inputs, *(la for la in layer_graph.layers if not isinstance(la.op, Input))]:
        statement = LayerStatement(layer)
        statements[id(layer)] = statement
        if isinstance(layer.op, Bilinear):
            statement.source = None
        if isinstance(layer.op, Merge):
            branches = _branches(layer, dominators[id(layer)], statements, consumers)
            if branches is None:
                statement.operands = layer.inputs[1:]
                continue
            statement.source = dominators[id(layer)]
            for branch in branches:
                ids = [id(inner_layer) for inner_layer in branch]
                statement.branches.append([statements.pop(i) for i in ids if i in statements])
            statement.depth = 1 + max((inner.depth for branch in statement.branches for inner in branch), default=0)
    return list(statements.values())


def _dominators(layers: Iterable[Layer]) -> dict[int, Layer | None]:
    """For each layer its immediate dominator: the nearest layer on every path from the inputs to it, None if there is none."""
    above: dict[int, Layer | None] = {}
    depth: dict[int, int] = {}
    steps_left = MAX_SEARCH_STEPS
    for layer in layers:
        inputs: list[Layer | None] = list(layer.dependencies)
        common: Layer | None = inputs[0] if inputs else None
        for other in inputs[1:]:
            a, b = common, other
            while a is not b and a is not None and b is not None:
                steps_left -= 1
                if steps_left < 0:
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


def _consumers(layer_graph: LayerGraph) -> dict[int, list[int]]:
    """The ids of the layers that read or name each layer; an output of the graph adds 0.

    A layer with shared parameters counts as a consumer of their owner, which it names.
    """
    consumers: dict[int, list[int]] = {id(layer): [] for layer in layer_graph.layers}
    for layer in layer_graph.layers:
        for dependency in layer.inputs:
            consumers[id(dependency)].append(id(layer))
        for dependency in layer.layer_arguments.values():
            consumers[id(dependency)] += [id(layer)] if dependency not in layer.inputs else []
        owner = layer_graph.parameter_owner(layer)
        if owner is not None:
            consumers[id(owner)].append(id(layer))
    for layer in layer_graph.outputs:
        consumers[id(layer)].append(0)
    return consumers


def _branches(
    merge: Layer, source: Layer | None, statements: dict[int, LayerStatement], consumers: dict[int, list[int]]
) -> list[list[Layer]] | None:
    """The layers of each branch of a merge; None where braces are impossible or hard to read."""
    if source is None:
        return None
    branches: list[list[Layer]] = []
    inner_ids: set[int] = set()
    for operand in merge.inputs:
        branch = _between(source, operand)
        if branch is None or inner_ids & {id(layer) for layer in branch}:
            return None
        branch_ids = {id(layer) for layer in branch}
        inner_ids |= branch_ids
        for layer in branch:
            outside = [r for r in consumers[id(layer)] if r not in branch_ids]
            if outside != ([id(merge)] if layer is operand else []):
                return None
        branches.append(branch)
    if not 0 < len(inner_ids) <= MAX_BRANCHES or any(
        statements[i].depth >= MAX_DEPTH for i in inner_ids if i in statements
    ):
        return None
    enlarging = any(isinstance(layer.op, _ENLARGING) for branch in branches for layer in branch)
    if enlarging and (len(inner_ids) > MAX_ENLARGING or any(operand is source for operand in merge.inputs)):
        return None  # an encoder and decoder with skips is easier to read without braces
    return branches


def _between(source: Layer, operand: Layer) -> list[Layer] | None:
    """The layers after `source` that an operand depends on, in order; None where there are too many."""
    between: dict[int, Layer] = {}
    waiting = [operand]
    while waiting:
        layer = waiting.pop()
        if layer is source or id(layer) in between:
            continue
        if isinstance(layer.op, Input) or len(between) > MAX_BRANCHES:
            return None
        between[id(layer)] = layer
        waiting += layer.dependencies
    order: list[Layer] = []
    visited: set[int] = {id(source)}

    def visit(layer: Layer) -> None:
        if id(layer) not in visited:
            visited.add(id(layer))
            for dependency in layer.dependencies:
                visit(dependency)
            order.append(layer)

    visit(operand)
    return order
