"""Layers that rearrange values. Orders are those of the language, channels first."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.ops.reshape import Flatten, Reshape
from cnnc.reference.engine import Array, Gradients, Mode, Outcome, backward_of, forward_of, inward, outward


@forward_of(Flatten, Reshape)
def reshape(op: Flatten | Reshape, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    x = outward(inputs[0])
    shape = op.shape if isinstance(op, Reshape) else (-1,)
    return Outcome(inward(x.reshape(x.shape[0], *shape)), x.shape)


@backward_of(Flatten, Reshape)
def reshape_backward(
    op: Flatten | Reshape, weights: Mapping[str, Array], shape: tuple[int, ...], gradient: Array, want: bool
) -> Gradients:
    return Gradients((inward(outward(gradient).reshape(shape)),))
