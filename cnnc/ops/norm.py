"""Layers that bring values to a common scale."""

from __future__ import annotations

from typing import ClassVar

from cnnc.arguments import Flag, Numbers, Real, arg
from cnnc.ops.base import Op, ShapeError, register
from cnnc.tensor import Parameter, TensorType


@register
class BatchNorm(Op):
    """Batch normalization of each channel (Ioffe & Szegedy 2015; ONNX BatchNormalization).

    In training the statistics are those of the batch, and the running ones follow as
    running·momentum + batch·(1 - momentum), ONNX's convention; the variance is the population's.
    """

    keyword: ClassVar[str] = "bn"

    eps: float = arg(Real(0, open_below=True), default=1e-5, help="added to the variance")
    momentum: float = arg(Real(0, 1), default=0.9, help="share of the running statistics that stays at each step")
    affine: bool = arg(Flag(), default=True, help="learn a scale and a shift for each channel")

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        shape = (inputs[0].channels,)
        learned = (Parameter("scale", shape, "ones"), Parameter("shift", shape)) if self.affine else ()
        running = (Parameter("mean", shape, trainable=False), Parameter("var", shape, "ones", trainable=False))
        return learned + running

    def explain(self, *inputs: TensorType) -> list[str]:
        c = inputs[0].channels
        learned = f"params = 2·{c} = {2 * c:,} (scale, shift); " if self.affine else ""
        return [f"{learned}buffers = 2·{c} (running mean, variance)"]


@register
class Normalize(Op):
    """(x - mean)/std with fixed numbers; it is part of the exported graph."""

    keyword: ClassVar[str] = "normalize"

    mean: tuple[float, ...] = arg(Numbers(), help="a number, or a list of one a channel")
    std: tuple[float, ...] = arg(Numbers(0, open_below=True), help="a number, or a list of one a channel")

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, x.channels):
                raise ShapeError(
                    "E306",
                    f"{key} lists {len(values)} numbers for {x.channels} channels",
                    help=f"give one number, or {x.channels}",
                    argument=key,
                )
        return x

    def brief(self) -> str:
        return f"mean={_list(self.mean)} std={_list(self.std)}"


def _list(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"[{', '.join(f'{v:g}' for v in values)}]"
