"""Labels, classes, and the split of examples into training and test.

In: labels as text, the fraction of examples for the test split, and a seed. Out: classes in order, labels as indices
into them, and the indices of training and test examples. A split depends on the seed and the labels alone. Each result
is reported in one line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cnnc.core.listing import listed
from cnnc.core.random_streams import Stream
from cnnc.data import Request
from cnnc.data.dataset import Dataset, Split
from cnnc.data.file_tree import bad_file

Indices = NDArray[np.int64]

HEADERS = ("label", "class", "target")
"""Words in place of the first label that mark a header line."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SHOWN = 10


def parse_number(text: str) -> float | None:
    """A finite number in decimal notation; None for any other text, such as `nan` or `1_0`."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def class_indices_of(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes, sorted, and for each label the index of its class (N,).

    If all labels are numbers they are sorted as numbers, and 1 and 1.0 are the same class, named 1.
    """
    values = {label: parse_number(label) for label in set(labels)}
    if None not in values.values():
        names = {label: _class_name(value) for label, value in values.items() if value is not None}
        classes = tuple(sorted(set(names.values()), key=float))
    else:
        names = {label: label for label in values}
        classes = tuple(sorted(names))
    index = {name: n for n, name in enumerate(classes)}
    return classes, np.array([index[names[label]] for label in labels], np.int64)


def _class_name(value: float) -> str:
    """The name of a class whose label is a number: `3`, also for 3.0, and `0.5`."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def require_classes(request: Request, classes: Sequence[str], source: object, more_help: str = "") -> None:
    """Raises CnncError E602 if the data do not have as many classes as the network (0 classes: any number)."""
    if request.classes and request.classes != len(classes):
        names = listed((name[:20] for name in classes), _SHOWN)
        count = f"{len(classes)} class{'es' if len(classes) != 1 else ''} ({names})"
        help = (
            f"end with `fc {len(classes)}`"
            if len(classes) > 1
            else "a classifier needs examples of at least two classes"
        ) + more_help
        raise bad_file(str(source), f"found {count}; the network's output has {request.classes}", help)


def draw_test_split(
    count: int, labels: NDArray[np.int64] | None, request: Request, source: object
) -> tuple[Indices, Indices]:
    """Draws the indices of training and test examples from the seed; each is sorted.

    With labels, the same fraction of each class is drawn: at least one example of a class that has two, and never all.
    Raises CnncError E602 where there are too few examples to split.
    """
    groups = [np.arange(count)] if labels is None else [np.flatnonzero(labels == k) for k in np.unique(labels)]
    test = np.zeros(count, bool)
    for class_number, group in enumerate(groups):
        test_count = min(max(math.floor(len(group) * request.test + 0.5), 1), len(group) - 1)
        random = np.random.default_rng(Stream.TEST_SPLIT.key(request.seed, class_number))
        test[random.permutation(group)[:test_count]] = True
    if not test.any():
        raise bad_file(
            str(source),
            f"too few examples for a training and a test split: {count} in {len(groups)} class{'es' if len(groups) != 1 else ''}",
        )
    return np.flatnonzero(~test), np.flatnonzero(test)


def split_off_test(
    request: Request, source: object, examples: Split, labels: NDArray[np.int64] | None
) -> tuple[Split, Split]:
    """Splits data without a test split, and reports it. Raises CnncError E602."""
    train, test = draw_test_split(len(examples), labels, request, source)
    request.report(
        f"{source}: {len(train):,} training and {len(test):,} test examples (test fraction {request.test:g}, "
        f"seed {request.seed})"
    )
    return examples.select(train), examples.select(test)


def report_split(request: Request, source: object, data: Dataset) -> None:
    """Reports the sizes of given splits."""
    validation = f", {len(data.validation):,} validation" if data.validation is not None else ""
    request.report(f"{source}: {len(data.train):,} training{validation} and {len(data.test):,} test examples")


def report_classes(request: Request, source: object, classes: Sequence[str], labels: NDArray[np.int64]) -> None:
    """Reports the number of examples per class: `photos: 3 classes: cat 40, dog 38, owl 39`."""
    counts = np.bincount(labels.reshape(-1), minlength=len(classes))
    shown = listed((f"{name} {count:,}" for name, count in zip(classes, counts, strict=False)), _SHOWN)
    request.report(f"{source}: {len(classes)} class{'es' if len(classes) != 1 else ''}: {shown}")
