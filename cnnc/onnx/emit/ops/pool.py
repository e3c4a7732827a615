"""Pooling, and the ways back to a larger image."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import AXIS_END, Emitter, emission_of
from cnnc.onnx.emit.padding import AxisPads, Padding, WindowArguments, no_pads, onnx_pads, pad_tensor, runtime_padding
from cnnc.onnx.emit.shape_arithmetic import SizeVector, concat_sizes, constant_sizes, spatial_sizes
from cnnc.ops import window
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.reshape import Pad


@emission_of(Pool)
def _pool(e: Emitter, op: Pool, node: Node, inputs: list[str]) -> None:
    name = inputs[0]
    around = _borders(e, op, name)
    counted = op.count_pad and not op.ceil  # all borders count, or none does
    if op.kind == "max":
        _max(e, op, around, name)
    elif op.kind in ("l2", "lp"):
        _norm(e, op, around, name)
    elif op.kind == "weighted":
        axes = [np.exp(np.subtract(a, max(a))) for a in op.tap_exponents()]
        _mean(e, op, around, name, [a / a.sum() for a in axes])
    elif all(d == 1 for d in op.d) and around.known is not None and not (op.count_pad and not counted):
        known, apart, count = around.known, _apart(e, name), int(op.count_pad)
        if counted and apart and not around.is_zero:
            name, known = pad_tensor(e, name, around, 0), no_pads(len(op.k))
        pads = _pads(known, apart)
        e.op("AveragePool", [name], kernel_shape=op.k, strides=op.stride, **pads, count_include_pad=count)
    else:  # dilated (AveragePool has no dilations before opset 19), of unknown padding, or ceil with counted padding
        _mean(e, op, around, name, [np.full(k, 1 / k) for k in op.k])


def _frame(op: Pool) -> WindowArguments:
    return WindowArguments(op.p, op.k, op.stride, op.d, op.ceil)


def _borders(e: Emitter, op: Pool, x: str, of: Callable[..., AxisPads] | None = None) -> Padding:
    """The padding of a pool over the tensor x; `of` gives it in numbers for the current node (`_reach` when left out)."""
    known = e.same_at_all_sizes(of or _reach)
    return Padding(known) if known is not None else runtime_padding(e, x, _frame(op))


def _reach(op: Pool, x: TensorType) -> AxisPads:
    """Explicit padding for what ceil rounds up as well: runtimes differ in the corners of ceil_mode.

    ceil(room/s) is floor((room + s - 1)/s), so s - 1 more at the end is right for every size, unless the last
    window might then begin beyond the input, where ceil leaves it out; there the padding is that of this size.
    """
    g = window.Geometry.of(op.rules(x))
    if not op.ceil:
        return g.pads
    pads = []
    for exact, (begin, end), k, s, d in zip(g.pads, _asked(op, x), g.k, g.s, g.d, strict=True):
        pads.append((begin, end + s - 1) if end + s - 1 < window.effective(k, d) else exact)
    return tuple(pads)


def _asked(op: Pool, x: TensorType) -> AxisPads:
    """The padding that the text asks for, without what ceil adds at the end."""
    return window.resolve(op.p, x.spatial, op.k, op.stride, op.d)


def _max(e: Emitter, op: Pool, around: Padding, x: str, output: str = "") -> None:
    known, apart = around.known, _apart(e, x)
    wide = known is not None and any(max(both) >= k for both, k in zip(known, op.k, strict=True))
    if known is None or wide or (apart and not around.is_zero):
        # a dilated window may be padded by more than it has elements, which onnxruntime's MaxPool refuses
        x, known = pad_tensor(e, x, around, -np.inf), no_pads(len(op.k))
    e.op("MaxPool", [x], output, kernel_shape=op.k, strides=op.stride, dilations=op.d, **_pads(known, apart))


def _apart(e: Emitter, x: str) -> bool:
    """Whether a `pad` made what a pool reads. Its elements must not become padding of the pool, which a maximum never is,
    and which may not be as wide as the window: onnxruntime joins the two, unless the pool says by a word to have none."""
    return x in e.graph.by_name and isinstance(e.graph.by_name[x].op, Pad)


def _pads(pads: AxisPads, apart: bool) -> dict[str, Any]:
    """A pool's padding, in numbers where they will do."""
    return {"auto_pad": "VALID"} if apart and not any(map(any, pads)) else {"pads": onnx_pads(pads)}


def _norm(e: Emitter, op: Pool, around: Padding, name: str) -> None:
    """LpPool of the padded input; where the window is dilated, Conv with ones adds up the powers."""
    if not around.is_zero:
        name = pad_tensor(e, name, around, 0)  # onnxruntime's LpPool has faults with pads and ceil_mode
    if all(d == 1 for d in op.d):
        e.op("LpPool", [name], kernel_shape=op.k, strides=op.stride, p=op.order)
        return
    order, root = (e.constant(e.inner_name(n), v) for n, v in (("order", op.order), ("root", 1 / op.order)))
    power = e.op("Pow", [e.op("Abs", [name], e.inner_name("abs")), order], e.inner_name("power"))
    total = _windows(e, op, power, [np.ones(k) for k in op.k], e.inner_name("sum"))
    e.op("Pow", [total, root])


def _mean(e: Emitter, op: Pool, around: Padding, name: str, taps: list[Array]) -> None:
    """The mean by the weights of taps whose sum is 1: a Conv, divided by the sum of the weights that see something.

    `taps` are the weights on each axis, to be multiplied. The divisor is a constant where the size is known, else
    made at run time of an image of ones.
    """
    pads = no_pads(len(op.k))
    image = name
    if around.known is not None:
        pads = around.known
    else:
        image = pad_tensor(e, name, around, 0)
    if around.is_zero or (op.count_pad and not op.ceil):
        _windows(e, op, image, taps, "", pads)
        return
    total = _windows(e, op, image, taps, e.inner_name("sum"), pads)
    seen = e.same_at_all_sizes(lambda op, x: _seen(op, x, taps))
    if seen is not None:
        assert e.node is not None
        grid = reduce(np.multiply.outer, [np.asarray(axis) for axis in seen])
        e.op("Div", [total, e.constant(e.inner_name("seen"), grid[None, None])])
        return
    single = concat_sizes(e, [constant_sizes(e, [1, 1]), spatial_sizes(e, name)])
    one = numpy_helper.from_array(np.ones(1, np.float32))
    ones = e.op("ConstantOfShape", [single.name], e.inner_name("ones"), value=one)
    if op.count_pad:
        asked = e.same_at_all_sizes(_asked)
        counts = Padding(asked) if asked is not None else runtime_padding(e, name, _frame(op)._replace(ceil=False))
        ones, rest = pad_tensor(e, ones, counts, 1, what="counted_"), _beyond(around, counts)
    else:
        rest = around
    seen_by = _windows(e, op, pad_tensor(e, ones, rest, 0, what="ones_"), taps, e.inner_name("seen"), channels=1)
    e.op("Div", [total, seen_by])


def _beyond(around: Padding, counts: Padding) -> Padding:
    """What lies around what counts: the elements that ceil adds."""
    if around.known is not None and counts.known is not None:
        pairs = zip(around.known, counts.known, strict=True)
        return Padding(tuple((0, end - counted) for (_, end), (_, counted) in pairs))
    known = around if around.begins is not None else counts
    assert known.begins is not None
    e = known.begins.e
    begin, end = (_side(e, around, side) - _side(e, counts, side) for side in (0, 1))
    return Padding(None, begin, end)


def _side(e: Emitter, borders: Padding, side: int) -> SizeVector:
    if borders.known is not None:
        return constant_sizes(e, [pair[side] for pair in borders.known])
    found = (borders.begins, borders.ends)[side]
    assert found is not None
    return found


def _seen(op: Pool, x: TensorType, taps: list[Array]) -> tuple[tuple[float, ...], ...]:
    """On each axis, the sum of the weights that lie on something that counts, window by window."""
    found = []
    g = window.Geometry.of(op.rules(x))
    counts = _asked(op, x) if op.count_pad else no_pads(x.rank)
    for axis, (begin, end) in enumerate(counts):
        begin_at = g.pads[axis][0] - begin  # windows begin in front of what counts
        size = x.spatial[axis] + begin + end
        starts = np.arange(g.out[axis])[:, None] * g.s[axis] - begin_at
        places = starts + np.arange(g.k[axis])[None, :] * g.d[axis]
        found.append(tuple((((places >= 0) & (places < size)) * taps[axis]).sum(1).tolist()))
    return tuple(found)


def _windows(
    e: Emitter, op: Pool, name: str, taps: list[Array], output: str, pads: AxisPads = (), channels: int = 0
) -> str:
    """The sum of each window by the weights of taps, each channel by itself."""
    assert e.node is not None
    channels = channels or e.graph.input_types(e.node)[0].channels
    weight = np.broadcast_to(reduce(np.multiply.outer, taps), (channels, 1, *op.k))
    suffix = "kernel" if channels > 1 else "kernel1"
    return e.op(
        "Conv",
        [name, e.constant(e.inner_name(suffix), weight)],
        output,
        kernel_shape=op.k,
        strides=op.stride,
        dilations=op.d,
        group=channels,
        pads=onnx_pads(pads or no_pads(len(op.k))),
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
    around = _borders(e, pool, source, lambda op, y, x: _reach(op.pool, x))
    maximum = _maximum(e, pool, around, node.inputs[1], source)
    indices = _indices(e, maximum)
    origin = maximum.input[0]
    if pool.overlaps and e.opset < 16:
        raise CnncError.of(
            "E805",
            f"{node.name} cannot be exported at opset {e.opset}: its windows overlap, and values are added where two "
            "have their maximum at one place",
            span=node.span,
            help="opset 16 or later has what it takes",
        )
    shape = e.op("Shape", [origin], e.inner_name("shape"))
    flat = e.integers("flat", [-1])
    size = e.op("ReduceProd", [shape], e.inner_name("size"), keepdims=1)
    zero_image = e.op(
        "ConstantOfShape", [size], e.inner_name("zeros"), value=numpy_helper.from_array(np.zeros(1, np.float32))
    )
    places = e.op("Reshape", [indices, flat], e.inner_name("places"))
    updates = e.op("Reshape", [values, flat], e.inner_name("values"))
    kind = {"reduction": "add"} if pool.overlaps else {}
    found = e.op("ScatterElements", [zero_image, places, updates], e.inner_name("scattered"), axis=0, **kind)
    if origin == source:
        e.op("Reshape", [found, shape])
        return
    # the pool read a padded copy, so the indices are places in it: take the middle
    image = e.op("Reshape", [found, shape], e.inner_name("image"))
    begins = _side(e, around, 0)
    e.op(
        "Slice",
        [image, begins.name, (begins + spatial_sizes(e, source)).name, e.integers("axes", range(2, 2 + x.rank))],
    )


def _maximum(e: Emitter, pool: Pool, around: Padding, read: str, source: str) -> onnx.NodeProto:
    """The MaxPool of this pool over the layer `read`; one of the unpool's own where the graph has none."""
    same = [n.name for n in e.graph.nodes if n.op == pool and n.inputs == (read,)]
    made = next((n for n in e.nodes if n.op_type == "MaxPool" and n.output[0] in same), None)
    if made is None:
        _max(e, pool, around, source, e.inner_name("maxima"))
        made = e.nodes[-1]
    return made


def _indices(e: Emitter, maximum: onnx.NodeProto) -> str:
    """The second output of a MaxPool, flat places in the whole tensor that it reads; added where it had none."""
    if len(maximum.output) == 1:
        maximum.output.append(f"{maximum.output[0]}.indices")
    return str(maximum.output[1])


@emission_of(Upsample)
def _upsample(e: Emitter, op: Upsample, node: Node, inputs: list[str]) -> None:
    scales = e.constant(e.inner_name("scales"), [1, 1, *op.n])
    if op.mode == "nearest":
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    e.op("Resize", [*inputs, "", scales], **how)


@emission_of(Maxout)
def _maxout(e: Emitter, op: Maxout, node: Node, inputs: list[str]) -> None:
    """The largest of n slices of the channels; a reshape would have to name the sizes behind them."""
    ends, axes, step = e.integers("ends", [AXIS_END]), e.integers("axes", [1]), e.integers("step", [op.n])
    parts = [
        e.op("Slice", [*inputs, e.integers(f"begin{r}", [r]), ends, axes, step], e.inner_name(f"part{r}"))
        for r in range(op.n)
    ]
    e.op("Max", parts)
