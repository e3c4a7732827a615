"""Fixed filters: convolutions of each channel with a given kernel that is not learned.

In: the type of one input, (C, *spatial). Out: the output type and MACs; there are no parameters. Example:
`filter [0.25, 0.5, 0.25] p=1` smooths a sequence. The numbers of the named kernels are in kernels.py.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from cnnc.core.arguments import Axes, Flag, Kernel, Nested, Padding, Pads, PerAxis, Real, WordValue, arg
from cnnc.core.tensor import TensorType, format_shape
from cnnc.ops import window
from cnnc.ops.base import Advice, Fix, Op, ShapeError, Window, product_text, register
from cnnc.ops.kernels import (
    NAMED,
    Parameters,
    ScaledKernel,
    kernel_of,
    matrix_lines,
    matrix_text,
    named_kernels_text,
    rotated,
    size_of,
)

MAX_COMPUTED = 255  # elements on an axis of a kernel that is computed from a formula
_SHORT = 40  # characters of a kernel that a table shows
_LINE = 76  # characters of a kernel's rows that a report shows
_ODD = "add a row or column of zeros to give the kernel a centre"


@register
class Filter(Op):
    """Moves a fixed window over each channel separately: edges, blur, or given numbers (a depthwise ONNX Conv).

    Computes the cross-correlation, like conv. With `flip=true` it computes the mathematical convolution: the kernel is
    rotated by 180° (reversed on every spatial axis) before use.

    box, gaussian, log and gabor have a size and other parameters. Without k a kernel is 3x3, or with a sigma as large
    as an odd size that reaches 3·sigma. With x and y measured from the centre, to the right and downwards:

        gaussian  binomial coefficients of row k - 1, divided by their sum; with sigma
                  exp(-(x² + y²)/(2·sigma²)), divided by the sum
        log       (x² + y² - 2·sigma²)/sigma⁴ · gaussian, less the mean; sigma is 1 when left out
        gabor     g · (cos(2·pi·u/wavelength + phase) - c), divided by the sum of the absolute values, where
                  g = exp(-(u² + aspect²·v²)/(2·sigma²)), u = x·cos(angle) + y·sin(angle),
                  v = y·cos(angle) - x·sin(angle), and c makes the sum 0

    The angle is the direction across the stripes: 0 is to the right, as in sobel_x, and 90 downwards, as in sobel_y.
    """

    keyword: ClassVar[str] = "filter"
    example: ClassVar[str] = "filter sobel_x"

    numbers: str | Nested = arg(
        Kernel(tuple(NAMED)), positional=True, help="the kernel's name, or its numbers: [[1, 0], [0, -1]]"
    )
    k: Axes | None = arg(PerAxis(1), default=None, long="kernel", help="window size (box, gaussian, log, gabor)")
    sigma: float | None = arg(
        Real(0.1, 1000), default=None, help="standard deviation (gaussian, log, gabor), in elements"
    )
    angle: float | None = arg(
        Real(), default=None, help="direction across the stripes (gabor), in degrees; 0 when left out"
    )
    wavelength: float | None = arg(
        Real(2, 1000), default=None, help="period of the stripes (gabor), in elements; 4 when left out"
    )
    phase: float | None = arg(
        Real(), default=None, help="phase of the wave at the centre (gabor), in degrees; 0 when left out"
    )
    aspect: float | None = arg(
        Real(0.1, 10),
        default=None,
        help="width of the Gaussian across the stripes, divided by that along them (gabor); 1 when left out",
    )
    s: Axes = arg(PerAxis(1), default=1, long="stride", help="step between windows, in input elements")
    p: Pads = arg(Padding(), default=WordValue("same"), long="pad", help="zero padding around the input")
    flip: bool = arg(Flag(), default=False, help="rotate the window by 180°: the mathematical convolution")

    @classmethod
    def details(cls) -> str:
        return named_kernels_text()

    @property
    def size(self) -> Axes:
        """The kernel's size on each spatial axis."""
        if isinstance(self.numbers, str):
            return size_of(self._parameters())
        sizes = []
        level: object = self.numbers
        while isinstance(level, tuple):
            sizes.append(len(level))
            level = level[0]
        return tuple(sizes)

    def scaled_kernel(self) -> ScaledKernel:
        """The kernel as given or named, before `flip`."""
        return kernel_of(self._parameters()) if isinstance(self.numbers, str) else ScaledKernel(self.numbers)

    def kernel(self) -> Nested:
        """The numbers that each window is multiplied by, as nested tuples, one level per spatial axis."""
        numbers = self.scaled_kernel().numbers
        return rotated(numbers) if self.flip else numbers

    def _parameters(self) -> Parameters:
        return Parameters(str(self.numbers), **self._given())

    def _given(self) -> dict[str, Any]:
        """The parameters of a named kernel that are given."""
        keys = Parameters.fields[1:]
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        """The window rule on each spatial axis of an input."""
        size = self.size
        return window.axis_rules(x, size, self.s, self.p, (1,) * len(size))

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        window.require_spatial(x, self.keyword)
        self._require_parameters_of_kernel()
        self._require_computable()
        argument = "k" if self.k is not None else "numbers"
        return x.with_shape(x.channels, *window.output_sizes(self.rules(x), argument))

    def _require_parameters_of_kernel(self) -> None:
        """Raises ShapeError E311 if a parameter of another kernel is given."""
        name = self.numbers if isinstance(self.numbers, str) else ""
        for key in self._given():
            if name and key in NAMED[name].parameters:
                continue
            owners = [f"`filter {kernel}`" for kernel, named in NAMED.items() if key in named.parameters]
            belongs = f"{key} belongs to {', '.join(owners[:-1])}{' and ' if owners[1:] else ''}{owners[-1]}"
            what = f"`filter {name}`" if name else "a filter of given numbers"
            raise ShapeError(
                "E311", f"{what} has no {key}", argument=key, fixes=(Fix(key, "", f"leave it out; {belongs}"),)
            )

    def _require_computable(self) -> None:
        """Raises ShapeError E328 if a computed kernel is too large, or 0 everywhere."""
        if not isinstance(self.numbers, str):
            return
        largest = max(self.size)
        if largest > MAX_COMPUTED:
            raise ShapeError(
                "E328",
                f"a {self.numbers} kernel of {format_shape(self.size)} numbers: at most {MAX_COMPUTED} on an axis",
                argument=next((key for key in ("k", "sigma", "wavelength", "aspect") if key in self._given()), ""),
                fixes=(Fix("k", str(MAX_COMPUTED), "set the size: `{}`"),),
            )
        try:
            self.scaled_kernel()
        except ZeroDivisionError:
            raise ShapeError(
                "E328",
                "every number of this gabor kernel is 0",
                label="the wave is constant or 0 at every element",
                argument="k" if self.k is not None else "",
                fixes=self._fixes_of_zero_kernel(),
            ) from None

    def _fixes_of_zero_kernel(self) -> tuple[Fix, ...]:
        return tuple(Fix(key, "", f"leave {key} out") for key in self._given() if key in ("k", "sigma", "phase"))

    def macs(self, *inputs: TensorType) -> int:
        return self.output(*inputs).size * math.prod(self.size)

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        macs = f"MACs = {product_text(self.output(x).shape)}·({product_text(self.size)}) = {self.macs(x):,}"
        return [*window.explain(self.rules(x)), macs, *self._kernel_lines()]

    def _kernel_lines(self) -> list[str]:
        """The kernel as rows of numbers, after `flip`; of a wide one its size and range."""
        kernel = self.scaled_kernel()
        applied = rotated(kernel.rows) if self.flip else kernel.rows
        rows = matrix_lines(applied)
        scale = f", 1/{kernel.divisor} times" if kernel.divisor != 1 else ""
        turned = ", rotated by 180°" if self.flip else ""
        if max(map(len, rows)) <= _LINE:
            return [f"kernel{turned}{scale}:", *(f"  {row}".rstrip() for row in rows)]
        numbers = [n for row in kernel.numbers for n in row] if len(self.size) == 2 else []
        spread = f", numbers from {min(numbers):.3g} to {max(numbers):.3g}" if numbers else ""
        return [f"kernel{turned}: {format_shape(self.size)}{spread}"]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        rules = self.rules(inputs[0])
        advice = window.stride_advice(rules, self.keyword) + window.padding_advice(rules, self.p)
        if isinstance(self.numbers, str):
            return advice
        return [a.replace(words=_ODD, argument="numbers", fixes=()) if a.code == "W302" else a for a in advice]

    def title(self) -> str:
        """The name and arguments without the numbers: `gabor angle=45 s=2`, `kernel 2x2`."""
        name = self.numbers if isinstance(self.numbers, str) else f"kernel {format_shape(self.size)}"
        size = [f"k={window.short(self.k)}"] if self.k is not None else []
        return " ".join([name, *size, *self._parameter_texts(), *self._window_texts()])

    def brief(self) -> str:
        kernel = self.scaled_kernel()
        matrix = matrix_text(kernel.rows, kernel.divisor)
        name = [self.numbers] if isinstance(self.numbers, str) else []
        shown = matrix if len(matrix) <= _SHORT else f"[{format_shape(self.size)}]"
        return " ".join([*name, *self._parameter_texts(), shown, *self._window_texts()])

    def _parameter_texts(self) -> list[str]:
        return [f"{key}={value:g}" for key, value in self._given().items() if isinstance(value, float)]

    def _window_texts(self) -> list[str]:
        parts = [f"s={window.short(self.s)}"] if any(s != 1 for s in self.s) else []
        parts += [f"p={window.pads_text(self.p)}"] if self.p != "same" else []
        return [*parts, "flip=true"] if self.flip else parts
