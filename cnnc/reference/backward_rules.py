"""Other rules for the way back through a network than the gradient: deconvnet, guided backpropagation, and rectifiers that pass.

In: a layer's op. Out: tables in place of `BACKWARD`, and how the deconvnet treats the op, which the paper does not always say.

    gradients(network, feeds, target, DECONV_RULES, seeded_by_value=True)
    deconv_treatment(Tanh.make())     # DeconvTreatment.GRADIENT
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import numpy as np

from cnnc.core.arrays import Array
from cnnc.ops.activation import Dropout, DropPath, Identity, LeakyRelu, Prelu, Relu, Relu6, Scale
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Fc
from cnnc.ops.filter import Filter
from cnnc.ops.local import Local
from cnnc.ops.merge import Add, Concat, Maximum, Sub
from cnnc.ops.norm import Affine, BatchNorm, Normalize
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.reshape import (
    ChannelShuffle,
    Crop,
    DepthToSpace,
    Flatten,
    Pad,
    Reshape,
    Select,
    Slice,
    SpaceToDepth,
)
from cnnc.reference import engine  # noqa: F401  fills the tables
from cnnc.reference.registry import BACKWARD, FORWARD, Backward, Gradients, Mode


def _rectified(op: Op, weights: Mapping[str, Array], saved: object, gradient: Array, needs_dx: bool) -> Gradients:
    """What comes from above, without its negative elements, wherever the layer was active or not."""
    return Gradients((np.maximum(gradient, 0),))


def _leaky(op: Op, weights: Mapping[str, Array], saved: object, gradient: Array, needs_dx: bool) -> Gradients:
    """What comes from above through the layer's own function: negative elements times its slope."""
    return Gradients((FORWARD[type(op)](op, weights, (gradient.copy(),), Mode()).output,))


def _guided(op: Op, weights: Mapping[str, Array], saved: object, gradient: Array, needs_dx: bool) -> Gradients:
    """The gradient of what is positive from above (Springenberg et al. 2014)."""
    return BACKWARD[type(op)](op, weights, saved, np.maximum(gradient, 0), needs_dx)


def _passed(op: Op, weights: Mapping[str, Array], saved: object, gradient: Array, needs_dx: bool) -> Gradients:
    """The gradient as if the layer were active everywhere."""
    return Gradients((gradient,))


_RELUS: tuple[type[Op], ...] = (Relu, Relu6)
_LEAKY: tuple[type[Op], ...] = (LeakyRelu, Prelu)
DECONV_RULES: dict[type[Op], Backward] = {
    **BACKWARD,
    **dict.fromkeys(_RELUS, _rectified),
    **dict.fromkeys(_LEAKY, _leaky),
}
"""The deconvnet of Zeiler & Fergus 2013: transposed filters, unpooling with switches, and rectification on the way back."""
GUIDED_RULES: dict[type[Op], Backward] = {**BACKWARD, **dict.fromkeys((*_RELUS, *_LEAKY), _guided)}
ACTIVE_RULES: dict[type[Op], Backward] = {**BACKWARD, **dict.fromkeys((*_RELUS, *_LEAKY), _passed)}
"""The way out for an input at which no unit before the target is active, so that the gradient is 0."""


class DeconvTreatment(StrEnum):
    """What `DECONV_RULES` do with a layer, as it is written in reports."""

    TRANSPOSED = "linear, transposed without the bias"
    SWITCHES = "put back where the maximum was"
    RECTIFIED = "negative elements become 0"
    LEAKY = "negative elements are scaled by the slope of the layer"
    GRADIENT = "not defined by the method: multiplied by the derivative at the activations"
    MOVED = "only moved"


_MOVING: tuple[type[Op], ...] = (
    ChannelShuffle,
    Concat,
    Crop,
    DepthToSpace,
    Dropout,
    DropPath,
    Flatten,
    Identity,
    Pad,
    Reshape,
    Select,
    Slice,
    SpaceToDepth,
)
_LINEAR: tuple[type[Op], ...] = (
    Add,
    Affine,
    BatchNorm,  # in inference
    Conv,
    ConvTranspose,
    Fc,
    Filter,
    Local,
    Normalize,
    Scale,
    Sub,
    Upsample,
)


def deconv_treatment(op: Op) -> DeconvTreatment:
    """What `DECONV_RULES` do with a layer in inference."""
    if isinstance(op, _RELUS):
        return DeconvTreatment.RECTIFIED
    if isinstance(op, _LEAKY):
        return DeconvTreatment.LEAKY
    pooled = op.kind if isinstance(op, Pool | GlobalPool) else ""
    if isinstance(op, Maxout | Maximum | Unpool) or pooled == "max":
        return DeconvTreatment.SWITCHES
    if isinstance(op, _LINEAR) or pooled in ("avg", "weighted"):
        return DeconvTreatment.TRANSPOSED
    return DeconvTreatment.MOVED if isinstance(op, _MOVING) else DeconvTreatment.GRADIENT
