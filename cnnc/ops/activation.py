"""Activations: elementwise functions, softmax over the channels, dropout.

In: the type of one input. Out: the same type; only `prelu` has parameters. Example: `leaky_relu slope=0.1`.
"""

from __future__ import annotations

from typing import ClassVar

from cnnc.core.arguments import Real, arg
from cnnc.core.tensor import DType, Parameter, TensorType
from cnnc.ops.base import ANY_DTYPE, INSTEAD, SHARE, Fix, Op, ShapeError, parameter_options, register


class Activation(Op):
    """A function that keeps the shape of its input: elementwise, except softmax and log_softmax.

    `rectifies` is true where the function suppresses about half of its inputs, like relu; `init=auto` then draws
    the weights before it as He et al. (2015) do.
    """

    rectifies: ClassVar[bool] = False


@register
class Relu(Activation):
    """max(x, 0) (Nair & Hinton 2010)."""

    keyword: ClassVar[str] = "relu"
    example: ClassVar[str] = "relu"
    rectifies: ClassVar[bool] = True


@register
class LeakyRelu(Activation):
    """x for x > 0, slope·x otherwise (Maas et al. 2013; ONNX LeakyRelu)."""

    keyword: ClassVar[str] = "leaky_relu"
    example: ClassVar[str] = "leaky_relu slope=0.1"
    rectifies: ClassVar[bool] = True

    slope: float = arg(Real(), default=0.01, positional=True, help="factor for negative inputs")

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"y = x where x > 0, else {self.slope:g}·x"]

    def brief(self) -> str:
        return f"{self.slope:g}"


@register
class Elu(Activation):
    """x for x > 0, alpha·(exp(x) - 1) otherwise (Clevert et al. 2016; ONNX Elu)."""

    keyword: ClassVar[str] = "elu"
    example: ClassVar[str] = "elu"
    rectifies: ClassVar[bool] = True

    alpha: float = arg(Real(0), default=1, positional=True, help="the output tends to -alpha for very negative inputs")

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"y = x where x > 0, else {self.alpha:g}·(exp(x) - 1)"]

    def brief(self) -> str:
        return "" if self.alpha == 1 else f"{self.alpha:g}"


@register
class Selu(Activation):
    """1.0507·elu(x) with alpha 1.6733, which keeps mean 0 and variance 1 (Klambauer et al. 2017; ONNX Selu).

    The constants are ONNX's defaults, 1.0507009873554805 and 1.6732632423543772 rounded to float32.
    """

    keyword: ClassVar[str] = "selu"
    example: ClassVar[str] = "selu"


@register
class Prelu(Activation):
    """x for x > 0, slope·x otherwise, with one learned slope per channel (He et al. 2015; ONNX PRelu)."""

    keyword: ClassVar[str] = "prelu"
    example: ClassVar[str] = "prelu"
    rectifies: ClassVar[bool] = True

    share: str | None = SHARE

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        return (Parameter("slope", (inputs[0].channels,), 0.25),)

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"params = {inputs[0].channels:,} (one slope per channel)"]

    def brief(self) -> str:
        return parameter_options(self.share).strip()


@register
class Sigmoid(Activation):
    """1/(1 + exp(-x))."""

    keyword: ClassVar[str] = "sigmoid"
    example: ClassVar[str] = "sigmoid"


@register
class Tanh(Activation):
    """(exp(x) - exp(-x))/(exp(x) + exp(-x)), the hyperbolic tangent."""

    keyword: ClassVar[str] = "tanh"
    example: ClassVar[str] = "tanh"


@register
class Softplus(Activation):
    """log(1 + exp(x)), a smooth relu (Dugas et al. 2001; ONNX Softplus)."""

    keyword: ClassVar[str] = "softplus"
    example: ClassVar[str] = "softplus"
    rectifies: ClassVar[bool] = True


@register
class Gelu(Activation):
    """x·Φ(x), Φ the standard normal distribution function (Hendrycks & Gimpel 2016; ONNX Gelu).

    Φ is computed with erf, not with the tanh approximation.
    """

    keyword: ClassVar[str] = "gelu"
    example: ClassVar[str] = "gelu"
    rectifies: ClassVar[bool] = True


@register
class Silu(Activation):
    """x·sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""

    keyword: ClassVar[str] = "silu"
    example: ClassVar[str] = "silu"
    rectifies: ClassVar[bool] = True


@register
class Relu6(Activation):
    """min(max(x, 0), 6) (Krizhevsky 2010; MobileNet)."""

    keyword: ClassVar[str] = "relu6"
    example: ClassVar[str] = "relu6"
    rectifies: ClassVar[bool] = True


class _Bounded(Activation):
    """min(max(x, lo), hi); the subclasses declare the two arguments."""

    lo: float
    hi: float

    def output(self, *inputs: TensorType) -> TensorType:
        if not self.lo < self.hi:
            lo, hi = f"{self.lo:.15g}", f"{self.hi:.15g}"  # with six digits 1 and 1.0000001 would look equal
            raise ShapeError(
                "E320",
                f"{self.keyword} needs lo < hi, not {lo} and {hi}",
                help="give two different numbers",
                argument="hi",
                fixes=(Fix(INSTEAD, f"{self.keyword} {hi} {lo}"),) if self.hi < self.lo else (),
            )
        return inputs[0]

    def explain(self, *inputs: TensorType) -> list[str]:
        return [f"y = min(max(x, {self.lo:g}), {self.hi:g})"]

    def brief(self) -> str:
        return f"{self.lo:g} {self.hi:g}"


@register
class Clip(_Bounded):
    """min(max(x, LO), HI) (ONNX Clip)."""

    keyword: ClassVar[str] = "clip"
    example: ClassVar[str] = "clip 0 1"

    lo: float = arg(Real(), positional=True, help="the smallest output")
    hi: float = arg(Real(), positional=True, help="the largest output")


@register
class HardTanh(_Bounded):
    """min(max(x, LO), HI), from -1 to 1 unless given (Collobert 2004); like clip, but with derivative 0 at LO and HI."""

    keyword: ClassVar[str] = "hard_tanh"
    example: ClassVar[str] = "hard_tanh"

    lo: float = arg(Real(), default=-1, positional=True, help="the smallest output")
    hi: float = arg(Real(), default=1, positional=True, help="the largest output")

    def brief(self) -> str:
        return "" if (self.lo, self.hi) == (-1, 1) else super().brief()


@register
class HardSigmoid(Activation):
    """min(max(x/6 + 1/2, 0), 1), as in MobileNetV3 (Howard et al. 2019; ONNX HardSigmoid with alpha 1/6)."""

    keyword: ClassVar[str] = "hard_sigmoid"
    example: ClassVar[str] = "hard_sigmoid"


@register
class HardSwish(Activation):
    """x·hard_sigmoid(x) (Howard et al. 2019; ONNX HardSwish)."""

    keyword: ClassVar[str] = "hard_swish"
    example: ClassVar[str] = "hard_swish"
    rectifies: ClassVar[bool] = True


@register
class Mish(Activation):
    """x·tanh(softplus(x)) (Misra 2020; ONNX Mish)."""

    keyword: ClassVar[str] = "mish"
    example: ClassVar[str] = "mish"
    rectifies: ClassVar[bool] = True


@register
class Softmax(Activation):
    """exp(x_i)/Σ exp(x_j) over the channels: turns scores into probabilities (ONNX Softmax)."""

    keyword: ClassVar[str] = "softmax"
    example: ClassVar[str] = "softmax"


@register
class LogSoftmax(Activation):
    """x_i - log Σ exp(x_j) over the channels: the logarithm of softmax (ONNX LogSoftmax)."""

    keyword: ClassVar[str] = "log_softmax"
    example: ClassVar[str] = "log_softmax"


@register
class Abs(Activation):
    """|x| (ONNX Abs); after tanh, the rectification of Jarrett et al. (2009)."""

    keyword: ClassVar[str] = "abs"
    example: ClassVar[str] = "abs"


@register
class Scale(Activation):
    """FACTOR·x; the factor is fixed, not learned."""

    keyword: ClassVar[str] = "scale"
    example: ClassVar[str] = "scale 0.5"

    factor: float = arg(Real(), positional=True, help="the factor")

    def brief(self) -> str:
        return f"{self.factor:g}"


@register
class Identity(Op):
    """Returns its input unchanged (ONNX Identity). Its label gives a tensor another name."""

    keyword: ClassVar[str] = "identity"
    takes: ClassVar[tuple[DType, ...]] = ANY_DTYPE
    example: ClassVar[str] = "identity"


@register
class Dropout(Op):
    """In training, zeroes each element with probability P and scales the rest by 1/(1 - P) (Srivastava et al. 2014)."""

    keyword: ClassVar[str] = "dropout"
    example: ClassVar[str] = "dropout 0.3"

    p: float = arg(
        Real(0, 1, open_above=True), default=0.5, positional=True, help="probability of dropping an element in training"
    )

    def brief(self) -> str:
        return f"{self.p:g}"


@register
class DropPath(Op):
    """In training, zeroes a whole sample with probability P and scales the others by 1/(1 - P) (Huang et al. 2016).

    At the end of a residual branch this is stochastic depth.
    """

    keyword: ClassVar[str] = "drop_path"
    example: ClassVar[str] = "drop_path 0.1"

    p: float = arg(
        Real(0, 1, open_above=True), positional=True, help="the probability of dropping a sample in training"
    )

    def brief(self) -> str:
        return f"{self.p:g}"
