"""Emission of pooling, unpooling, upsampling and maxout."""

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
from cnnc.onnx.emit.padding import (
    AxisPads,
    PadAmounts,
    WindowArguments,
    no_pads,
    onnx_pads,
    pad_tensor,
    runtime_padding,
)
from cnnc.onnx.emit.shape_arithmetic import SizeVector, concat_sizes, constant_sizes, spatial_sizes
from cnnc.ops import window
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.reshape import Pad


@emission_of(Pool)
def _pool(e: Emitter, op: Pool, node: Node, inputs: list[str]) -> None:
    name = inputs[0]
    padding = pool_padding(e, op, name)
    counted = op.count_pad and not op.ceil  # all of the padding counts, or none of it
    if op.kind == "max":
        _emit_max(e, op, padding, name)
    elif op.kind in ("l2", "lp"):
        _emit_norm(e, op, padding, name)
    elif op.kind == "weighted":
        axes = [np.exp(np.subtract(a, max(a))) for a in op.tap_exponents()]
        _emit_mean(e, op, padding, name, [a / a.sum() for a in axes])
    elif all(d == 1 for d in op.d) and padding.known is not None and not (op.count_pad and not counted):
        known, after_pad, count = padding.known, _follows_pad(e, name), int(op.count_pad)
        if counted and after_pad and not padding.is_zero:
            name, known = pad_tensor(e, name, padding, 0), no_pads(len(op.k))
        pads = _pads(known, after_pad)
        e.op("AveragePool", [name], kernel_shape=op.k, strides=op.stride, **pads, count_include_pad=count)
    else:  # dilated (AveragePool has dilations only from opset 19), symbolic padding, or ceil with counted padding
        _emit_mean(e, op, padding, name, [np.full(k, 1 / k) for k in op.k])


def _window_arguments(op: Pool) -> WindowArguments:
    return WindowArguments(op.p, op.k, op.stride, op.d, op.ceil)


def pool_padding(e: Emitter, op: Pool, x: str, evaluate: Callable[..., AxisPads] | None = None) -> PadAmounts:
    """The padding of a pool over the tensor x.

    `evaluate` gives it as numbers for the current layer (default: `padding_with_ceil`).
    """
    known = e.same_at_all_sizes(evaluate or padding_with_ceil)
    return PadAmounts(known) if known is not None else runtime_padding(e, x, _window_arguments(op))


def padding_with_ceil(op: Pool, x: TensorType) -> AxisPads:
    """The padding of a pool as numbers, with ceil expressed as extra padding: runtimes disagree about ceil_mode.

    ceil(room/s) = floor((room + s - 1)/s), so s - 1 more elements at the end are right for every size, unless the last
    window could then begin beyond the input, where ceil drops it; in that case the padding is exact for this size.
    """
    g = window.Geometry.of(op.rules(x))
    if not op.ceil:
        return g.pads
    pads = []
    for exact, (begin, end), k, s, d in zip(g.pads, _source_padding(op, x), g.k, g.s, g.d, strict=True):
        pads.append((begin, end + s - 1) if end + s - 1 < window.effective(k, d) else exact)
    return tuple(pads)


def _source_padding(op: Pool, x: TensorType) -> AxisPads:
    """The padding that the source asks for, without what ceil adds at the end."""
    return window.resolve_padding(op.p, x.spatial, op.k, op.stride, op.d)


def _emit_max(e: Emitter, op: Pool, padding: PadAmounts, x: str, output: str = "") -> None:
    known, after_pad = padding.known, _follows_pad(e, x)
    wide = known is not None and any(max(both) >= k for both, k in zip(known, op.k, strict=True))
    if known is None or wide or (after_pad and not padding.is_zero):
        # onnxruntime's MaxPool rejects padding of at least the kernel size, which a dilated window may have
        x, known = pad_tensor(e, x, padding, -np.inf), no_pads(len(op.k))
    e.op("MaxPool", [x], output, kernel_shape=op.k, strides=op.stride, dilations=op.d, **_pads(known, after_pad))


def _follows_pad(e: Emitter, x: str) -> bool:
    """Whether the pool reads the output of a `pad` layer.

    onnxruntime fuses Pad into the pool's own padding, which is wrong: padding never wins a maximum, and it must be smaller
    than the kernel. `auto_pad="VALID"` prevents the fusion.
    """
    return x in e.graph.by_name and isinstance(e.graph.by_name[x].op, Pad)


def _pads(pads: AxisPads, after_pad: bool) -> dict[str, Any]:
    """The attribute for a pool's padding: `pads`, or `auto_pad` where Pad must not be fused into it."""
    return {"auto_pad": "VALID"} if after_pad and not any(map(any, pads)) else {"pads": onnx_pads(pads)}


def _emit_norm(e: Emitter, op: Pool, padding: PadAmounts, name: str) -> None:
    """LpPool of the padded input; a dilated window is a Conv with ones over |x|^p, as LpPool has no dilations."""
    if not padding.is_zero:
        name = pad_tensor(e, name, padding, 0)  # onnxruntime's LpPool is wrong with pads and ceil_mode
    if all(d == 1 for d in op.d):
        e.op("LpPool", [name], kernel_shape=op.k, strides=op.stride, p=op.order)
        return
    order, root = (e.constant(e.inner_name(n), v) for n, v in (("order", op.order), ("root", 1 / op.order)))
    power = e.op("Pow", [e.op("Abs", [name], e.inner_name("abs")), order], e.inner_name("power"))
    total = _weighted_windows(e, op, power, [np.ones(k) for k in op.k], e.inner_name("sum"))
    e.op("Pow", [total, root])


def _emit_mean(e: Emitter, op: Pool, padding: PadAmounts, name: str, taps: list[Array]) -> None:
    """A weighted mean: a Conv, divided by the sum of the weights that lie on elements that count.

    `taps` are the weights per axis, each with sum 1; the kernel is their outer product. The divisor is a constant where
    the size is fixed; otherwise the model computes it, as the same Conv over an image of ones.
    """
    pads = no_pads(len(op.k))
    image = name
    if padding.known is not None:
        pads = padding.known
    else:
        image = pad_tensor(e, name, padding, 0)
    if padding.is_zero or (op.count_pad and not op.ceil):
        _weighted_windows(e, op, image, taps, "", pads)
        return
    total = _weighted_windows(e, op, image, taps, e.inner_name("sum"), pads)
    divisors = e.same_at_all_sizes(lambda op, x: counted_weights(op, x, taps))
    if divisors is not None:
        assert e.node is not None
        grid = reduce(np.multiply.outer, [np.asarray(axis) for axis in divisors])
        e.op("Div", [total, e.constant(e.inner_name("seen"), grid[None, None])])
        return
    single = concat_sizes(e, [constant_sizes(e, [1, 1]), spatial_sizes(e, name)])
    one = numpy_helper.from_array(np.ones(1, np.float32))
    ones = e.op("ConstantOfShape", [single.name], e.inner_name("ones"), value=one)
    if op.count_pad:
        source_padding = e.same_at_all_sizes(_source_padding)
        counts = (
            PadAmounts(source_padding)
            if source_padding is not None
            else runtime_padding(e, name, _window_arguments(op)._replace(ceil=False))
        )
        ones, rest = pad_tensor(e, ones, counts, 1, prefix="counted_"), _extra_padding(padding, counts)
    else:
        rest = padding
    divisor = _weighted_windows(
        e, op, pad_tensor(e, ones, rest, 0, prefix="ones_"), taps, e.inner_name("seen"), channels=1
    )
    e.op("Div", [total, divisor])


def _extra_padding(padding: PadAmounts, counts: PadAmounts) -> PadAmounts:
    """The part of `padding` beyond `counts`: the elements that ceil adds, which do not count in the mean."""
    if padding.known is not None and counts.known is not None:
        pairs = zip(padding.known, counts.known, strict=True)
        return PadAmounts(tuple((0, end - counted) for (_, end), (_, counted) in pairs))
    computed = padding if padding.begins is not None else counts
    assert computed.begins is not None
    e = computed.begins.e
    begin, end = (_side(e, padding, side) - _side(e, counts, side) for side in (0, 1))
    return PadAmounts(None, begin, end)


def _side(e: Emitter, padding: PadAmounts, side: int) -> SizeVector:
    if padding.known is not None:
        return constant_sizes(e, [pair[side] for pair in padding.known])
    vector = (padding.begins, padding.ends)[side]
    assert vector is not None
    return vector


def counted_weights(op: Pool, x: TensorType, taps: list[Array]) -> tuple[tuple[float, ...], ...]:
    """Per axis, for each window the sum of the weights that lie on elements that count."""
    sums = []
    g = window.Geometry.of(op.rules(x))
    counts = _source_padding(op, x) if op.count_pad else no_pads(x.rank)
    for axis, (begin, end) in enumerate(counts):
        begin_at = g.pads[axis][0] - begin  # distance from the first window to the first element that counts
        size = x.spatial[axis] + begin + end
        starts = np.arange(g.out[axis])[:, None] * g.s[axis] - begin_at
        positions = starts + np.arange(g.k[axis])[None, :] * g.d[axis]
        sums.append(tuple((((positions >= 0) & (positions < size)) * taps[axis]).sum(1).tolist()))
    return tuple(sums)


def _weighted_windows(
    e: Emitter, op: Pool, name: str, taps: list[Array], output: str, pads: AxisPads = (), channels: int = 0
) -> str:
    """The weighted sum of each window, per channel: a depthwise Conv with the outer product of `taps` as its kernel."""
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
    else:  # onnxruntime does not implement GlobalLpPool of opset 22
        e.op("ReduceL2", [*inputs, e.integers("axes", range(2, 2 + node.type.rank))], keepdims=1)


@emission_of(Unpool)
def _unpool(e: Emitter, op: Unpool, node: Node, inputs: list[str]) -> tuple[str, str]:
    """Returns the flat positions (N·C·H·W) and the tensor that they count in. ScatterElements adds the input to zeros at the indices that MaxPool returns as its second output.

    ONNX's MaxUnpool does not fit: where windows overlap the last element wins instead of the sum, its indices are ambiguous
    where windows do not reach the end of the input, and its output size follows from its own input.
    """
    values, source = inputs
    x = e.graph.input_types(node)[1]
    pool = op.pool
    assert pool is not None, "lowering sets the pool"
    padding = pool_padding(e, pool, source, lambda op, y, x: padding_with_ceil(op.pool, x))
    maximum = _maximum(e, pool, padding, node.inputs[1], source)
    indices = max_indices(e, maximum)
    origin = maximum.input[0]
    if pool.overlaps and e.opset < 16:
        raise CnncError.of(
            "E805",
            f"{node.name} cannot be exported at opset {e.opset}: its windows overlap, and ScatterElements adds "
            "only from opset 16 on",
            span=node.span,
            help="`--opset 16` or later can express it",
        )
    shape = e.op("Shape", [origin], e.inner_name("shape"))
    flat = e.integers("flat", [-1])
    size = e.op("ReduceProd", [shape], e.inner_name("size"), keepdims=1)
    zero_image = e.op(
        "ConstantOfShape", [size], e.inner_name("zeros"), value=numpy_helper.from_array(np.zeros(1, np.float32))
    )
    positions = e.op("Reshape", [indices, flat], e.inner_name("places"))
    updates = e.op("Reshape", [values, flat], e.inner_name("values"))
    kind = {"reduction": "add"} if pool.overlaps else {}
    scattered = e.op("ScatterElements", [zero_image, positions, updates], e.inner_name("scattered"), axis=0, **kind)
    if origin == source:
        e.op("Reshape", [scattered, shape])
        return positions, origin
    # the pool read a padded copy, and the indices refer to it: cut off the padding
    image = e.op("Reshape", [scattered, shape], e.inner_name("image"))
    begins = _side(e, padding, 0)
    e.op(
        "Slice",
        [image, begins.name, (begins + spatial_sizes(e, source)).name, e.integers("axes", range(2, 2 + x.rank))],
    )
    return positions, origin


def _maximum(e: Emitter, pool: Pool, padding: PadAmounts, read: str, source: str) -> onnx.NodeProto:
    """The MaxPool node of this pool over the layer `read`; if the graph has none, a new one inside the unpool."""
    same = [n.name for n in e.graph.nodes if n.op == pool and n.inputs == (read,)]
    maximum = next((n for n in e.nodes if n.op_type == "MaxPool" and n.output[0] in same), None)
    if maximum is None:
        _emit_max(e, pool, padding, source, e.inner_name("maxima"))
        maximum = e.nodes[-1]
    return maximum


def max_indices(e: Emitter, maximum: onnx.NodeProto) -> str:
    """The second output of a MaxPool: flat indices into its whole input tensor. Added if the node has none."""
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
    """The maximum of n slices of the channels. A reshape would fix the spatial sizes."""
    ends, axes, step = e.integers("ends", [AXIS_END]), e.integers("axes", [1]), e.integers("step", [op.n])
    parts = [
        e.op("Slice", [*inputs, e.integers(f"begin{r}", [r]), ends, axes, step], e.inner_name(f"part{r}"))
        for r in range(op.n)
    ]
    e.op("Max", parts)
