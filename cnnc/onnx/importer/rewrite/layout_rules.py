"""What ONNX operators do on a channels-last tensor: the rules of layout.py.

A rule gets the pass and a node, and adds the node that computes the channels-first counterpart of its output. It returns
False, with nothing added, where the node has none. Axes of the model are mapped by `to_last`: axis 3 of N x H x W x C is
axis 1 of N x C x H x W.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.rewrite.layout import MAX_RANK, LayoutPass, Rewritten, rewrites, to_first, to_last

ELEMENTWISE = (
    "Abs", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Cos", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu",
    "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round",
    "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu",
)  # fmt: skip
BROADCASTING = ("Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min",
                "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where")  # fmt: skip
REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)
INT64 = np.int64


@rewrites("Transpose")
def _transpose(layout: LayoutPass, node: OnnxNode) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    perm = tuple(node.get("perm", ()))
    rank = len(perm)
    if not 3 <= rank <= MAX_RANK or sorted(perm) != list(range(rank)):
        return False
    if source not in layout.last:
        if perm != to_last(rank) or (rank == 3 and source not in layout.first):  # N x T x C or N x C x T?
            return False
        layout.last[output] = Rewritten(layout.as_in_model(source), rank)
        return True
    counterpart = layout.last[source]
    if counterpart.rank != rank:
        return False
    composed = tuple(to_last(rank)[axis] for axis in perm)
    if composed == tuple(range(rank)):
        layout.same[output] = counterpart
    elif composed == to_last(rank):
        layout.last[output] = counterpart
    else:
        layout.nodes.append(node._replace(inputs=(counterpart.name,), attributes={"perm": composed}))
    return True


@rewrites(*ELEMENTWISE)
def _elementwise(layout: LayoutPass, node: OnnxNode) -> bool:
    if any(name in layout.last for name in node.inputs[1:]):
        return False
    first = layout.last[node.inputs[0]]
    return layout.emit(node._replace(inputs=(first.name, *node.inputs[1:])), first.rank)


@rewrites(*BROADCASTING)
def _broadcasting(layout: LayoutPass, node: OnnxNode) -> bool:
    rank = layout.rank(node)
    if node.get("broadcast") is not None or any(layout.last[n].rank != rank for n in node.inputs if n in layout.last):
        return False
    arrays = [layout.value_of(name) for name in node.inputs if name not in layout.last]
    if any(array is not None and array.ndim > rank for array in arrays):
        return False
    inputs = [layout.channels_first(name, rank) for name in node.inputs]
    return layout.emit(node._replace(inputs=tuple(name or "" for name in inputs)), rank)


@rewrites("Concat")
def _concat(layout: LayoutPass, node: OnnxNode) -> bool:
    axis = _axis(layout, node, node.get("axis", 1))
    return axis is not None and _broadcasting(layout, _with(node, axis=axis))


@rewrites("Split")
def _split(layout: LayoutPass, node: OnnxNode) -> bool:
    axis = _axis(layout, node, node.get("axis", 0))
    return axis is not None and _on_first(layout, _with(node, axis=axis))


@rewrites("Softmax", "LogSoftmax", "Hardmax")
def _softmax(layout: LayoutPass, node: OnnxNode) -> bool:
    rank = layout.rank(node)
    by_axis = layout.model.opset >= 13
    axis = node.get("axis", -1 if by_axis else 1) % rank
    if not by_axis and axis != rank - 1:  # before opset 13, over all axes from this one on
        return False
    return _on_first(layout, _with(node, axis=to_last(rank)[axis], along_axis=1))


@rewrites(*REDUCTIONS)
def _reduce(layout: LayoutPass, node: OnnxNode) -> bool:
    axes = _integers(layout, node, 1, "axes")
    mapped = _axes(layout, node, axes or ())
    if not mapped:
        return False
    rank = layout.rank(node)
    kept = rank if node.get("keepdims", 1) == 1 else _rank_without(rank, mapped)
    return _on_first(layout, _with_list(layout, node, 1, "axes", mapped), kept)


@rewrites("Squeeze")
def _squeeze(layout: LayoutPass, node: OnnxNode) -> bool:
    mapped = _axes(layout, node, _integers(layout, node, 1, "axes") or ())
    if not mapped:
        return False
    return _on_first(layout, _with_list(layout, node, 1, "axes", mapped), _rank_without(layout.rank(node), mapped))


@rewrites("Unsqueeze")
def _unsqueeze(layout: LayoutPass, node: OnnxNode) -> bool:
    axes = _integers(layout, node, 1, "axes") or ()
    rank = layout.rank(node) + len(axes)
    new = sorted(axis % rank for axis in axes)
    if rank > MAX_RANK or not new or new[0] == 0 or new[-1] == rank - 1:  # not a new spatial axis
        return False
    return _on_first(layout, _with_list(layout, node, 1, "axes", [to_last(rank)[axis] for axis in new]), rank)


@rewrites("Slice")
def _slice(layout: LayoutPass, node: OnnxNode) -> bool:
    axes = _integers(layout, node, 3, "axes")
    if axes is None:
        starts = _integers(layout, node, 1, "starts")
        axes = None if starts is None else tuple(range(len(starts)))
    mapped = _axes(layout, node, axes or ())
    if not mapped:
        return False
    return _on_first(layout, _with_list(layout, node, 3, "axes", mapped))


@rewrites("Gather")
def _gather(layout: LayoutPass, node: OnnxNode) -> bool:
    table, indices = node.inputs[:2]
    if table not in layout.last:
        return _embedding(layout, node)
    positions = layout.value_of(indices)
    axis = _axis(layout, node, node.get("axis", 0))
    if axis is None or positions is None or positions.ndim > 1:
        return False
    rank = layout.rank(node)
    return _on_first(layout, _with(node, axis=axis), rank if positions.ndim else _rank_without(rank, (axis,)))


def _embedding(layout: LayoutPass, node: OnnxNode) -> bool:
    """The rows of a table, one for each integer of a sequence, are channels last: N x T x C."""
    table, indices = node.inputs[:2]
    array = layout.model.constants.get(table)
    if array is None or array.ndim != 2 or indices not in layout.sequences or node.get("axis", 0) % 2:
        return False
    rows = layout.add("Gather", [table, indices], axis=0)
    layout.nodes[-1] = layout.nodes[-1]._replace(name=node.name)
    return layout.emit(OnnxNode(node.name, "Transpose", "", (rows,), node.outputs, {"perm": to_first(3)}), 3)


@rewrites("Pad")
def _pad(layout: LayoutPass, node: OnnxNode) -> bool:
    rank = layout.rank(node)
    axes = _integers(layout, node, 3, "axes")
    if axes is not None:
        mapped = _axes(layout, node, axes)
        return bool(mapped) and _on_first(layout, _with_list(layout, node, 3, "axes", mapped))
    order = [*to_first(rank), *(rank + axis for axis in to_first(rank))]
    pads = node.get("pads")
    if pads is None:
        return _on_first(layout, _with_reordered(layout, node, 1, order))
    return len(pads) == 2 * rank and _on_first(layout, _with(node, pads=tuple(pads[i] for i in order)))


@rewrites("Resize", "Upsample")
def _resize(layout: LayoutPass, node: OnnxNode) -> bool:
    if node.get("axes") is not None:
        mapped = _axes(layout, node, node.get("axes"))
        return bool(mapped) and _on_first(layout, _with(node, axes=mapped))
    order = to_first(layout.rank(node))
    scales = node.get("scales")
    if scales is not None:
        return len(scales) == len(order) and _on_first(layout, _with(node, scales=tuple(scales[i] for i in order)))
    positions = (1,) if len(node.inputs) < 3 else (2, 3)  # scales; scales and sizes behind the region of interest
    for position in positions:
        array = layout.value_of(node.input_name(position))
        if node.input_name(position) and (array is None or array.size):
            node = _with_reordered(layout, node, position, order)
    return _on_first(layout, node)


@rewrites("Shape")
def _shape(layout: LayoutPass, node: OnnxNode) -> bool:
    counterpart = layout.last[node.inputs[0]]
    begin, end = node.get("start", 0), node.get("end", counterpart.rank)
    order = np.asarray(to_last(counterpart.rank)[begin:end], INT64)
    shape = layout.add("Shape", [counterpart.name])
    layout.nodes.append(
        node._replace(op="Gather", inputs=(shape, layout.constant(order, "order")), attributes={"axis": 0})
    )
    return True


@rewrites("MatMul")
def _matmul(layout: LayoutPass, node: OnnxNode) -> bool:
    """A matrix product along the channels is a convolution with a kernel of 1."""
    x, matrix = node.inputs[:2]
    array = layout.value_of(matrix)
    if x not in layout.last or array is None or array.ndim != 2:
        return False
    rank = layout.last[x].rank
    transposed = layout.add("Transpose", [matrix], perm=(1, 0))
    shape = layout.constant(np.asarray([0, 0, *(1,) * (rank - 2)], INT64), "shape")
    weight = layout.add("Reshape", [transposed, shape])
    return layout.emit(node._replace(op="Conv", inputs=(layout.last[x].name, weight)), rank)


# --- arguments that name axes ---------------------------------------------------------------------------------------


def _on_first(layout: LayoutPass, node: OnnxNode, rank: int | None = None) -> bool:
    """Adds a node that reads one channels-last tensor, its first input, and whose other arguments are rewritten."""
    if node.inputs[0] not in layout.last or any(name in layout.last for name in node.inputs[1:]):
        return False
    first = layout.last[node.inputs[0]]
    return layout.emit(node._replace(inputs=(first.name, *node.inputs[1:])), first.rank if rank is None else rank)


def _axis(layout: LayoutPass, node: OnnxNode, axis: int) -> int | None:
    """An axis of the model as an axis of the channels-first tensor; None where there is no such axis."""
    mapped = _axes(layout, node, (axis,))
    return mapped[0] if mapped else None


def _axes(layout: LayoutPass, node: OnnxNode, axes: Sequence[int]) -> tuple[int, ...]:
    """As `_axis`, for several; none where one does not exist."""
    rank = layout.rank(node)
    if any(not -rank <= axis < rank for axis in axes):
        return ()
    return tuple(to_last(rank)[axis] for axis in axes)


def _rank_without(rank: int, removed: Sequence[int]) -> int:
    """The number of axes that are left, 0 where the channels are removed: the rest is the same in both layouts."""
    return 0 if 1 in removed else rank - len(set(removed))


def _integers(layout: LayoutPass, node: OnnxNode, position: int, key: str) -> tuple[int, ...] | None:
    """Integers that are an attribute in older opsets and a constant input in newer ones; None for others."""
    if key in node.attributes:
        value = node.get(key)
        return value if isinstance(value, tuple) else None
    array: Array | None = layout.value_of(node.input_name(position))
    return None if array is None or array.dtype.kind != "i" else tuple(int(n) for n in array.ravel())


def _with(node: OnnxNode, **attributes: object) -> OnnxNode:
    """The node with other attributes, None for none."""
    return node._replace(attributes={k: v for k, v in {**node.attributes, **attributes}.items() if v is not None})


def _with_list(layout: LayoutPass, node: OnnxNode, position: int, key: str, values: Sequence[int]) -> OnnxNode:
    """The node with other integers where `_integers` reads them."""
    if key in node.attributes or (position and not node.input_name(1)):
        return _with(node, **{key: tuple(values)})
    inputs = [*node.inputs, *("",) * (position + 1 - len(node.inputs))]
    inputs[position] = layout.constant(np.asarray(values, INT64), key)
    return node._replace(inputs=tuple(inputs))


def _with_reordered(layout: LayoutPass, node: OnnxNode, position: int, order: Sequence[int]) -> OnnxNode:
    """The node with the elements of a list among its inputs in another order."""
    index = layout.constant(np.asarray(order, INT64), "order")
    inputs = list(node.inputs)
    inputs[position] = layout.add("Gather", [layout.as_in_model(inputs[position]), index], axis=0)
    return node._replace(inputs=tuple(inputs))
