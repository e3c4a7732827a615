"""How each layer is written in PyTorch: a table keyed by op class.

In: an op, the types of its inputs and of its output. Out: `SourcePiece`s, which are applied one after the other: each is a module
(`nn.Conv2d(...)`), a function (`F.relu(x)`), or can be either. PyTorch is not imported; helpers.py holds the modules and
functions that PyTorch lacks.

Example: `conv 8 k=3 s=2 p=same` on 1x28x28 is two pieces, `F.pad(x, (0, 1, 0, 1))` and `nn.Conv2d(1, 8, 3, stride=2)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from cnnc.core.tensor import TensorType
from cnnc.ops import activation, conv, dense, local, merge, norm, pool, reshape, sequence
from cnnc.ops import filter as filters
from cnnc.ops import spectrogram as spectrograms
from cnnc.ops.base import Op
from cnnc.ops.window import AxisRule, Geometry, TransposedRule

CHANNELS = "c_in"
"""The hint of an argument that is the number of channels of the layer's input."""


class Raw(str):
    """An argument that is written as it stands."""

    __slots__ = ()


class IndexList(tuple[int, ...]):
    """Whole numbers that are written as a list."""

    __slots__ = ()


class CallArgument(NamedTuple):
    """One argument of a call: positional if `key` is "", left out where its value is the `default`.

    `hint` says where the number comes from: the name of the op's argument, `CHANNELS`, or "" for neither.
    """

    key: str
    value: Any
    default: Any = None
    hint: str = ""


class WrittenCall(NamedTuple):
    """A call as it is written: `nn.Conv2d` with arguments, `F.relu` with the tensor before them, `.flatten` as a method.

    A `{}` in the name stands for the tensor, `{0}` and `{1}` for the arguments, as in `{}[:, {0}]`.
    """

    name: str
    arguments: tuple[CallArgument, ...] = ()


class SourcePiece(NamedTuple):
    """One step of a layer.

    `parameters` are the tensors of the module's state dict, with the parameters of the layer that they hold. `shared` is
    the same computation with the tensors of another module, `{}.weight`, after x. `suffix` names a step that is not the
    layer itself. `is_light` says that the step keeps the shape, and is written around the one before it. `has_state` says
    that it needs a module although it has no parameters. `turned` are the axes on which the module's weight is reversed.
    """

    module: WrittenCall | None = None
    function: WrittenCall | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    shared: WrittenCall | None = None
    suffix: str = ""
    is_light: bool = False
    has_state: bool = False
    frozen: bool = False
    turned: tuple[int, ...] = ()


class Merged(NamedTuple):
    """A layer of several inputs: the text with one `{}` per input, which are the arguments of `piece` if that is given.

    `with_indices` is the text for an unpool whose pool can return the positions of its maxima: of its input and these.
    """

    text: str
    piece: SourcePiece | None = None
    with_indices: str = ""


Pieces = tuple[SourcePiece, ...] | Merged
Writer = Callable[[Any, tuple[TensorType, ...], TensorType], Pieces]
WRITERS: dict[type[Op], Writer] = {}
"""How each op class is written. `input` is the argument of `forward`."""

F = TypeVar("F", bound=Writer)


def writer_of(*classes: type[Op]) -> Callable[[F], F]:
    """Decorator: enters the writer of op classes."""

    def register(function: F) -> F:
        WRITERS.update(dict.fromkeys(classes, function))
        return function

    return register


def pieces_of(op: Op, inputs: tuple[TensorType, ...], output: TensorType, *, pads_at_run_time: bool = False) -> Pieces:
    """The pieces of a layer, from the table. With `pads_at_run_time`, `same` is computed from the size of the input."""
    if pads_at_run_time:
        return _padded_at_run_time(op, inputs, output)
    return WRITERS[type(op)](op, inputs, output)


def _padded_at_run_time(op: Op, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    """The pieces of a layer with `p=same`; those of any other layer do not change."""
    match op:
        case conv.Conv(p="same" | "same_lower") | local.Local(p="same" | "same_lower"):
            k, s, d = op.k, op.s, op.d
        case pool.Pool(kind="max", p="same" | "same_lower"):
            k, s, d = op.k, op.stride, op.d
        case filters.Filter(p="same" | "same_lower"):
            k, s, d = op.size, op.s, (1,)
        case _:
            return pieces_of(op, inputs, output)
    arguments = [_positional(k, "k"), _positional(s, "s"), _keyed("dilation", d, 1, "d")]
    if op.p == "same_lower":
        arguments.append(CallArgument("at_end", False))
    if isinstance(op, pool.Pool):
        arguments.append(CallArgument("value", Raw('float("-inf")')))
    rest = pieces_of(op.replace(p=((0, 0),) * len(k)), inputs, output)
    assert not isinstance(rest, Merged)
    return (SourcePiece(WrittenCall("SamePadding", tuple(arguments)), has_state=True, suffix="pad"), *rest)


# --- arguments -----------------------------------------------------------------------------------------------


def _positional(value: Any, hint: str = "") -> CallArgument:
    return CallArgument("", short(value), None, hint)


def _keyed(key: str, value: Any, default: Any = None, hint: str = "") -> CallArgument:
    return CallArgument(key, short(value), default, hint)


def short(value: Any) -> Any:
    """One number for all axes where they are equal, as PyTorch takes it."""
    is_axes = (
        isinstance(value, tuple)
        and not isinstance(value, IndexList)
        and value
        and all(isinstance(n, int) for n in value)
    )
    return value[0] if is_axes and len(set(value)) == 1 else value


def _pads_of(rules: tuple[AxisRule, ...] | tuple[TransposedRule, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((r.begin, r.end) for r in rules)


def torch_pads(pads: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    """Padding in PyTorch's order: (begin, end) of the last axis first."""
    return tuple(n for pair in reversed(pads) for n in pair)


def _is_symmetric(pads: tuple[tuple[int, int], ...]) -> bool:
    return all(begin == end for begin, end in pads)


def _pad_piece(pads: tuple[tuple[int, int], ...], value: float = 0.0, suffix: str = "pad") -> SourcePiece:
    """Padding as a step of its own."""
    amounts = torch_pads(pads)
    rank = len(pads)
    constant = Raw('float("-inf")') if value == -math.inf else value
    function = WrittenCall("F.pad", (CallArgument("", Raw(repr(amounts))), CallArgument("value", constant, 0.0)))
    arguments = (CallArgument("", Raw(repr(short(amounts)))),)
    if value == 0:
        return SourcePiece(WrittenCall(f"nn.ZeroPad{rank}d", arguments), function, suffix=suffix)
    return SourcePiece(
        WrittenCall(f"nn.ConstantPad{rank}d", (*arguments, CallArgument("", constant))), function, suffix=suffix
    )


def _flattened(x: TensorType) -> tuple[SourcePiece, ...]:
    return (
        (SourcePiece(WrittenCall("nn.Flatten"), WrittenCall(".flatten", (_positional(1),)), suffix="flatten"),)
        if x.rank
        else ()
    )


# --- layers with windows -------------------------------------------------------------------------------------


def _weight_names(has_bias: bool) -> tuple[tuple[str, str], ...]:
    return (("weight", "weight"), ("bias", "bias")) if has_bias else (("weight", "weight"),)


def _shared_tensors(has_bias: bool) -> tuple[CallArgument, ...]:
    return (CallArgument("", Raw("{}.weight")), CallArgument("", Raw("{}.bias" if has_bias else "None")))


@writer_of(conv.Conv)
def _conv(op: conv.Conv, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    rank, pads = len(op.k), _pads_of(op.rules(x))
    before: tuple[SourcePiece, ...] = ()
    padding = tuple(begin for begin, _ in pads)
    if not _is_symmetric(pads):  # the `same` of PyTorch would do without a stride, but warns of the copy that it makes
        before, padding = (_pad_piece(pads),), (0,) * rank
    options = (
        _keyed("stride", op.s, 1, "s"),
        _keyed("padding", padding, 0, "p"),
        _keyed("dilation", op.d, 1, "d"),
        _keyed("groups", op.groups, 1, "groups"),
    )
    numbers = (_positional(x.channels, CHANNELS), _positional(op.out, "out"), _positional(op.k, "k"))
    module = WrittenCall(f"nn.Conv{rank}d", (*numbers, *options, CallArgument("bias", op.bias, True)))
    shared = WrittenCall(f"F.conv{rank}d", (*_shared_tensors(op.bias), *options))
    turned = tuple(range(2, 2 + rank)) if op.flip else ()  # `flip` is done once, when the weights are written
    return (*before, SourcePiece(module, None, _weight_names(op.bias), shared, frozen=op.frozen, turned=turned))


@writer_of(conv.ConvTranspose)
def _conv_transpose(op: conv.ConvTranspose, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    rank, pads = len(op.k), _pads_of(op.rules(x))
    after: tuple[SourcePiece, ...] = ()
    padding, extra = tuple(begin for begin, _ in pads), op.output_pad
    if not _is_symmetric(pads):  # PyTorch removes the same number on both sides, so the rest is cut off afterwards
        extra = tuple(n + max(0, begin - end) for n, (begin, end) in zip(op.output_pad, pads, strict=True))
        if any(n >= max(s, d) for n, s, d in zip(extra, op.s, op.d, strict=True)):
            padding, extra = (0,) * rank, op.output_pad
            cuts = pads
        else:
            cuts = tuple((0, max(0, end - begin)) for begin, end in pads)
        after = (_cut(cuts),) if any(map(any, cuts)) else ()
    options = (
        _keyed("stride", op.s, 1, "s"),
        _keyed("padding", padding, 0, "p"),
        _keyed("output_padding", extra, 0, "output_pad"),
        _keyed("groups", op.groups, 1, "groups"),
    )
    numbers = (_positional(x.channels, CHANNELS), _positional(op.out, "out"), _positional(op.k, "k"))
    bias, dilation = CallArgument("bias", op.bias, True), _keyed("dilation", op.d, 1, "d")
    module = WrittenCall(f"nn.ConvTranspose{rank}d", (*numbers, *options, bias, dilation))
    shared = WrittenCall(f"F.conv_transpose{rank}d", (*_shared_tensors(op.bias), *options, dilation))
    return (SourcePiece(module, None, _weight_names(op.bias), shared, frozen=op.frozen), *after)


def _cut(cuts: tuple[tuple[int, int], ...]) -> SourcePiece:
    """Removes elements (begin, end) of each spatial axis."""
    parts = ", ".join(f"{begin or ''}:{-end if end else ''}" for begin, end in cuts)
    return SourcePiece(None, WrittenCall(f"{{}}[:, :, {parts}]"), suffix="cut")


@writer_of(local.Local)
def _local(op: local.Local, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    pads = _pads_of(op.rules(x))
    before = (_pad_piece(pads),) if any(map(any, pads)) else ()
    options = (
        CallArgument("", op.k),
        _keyed("stride", op.s, 1),
        _keyed("dilation", op.d, 1),
        CallArgument("bias", op.bias, True),
    )
    numbers = (
        _positional(x.channels, CHANNELS),
        _positional(op.out, "out"),
        CallArgument("", Raw(repr(output.spatial))),
    )
    module = WrittenCall("LocallyConnected", (*numbers, *options))
    amounts = tuple(CallArgument("", Raw(repr(axes))) for axes in (op.s, ((0, 0),) * len(op.k), op.d))
    shared = WrittenCall("local", (*_shared_tensors(op.bias), *amounts))
    return (*before, SourcePiece(module, None, _weight_names(op.bias), shared, frozen=op.frozen))


@writer_of(filters.Filter)
def _filter(op: filters.Filter, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    pads = _pads_of(op.rules(x))
    padding: Any = tuple(begin for begin, _ in pads) if _is_symmetric(pads) else None
    before = (_pad_piece(pads),) if padding is None else ()
    arguments = (
        CallArgument("", Raw(_nested_list(op.kernel()))),
        _positional(x.channels, CHANNELS),
        _keyed("stride", op.s, 1, "s"),
        _keyed("padding", padding or 0, 0),
    )
    return (*before, SourcePiece(WrittenCall("FixedFilter", arguments), has_state=True))


@writer_of(spectrograms.Spectrogram)
def _spectrogram(op: spectrograms.Spectrogram, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (pads,), numbers = _pads_of(op.rules(inputs[0])), ("fft", "mels", "rate", "low", "high")
    arguments = (
        CallArgument("", op.k[0], None, "k"),
        CallArgument("", op.s[0], None, "s"),
        CallArgument("padding", Raw(repr(pads)), Raw("(0, 0)")),
        *(CallArgument(key, getattr(op, key), None, key) for key in numbers if getattr(op, key) is not None),
        CallArgument("scale", Raw(f'"{op.scale or "htk"}"'), Raw('"htk"')),
        CallArgument("eps", op.eps if op.log else Raw("None"), spectrograms.EPS, "eps" if op.log else ""),
    )
    return (SourcePiece(WrittenCall("FixedSpectrogram", arguments), has_state=True),)


def _nested_list(values: Any) -> str:
    if isinstance(values, tuple):
        return f"[{', '.join(map(_nested_list, values))}]"
    return number_text(float(values))


# --- pooling -------------------------------------------------------------------------------------------------


def _window_options(op: pool.Pool, padding: Any) -> tuple[CallArgument, ...]:
    stride = _keyed("stride", op.stride, short(op.k), "s" if op.s is not None else "k")
    return (_positional(op.k, "k"), stride, _keyed("padding", padding, 0, "p"))


@writer_of(pool.Pool)
def _pool(op: pool.Pool, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    rank, rules = len(op.k), op.rules(x)
    given = _pads_of(rules)
    padding: Any = tuple(begin for begin, _ in given)
    # PyTorch pads by half a window at most, and alike on both sides
    fits = _is_symmetric(given) and all(2 * begin <= r.k for (begin, _), r in zip(given, rules, strict=True))
    ceil = CallArgument("ceil_mode", op.ceil, False)
    if op.kind == "max":
        before: tuple[SourcePiece, ...] = ()
        if not fits:
            before, padding = (_pad_piece(Geometry.of(rules).pads, -math.inf),), 0
            ceil = CallArgument("ceil_mode", False, False)
        arguments = (*_window_options(op, padding), _keyed("dilation", op.d, 1, "d"), ceil)
        module, function = WrittenCall(f"nn.MaxPool{rank}d", arguments), WrittenCall(f"F.max_pool{rank}d", arguments)
        return (*before, SourcePiece(module, function))
    is_plain = all(d == 1 for d in op.d) and fits
    if op.kind == "avg" and is_plain:
        counts = CallArgument("count_include_pad", op.count_pad, True) if any(padding) else CallArgument("", None)
        arguments = (*_window_options(op, padding), ceil, *((counts,) if any(padding) else ()))
        return (
            SourcePiece(WrittenCall(f"nn.AvgPool{rank}d", arguments), WrittenCall(f"F.avg_pool{rank}d", arguments)),
        )
    if op.kind in ("l2", "lp") and op.order % 2 == 0 and is_plain and not any(padding) and not op.ceil:
        arguments = (CallArgument("", op.order), _positional(op.k, "k"), _window_options(op, 0)[1])
        return (SourcePiece(WrittenCall(f"nn.LPPool{rank}d", arguments), WrittenCall(f"F.lp_pool{rank}d", arguments)),)
    return (_general_pool(op, rules),)


def _general_pool(op: pool.Pool, rules: tuple[AxisRule, ...]) -> SourcePiece:
    """A pool that PyTorch does not have: written with a helper, from the padding of each side."""
    g = Geometry.of(rules)
    k, s, d, pads = (CallArgument("", Raw(repr(value))) for value in (g.k, g.s, g.d, g.pads))
    if op.kind in ("l2", "lp"):
        return SourcePiece(None, WrittenCall("lp_pool", (CallArgument("", op.order), k, s, d, pads)))
    taps = tuple((0.0,) * size for size in g.k)
    if op.kind == "weighted":
        taps = tuple(tuple(exponent + 0.0 for exponent in axis) for axis in op.tap_exponents())  # -0.0 becomes 0.0
    counted = _pads_of(rules) if op.count_pad else ((0, 0),) * len(g.k)
    arguments = (CallArgument("", Raw(repr(taps))), s, d, pads, CallArgument("", Raw(repr(counted))))
    return SourcePiece(None, WrittenCall("mean_pool", arguments))


@writer_of(pool.GlobalPool)
def _global_pool(op: pool.GlobalPool, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    rank = output.rank
    if op.kind == "l2":
        return (SourcePiece(None, WrittenCall("global_l2_pool")),)
    kind = op.kind.capitalize()
    arguments = (_positional(1),)
    module = WrittenCall(f"nn.Adaptive{kind}Pool{rank}d", arguments)
    return (SourcePiece(module, WrittenCall(f"F.adaptive_{op.kind}_pool{rank}d", arguments)),)


@writer_of(pool.Unpool)
def _unpool(op: pool.Unpool, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    assert op.pool is not None
    rules = op.pool.rules(inputs[1])
    g = Geometry.of(rules)
    pieces = pieces_of(op.pool, (inputs[1],), inputs[0])
    # F.max_unpool does not add where windows overlap, and knows no dilation
    is_plain = len(pieces) == 1 and not op.pool.overlaps and not op.pool.ceil and all(d == 1 for d in g.d)
    with_indices = ""
    if is_plain and all((r.out - 1) * r.s - 2 * r.begin + r.k == r.m for r in rules):
        padding = tuple(r.begin for r in rules)
        window = [argument_text(g.k)]  # type checkers take a number for an error here
        window += [f"stride={argument_text(g.s)}"] if g.s != g.k else []
        window += [f"padding={argument_text(padding)}"] if any(padding) else []
        with_indices = f"F.max_unpool{len(g.k)}d({{}}, {{}}, {', '.join(window)})"
    return Merged(f"unpool({{}}, {{}}, {g.k}, {g.s}, {g.d}, {g.pads})", None, with_indices)


@writer_of(pool.Upsample)
def _upsample(op: pool.Upsample, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[output.rank] if op.mode == "bilinear" else "nearest"
    if mode == "nearest" and any(n & (n - 1) for n in op.n):
        mode = "nearest-exact"  # rounds right where 1/n is not a float
    arguments = (_keyed("scale_factor", op.n, None, "n"), CallArgument("mode", mode, "nearest"))
    return (SourcePiece(WrittenCall("nn.Upsample", arguments), WrittenCall("F.interpolate", arguments)),)


@writer_of(pool.Maxout)
def _maxout(op: pool.Maxout, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (SourcePiece(None, WrittenCall("maxout", (_positional(op.n, "n"),))),)


# --- dense ---------------------------------------------------------------------------------------------------


@writer_of(dense.Input)
def _input(op: dense.Input, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (SourcePiece(None, WrittenCall("{} / 255"), suffix="scaled"),) if op.dtype == "uint8" else ()


@writer_of(dense.Fc)
def _fc(op: dense.Fc, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    hint = CHANNELS if x.size == x.channels else ""
    module = WrittenCall(
        "nn.Linear",
        (CallArgument("", x.size, None, hint), _positional(op.out, "out"), CallArgument("bias", op.bias, True)),
    )
    shared = WrittenCall("F.linear", _shared_tensors(op.bias))
    return (*_flattened(x), SourcePiece(module, None, _weight_names(op.bias), shared, frozen=op.frozen))


@writer_of(dense.Bilinear)
def _bilinear(op: dense.Bilinear, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    a, b = inputs
    module = WrittenCall(
        "nn.Bilinear",
        (CallArgument("", a.size), CallArgument("", b.size), CallArgument("", op.out), CallArgument("bias", False)),
    )
    shared = WrittenCall("F.bilinear", (CallArgument("", Raw("{}.weight")),))
    texts = ", ".join("{}.flatten(1)" if x.rank else "{}" for x in inputs)
    return Merged(texts, SourcePiece(module, None, (("weight", "weight"),), shared, frozen=op.frozen))


@writer_of(sequence.Embed)
def _embed(op: sequence.Embed, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    module = WrittenCall("nn.Embedding", (_positional(op.vocab, "vocab"), _positional(op.dim, "dim")))
    shared = WrittenCall("F.embedding", (CallArgument("", Raw("{}.weight")),))
    table = SourcePiece(module, None, (("weight", "weight"),), shared, frozen=op.frozen)
    return (
        table,
        SourcePiece(
            None,
            WrittenCall(".transpose", (CallArgument("", 1), CallArgument("", 2))),
            suffix="channels",
            is_light=True,
        ),
    )


# --- normalization -------------------------------------------------------------------------------------------

_SCALE_AND_SHIFT = (("weight", "scale"), ("bias", "shift"))
_LEARNED = (CallArgument("", Raw("{}.weight")), CallArgument("", Raw("{}.bias")))


@writer_of(norm.BatchNorm)
def _bn(op: norm.BatchNorm, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    momentum = _complement(op.momentum)
    eps = CallArgument("eps", op.eps, 1e-5, "eps")
    arguments = (_positional(x.channels, CHANNELS), eps, CallArgument("momentum", momentum, 0.1))
    module = WrittenCall(f"nn.BatchNorm{max(1, x.rank)}d", (*arguments, CallArgument("affine", op.affine, True)))
    learned = _LEARNED if op.affine else (CallArgument("", Raw("None")),) * 2
    running = (CallArgument("", Raw("{}.running_mean")), CallArgument("", Raw("{}.running_var")))
    mode = (CallArgument("", Raw("self.training")), CallArgument("", momentum), CallArgument("", op.eps))
    parameters = (*(_SCALE_AND_SHIFT if op.affine else ()), ("running_mean", "mean"), ("running_var", "var"))
    shared = WrittenCall("F.batch_norm", (*running, *learned, *mode))
    return (SourcePiece(module, None, parameters, shared, is_light=True),)


def _complement(momentum: float) -> float:
    """PyTorch's momentum is the weight of the new statistics, not of the old ones: 0.1 for 0.9, without its rounding."""
    return float(f"{1 - momentum:.12g}")


@writer_of(norm.GroupNorm)
def _group_norm(op: norm.GroupNorm, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (_grouped(CallArgument("", op.groups, None, "groups"), inputs[0], op.eps),)


@writer_of(norm.LayerNorm)
def _layer_norm(op: norm.LayerNorm, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    if x.rank:
        return (_grouped(CallArgument("", 1), x, op.eps),)
    eps = CallArgument("eps", op.eps, 1e-5, "eps")
    module = WrittenCall("nn.LayerNorm", (_positional(x.channels, CHANNELS), eps))
    shape = CallArgument("", Raw(f"({x.channels},)"))
    shared = WrittenCall("F.layer_norm", (shape, *_LEARNED, eps))
    return (SourcePiece(module, None, _SCALE_AND_SHIFT, shared, is_light=True),)


@writer_of(norm.InstanceNorm)
def _instance_norm(op: norm.InstanceNorm, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    if math.prod(x.spatial) == 1:  # nn.InstanceNorm refuses it in training
        return (_grouped(_positional(x.channels, CHANNELS), x, op.eps),)
    eps = CallArgument("eps", op.eps, 1e-5, "eps")
    arguments = (_positional(x.channels, CHANNELS), eps, CallArgument("affine", True))
    shared = WrittenCall(
        "F.instance_norm", (CallArgument("weight", Raw("{}.weight")), CallArgument("bias", Raw("{}.bias")), eps)
    )
    return (
        SourcePiece(WrittenCall(f"nn.InstanceNorm{x.rank}d", arguments), None, _SCALE_AND_SHIFT, shared, is_light=True),
    )


def _grouped(groups: CallArgument, x: TensorType, epsilon: float) -> SourcePiece:
    eps = CallArgument("eps", epsilon, 1e-5, "eps")
    module = WrittenCall("nn.GroupNorm", (groups, _positional(x.channels, CHANNELS), eps))
    shared = WrittenCall("F.group_norm", (groups, *_LEARNED, eps))
    return SourcePiece(module, None, _SCALE_AND_SHIFT, shared, is_light=True)


@writer_of(norm.LocalResponseNorm)
def _lrn(op: norm.LocalResponseNorm, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    options = (
        CallArgument("", op.size, None, "size"),
        CallArgument("alpha", op.alpha, 1e-4),
        CallArgument("beta", op.beta, 0.75),
        CallArgument("k", op.bias, 1.0),
    )
    if op.size % 2 and inputs[0].rank:
        return (
            SourcePiece(WrittenCall("nn.LocalResponseNorm", options), WrittenCall("F.local_response_norm", options)),
        )
    numbers = tuple(CallArgument("", value) for value in (op.size, op.alpha, op.beta, op.bias))
    return (SourcePiece(None, WrittenCall("local_response_norm", numbers)),)


@writer_of(norm.Affine)
def _affine(op: norm.Affine, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    module = WrittenCall("ScaleShift", (_positional(x.channels, CHANNELS),))
    return (SourcePiece(module, None, (("scale", "scale"), ("shift", "shift")), is_light=True),)


@writer_of(norm.Normalize)
def _normalize(op: norm.Normalize, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    lists = [CallArgument("", Raw(f"[{', '.join(map(float_text, values))}]")) for values in (op.mean, op.std)]
    module = WrittenCall("Standardize", tuple(lists))
    if len(op.mean) == len(op.std) == 1:
        (mean,), (std,) = op.mean, op.std
        difference = f"{{}} - {number_text(mean)}" if mean >= 0 else f"{{}} + {number_text(-mean)}"
        return (SourcePiece(module, WrittenCall(f"({difference}) / {number_text(std)}")),)
    return (SourcePiece(module, has_state=True),)


# --- activations ---------------------------------------------------------------------------------------------


def _plain(module: str, function: str, *arguments: CallArgument) -> Writer:
    """An activation that PyTorch has as a module and as a function with the same arguments."""
    piece = SourcePiece(WrittenCall(module, arguments), WrittenCall(function, arguments), is_light=True)
    return lambda op, inputs, output: (piece,)


WRITERS |= {
    activation.Relu: _plain("nn.ReLU", "F.relu"),
    activation.Relu6: _plain("nn.ReLU6", "F.relu6"),
    activation.Selu: _plain("nn.SELU", "F.selu"),
    activation.Sigmoid: _plain("nn.Sigmoid", "torch.sigmoid"),
    activation.Tanh: _plain("nn.Tanh", "torch.tanh"),
    activation.Softplus: _plain("nn.Softplus", "F.softplus"),
    activation.Gelu: _plain("nn.GELU", "F.gelu"),
    activation.Silu: _plain("nn.SiLU", "F.silu"),
    activation.HardSigmoid: _plain("nn.Hardsigmoid", "F.hardsigmoid"),
    activation.HardSwish: _plain("nn.Hardswish", "F.hardswish"),
    activation.Mish: _plain("nn.Mish", "F.mish"),
    activation.Softmax: _plain("nn.Softmax", "F.softmax", CallArgument("dim", 1)),
    activation.LogSoftmax: _plain("nn.LogSoftmax", "F.log_softmax", CallArgument("dim", 1)),
}


@writer_of(activation.LeakyRelu)
def _leaky_relu(op: activation.LeakyRelu, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    slope = (CallArgument("", op.slope, 0.01, "slope"),)
    return (SourcePiece(WrittenCall("nn.LeakyReLU", slope), WrittenCall("F.leaky_relu", slope), is_light=True),)


@writer_of(activation.Elu)
def _elu(op: activation.Elu, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    alpha = (CallArgument("", op.alpha, 1.0, "alpha"),)
    return (SourcePiece(WrittenCall("nn.ELU", alpha), WrittenCall("F.elu", alpha), is_light=True),)


@writer_of(activation.Prelu)
def _prelu(op: activation.Prelu, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    module = WrittenCall("nn.PReLU", (_positional(inputs[0].channels, CHANNELS),))
    shared = WrittenCall("F.prelu", (CallArgument("", Raw("{}.weight")),))
    return (SourcePiece(module, None, (("weight", "slope"),), shared, is_light=True),)


@writer_of(activation.Clip)
def _clip(op: activation.Clip, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    bounds = (CallArgument("", op.lo, None, "lo"), CallArgument("", op.hi, None, "hi"))
    return (SourcePiece(None, WrittenCall(".clamp", bounds), is_light=True),)


@writer_of(activation.HardTanh)
def _hard_tanh(op: activation.HardTanh, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    plain = (op.lo, op.hi) == (-1, 1)
    bounds = () if plain else (CallArgument("", op.lo, None, "lo"), CallArgument("", op.hi, None, "hi"))
    return (SourcePiece(WrittenCall("nn.Hardtanh", bounds), WrittenCall("F.hardtanh", bounds), is_light=True),)


@writer_of(activation.Abs)
def _abs(op: activation.Abs, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (SourcePiece(None, WrittenCall(".abs"), is_light=True),)


@writer_of(activation.Scale)
def _scale(op: activation.Scale, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (SourcePiece(None, WrittenCall("{0} * {}", (CallArgument("", op.factor, None, "factor"),))),)


@writer_of(activation.Identity)
def _identity(op: activation.Identity, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (SourcePiece(WrittenCall("nn.Identity"), WrittenCall("{}")),)


@writer_of(activation.Dropout)
def _dropout(op: activation.Dropout, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (SourcePiece(WrittenCall("nn.Dropout", (CallArgument("", op.p, 0.5, "p"),)), is_light=True, has_state=True),)


@writer_of(activation.DropPath)
def _drop_path(op: activation.DropPath, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (
        SourcePiece(
            WrittenCall("StochasticDepth", (CallArgument("", op.p, None, "p"),)), is_light=True, has_state=True
        ),
    )


# --- rearrangement -------------------------------------------------------------------------------------------


@writer_of(reshape.Flatten)
def _flatten(op: reshape.Flatten, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (SourcePiece(WrittenCall("nn.Flatten"), WrittenCall(".flatten", (_positional(1),))),)


@writer_of(reshape.Reshape)
def _reshape(op: reshape.Reshape, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    sizes = tuple(CallArgument("", n) for n in output.shape)
    function = WrittenCall(".reshape", (CallArgument("", -1), *sizes))
    if inputs[0].rank == 0 and output.rank:
        return (
            SourcePiece(
                WrittenCall("nn.Unflatten", (CallArgument("", 1), CallArgument("", Raw(repr(output.shape))))), function
            ),
        )
    return (SourcePiece(None, function),)


@writer_of(reshape.Pad)
def _pad(op: reshape.Pad, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    return (_pad_piece(op.sides, op.value, ""),)


@writer_of(reshape.Crop)
def _crop(op: reshape.Crop, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    (x,) = inputs
    if op.offset is None:
        module = WrittenCall("CenterCrop", (_positional(op.size, "size"),))
        return (SourcePiece(module, has_state=True),)
    parts = ", ".join(f"{b}:{b + n}" for b, n in zip(op.begins(x), op.size, strict=True))
    return (SourcePiece(None, WrittenCall(f"{{}}[:, :, {parts}]")),)


@writer_of(reshape.Slice)
def _slice(op: reshape.Slice, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    end = "" if op.end is None else op.end
    return (SourcePiece(None, WrittenCall(f"{{}}[{':, ' * (op.axis + 1)}{op.begin or ''}:{end}]")),)


@writer_of(reshape.Select)
def _select(op: reshape.Select, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    indices = CallArgument("", IndexList(op.indices), None, "indices")
    return (SourcePiece(None, WrittenCall(f"{{}}[{':, ' * (op.axis + 1)}{{0}}]", (indices,))),)


@writer_of(reshape.ChannelShuffle)
def _channel_shuffle(op: reshape.ChannelShuffle, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    groups = (CallArgument("", op.groups, None, "groups"),)
    if inputs[0].rank:
        return (SourcePiece(WrittenCall("nn.ChannelShuffle", groups), WrittenCall("F.channel_shuffle", groups)),)
    return (SourcePiece(None, WrittenCall("channel_shuffle", groups)),)


@writer_of(reshape.DepthToSpace)
def _depth_to_space(op: reshape.DepthToSpace, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    n = (CallArgument("", op.n, None, "n"),)
    if output.channels == 1:  # the only case in which PyTorch's order of channels is the same
        return (SourcePiece(WrittenCall("nn.PixelShuffle", n), WrittenCall("F.pixel_shuffle", n)),)
    return (SourcePiece(None, WrittenCall("depth_to_space", n)),)


@writer_of(reshape.SpaceToDepth)
def _space_to_depth(op: reshape.SpaceToDepth, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    n = (CallArgument("", op.n, None, "n"),)
    if inputs[0].channels == 1:
        return (SourcePiece(WrittenCall("nn.PixelUnshuffle", n), WrittenCall("F.pixel_unshuffle", n)),)
    return (SourcePiece(None, WrittenCall("space_to_depth", n)),)


# --- merges --------------------------------------------------------------------------------------------------


def _joined(sign: str) -> Writer:
    return lambda op, inputs, output: Merged(f" {sign} ".join(["{}"] * len(inputs)))


@writer_of(merge.Maximum)
def _maximum(op: merge.Maximum, inputs: tuple[TensorType, ...], output: TensorType) -> Pieces:
    text = "{}"
    for _ in inputs[1:]:
        text = f"torch.maximum({text}, {{}})"
    return Merged(text)


WRITERS |= {
    merge.Add: _joined("+"),
    merge.Sub: _joined("-"),
    merge.Mul: _joined("*"),
    merge.Concat: lambda op, inputs, output: Merged(f"torch.cat([{', '.join(['{}'] * len(inputs))}], dim=1)"),
}


def number_text(value: float) -> str:
    """A number as Python reads it back exactly, whole ones without a decimal point."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value).replace("e+", "e")


def float_text(value: float) -> str:
    """A number as a float of Python: `0.5`, `2.0`, `1e30`."""
    return repr(float(value)).replace("e+", "e")


def argument_text(value: Any) -> str:
    """A value as Python source."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, IndexList):
        return repr(list(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(argument_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float):
        return number_text(value)
    return f'"{value}"' if isinstance(value, str) else repr(value)
