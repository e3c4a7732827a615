"""Augmentation: changes the images or series of a batch at random, in tables of steps by argument of `augment`.

In: images (N, C, H, W) of a batch, uint8 or float32, the statement, and a random generator. Out: images of the same shape
and type. Series (N, C, T) and (N, T) are images of one row. The caller seeds the generator with the seed, the epoch and the
step, so that a resumed run sees the same images. Where several processes share a batch, each augments its own images as one
process would augment all of them.

    STEPS   change images: (images, value of the argument, random) -> images
    MOVES   also move their pixels, and return a `Moved`, by which maps.py moves label maps and other targets that are maps

The steps that mix examples are in mixing.py; they come after all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Rows
from cnnc.recipe.augmentation import Augment

Images = NDArray[Any]
EVERY = slice(None)
"""All images of a batch."""


class ImageRandom:
    """Random numbers for each image: for those at `rows` of a batch of `count`. Numbers are drawn for the whole batch."""

    def __init__(self, generator: np.random.Generator, count: int, rows: Rows) -> None:
        self._generator = generator
        self._count = count
        self._rows = rows

    def __len__(self) -> int:
        return len(np.arange(self._count)[self._rows])

    def uniform(self, low: float, high: float, *shape: int) -> NDArray[np.float64]:
        """A number from low to high for each image, or numbers in this shape."""
        return self._generator.uniform(low, high, (self._count, *shape))[self._rows]

    def integers(self, low: int, high: int) -> NDArray[np.int64]:
        """A whole number from low to high - 1 for each image."""
        return self._generator.integers(low, high, self._count)[self._rows]

    def normal(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Numbers of the standard normal distribution in this shape for each image."""
        return self._generator.standard_normal((self._count, *shape), np.float32)[self._rows]

    def beta(self, alpha: float) -> NDArray[np.float64]:
        """A number from 0 to 1, of the distribution Beta(alpha, alpha), for each image."""
        return self._generator.beta(alpha, alpha, self._count)[self._rows]

    def of_rows(self, rows: Rows) -> ImageRandom:
        """The numbers that follow, for other images of the batch."""
        return ImageRandom(self._generator, self._count, rows)


class Moved(NamedTuple):
    """Images after a step that moves pixels, and where these came from.

    `sources` (N, 3, 3) turn the position (x, y, 1) of a pixel into that of its source before the step, in homogeneous
    coordinates: (u, v, w) is column u/w, row v/w.
    """

    images: Images
    sources: NDArray[np.float64]


AugmentStep = Callable[[Images, Any, ImageRandom], Images]
MovingStep = Callable[[Images, Any, ImageRandom], Moved]

STEPS: dict[str, AugmentStep] = {}
MOVES: dict[str, MovingStep] = {}

F = TypeVar("F", bound=AugmentStep)
M = TypeVar("M", bound=MovingStep)


def step_of(argument: str) -> Callable[[F], F]:
    """Registers the function of a step, by its argument of `augment`."""

    def register(function: F) -> F:
        STEPS[argument] = function
        return function

    return register


def move_of(argument: str) -> Callable[[M], M]:
    """Registers the function of a step that moves pixels, by its argument of `augment`."""

    def register(function: M) -> M:
        MOVES[argument] = function
        return function

    return register


def augment(
    images: Images, statement: Augment, generator: np.random.Generator, batch: int | None = None, rows: Rows = EVERY
) -> Images:
    """The images with the steps of the statement applied that do not mix them, in the order of its arguments.

    They are those at `rows` of a batch of `batch` images; by default the whole batch.
    """
    random = ImageRandom(generator, len(images) if batch is None else batch, rows)
    return apply_steps(images, statement, random)[0]


def apply_steps(images: Images, statement: Augment, random: ImageRandom) -> tuple[Images, list[NDArray[np.float64]]]:
    """The images after the steps that do not mix them, and the `sources` of each step that moved pixels, in order."""
    shape, moves = images.shape, list[NDArray[np.float64]]()
    images = as_images(images)
    for name, value in statement.steps:
        if name in MOVES:
            images, sources = MOVES[name](images, value, random)
            moves.append(sources)
        elif name in STEPS:
            images = STEPS[name](images, value, random)
    return images.reshape(shape), moves


def as_images(examples: Images) -> Images:
    """Series (N, C, T) or (N, T) as images (N, C, 1, T) of one row; images as they are."""
    if examples.ndim >= 4:
        return examples
    return examples.reshape(len(examples), *examples.shape[1:-1] or (1,), 1, examples.shape[-1])


# --- steps that move pixels ------------------------------------------------------------------------------------------


@move_of("flip")
def _flip(images: Images, how: str, random: ImageRandom) -> Moved:
    """Mirrors each image left to right with probability 1/2."""
    chosen = random.uniform(0, 1) < 0.5
    sources = _identities(len(images))
    sources[chosen, 0] = [-1, 0, images.shape[3] - 1]
    return Moved(np.where(chosen[:, None, None, None], images[..., ::-1], images), sources)


@move_of("crop")
@move_of("shift")
def _shift(images: Images, reach: int, random: ImageRandom) -> Moved:
    """Shifts each image by up to `reach` pixels along each axis: pads with zeros and crops at a random offset."""
    top, left = random.integers(0, 2 * reach + 1), random.integers(0, 2 * reach + 1)
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    return Moved(_cropped(padded, top, left, images.shape), _translations(left - reach, top - reach))


@move_of("time_shift")
def _time_shift(images: Images, reach: int, random: ImageRandom) -> Moved:
    """Shifts each series by up to `reach` samples, with zeros where it begins or ends."""
    left = random.integers(0, 2 * reach + 1)
    padded = np.pad(images, ((0, 0), (0, 0), (0, 0), (reach, reach)))
    top = np.zeros_like(left)
    return Moved(_cropped(padded, top, left, images.shape), _translations(left - reach, top))


def _cropped(padded: Images, top: NDArray[np.int64], left: NDArray[np.int64], shape: tuple[int, ...]) -> Images:
    """From each padded image the part of this shape that begins at row `top` and column `left`."""
    _, _, height, width = shape
    part = np.empty(shape, padded.dtype)
    for n, (y, x) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):  # faster than an index of all pixels
        part[n] = padded[n, :, y : y + height, x : x + width]
    return part


@move_of("rotate")
def _rotate(images: Images, degrees: float, random: ImageRandom) -> Moved:
    """Rotates each image about its center by up to `degrees` either way; bilinear, with zeros outside the image."""
    height, width = images.shape[2:]
    angle = np.radians(random.uniform(-degrees, degrees))[:, None, None]
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width)[None, :] - (width - 1) / 2
    from_y = y * np.cos(angle) - x * np.sin(angle) + (height - 1) / 2  # (N, H, W): the source of each pixel
    from_x = y * np.sin(angle) + x * np.cos(angle) + (width - 1) / 2
    sin, cos = np.sin(angle).ravel(), np.cos(angle).ravel()
    linear = _identities(len(images))
    linear[:, 0, :2], linear[:, 1, :2] = np.stack([cos, sin], -1), np.stack([-sin, cos], -1)
    return Moved(sampled(images, from_y, from_x), _about_centre(linear, height, width))


@move_of("zoom")
def _zoom(images: Images, reach: float, random: ImageRandom) -> Moved:
    """Enlarges each image about its center by a factor from 1 - reach to 1 + reach; bilinear, with zeros outside."""
    height, width = images.shape[2:]
    linear = _identities(len(images))
    linear[:, :2, :2] /= random.uniform(1 - reach, 1 + reach)[:, None, None]
    return _warped(images, _about_centre(linear, height, width))


@move_of("perspective")
def _perspective(images: Images, reach: float, random: ImageRandom) -> Moved:
    """Moves each corner inwards by up to `reach` times half the width and height; bilinear, with zeros outside."""
    height, width = images.shape[2:]
    right, bottom = width - 1.0, height - 1.0
    corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]])  # x, y
    inwards = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]]) * np.array([right, bottom]) / 2
    moved = corners + inwards * random.uniform(0, reach, 4, 2)  # (N, 4, 2)
    return _warped(images, _homographies(moved, corners))


def _homographies(at: NDArray[np.float64], sources: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrices (N, 3, 3) that turn four points (N, 4, 2) into their sources (4, 2).

    Each point (x, y) with its source (u, v) gives two linear equations in the eight elements a, ..., h:
    u·(g·x + h·y + 1) = a·x + b·y + c and v·(g·x + h·y + 1) = d·x + e·y + f.
    """
    equations = np.zeros((len(at), 8, 8))
    equations[:, :4, :2], equations[:, :4, 2] = at, 1
    equations[:, 4:, 3:5], equations[:, 4:, 5] = at, 1
    equations[:, :4, 6:], equations[:, 4:, 6:] = -at * sources[:, :1], -at * sources[:, 1:]
    constants = np.broadcast_to(np.concatenate([sources[:, 0], sources[:, 1]])[:, None], (len(at), 8, 1))
    elements = np.linalg.solve(equations, constants)[..., 0]
    return np.concatenate([elements, np.ones((len(at), 1))], 1).reshape(-1, 3, 3)


def _identities(count: int) -> NDArray[np.float64]:
    return np.tile(np.eye(3), (count, 1, 1))


def _translations(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    sources = _identities(len(x))
    sources[:, 0, 2], sources[:, 1, 2] = x, y
    return sources


def _about_centre(linear: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Matrices whose linear part turns positions relative to the center of the image."""
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    sources = linear.copy()
    sources[:, :2, 2] = centre - linear[:, :2, :2] @ centre
    return sources


def _warped(images: Images, sources: NDArray[np.float64]) -> Moved:
    """The images sampled at the sources of their pixels."""
    height, width = images.shape[2:]
    from_x, from_y = positions_before(sources, np.arange(width)[None, None], np.arange(height)[None, :, None])
    return Moved(sampled(images, from_y, from_x), sources)


def positions_before(
    sources: NDArray[np.float64], x: NDArray[Any], y: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The columns and rows that positions came from; arrays that broadcast to (N, H, W)."""
    (a, b, c), (d, e, f), (g, h, i) = np.moveaxis(sources, 0, -1)[..., None, None]
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    if g.any() or h.any():  # else the divisor is 1
        divisor = g * x + h * y + i
        return from_x / divisor, from_y / divisor
    return from_x, from_y


def sampled(images: Images, from_y: NDArray[np.float64], from_x: NDArray[np.float64]) -> Images:
    """The images at fractional rows and columns (N, H, W); bilinear, with zeros outside the image.

    Each channel is gathered from a flat array, by positions that all channels share: padded images have rows of width + 3
    and planes of `plane` numbers.
    """
    count, channels, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 2), (1, 2))).astype(np.float32)
    from_y, from_x = np.clip(from_y, -1, height), np.clip(from_x, -1, width)
    top, left = np.floor(from_y), np.floor(from_x)
    down, right = from_y - top, from_x - left
    up, before = 1 - down, 1 - right
    row, plane = width + 3, (height + 3) * (width + 3)
    first = np.arange(count)[:, None, None] * (channels * plane)
    corner = first + (top.astype(np.int64) + 1) * row + (left.astype(np.int64) + 1)  # (N, h, w)
    pixels, flat = np.empty((count, channels, *corner.shape[1:])), padded.reshape(-1)
    for channel in range(channels):
        above = _between(flat, corner, before, right)
        below = _between(flat, corner + row, before, right)
        np.multiply(above, up, out=above)
        np.multiply(below, down, out=below)
        np.add(above, below, out=pixels[:, channel])
        corner += plane
    return like(images, pixels)


def _between(
    flat: NDArray[np.float32],
    left: NDArray[np.int64],
    share_of_left: NDArray[np.float64],
    share_of_right: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The numbers at positions `left` and the next ones, weighted."""
    numbers: NDArray[np.float64] = flat.take(left) * share_of_left
    numbers += flat.take(left + 1) * share_of_right
    return numbers


# --- steps that change values ----------------------------------------------------------------------------------------


@step_of("brightness")
@step_of("scaling")
def _brightness(images: Images, reach: float, random: ImageRandom) -> Images:
    """f·x for each image, with f drawn from 1 - reach to 1 + reach: PyTorch's ColorJitter(brightness=reach)."""
    return like(images, images * _factors(reach, random))


@step_of("contrast")
def _contrast(images: Images, reach: float, random: ImageRandom) -> Images:
    """m + f·(x - m) for each image, with m its mean grey and f as for brightness: ColorJitter(contrast=reach)."""
    mean = _mean_grey(images)
    return like(images, mean + (images - mean) * _factors(reach, random))


@step_of("blur")
def _blur(images: Images, reach: float, random: ImageRandom) -> Images:
    """Convolves each image with a Gaussian of standard deviation 0 to `reach`, rows and columns in turn.

    The kernels end at 3·reach; pixels beyond the border are those of the border.
    """
    deviation = np.maximum(random.uniform(0, reach), 1e-3)[:, None]
    radius = int(np.ceil(3 * reach))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / deviation) ** 2)
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)  # (N, K)
    blurred = images.astype(np.float32)
    for axis in (2, 3):
        padding = [(0, 0)] * 4
        padding[axis] = (radius, radius)
        padded, size = np.pad(blurred, padding, "edge"), images.shape[axis]
        blurred, weighted = np.zeros_like(blurred), np.empty_like(blurred)
        for k in range(2 * radius + 1):
            part = padded[:, :, k : k + size] if axis == 2 else padded[..., k : k + size]
            blurred += np.multiply(part, weights[:, k, None, None, None], out=weighted)
    return like(images, blurred)


@step_of("noise")
def _noise(images: Images, deviation: float, random: ImageRandom) -> Images:
    """Adds Gaussian noise; `deviation` is a fraction of the full range, which is 255 for uint8 and 1 for float32."""
    full = 255 if images.dtype == np.uint8 else 1
    return like(images, images + random.normal(images.shape[1:]) * np.float32(full * deviation))


@step_of("cutout")
def _cutout(images: Images, size: int, random: ImageRandom) -> Images:
    """Sets a square to zeros, its center anywhere in the image (DeVries & Taylor 2017)."""
    height, width = images.shape[2:]
    y, x = random.integers(0, height)[:, None], random.integers(0, width)[:, None]
    offset = 0.5 * (size % 2 == 0)
    rows = np.abs(np.arange(height) - y + offset) < size / 2  # (N, H)
    columns = np.abs(np.arange(width) - x + offset) < size / 2  # (N, W)
    return np.where((rows[:, :, None] & columns[:, None, :])[:, None], images.dtype.type(0), images)


@step_of("jitter")
def _jitter(series: Images, deviation: float, random: ImageRandom) -> Images:
    """Adds Gaussian noise to each channel; `deviation` is relative to the standard deviation of the channel."""
    spread = series.std((2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    return like(series, series + random.normal(series.shape[1:]) * (np.float32(deviation) * spread))


@step_of("time_mask")
def _time_mask(series: Images, longest: int, random: ImageRandom) -> Images:
    """Sets a span of 0 to `longest` samples to zeros, anywhere within the series (Park et al. 2019)."""
    length = series.shape[3]
    span = random.integers(0, min(longest, length) + 1)
    start = np.floor(random.uniform(0, 1) * (length - span + 1))
    time = np.arange(length)
    hidden = (time >= start[:, None]) & (time < (start + span)[:, None])  # (N, T)
    return np.where(hidden[:, None, None], series.dtype.type(0), series)


def _factors(reach: float, random: ImageRandom) -> NDArray[np.float32]:
    """A factor for each image, from 1 - reach to 1 + reach, in the shape (N, 1, 1, 1)."""
    return random.uniform(1 - reach, 1 + reach).astype(np.float32).reshape(-1, 1, 1, 1)


def _mean_grey(images: Images) -> NDArray[np.float32]:
    """The mean grey of each image (N, 1, 1, 1): of RGB by the weights of ITU-R BT.601, else the mean over the channels."""
    channels = images.shape[1]
    weights = np.array([0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels)
    grey: NDArray[np.floating] = images.mean((2, 3), dtype=np.float64) @ weights
    return grey.reshape(-1, 1, 1, 1).astype(np.float32)


def like(images: Images, pixels: NDArray[np.floating]) -> Images:
    """Pixels in the type of the images: for uint8 rounded and clipped to 0..255."""
    if images.dtype == np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255)
    converted: Images = np.ascontiguousarray(pixels).astype(images.dtype)
    return converted
