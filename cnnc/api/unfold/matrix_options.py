"""The matrices and options of `cnnc unfold` as they were typed, and the layer with these numbers.

In: `TypedMatrices`. Out: `LayerNumbers` (`typed_layer`), the gradient of its output (`typed_gradient`) and indices (`typed_index`), or
CnncError E010 in words of the options.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes, BadValue, Extents, WordValue
from cnnc.core.arrays import Array
from cnnc.core.files import decode_utf8, read_bytes
from cnnc.core.tensor import TensorType, format_shape
from cnnc.diagnostics import CnncError, nearest
from cnnc.ops.base import Op, ShapeError
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.filter import Filter
from cnnc.ops.kernels import NAMED
from cnnc.ops.pool import Pool
from cnnc.view.unfold.exact import exact, is_symbolic
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.typed_matrices import matrix

MAX_PRODUCTS = 300_000
"""The most products in all sums of a layer."""

MAX_BYTES = 1 << 20
"""The most bytes of a file with a matrix."""


class TypedMatrices(NamedTuple):
    """The options of `cnnc unfold` as they were typed."""

    what: str
    kernels: tuple[str, ...] = ()
    bias: str | None = None
    pool: str | None = None
    k: str | None = None
    s: str | None = None
    p: str | None = None
    d: str | None = None
    norm: str | None = None
    flip: bool = False
    circular: bool = False
    transposed: bool = False
    im2col: bool = False
    toeplitz: bool = False
    backward: bool = False
    gradient: str | None = None
    at: str | None = None
    weight_at: str | None = None
    input_at: str | None = None


def typed_layer(typed: TypedMatrices) -> LayerNumbers:
    """The layer with its numbers. Raises CnncError E010."""
    x = _read(typed.what, "the input")
    if typed.pool is not None:
        return _pool(typed, x)
    kernels = [_kernel(text) for text in typed.kernels]
    for number, kernel in enumerate(kernels):
        name = f"kernel {number + 1}" if len(kernels) > 1 else "the kernel"
        if len(kernel) != len(x):
            raise usage_error(
                f"{name} has {_channels(len(kernel))}, and the input has {len(x)}",
                "separate channels by `|`, as many in each kernel as in the input",
            )
        if kernel.shape != kernels[0].shape:
            raise usage_error(
                f"kernel {number + 1} is {_size(kernel.shape)}, and kernel 1 is {_size(kernels[0].shape)}",
                "all kernels have the same size",
            )
    weight = np.stack(kernels)
    if x.shape[1] == weight.shape[2] == 1:
        x, weight = x[:, 0], weight[:, :, 0]
    bias = _bias(typed.bias, len(weight))
    values = {"out": len(weight), "k": Extents(weight.shape[2:]), "bias": bias is not None}
    values |= _arguments(typed, p=typed.p or ("same" if typed.circular else None))
    if typed.transposed:
        op = _fitting_op(ConvTranspose, x, values)
        return LayerNumbers(op, x, weight.swapaxes(0, 1), bias)
    return LayerNumbers(_fitting_op(Conv, x, values | {"flip": typed.flip}), x, weight, bias, typed.circular)


def _pool(typed: TypedMatrices, x: Array) -> LayerNumbers:
    if typed.k is None:
        raise usage_error("--pool needs -k, the size of its windows", "add `-k 2`")
    extents = _value(typed.k)
    if x.shape[1] == 1 and not isinstance(extents, Extents):
        x = x[:, 0]
    if typed.pool != "max" and typed.pool != "avg" and any(map(is_symbolic, x.flat)):
        raise usage_error(
            f"--pool {typed.pool} needs numbers, and the input has letters",
            "`--pool max` and `--pool avg` take letters",
        )
    values = {"kind": WordValue(typed.pool), "k": extents, **_arguments(typed)}
    if typed.norm is not None:
        values["norm"] = _value(typed.norm)
    return LayerNumbers(_fitting_op(Pool, x, values), x)


def _arguments(typed: TypedMatrices, **changed: str | None) -> dict[str, Any]:
    texts = {"s": typed.s, "p": typed.p, "d": typed.d} | changed
    return {name: _value(text) for name, text in texts.items() if text is not None}


def _fitting_op(op: type[Op], x: Array, values: dict[str, Any]) -> Op:
    """The layer, which fits its input. Raises CnncError E010 in words of the options."""
    rank = x.ndim - 1
    for spec in op.arguments:
        if spec.name in values:
            try:
                spec.kind.take(values[spec.name], rank)
            except BadValue as error:
                raise usage_error(
                    f"{_option(spec.name)} takes {error.expected}, not `{_text(values[spec.name])}`",
                    _help_of_value(spec.name, values[spec.name], spec.kind.words, error),
                ) from None
    fitting = op.make(rank, **{spec.name: values[spec.name] for spec in op.arguments if spec.name in values})
    try:
        fitting.output(TensorType(x.shape))
    except ShapeError as error:
        raise usage_error(error.message, _help_of_shape(error, op is Pool)) from None
    _require_few_products(fitting, TensorType(x.shape))
    return fitting


def _require_few_products(op: Op, x: TensorType) -> None:
    """Raises CnncError E010 for a layer that would take long to unfold."""
    taps = math.prod(getattr(op, "k", ())) * (1 if isinstance(op, Pool) else x.channels)
    products = op.output(x).size * taps
    if products > MAX_PRODUCTS:
        raise usage_error(
            f"the sums would have {products:,} products; at most {MAX_PRODUCTS:,} are computed",
            "take a part of the input, a smaller kernel or less padding",
        )


def _help_of_value(name: str, value: Any, words: tuple[str, ...], error: BadValue) -> str:
    option = _option(name)
    if error.value:
        return error.help.replace("{}", f"{option} {error.value}", 1)
    near = nearest(str(value), words) if words else ""
    if near:
        return f"did you mean `{option} {near}`?"
    return "for example `-p 1`, `-p 1x0` or `-p same`" if name == "p" else f"for example `{option} 2`"


def _help_of_shape(error: ShapeError, is_pool: bool) -> str:
    names = ("p", "s", "d", "k", "output_pad") if is_pool else ("p", "s", "d")
    fixes = [f"`{_option(fix.on)} {fix.text}`" for fix in error.fixes if fix.on in names and fix.text]
    if error.argument == "k" and not is_pool:
        fixes.append("a smaller kernel")
    return f"try {' or '.join(fixes)}" if fixes else error.help


def _option(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def _kernel(text: str) -> Array:
    if text.split(maxsplit=1)[:1] and text.split()[0] in NAMED:
        return _named_kernel(text)
    kernel = _read(text, "the kernel")
    near = nearest(text, NAMED) if kernel.size == 1 and len(text) > 3 else ""
    if near:
        raise usage_error(f"no kernel is named `{text}`", f"did you mean `--kernel {near}`?")
    return kernel


def _named_kernel(text: str) -> Array:
    """The kernel of `filter TEXT`: sobel_x, or gaussian k=5. Raises CnncError E010."""
    from cnnc.network import check

    network = check(f"input 1x1024x1024; filter {text}")
    for diagnostic in network.diagnostics:
        if diagnostic.severity == "error":
            raise usage_error(
                f"the kernel: {diagnostic.message}", "`cnnc ops filter` shows the named kernels and their arguments"
            )
    layers = [node.op for node in network.require_graph().nodes if node.inputs]
    if len(layers) != 1 or not isinstance(layers[0], Filter):
        raise usage_error(f"the kernel: `{text}` is more than a named kernel", "for example `--kernel sobel_x`")
    return exact(np.array([layers[0].kernel()]))


def _bias(text: str | None, outputs: int) -> Array | None:
    if text is None:
        return None
    values = _read(text, "the bias").reshape(-1)
    if len(values) not in (1, outputs):
        there = f"there {'is' if outputs == 1 else 'are'} {outputs} output channel{'s' if outputs > 1 else ''}"
        raise usage_error(f"--bias has {len(values)} numbers, and {there}", "give one per output channel")
    return np.repeat(values, outputs) if len(values) == 1 else values


def typed_gradient(typed: TypedMatrices, shape: Axes) -> Array:
    """The gradient of the output: as typed, or 1 everywhere. Raises CnncError E010."""
    if typed.gradient is None:
        return exact(np.ones(shape, np.int64))
    gradient = _read(typed.gradient, "the gradient")
    gradient = gradient[:, 0] if len(shape) == 2 and gradient.shape[1] == 1 else gradient
    if gradient.shape != shape:
        raise usage_error(
            f"--gradient is {_size(gradient.shape)}, and the output is {_size(shape)}",
            f"give it one number per output: {_size(shape)}",
        )
    return gradient


# --- what was typed --------------------------------------------------------------------------------------------------


def _read(text: str, what: str) -> Array:
    """A matrix: as typed, from standard input, or from a file. Raises CnncError."""
    if text == "-":
        typed = sys.stdin.read(MAX_BYTES)
        if not typed.strip():
            raise usage_error("standard input is empty", 'write rows of numbers to it, such as "1 2; 3 4"')
        return matrix(typed, what)
    if text.startswith("@"):
        return matrix(decode_utf8(read_bytes(Path(text[1:]), MAX_BYTES), text[1:]), what)
    return matrix(text, what)


def _value(text: str) -> Any:
    """`2`, `2x1`, `[1,0]` or a word, as a value of the language."""
    plain = text.strip()
    if plain.startswith("[") and plain.endswith("]"):
        return tuple(_number(part.strip()) for part in plain[1:-1].split(","))
    parts = plain.split("x")
    if len(parts) > 1 and all(part.isascii() and part.isdigit() for part in parts):
        return Extents(map(int, parts))
    return _number(plain)


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return WordValue(text)


def _text(value: Any) -> str:
    if isinstance(value, Extents):
        return format_shape(value)
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def typed_index(text: str, option: str, shape: Axes, what: str) -> Axes:
    """The index that an option names; leading axes of size 1 may be left out. Raises CnncError E010."""
    text = text.strip() or "(nothing)"
    leading = next((n for n, m in enumerate(shape) if m > 1), len(shape) - 1)
    try:
        index = tuple(int(part) for part in text.strip("() ").split(","))
    except ValueError:
        index = ()
    full = (*(0 for _ in range(len(shape) - len(index))), *index) if len(shape) - leading <= len(index) else index
    axes = shape[min(leading, 1 if len(shape) > 1 else 0) :]
    ranges = " and ".join(f"0 to {m - 1}" for m in axes)
    if len(full) != len(shape) or not all(0 <= i < m for i, m in zip(full, shape, strict=True)):
        last = ",".join(str(m - 1) for m in axes)
        raise usage_error(
            f"{option} {text} is not one of the {what}: indices are {ranges}", f"the last one is `{option} {last}`"
        )
    return full


def _channels(n: int) -> str:
    return f"{n} channel{'s' if n > 1 else ''}"


def _size(shape: Axes) -> str:
    return format_shape(shape[1:] if shape[0] == 1 else shape)


def usage_error(message: str, help: str) -> CnncError:
    """E010."""
    return CnncError.of("E010", message, help=help)
