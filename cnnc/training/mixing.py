"""Mixes the examples of a batch and their targets: the steps `mixup` and `cutmix` of `augment`.

In: augmented inputs, targets, and what each column of targets is. Out: mixed inputs and targets. Each example is mixed with
the next one of the batch, the last with the first: the order of a batch is random. A process that has some of the
examples of a batch also reads the partners of these (`positions_to_read`), and mixes them as one process would.

A proportion λ is drawn for each example: of the example remains λ, and 1 - λ comes from its partner. What is mixed is

    a label of the example        probabilities (N, C): λ for its class, and 1 - λ for that of its partner
    numbers                       λ·y + (1 - λ)·y'
    a map                         pasted like the pixels (cutmix); numbers may also be blended (mixup)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array, Rows
from cnnc.recipe.augmentation import Augment
from cnnc.training.augment import ImageRandom, as_images, like
from cnnc.training.maps import TargetColumn


class Mix(NamedTuple):
    """How each example is mixed: the proportion (N) that remains, and a rectangle that is replaced, or None.

    The rectangle of each example (N, 4) is its top, bottom, left and right, as fractions of height and width.
    """

    remains: NDArray[np.float64]
    box: NDArray[np.float64] | None


MixStep = Callable[[tuple[int, int], Any, ImageRandom], Mix]
"""(height and width, value of the argument, random) -> Mix"""

MIXES: dict[str, MixStep] = {}

F = TypeVar("F", bound=MixStep)


def mix_of(argument: str) -> Callable[[F], F]:
    """Registers the function of a step, by its argument of `augment`."""

    def register(function: F) -> F:
        MIXES[argument] = function
        return function

    return register


def positions_to_read(statement: Augment | None, rows: Rows, batch: int) -> NDArray[np.int64]:
    """The positions in a batch of the examples at `rows`, followed by those of partners that are not among them."""
    own = np.arange(batch)[rows]
    if statement is None or not statement.mixes:
        return own
    return np.concatenate([own, np.setdiff1d(_partners(own, batch), own)])


def _partners(positions: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
    return (positions + 1) % max(1, batch)


def mix(
    inputs: Array,
    targets: Sequence[Array],
    columns: Sequence[TargetColumn],
    statement: Augment,
    random: ImageRandom,
    positions: NDArray[np.int64],
    batch: int,
) -> tuple[Array, tuple[Array, ...]]:
    """The examples that `random` draws for, mixed. They are the first ones, before their partners; `positions` are those of all.

    With both steps, each example is mixed by one of them, by each with probability 1/2.
    """
    own = len(random)
    index = np.empty(batch, np.int64)
    index[positions] = np.arange(len(positions))
    partners = index[_partners(positions[:own], batch)]
    chosen = [(name, value) for name, value in statement.steps if name in MIXES]
    pick = np.floor(random.uniform(0, len(chosen))) if len(chosen) > 1 else np.zeros(own)
    height, width = as_images(inputs).shape[2:]
    targets = [as_probabilities(t, c) for t, c in zip(targets, columns, strict=True)]
    mixed, of_targets = inputs[:own].copy(), [target[:own].copy() for target in targets]
    for number, (name, value) in enumerate(chosen):
        how = MIXES[name]((height, width), value, random)
        at = np.flatnonzero(pick == number)
        box = None if how.box is None else how.box[at]
        how = Mix(how.remains[at], box)
        mixed[at] = _mixed(inputs[:own][at], inputs[partners[at]], how, is_map=True)
        for result, target, column in zip(of_targets, targets, columns, strict=True):
            if column.used:
                result[at] = _mixed(target[:own][at], target[partners[at]], how, column.is_map)
    return mixed, tuple(of_targets)


def as_probabilities(target: Array, column: TargetColumn) -> Array:
    """Labels as probabilities (N, C); maps, numbers and probabilities as they are.

    A label that does not count has no class, and so no probability.
    """
    if not column.classes or column.is_map or target.dtype.kind == "f":
        return target
    probabilities: Array = (target.reshape(-1, 1) == np.arange(column.classes)).astype(np.float32)
    return probabilities


def _mixed(own: Array, other: Array, how: Mix, is_map: bool) -> Array:
    """Examples and their partners in one: pasted where there is a rectangle and they are maps, else blended."""
    if how.box is not None and is_map:
        height, width = own.shape[-2:] if own.ndim > 2 else (1, own.shape[-1])
        inside = _inside(how.box, height, width)
        return np.where(inside if own.ndim == 3 else inside[:, None], other, own)
    remains = how.remains.astype(np.float32).reshape(-1, *[1] * (own.ndim - 1))
    return like(own, own * remains + other * (1 - remains))


def _inside(box: NDArray[np.float64], height: int, width: int) -> NDArray[np.bool_]:
    """Which elements (N, H, W) have their center within the rectangle of their example."""
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    top, bottom, left, right = box.T[:, :, None]
    rows, columns = (y > top) & (y < bottom), (x > left) & (x < right)
    inside: NDArray[np.bool_] = rows[:, :, None] & columns[:, None, :]
    return inside


@mix_of("mixup")
def _mixup(size: tuple[int, int], alpha: float, random: ImageRandom) -> Mix:
    """λ of Beta(alpha, alpha) for each example (Zhang et al. 2018)."""
    return Mix(random.beta(alpha), None)


@mix_of("cutmix")
def _cutmix(size: tuple[int, int], alpha: float, random: ImageRandom) -> Mix:
    """A rectangle of the fraction 1 - λ of the image, with λ of Beta(alpha, alpha) and its center anywhere (Yun et al. 2019).

    It is cut off at the border, and ends between pixels; λ becomes the part of the pixels outside of it.
    """
    height, width = size
    side = np.sqrt(1 - random.beta(alpha))
    y, x = random.integers(0, height), random.integers(0, width)

    def ends(center: NDArray[np.int64], length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        half = np.floor(side * length).astype(np.int64) // 2
        return (center - half).clip(0, length) / length, (center + half).clip(0, length) / length

    (top, bottom), (left, right) = ends(y, height), ends(x, width)
    return Mix(1 - (bottom - top) * (right - left), np.stack([top, bottom, left, right], -1))
