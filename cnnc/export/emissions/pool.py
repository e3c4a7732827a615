"""Pooling, and the ways back to a larger image."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import onnx
from onnx import numpy_helper

from cnnc.diagnostics import CnncError
from cnnc.export.emitter import Emitter, emission_of, padded, sides
from cnnc.graph import Node
from cnnc.ops import window
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.reference.engine import Array
from cnnc.reference.pool import geometry
from cnnc.reference.windows import Geometry
from cnnc.tensor import TensorType

_END = 2**63 - 1  # of an axis, whatever its size (ONNX Slice)


@emission_of(Pool)
def _pool(e: Emitter, op: Pool, node: Node, inputs: list[str]) -> None:
    (x,) = e.graph.input_types(node)
    g = _geometry(op, x)
    if op.kind == "max":
        _max(e, op, g, inputs[0])
    elif op.kind in ("l2", "lp"):
        _norm(e, op, x, g, inputs[0])
    elif op.kind == "weighted":
        axes = [np.exp(np.subtract(a, max(a))) for a in op.tap_exponents()]
        _mean(e, op, x, g, inputs[0], reduce(np.multiply.outer, [a / a.sum() for a in axes]))
    elif all(d == 1 for d in op.d) and not (op.count_pad and _asked(op, x) != g.pads):
        pads, count = sides(g.pads), int(op.count_pad)
        e.op("AveragePool", inputs, kernel_shape=op.k, strides=op.stride, pads=pads, count_include_pad=count)
    else:  # dilated (AveragePool has no dilations before opset 19), or ceil with counted padding
        _mean(e, op, x, g, inputs[0], np.full(op.k, 1 / math.prod(op.k)))


def _geometry(op: Pool, x: TensorType) -> Geometry:
    """Where windows lie, with explicit padding for what ceil rounds up: runtimes differ in the corners of ceil_mode.

    ceil(room/s) is floor((room + s - 1)/s), so s - 1 more at the end is right for every size, unless the last
    window might then begin beyond the input, where ceil leaves it out; there the padding is that of this size.
    """
    g = geometry(op, x.spatial)
    if not op.ceil:
        return g
    pads = []
    for exact, (begin, end), k, s, d in zip(g.pads, _asked(op, x), g.k, g.s, g.d, strict=True):
        pads.append((begin, end + s - 1) if end + s - 1 < window.effective(k, d) else exact)
    return g._replace(pads=tuple(pads))


def _asked(op: Pool, x: TensorType) -> tuple[tuple[int, int], ...]:
    """The padding that the text asks for, without what ceil adds at the end."""
    return window.resolve(op.p, x.spatial, op.k, op.stride, op.d)


def _max(e: Emitter, op: Pool, g: Geometry, x: str, output: str = "") -> None:
    pads = sides(g.pads)
    if any(max(both) >= k for both, k in zip(g.pads, op.k, strict=True)):
        # a dilated window may be padded by more than it has elements, which onnxruntime's MaxPool refuses
        x, pads = padded(e, [x], pads, -np.inf), [0] * len(pads)
    e.op("MaxPool", [x], output, kernel_shape=op.k, strides=op.stride, dilations=op.d, pads=pads)


def _norm(e: Emitter, op: Pool, x: TensorType, g: Geometry, name: str) -> None:
    """LpPool of the padded input; where the window is dilated, Conv with ones adds up the powers."""
    if any(sides(g.pads)):
        name = padded(e, [name], sides(g.pads), 0)  # onnxruntime's LpPool has faults with pads and ceil_mode
    if all(d == 1 for d in op.d):
        e.op("LpPool", [name], kernel_shape=op.k, strides=op.stride, p=op.order)
        return
    order, root = (e.constant(e.inner(n), v) for n, v in (("order", op.order), ("root", 1 / op.order)))
    power = e.op("Pow", [e.op("Abs", [name], e.inner("abs")), order], e.inner("power"))
    total = _windows(e, op, [(0, 0)] * x.rank, power, np.ones(op.k), x.channels, e.inner("sum"))
    e.op("Pow", [total, root])


def _mean(e: Emitter, op: Pool, x: TensorType, g: Geometry, name: str, kernel: Array) -> None:
    """The mean by the weights of a kernel whose sum is 1: a Conv, divided by the sum of the weights that see something.

    That sum is made at run time, of an image of ones, so that the size of the input may vary.
    """
    asked = _asked(op, x)
    if g.pads == (asked if op.count_pad else tuple((0, 0) for _ in g.pads)):
        _windows(e, op, g.pads, name, kernel, x.channels, "")
        return
    total = _windows(e, op, g.pads, name, kernel, x.channels, e.inner("sum"))
    shape = e.op("Shape", [name], e.inner("shape"))
    spatial = e.op("Slice", [shape, e.integers("begin", [2]), e.integers("end", [_END])], e.inner("spatial"))
    single = e.op("Concat", [e.integers("single", [1, 1]), spatial], e.inner("single_shape"), axis=0)
    one = numpy_helper.from_array(np.ones(1, np.float32))
    ones = e.op("ConstantOfShape", [single], e.inner("ones"), value=one)
    rest = g.pads
    if op.count_pad:
        ones = padded(e, [ones], sides(asked), 1, e.inner("padded_ones"))
        rest = tuple((0, end - wanted) for (_, end), (_, wanted) in zip(g.pads, asked, strict=True))
    seen = _windows(e, op, rest, ones, kernel, 1, e.inner("seen"))
    e.op("Div", [total, seen])


def _windows(
    e: Emitter,
    op: Pool,
    pads: tuple[tuple[int, int], ...] | list[tuple[int, int]],
    name: str,
    kernel: Array,
    channels: int,
    output: str,
) -> str:
    """The sum of each window by the weights of a kernel, each channel by itself."""
    weight = np.broadcast_to(kernel, (channels, 1, *op.k))
    suffix = "kernel" if channels > 1 else "kernel1"
    return e.op(
        "Conv",
        [name, e.constant(e.inner(suffix), weight)],
        output,
        kernel_shape=op.k,
        strides=op.stride,
        dilations=op.d,
        group=channels,
        pads=sides(pads),
    )


@emission_of(GlobalPool)
def _global_pool(e: Emitter, op: GlobalPool, node: Node, inputs: list[str]) -> None:
    if op.kind != "l2":
        e.op({"max": "GlobalMaxPool", "avg": "GlobalAveragePool"}[op.kind], inputs)
    elif e.opset < 22:
        e.op("GlobalLpPool", inputs, p=2)
    else:  # onnxruntime has no GlobalLpPool of opset 22
        e.op("ReduceL2", [*inputs, e.integers("axes", range(2, 2 + node.type.rank))], keepdims=1)


@emission_of(Unpool)
def _unpool(e: Emitter, op: Unpool, node: Node, inputs: list[str]) -> None:
    """Values added to zeros by ScatterElements, at the places that MaxPool has for its second output.

    MaxUnpool lets the last of two values win where windows overlap, leaves open what its indices mean where
    windows do not reach the end of the input, and takes the output's size from its own.
    """
    values, source = inputs
    x = e.graph.input_types(node)[1]
    pool = op.pool
    assert pool is not None, "lowering puts the pool in"
    g = _geometry(pool, x)
    maximum = _maximum(e, pool, g, node.inputs[1], source)
    indices = _indices(e, maximum)
    origin = maximum.input[0]
    overlap = any(window.effective(k, d) > s for k, d, s in zip(pool.k, pool.d, pool.stride, strict=True))
    if overlap and e.opset < 16:
        raise CnncError.of(
            "E805",
            f"{node.name} cannot be exported at opset {e.opset}: its windows overlap, and values are added where two "
            "have their maximum at one place",
            span=node.span,
            help="opset 16 or later has what it takes",
        )
    shape = e.op("Shape", [origin], e.inner("shape"))
    flat = e.integers("flat", [-1])
    size = e.op("ReduceProd", [shape], e.inner("size"), keepdims=1)
    zeros = e.op("ConstantOfShape", [size], e.inner("zeros"), value=numpy_helper.from_array(np.zeros(1, np.float32)))
    places = e.op("Reshape", [indices, flat], e.inner("places"))
    updates = e.op("Reshape", [values, flat], e.inner("values"))
    kind = {"reduction": "add"} if overlap else {}
    found = e.op("ScatterElements", [zeros, places, updates], e.inner("scattered"), axis=0, **kind)
    if origin == source:
        e.op("Reshape", [found, shape])
        return
    # the pool read a padded copy, so the indices are places in it: take the middle
    image = e.op("Reshape", [found, shape], e.inner("image"))
    begins = e.integers("begins", [b for b, _ in g.pads])
    ends = e.integers("ends", [-end or _END for _, end in g.pads])
    e.op("Slice", [image, begins, ends, e.integers("axes", range(2, 2 + x.rank))])


def _maximum(e: Emitter, pool: Pool, g: Geometry, read: str, source: str) -> onnx.NodeProto:
    """The MaxPool of this pool over the layer `read`; one of the unpool's own where the graph has none."""
    same = [n.name for n in e.graph.nodes if n.op == pool and n.inputs == (read,)]
    made = next((n for n in e.nodes if n.op_type == "MaxPool" and n.output[0] in same), None)
    if made is None:
        _max(e, pool, g, source, e.inner("maxima"))
        made = e.nodes[-1]
    return made


def _indices(e: Emitter, maximum: onnx.NodeProto) -> str:
    """The second output of a MaxPool, flat places in the whole tensor that it reads; added where it had none."""
    if len(maximum.output) == 1:
        maximum.output.append(f"{maximum.output[0]}.indices")
    return str(maximum.output[1])


@emission_of(Upsample)
def _upsample(e: Emitter, op: Upsample, node: Node, inputs: list[str]) -> None:
    scales = e.constant(e.inner("scales"), [1, 1, *op.n])
    if op.mode == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    e.op("Resize", [*inputs, "", scales], **how)


@emission_of(Maxout)
def _maxout(e: Emitter, op: Maxout, node: Node, inputs: list[str]) -> None:
    """The largest of n slices of the channels; a reshape would have to name the sizes behind them."""
    ends, axes, step = e.integers("ends", [_END]), e.integers("axes", [1]), e.integers("step", [op.n])
    parts = [
        e.op("Slice", [*inputs, e.integers(f"begin{r}", [r]), ends, axes, step], e.inner(f"part{r}"))
        for r in range(op.n)
    ]
    e.op("Max", parts)
