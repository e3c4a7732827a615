"""The shares of a data set that its files name: training, validation and test.

In: names of folders or files, as `share_of` reads them, in any case; or the examples with the share of each. Out: `Shares`. Where
the files name no test share, a part of the training examples becomes it. A given share that lacks a class is reported.

    share_of("Valid")  # "validation"
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.listing import listed
from cnnc.data import Request
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.file_tree import bad_file
from cnnc.data.splits import draw_test_split, split_off_test

TRAINING, VALIDATION, TEST = "training", "validation", "test"
SHARES = (TRAINING, VALIDATION, TEST)

NAMES = {TRAINING: ("train", "training"), VALIDATION: ("val", "valid", "validation"), TEST: ("test", "testing")}
"""The names of each share, in any case, in order of preference."""

_SHOWN = 10


class Shares(NamedTuple):
    """The examples of each share; validation is None where the files have none, and is drawn from training later."""

    train: Split
    validation: Split | None
    test: Split
    test_is_drawn: bool

    def data_set(self, name: str, classes: tuple[str, ...], facts: ReadFacts) -> Dataset:
        """The data set of these shares."""
        return Dataset(
            name,
            classes,
            self.train,
            self.test,
            facts=facts,
            validation=self.validation,
            test_is_drawn=self.test_is_drawn,
        )


def share_of(name: str) -> str | None:
    """The share that a name stands for."""
    return next((share for share, names in NAMES.items() if name.lower() in names), None)


def named_shares(names: Sequence[str]) -> dict[str, str]:
    """Each share that is named, with the preferred one of its names."""
    found = {}
    for share, known in NAMES.items():
        name = next((name for word in known for name in names if name.lower() == word), None)
        if name is not None:
            found[share] = name
    return found


def shares_of(
    request: Request,
    source: object,
    classes: Sequence[str],
    examples: Split,
    labels: NDArray[np.int64] | None,
    share_numbers: NDArray[np.int64] | None,
) -> Shares:
    """The shares of examples, where `share_numbers` (N,) are indices into `SHARES`; reported. Raises CnncError E602.

    Without numbers, or where all are those of training, a part of all examples becomes the test share. `labels` (N,) are those
    of the examples, None where they have no label of their own.
    """
    if share_numbers is None or not share_numbers.any():
        train, test = split_off_test(request, source, examples, labels)
        return Shares(train, None, test, True)
    return _given_shares(request, source, classes, examples, labels, share_numbers)


def _given_shares(
    request: Request,
    source: object,
    classes: Sequence[str],
    examples: Split,
    labels: NDArray[np.int64] | None,
    share_numbers: NDArray[np.int64],
) -> Shares:
    rows = [np.flatnonzero(share_numbers == n) for n in range(len(SHARES))]
    drawn = ""
    if not len(rows[2]):
        training_labels = None if labels is None else labels[rows[0]]
        kept, held_back = draw_test_split(len(rows[0]), training_labels, request, source)
        rows[0], rows[2] = rows[0][kept], rows[0][held_back]
        drawn = f" (test fraction {request.test:g} of training, seed {request.seed})"
    parts = [f"{len(part):,} {name}" for name, part in zip(SHARES, rows, strict=True) if len(part)]
    request.report(f"{source}: {', '.join(parts[:-1])} and {parts[-1]} examples{drawn}")
    if labels is not None:
        for name, part in zip(SHARES, rows, strict=True):
            report_missing(request, source, name, classes, labels[part])
    train, validation, test = (examples.select(part) for part in rows)
    return Shares(train, validation if len(validation) else None, test, bool(drawn))


def image_dataset(
    request: Request,
    source: object,
    classes: tuple[str, ...],
    examples: Split,
    labels: NDArray[np.int64] | None,
    share_numbers: NDArray[np.int64] | None,
    facts: ReadFacts,
) -> Dataset:
    """The data set of images whose shares are given for each example, or None: then the test share is drawn. Raises CnncError E602."""
    if share_numbers is not None and share_numbers.all():
        raise bad_file(str(source), "expected training examples, found none", "name the share `train` for some of them")
    return shares_of(request, source, classes, examples, labels, share_numbers).data_set("images", classes, facts)


def share_numbers_of(words: Sequence[str]) -> NDArray[np.int64] | None:
    """The index into `SHARES` of the share that each word names; None where one names none."""
    shares = [share_of(word) for word in words]
    return None if None in shares else np.array([SHARES.index(share) for share in shares if share], np.int64)


def report_missing(
    request: Request, source: object, share: str, classes: Sequence[str], labels: NDArray[np.int64]
) -> None:
    """Reports the classes of which a share that has examples has none."""
    counts = np.bincount(labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=False) if not count]
    if missing and len(labels):
        request.report(f"{source}: the {share} share has no example of {listed(missing, _SHOWN)}")
