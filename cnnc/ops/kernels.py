"""The named kernels of the layer `filter`: fixed numbers, or formulas with a size and other parameters.

In: a name and its parameters. Out: the kernel's size, and its numbers as nested tuples. Help, tables and computation read
the numbers from here. Row 0 is the top row and column 0 the left one; x points to the right, y downwards.

    kernel_of(Parameters("sobel_x"))       # ScaledKernel(((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), 1)
    size_of(Parameters("gaussian", sigma=1))    # (7, 7)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

from cnnc.core.arguments import Axes, Nested
from cnnc.core.record import Record


class Parameters(Record):
    """The name of a kernel, and its parameters; None for one that is not given. `angle` and `phase` are in degrees."""

    name: str
    k: Axes | None = None
    sigma: float | None = None
    angle: float | None = None
    wavelength: float | None = None
    phase: float | None = None
    aspect: float | None = None


class ScaledKernel(Record):
    """The numbers of a kernel: `rows`, each divided by `divisor`."""

    rows: Nested
    divisor: int = 1

    @property
    def numbers(self) -> Nested:
        """The numbers as nested tuples of floats."""
        return _divided(self.rows, self.divisor)


class NamedKernel(Record):
    """What help says about a kernel, its numbers, and the parameters that belong to it.

    `rows` over `divisor` are fixed numbers; without them `compute` computes the kernel of a size.
    """

    help: str
    source: str
    rows: Nested = ()
    divisor: int = 1
    parameters: tuple[str, ...] = ()
    compute: Callable[[Parameters, Axes], ScaledKernel] | None = None


def size_of(parameters: Parameters) -> Axes:
    """The size on each axis: `k`, 3, or for a given or default sigma the odd size that reaches 3·sigma."""
    if parameters.k is not None:
        return parameters.k
    sigma = _sigma(parameters)
    if sigma is None:
        return (3, 3)
    reach = 3 * sigma * max(1, 1 / (parameters.aspect or 1))
    return (2 * max(1, math.floor(reach + 0.5)) + 1,) * 2


@cache
def kernel_of(parameters: Parameters) -> ScaledKernel:
    """The numbers of a kernel. Raises ZeroDivisionError if the formula gives 0 everywhere."""
    named = NAMED[parameters.name]
    if named.compute is None:
        return ScaledKernel(named.rows, named.divisor)
    return named.compute(parameters, size_of(parameters))


_LOG_SIGMA = 1.0
_WAVELENGTH = 4.0
_SIGMA_PER_WAVELENGTH = 0.56  # a bandwidth of one octave


def _sigma(parameters: Parameters) -> float | None:
    """The standard deviation of a kernel's Gaussian; None for a kernel without one."""
    if parameters.sigma is None and parameters.name == "log":
        return _LOG_SIGMA
    if parameters.sigma is None and parameters.name == "gabor":
        return _SIGMA_PER_WAVELENGTH * (parameters.wavelength or _WAVELENGTH)
    return parameters.sigma


def _box(parameters: Parameters, size: Axes) -> ScaledKernel:
    height, width = size
    return ScaledKernel(((1,) * width,) * height, height * width)


def _gaussian(parameters: Parameters, size: Axes) -> ScaledKernel:
    """Binomial coefficients over their sum; with a sigma, samples of the Gaussian over their sum."""
    sigma = _sigma(parameters)
    if sigma is None:
        rows, columns = (tuple(math.comb(k - 1, i) for i in range(k)) for k in size)
        return ScaledKernel(_outer(rows, columns), 2 ** (sum(size) - 2))
    samples = (tuple(_bell(t, sigma) for t in _offsets(k)) for k in size)
    return ScaledKernel(_outer(*(tuple(n / math.fsum(axis) for n in axis) for axis in samples)))


def _log(parameters: Parameters, size: Axes) -> ScaledKernel:
    """Laplacian of a Gaussian whose samples sum to 1; its mean is subtracted, so that the sum is 0."""
    sigma = _sigma(parameters) or _LOG_SIGMA
    g = _gaussian(parameters.replace(sigma=sigma), size).rows
    factors = [
        [((x / sigma) ** 2 + (y / sigma) ** 2 - 2) / sigma**2 for x in _offsets(size[1])] for y in _offsets(size[0])
    ]
    kernel = [[f * w for f, w in zip(*rows, strict=True)] for rows in zip(factors, g, strict=True)]
    mean = sum(map(sum, kernel)) / math.prod(size)
    return ScaledKernel(tuple(tuple(w - mean for w in row) for row in kernel))


def _gabor(parameters: Parameters, size: Axes) -> ScaledKernel:
    """A cosine wave under a Gaussian: g·(cos(2·pi·u/wavelength + phase) - c), over the sum of its absolute values.

    u points in the direction of the angle, v is perpendicular to it; c makes the sum 0.
    """
    sigma = _sigma(parameters) or 1.0
    angle, phase = math.radians(parameters.angle or 0), math.radians(parameters.phase or 0)
    cells = []
    for y in _offsets(size[0]):
        for x in _offsets(size[1]):
            u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            wave = math.cos(2 * math.pi * u / (parameters.wavelength or _WAVELENGTH) + phase)
            cells.append((_bell(u, sigma) * _bell(v * (parameters.aspect or 1), sigma), wave))
    total = math.fsum(g for g, _ in cells)
    constant = math.fsum(g * wave for g, wave in cells) / total
    kernel = [g * (wave - constant) for g, wave in cells]
    scale = math.fsum(map(abs, kernel))
    if scale < 1e-6 * total:
        raise ZeroDivisionError
    return ScaledKernel(
        tuple(tuple(w / scale for w in kernel[i : i + size[1]]) for i in range(0, len(kernel), size[1]))
    )


def _offsets(k: int) -> tuple[float, ...]:
    """The distances of k elements from their centre: -1, 0, 1."""
    return tuple(t - (k - 1) / 2 for t in range(k))


def _bell(distance: float, sigma: float) -> float:
    return math.exp(-((distance / sigma) ** 2) / 2)


def _outer(rows: Sequence[float], columns: Sequence[float]) -> Nested:
    return tuple(tuple(a * b for b in columns) for a in rows)


def _divided(rows: Nested, divisor: int) -> Nested:
    return tuple(_divided(row, divisor) if isinstance(row, tuple) else row / divisor for row in rows)


def _transposed(rows: Nested) -> Nested:
    return tuple(zip(*rows, strict=True))


_SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))
_PREWITT = ((-1, 0, 1), (-1, 0, 1), (-1, 0, 1))
_SCHARR = ((-3, 0, 3), (-10, 0, 10), (-3, 0, 3))

NAMED: dict[str, NamedKernel] = {
    "sobel_x": NamedKernel("edges, positive where it gets brighter to the right", "Sobel and Feldman 1968", _SOBEL),
    "sobel_y": NamedKernel("edges, positive where it gets brighter downwards", "as sobel_x", _transposed(_SOBEL)),
    "prewitt_x": NamedKernel("as sobel_x, with equal rows", "Prewitt 1970", _PREWITT),
    "prewitt_y": NamedKernel("as sobel_y, with equal columns", "Prewitt 1970", _transposed(_PREWITT)),
    "scharr_x": NamedKernel("as sobel_x, closer to rotation invariance", "Scharr 2000; OpenCV", _SCHARR),
    "scharr_y": NamedKernel("as sobel_y, closer to rotation invariance", "Scharr 2000; OpenCV", _transposed(_SCHARR)),
    "laplacian": NamedKernel(
        "sum of the second differences of both axes", "Gonzalez and Woods", ((0, 1, 0), (1, -4, 1), (0, 1, 0))
    ),
    "log": NamedKernel(
        "Laplacian of a Gaussian: edges and blobs at the scale sigma",
        "Marr and Hildreth 1980; sampled as fspecial of MATLAB, with sum 0",
        parameters=("k", "sigma"),
        compute=_log,
    ),
    "sharpen": NamedKernel("identity minus laplacian", "Gonzalez and Woods", ((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
    "edge_enhance": NamedKernel(
        "sharpens in all eight directions",
        "EDGE_ENHANCE of Pillow",
        ((-1, -1, -1), (-1, 10, -1), (-1, -1, -1)),
        2,
    ),
    "emboss": NamedKernel(
        "a relief, brighter where the image gets brighter to the lower right",
        "Emboss of the GIMP manual",
        ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
    ),
    "box": NamedKernel("mean of the window", "Gonzalez and Woods", parameters=("k",), compute=_box),
    "gaussian": NamedKernel(
        "weighted mean: binomial coefficients, or samples of a Gaussian if sigma is given",
        "Haddad and Akansu 1991; Gonzalez and Woods",
        parameters=("k", "sigma"),
        compute=_gaussian,
    ),
    "gabor": NamedKernel(
        "stripes of one direction and wavelength; sum 0, sum of absolute values 1",
        "Daugman 1985; written as getGaborKernel of OpenCV, less its mean",
        parameters=("k", "sigma", "angle", "wavelength", "phase", "aspect"),
        compute=_gabor,
    ),
    "identity": NamedKernel("the image itself", "definition", ((0, 0, 0), (0, 1, 0), (0, 0, 0))),
}


def rotated(kernel: Nested) -> Nested:
    """The kernel reversed on every axis, which is rotated by 180°."""
    return tuple(rotated(row) if isinstance(row, tuple) else row for row in reversed(kernel))


def matrix_text(kernel: Nested, divisor: int = 1) -> str:
    """`[-1 0 1; -2 0 2; -1 0 1]`, or `1/16·[1 2 1; 2 4 2; 1 2 1]`; a volume is `[1 2; 3 4 | 5 6; 7 8]`."""
    text = f"[{_joined(kernel)}]"
    return text if divisor == 1 else f"1/{divisor}·{text}"


def _joined(kernel: Nested) -> str:
    if not isinstance(kernel[0], tuple):
        return " ".join(f"{n:.3g}" for n in kernel)
    return (" | " if isinstance(kernel[0][0], tuple) else "; ").join(map(_joined, kernel))


def matrix_texts(kernel: Nested) -> list[list[str]]:
    """The numbers of a kernel with one or two axes as texts, by row."""
    rows = kernel if isinstance(kernel[0], tuple) else (kernel,)
    return [[f"{n:.3g}" for n in row] for row in rows]


def matrix_lines(kernel: Nested) -> list[str]:
    """A kernel with one or two axes as aligned rows of numbers; of a volume each slice, separated by a blank line."""
    if isinstance(kernel[0], tuple) and isinstance(kernel[0][0], tuple):
        slices = [matrix_lines(part) for part in kernel]
        return [line for i, part in enumerate(slices) for line in ([""] if i else []) + part]
    texts = matrix_texts(kernel)
    width = max(len(text) for row in texts for text in row)
    return [" ".join(f"{text:>{width}}" for text in row) for row in texts]


def named_kernels_text() -> str:
    """The named kernels for help: the numbers of those that are 3x3 by default, then what each of them shows."""
    blocks = [_block(name) for name in NAMED if size_of(Parameters(name)) == (3, 3)]
    width = max(len(line) for block in blocks for line in block)
    lines = ["The named kernels, for images:", ""]
    for first in range(0, len(blocks), _PER_LINE):
        group = zip(*blocks[first : first + _PER_LINE], strict=True)
        lines += ["    " + "   ".join(f"{line:<{width}}" for line in row).rstrip() for row in group]
        lines.append("")
    longest = max(map(len, NAMED))
    lines += [f"    {name:<{longest}}  {named.help} ({named.source})" for name, named in NAMED.items()]
    return "\n".join(lines)


_PER_LINE = 4


def _block(name: str) -> list[str]:
    """A kernel's name, its factor if it is not 1, and its rows."""
    kernel = kernel_of(Parameters(name))
    factor = "" if kernel.divisor == 1 else f" 1/{kernel.divisor} ·"
    return [f"{name}{factor}", *matrix_lines(kernel.rows)]
