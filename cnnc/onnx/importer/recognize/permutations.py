"""Moves permutations of vectors into the weights of fully connected layers.

A model that is channels last flattens N x H x W x C, and channels first the same elements stand in another order. The
interpreter marks the layer that permutes them (`Layer.permutation`): a placeholder, or a layer of the language. It is moved
down to the `fc` that reads the vector, whose weight gets its columns in another order, or up to the `fc` that computes it,
whose rows are reordered.

In: the layers of an `Interpreter`, which are changed. Example: flatten, permutation, relu, fc becomes flatten, relu, fc.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops import OPS
from cnnc.ops.activation import Activation, Dropout, Identity, LogSoftmax, Softmax
from cnnc.ops.dense import Fc
from cnnc.ops.merge import Concat, Elementwise
from cnnc.ops.norm import Affine, BatchNorm, Normalize
from cnnc.ops.reshape import Flatten

# Layers that treat each element of a vector by itself: weights and lists of numbers have one entry per element.
_ELEMENTWISE = (
    *(op for op in OPS.values() if issubclass(op, Activation) and not issubclass(op, Softmax | LogSoftmax)),
    *(Affine, BatchNorm, Dropout, Identity, Normalize),
)
MAX_SWEEPS = 4  # each finds the placeholders that cannot move; a graph with more dependencies among them keeps them all

Orders = Mapping[int, Array]
"""For a layer by id, the order that its output will have: element i will be what is element order[i] now."""


def absorb_permutations(run: Interpreter, outputs: Iterable[Layer]) -> None:
    """Removes the permutations that can be moved into an fc. Placeholders that remain stay in `run.placeholders`."""
    pending = {id(layer) for layer in run.layers if layer.permutation is not None}
    if not pending:
        return
    outputs = list(outputs)
    needed = _needed(run, outputs)
    final = {id(layer) for layer in outputs}
    for _ in range(MAX_SWEEPS):
        orders, stuck = _orders(needed, pending, final)
        if not stuck:
            _move_down(run, needed, orders, pending)
            break
        pending -= stuck
    else:
        pending = set()
    readers = Counter(id(i) for i in (*outputs, *(i for layer in needed for i in layer.dependencies)))
    replaced: dict[int, Layer] = {}
    for layer in needed:
        layer.inputs = tuple(replaced.get(id(i), i) for i in layer.inputs)
        if layer.permutation is not None and id(layer) not in pending and _moved_up(layer, readers):
            replaced[id(layer)] = layer.inputs[0]
            run.placeholders.pop(id(layer), None)


def _needed(run: Interpreter, outputs: Iterable[Layer]) -> list[Layer]:
    """The layers that the outputs need, in topological order."""
    ids = {id(layer) for layer in outputs}
    for layer in reversed(run.layers):
        if id(layer) in ids:
            ids |= {id(dependency) for dependency in layer.dependencies}
    return [layer for layer in run.layers if id(layer) in ids]


def _orders(layers: list[Layer], pending: set[int], final: set[int]) -> tuple[Orders, set[int]]:
    """The order of each output once the pending permutations are removed, and those of them that cannot be removed."""
    orders: dict[int, Array] = {}
    origins: dict[int, frozenset[int]] = {}
    stuck: set[int] = set()
    for layer in layers:
        if id(layer) in pending and id(layer.inputs[0]) not in orders:
            assert layer.permutation is not None
            orders[id(layer)] = np.argsort(layer.permutation)
            origins[id(layer)] = frozenset((id(layer),))
        moved = [i for i in layer.dependencies if id(i) in orders]
        if moved:
            sources = frozenset().union(*(origins[id(i)] for i in moved))
            order = _order_behind(layer, orders)
            if order is not None:
                orders[id(layer)], origins[id(layer)] = order, sources
            elif not isinstance(layer.op, Fc):
                stuck |= sources
        if id(layer) in final and id(layer) in orders:
            stuck |= origins[id(layer)]
    return orders, stuck


def _order_behind(layer: Layer, orders: Orders) -> Array | None:
    """The order of the output of a layer that reads reordered vectors; None where it has none."""
    found = [orders.get(id(i)) for i in layer.inputs]
    if layer.layer_arguments or layer.type.rank or layer.permutation is not None:
        return None
    if isinstance(layer.op, Concat):
        offsets = np.cumsum([0, *(i.type.channels for i in layer.inputs)])
        parts = [np.arange(i.type.channels) if o is None else o for i, o in zip(layer.inputs, found, strict=True)]
        return np.concatenate([part + offset for part, offset in zip(parts, offsets, strict=False)])
    first = found[0]
    if isinstance(layer.op, _ELEMENTWISE):
        return first
    same = first is not None and all(o is not None and np.array_equal(o, first) for o in found)
    return first if same and isinstance(layer.op, Elementwise) else None


def _move_down(run: Interpreter, layers: list[Layer], orders: Orders, pending: set[int]) -> None:
    """Removes the pending permutations: reorders the weights of the layers behind them, and the columns of each fc."""
    replaced: dict[int, Layer] = {}
    for layer in layers:
        if isinstance(layer.op, Fc) and id(layer.inputs[0]) in orders:
            order = orders[id(layer.inputs[0])]
            layer.weights["weight"] = layer.weights["weight"][:, order]
            source = replaced.get(id(layer.inputs[0]), layer.inputs[0])
            layer.inputs = (source.inputs[0] if isinstance(source.op, Flatten) else source,)
            continue
        if id(layer) in orders and id(layer) not in pending:
            _reorder(layer, orders[id(layer)])
        layer.inputs = tuple(replaced.get(id(i), i) for i in layer.inputs)
        if id(layer) in pending:
            replaced[id(layer)] = layer.inputs[0]
            run.placeholders.pop(id(layer), None)


def _moved_up(placeholder: Layer, readers: Counter[int]) -> bool:
    """Moves a permutation to the fc that computes its input, if only layers that nothing else reads are in between."""
    chain: list[Layer] = []
    layer = placeholder.inputs[0]
    while readers[id(layer)] == 1 and isinstance(layer.op, _ELEMENTWISE) and layer.permutation is None:
        chain.append(layer)
        layer = layer.inputs[0]
    if not isinstance(layer.op, Fc) or readers[id(layer)] != 1:
        return False
    order = placeholder.permutation
    assert order is not None
    for moved in (*chain, layer):
        _reorder(moved, order)
    return True


def _reorder(layer: Layer, order: Array) -> None:
    """Puts the elements of a layer's output, a vector, in another order."""
    layer.weights = {name: a if len(a) == 1 else a[order] for name, a in layer.weights.items()}
    if isinstance(layer.op, Normalize):
        numbers = {name: np.asarray(getattr(layer.op, name)) for name in ("mean", "std")}
        layer.op = layer.op.replace(
            **{name: tuple(a.tolist() if a.size == 1 else a[order].tolist()) for name, a in numbers.items()}
        )
