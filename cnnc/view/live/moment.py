"""What a page about a training shows: its subject, which stays the same, and moments of the training.

In: numbers, pixels and texts from the training. Out: plain data, which the page draws.

    sample = Sample(pixels, "7")
    learned = Learned((SamplePrediction("7", 0.98, True),), ())
    Moment("training", 3, 120, run, ((0.1, 2.3), (0.2, 1.9)), 9500.0, 210_000_000, 12.5, 30.0, None, learned)
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.view.shades import Pixels
from cnnc.view.training_curves import TrainingRun


class Series(NamedTuple):
    """Numbers (T,) that are shown as a curve from `low` to `high`; those outside are shown at the edge."""

    values: NDArray[np.floating[Any]]
    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Series:
        """A copy of the numbers on a scale that fits those which are finite."""
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        return cls(np.array(values, np.float32), low, high)


Shown = Pixels | Series | str
"""An input, an output or a target."""


class Sample(NamedTuple):
    """An example whose predictions are shown; the target is None where it is the input."""

    shown: Shown
    target: Shown | None


class SamplePrediction(NamedTuple):
    """The output for a sample; of a class also its probability, and whether it is the right one."""

    shown: Shown
    probability: float | None = None
    right: bool | None = None


class KernelImage(NamedTuple):
    """The kernels of a layer in one image, whose pixels are shown `zoom` times as large; 0 in it is transparent."""

    title: str
    notes: tuple[str, ...]
    scale: str
    pixels: Pixels
    zoom: int


class ClassCounts(NamedTuple):
    """How many labels of each class were predicted correctly, of how many, and on which examples, in words."""

    right: tuple[int, ...]
    total: tuple[int, ...]
    on: str


class Learned(NamedTuple):
    """What the weights of a moment do: the predictions for the samples, and the kernels."""

    predictions: tuple[SamplePrediction, ...]
    kernels: tuple[KernelImage, ...]


class Subject(NamedTuple):
    """What stays the same: the network, the number of epochs and of steps in each, samples, and names of classes.

    `falling` are the quantities of which less is better. `may_stop_early` says that validation may end the training.
    """

    name: str
    description: str
    epochs: int
    steps: int
    noun: str
    samples: tuple[Sample, ...]
    samples_title: str
    classes: tuple[str, ...]
    falling: Collection[str]
    notes: tuple[str, ...] = ()
    may_stop_early: bool = False


State = Literal["training", "finished", "stopped", "failed"]


class Moment(NamedTuple):
    """A moment of a training: after `epoch` epochs and `step` steps of the next one.

    `run` are its metrics, None before the end of the first epoch. `losses` are pairs of the epochs so far, with
    fractions, and the mean loss of the batches there. `rate` counts examples per second, `memory` bytes, `seconds` since
    the start, `left` to the end; None, and 0 for the memory, where it is not known. `end` says how the training ended.
    """

    state: State
    epoch: int
    step: int
    run: TrainingRun | None
    losses: tuple[tuple[float, float], ...]
    rate: float | None
    memory: int
    seconds: float
    left: float | None
    counts: ClassCounts | None
    learned: Learned
    end: str = ""
