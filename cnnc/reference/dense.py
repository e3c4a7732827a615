"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.ops.dense import Fc
from cnnc.reference.engine import Array, Gradients, Mode, Outcome, backward_of, forward_of, inward, outward


@forward_of(Fc)
def fc(op: Fc, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    (x,) = inputs
    flat = outward(x).reshape(x.shape[0], -1)  # (N, C·H·W), channels first
    y = flat @ weights["weight"].T  # (N, in) @ (in, out)
    if op.bias:
        y += weights["bias"]
    return Outcome(y, (flat, outward(x).shape) if mode.training else None)


@backward_of(Fc)
def fc_backward(
    op: Fc, weights: Mapping[str, Array], saved: tuple[Array, tuple[int, ...]], gradient: Array, want: bool
) -> Gradients:
    flat, shape = saved
    found = {"weight": gradient.T @ flat}  # (out, N) @ (N, in)
    if op.bias:
        found["bias"] = gradient.sum(0)
    return Gradients((inward((gradient @ weights["weight"]).reshape(shape)) if want else None,), found)
