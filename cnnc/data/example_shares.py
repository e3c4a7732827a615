"""The shares that data name themselves: by folders such as train and test, or in a column of a table.

In: examples and the share of each. Out: a `Dataset`. Examples for validation are the test share where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cnnc.data import Request
from cnnc.data.dataset import Dataset, ReadFacts, Split
from cnnc.data.file_tree import bad_file
from cnnc.data.images import TEST_NAMES, TRAIN_NAMES
from cnnc.data.splits import report_split, split_off_test

TRAINING, VALIDATION, TEST = range(3)

SHARES: dict[int, tuple[str, ...]] = {
    TRAINING: TRAIN_NAMES,
    VALIDATION: ("val", "valid", "validation"),
    TEST: tuple(name for name in TEST_NAMES if name.startswith("test")),
}
"""The words that name each share, in any case."""


def share_of(word: str) -> int | None:
    """The share that a word names, None for another word."""
    return next((share for share, names in SHARES.items() if word.strip().lower() in names), None)


def data_set(
    request: Request,
    source: str,
    name: str,
    classes: Sequence[str],
    examples: Split,
    shares: NDArray[np.int8] | None,
    labels: NDArray[np.int64] | None,
    facts: ReadFacts,
) -> Dataset:
    """The data set of examples with the share of each; None: the test share is drawn. Raises CnncError E602."""
    if shares is None or not (shares != TRAINING).any():
        train, test = split_off_test(request, source, examples, labels)
        return Dataset(name, tuple(classes), train, test, facts=facts)
    if not (shares == TRAINING).any():
        raise bad_file(source, "expected training examples, found none", "name the share `train` for some of them")
    tested = TEST if (shares == TEST).any() else VALIDATION
    left_out = int((shares == VALIDATION).sum()) if tested == TEST else 0
    if left_out:
        request.report(f"{source}: {left_out:,} examples for validation are not read: training draws its own")
    train, test = (examples.select(np.flatnonzero(shares == share)) for share in (TRAINING, tested))
    data = Dataset(name, tuple(classes), train, test, facts=facts)
    report_split(request, source, data)
    return data
