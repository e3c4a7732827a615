"""Labels, classes, and the share of the examples that is held back for the test.

In: labels as texts or numbers, a share and a seed. Out: classes in their order, labels as their places in it, and
two sets of places: training and test. Every draw is a function of the seed and the labels alone. What was found is
told in one short line each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cnnc.core.random_streams import Stream
from cnnc.data import Request
from cnnc.data.dataset import Dataset, Split
from cnnc.data.sources import bad

Places = NDArray[np.int64]

HEADERS = ("label", "class", "target")
"""Labels that are no labels, but the name of their column."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SHOWN = 10


def number(text: str) -> float | None:
    """A text as a finite number, None if it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def classes_of(labels: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The classes, sorted, and each label's place among them.

    Where all labels are numbers they sort as numbers, and 1 and 1.0 are one class, named 1.
    """
    values = {label: number(label) for label in set(labels)}
    if None not in values.values():
        names = {label: _plain(value) for label, value in values.items() if value is not None}
        classes = tuple(sorted(set(names.values()), key=float))
    else:
        names = {label: label for label in values}
        classes = tuple(sorted(names))
    place = {name: n for n, name in enumerate(classes)}
    return classes, np.array([place[names[label]] for label in labels], np.int64)


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def check_classes(request: Request, classes: Sequence[str], where: object) -> None:
    """Compares the classes of the data with those of the network, where it has some. Raises E602."""
    if request.classes and request.classes != len(classes):
        names = ", ".join(name[:20] for name in classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
        count = f"{len(classes)} class{'es' if len(classes) != 1 else ''} ({names})"
        help = (
            f"end with `fc {len(classes)}`"
            if len(classes) > 1
            else "there is nothing to tell apart: give it two or more"
        )
        raise bad(str(where), f"found {count}; the network's output has {request.classes}", help)


def hold_back(count: int, labels: NDArray[np.int64] | None, request: Request, where: object) -> tuple[Places, Places]:
    """The places of the training examples and of the test examples, drawn from the seed, each in order.

    With labels, the share is taken of each class: at least one example of each that has two, and never its last.
    Raises E602 where there are too few examples to share.
    """
    groups = [np.arange(count)] if labels is None else [np.flatnonzero(labels == k) for k in np.unique(labels)]
    test = np.zeros(count, bool)
    for n, group in enumerate(groups):
        held = min(max(math.floor(len(group) * request.test + 0.5), 1), len(group) - 1)
        test[np.random.default_rng(Stream.TEST_SPLIT.key(request.seed, n)).permutation(group)[:held]] = True
    if not test.any():
        raise bad(
            str(where),
            f"expected examples to train and to test on, found {count} in {len(groups)} class{'es' if len(groups) != 1 else ''}",
        )
    return np.flatnonzero(~test), np.flatnonzero(test)


def share_out(request: Request, where: object, whole: Split, labels: NDArray[np.int64] | None) -> tuple[Split, Split]:
    """Training and test data of data that have no test set; told in a line. Raises E602."""
    train, test = hold_back(len(whole), labels, request, where)
    request.report(
        f"{where}: {len(train):,} to train, {len(test):,} to test (a share of {request.test:g}, drawn from seed "
        f"{request.seed})"
    )
    return whole.part(train), whole.part(test)


def tell_split(request: Request, where: object, data: Dataset) -> None:
    request.report(f"{where}: {len(data.train):,} to train, {len(data.test):,} to test")


def tell_classes(request: Request, where: object, classes: Sequence[str], labels: NDArray[np.int64]) -> None:
    """`photos: 3 classes: cat 40, dog 38, owl 39`."""
    counts = np.bincount(labels.reshape(-1), minlength=len(classes))
    shown = ", ".join(f"{name} {count:,}" for name, count in zip(classes[:_SHOWN], counts, strict=False))
    more = f", and {len(classes) - _SHOWN} more" if len(classes) > _SHOWN else ""
    request.report(f"{where}: {len(classes)} class{'es' if len(classes) != 1 else ''}: {shown}{more}")
