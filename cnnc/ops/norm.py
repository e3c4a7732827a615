"""Normalization layers, and layers that scale and shift each channel.

In: the type of one input. Out: the same type, scale and shift, running statistics. Example: `group_norm groups=4`.
"""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import Flag, Numbers, Real, Whole, arg
from cnnc.core.tensor import Parameter, TensorType
from cnnc.ops import window
from cnnc.ops.base import SHARE, Fix, Op, ShapeError, Window, parameter_options, register, require_channel_multiple


@register
class BatchNorm(Op):
    """Batch normalization of each channel (Ioffe & Szegedy 2015; ONNX BatchNormalization).

    Training uses the mean and variance of the batch and updates the running ones to
    running·momentum + batch·(1 - momentum), ONNX's convention. The variance is divided by the number of elements.
    Inference uses the running ones.
    """

    keyword: ClassVar[str] = "bn"
    example: ClassVar[str] = "bn"

    eps: float = arg(Real(0, open_below=True), default=1e-5, help="added to the variance")
    momentum: float = arg(Real(0, 1), default=0.9, help="weight of the old running statistics at each step")
    affine: bool = arg(Flag(), default=True, help="learn a scale and a shift per channel")
    share: str | None = SHARE

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        shape = (inputs[0].channels,)
        learned = _scale_and_shift(inputs[0]) if self.affine else ()
        running = (Parameter("mean", shape, trainable=False), Parameter("var", shape, "ones", trainable=False))
        return learned + running

    def explain(self, *inputs: TensorType) -> list[str]:
        c = inputs[0].channels
        learned = f"params = 2·{c} = {2 * c:,} (scale, shift); " if self.affine else ""
        return [f"{learned}buffers = 2·{c} (running mean, variance)"]

    def brief(self) -> str:
        return ("" if self.affine else "affine=false") + parameter_options(self.share)


class _SampleNorm(Op):
    """(x - mean)/sqrt(variance + eps)·scale + shift with statistics of each sample, in training and inference.

    The variance is divided by the number of elements. Scale and shift are learned, one of each per channel.
    """

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        return _scale_and_shift(inputs[0])

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return tuple(Window(m) for m in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        c = inputs[0].channels
        return [f"params = 2·{c} = {2 * c:,} (scale, shift)", f"statistics over {self.over(inputs[0])}"]

    def over(self, x: TensorType) -> str:
        """The elements that share a mean and variance, in words."""
        raise NotImplementedError


@register
class GroupNorm(_SampleNorm):
    """Normalizes each group of channels of a sample over all positions (Wu & He 2018; ONNX GroupNormalization)."""

    keyword: ClassVar[str] = "group_norm"
    example: ClassVar[str] = "group_norm groups=4"

    groups: int = arg(Whole(1), help="number of channel groups")
    eps: float = arg(Real(0, open_below=True), default=1e-5, help="added to the variance")
    share: str | None = SHARE

    def output(self, *inputs: TensorType) -> TensorType:
        require_channel_multiple(inputs[0], self.groups, f"groups={self.groups}", "groups")
        return inputs[0]

    def over(self, x: TensorType) -> str:
        return f"{x.with_shape(x.channels // self.groups, *x.spatial)} in each of {self.groups} groups"

    def brief(self) -> str:
        return f"groups={self.groups}" + parameter_options(self.share)


@register
class InstanceNorm(_SampleNorm):
    """Normalizes each channel of a sample over all positions (Ulyanov et al. 2016; ONNX InstanceNormalization)."""

    keyword: ClassVar[str] = "instance_norm"
    example: ClassVar[str] = "instance_norm"

    eps: float = arg(Real(0, open_below=True), default=1e-5, help="added to the variance")
    share: str | None = SHARE

    def output(self, *inputs: TensorType) -> TensorType:
        window.require_spatial(inputs[0], self.keyword)
        return inputs[0]

    def over(self, x: TensorType) -> str:
        return f"{x.with_shape(*x.spatial)}, per channel"

    def brief(self) -> str:
        return parameter_options(self.share).strip()


@register
class LayerNorm(_SampleNorm):
    """Normalizes all elements of a sample together (Ba et al. 2016; ONNX LayerNormalization from axis 1).

    There is one scale and one shift per channel, as in Wu & He (2018), so that they fit every image size. On a vector
    this is PyTorch's LayerNorm; on an image it is GroupNorm(1, C), and LayerNorm([C, H, W]) except for the shape
    of scale and shift.
    """

    keyword: ClassVar[str] = "layer_norm"
    example: ClassVar[str] = "layer_norm"

    eps: float = arg(Real(0, open_below=True), default=1e-5, help="added to the variance")
    share: str | None = SHARE

    def over(self, x: TensorType) -> str:
        return f"all of {x}"

    def brief(self) -> str:
        return parameter_options(self.share).strip()


@register
class LocalResponseNorm(Op):
    """x/(bias + alpha/size·Σ x²)^beta, summed over `size` neighbouring channels (Krizhevsky et al. 2012; ONNX LRN).

    For channel c these are the existing channels from c - floor((size - 1)/2) to c + ceil((size - 1)/2).
    """

    keyword: ClassVar[str] = "lrn"
    example: ClassVar[str] = "lrn size=5"

    size: int = arg(Whole(1), default=5, help="number of channels in the sum")
    alpha: float = arg(Real(), default=1e-4, help="factor of the sum, before division by size")
    beta: float = arg(Real(), default=0.75, help="exponent")
    bias: float = arg(Real(0, open_below=True), default=1, help="added to the sum")

    def explain(self, *inputs: TensorType) -> list[str]:
        before, after = (self.size - 1) // 2, self.size // 2
        ratio = f"{self.alpha:g}/{self.size}"
        return [f"y = x/({self.bias:g} + {ratio}·Σ x²)^{self.beta:g}, over {before} channels before and {after} after"]

    def brief(self) -> str:
        return f"size={self.size} alpha={self.alpha:g} beta={self.beta:g} bias={self.bias:g}"


@register
class Affine(Op):
    """scale·x + shift with a learned scale and shift per channel."""

    keyword: ClassVar[str] = "affine"
    example: ClassVar[str] = "affine"

    share: str | None = SHARE

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        return _scale_and_shift(inputs[0])

    def explain(self, *inputs: TensorType) -> list[str]:
        c = inputs[0].channels
        return [f"params = 2·{c} = {2 * c:,} (scale, shift)"]

    def brief(self) -> str:
        return parameter_options(self.share).strip()


@register
class Normalize(Op):
    """(x - mean)/std with fixed numbers, as part of the exported graph."""

    keyword: ClassVar[str] = "normalize"
    example: ClassVar[str] = "normalize mean=0.5 std=0.25"

    mean: tuple[float, ...] = arg(Numbers(), help="mean of each channel: one number, or a list with one per channel")
    std: tuple[float, ...] = arg(
        Numbers(0, open_below=True),
        help="standard deviation of each channel: one number, or a list with one per channel",
    )

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, x.channels):
                raise ShapeError(
                    "E306",
                    f"{key} lists {len(values)} numbers for {x.channels} channel{'s' if x.channels > 1 else ''}",
                    help=f"give one number, or {x.channels}" if x.channels > 1 else "give one number",
                    argument=key,
                    fixes=(_fitting(key, values, x.channels),),
                )
        return x

    def brief(self) -> str:
        return f"mean={_list(self.mean)} std={_list(self.std)}"


def _fitting(key: str, values: tuple[float, ...], channels: int) -> Fix:
    """As many of the numbers as there are channels, or only the first."""
    shown = f"[{', '.join(f'{v:g}' for v in values[:channels])}]" if 1 < channels < len(values) else f"{values[0]:g}"
    count = f"one number, or {channels}" if channels > 1 else "one number"
    return Fix(key, shown, f"give {count}: `{{}}`")


def _scale_and_shift(x: TensorType) -> tuple[Parameter, ...]:
    return Parameter("scale", (x.channels,), "ones"), Parameter("shift", (x.channels,))


def _list(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"[{', '.join(f'{v:g}' for v in values)}]"
