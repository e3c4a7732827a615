"""Fully connected and bilinear layers: matrix products over all elements of a sample.

`input 16x5x5; fc 120`: x (N, 5, 5, 16) is flattened channels first to (N, 400), weight (120, 400), output (N, 120).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cnnc.core.arrays import Array
from cnnc.ops.dense import Bilinear, Fc
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of


@forward_of(Fc)
def fc(op: Fc, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """ONNX Gemm of the flattened input: x·Wᵀ + b."""
    (x,) = inputs
    flat = to_channels_first(x).reshape(x.shape[0], -1)  # (N, C·H·W), channels first
    y = flat @ weights["weight"].T  # (N, in) @ (in, out)
    if op.bias:
        y += weights["bias"]
    return Outcome(y, (flat, to_channels_first(x).shape) if mode.training else None)


@backward_of(Fc)
def fc_backward(
    op: Fc, weights: Mapping[str, Array], saved: tuple[Array, tuple[int, ...]], gradient: Array, needs_dx: bool
) -> Gradients:
    flat, shape = saved
    dx = to_channels_last((gradient @ weights["weight"]).reshape(shape)) if needs_dx else None
    if op.frozen:
        return Gradients((dx,))
    weight_gradients = {"weight": gradient.T @ flat}  # (out, N) @ (N, in)
    if op.bias:
        weight_gradients["bias"] = gradient.sum(0)
    return Gradients((dx,), weight_gradients)


class BilinearSaved(NamedTuple):
    """What bilinear's backward needs: both inputs as vectors (N, A) and (N, B), their shapes, and M·b, (N, O, A)."""

    a: Array
    b: Array
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    right: Array


@forward_of(Bilinear)
def bilinear(op: Bilinear, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """y_o = aᵀ·M_o·b for each output o (PyTorch Bilinear, without a bias)."""
    first, second = (to_channels_first(x) for x in inputs)
    count, matrices = first.shape[0], weights["weight"]  # (O, A, B)
    a, b = first.reshape(count, -1), second.reshape(count, -1)
    # (N, B) @ (B, O·A): the matrices as they lie in memory
    right = (b @ matrices.reshape(-1, b.shape[1]).T).reshape(count, op.out, -1)
    y = (right @ a[:, :, None])[:, :, 0]  # (N, O, A) @ (N, A, 1)
    return Outcome(y, BilinearSaved(a, b, (first.shape, second.shape), right))


@backward_of(Bilinear)
def bilinear_backward(
    op: Bilinear, weights: Mapping[str, Array], saved: BilinearSaved, gradient: Array, needs_dx: bool
) -> Gradients:
    """Of y = aᵀ·M·b: dM = dy·a·bᵀ, da = dy·M·b, db = dy·Mᵀ·a, each summed over the outputs."""
    a, b, shapes, right = saved
    count, matrices = a.shape[0], weights["weight"]
    left = (gradient[:, :, None] * a[:, None, :]).reshape(count, -1)  # (N, O·A)
    # (O·A, N) @ (N, B)
    weight_gradients = {} if op.frozen else {"weight": (left.T @ b).reshape(matrices.shape)}
    if not needs_dx:
        return Gradients((None, None), weight_gradients)
    da = (gradient[:, None, :] @ right)[:, 0]  # (N, 1, O) @ (N, O, A)
    db = left @ matrices.reshape(-1, b.shape[1])  # (N, O·A) @ (O·A, B)
    return Gradients(
        (to_channels_last(da.reshape(shapes[0])), to_channels_last(db.reshape(shapes[1]))), weight_gradients
    )
