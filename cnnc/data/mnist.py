"""MNIST: 60,000 + 10,000 grey images of handwritten digits, 28x28.

In: a folder that the user gave, or none. Out: a `Dataset`. The four IDX files are found, or fetched, by `fetch`;
they are read by `idx`. The split is the data set's own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cnnc.data import fetch
from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset
from cnnc.data.idx import read_split

# The sums are those of the archives as the mirrors hold them. Archives packed anew have other sums and the same
# content, so files that were found on the disk are not compared with them.
FILES = fetch.Files(
    name="mnist",
    files=(
        fetch.File(
            "train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        fetch.File(
            "train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        fetch.File(
            "t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        fetch.File(
            "t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)


def read(folder: Path | None, report: Callable[[str], None]) -> Dataset:
    """MNIST from a folder, or from wherever `fetch.obtain` finds it. Raises E602, E603."""
    facts = KNOWN["mnist"]
    train_images, train_labels, test_images, test_labels = fetch.obtain(FILES, folder, report)
    train = read_split(train_images, train_labels, facts)
    test = read_split(test_images, test_labels, facts)
    return Dataset("mnist", facts.classes, train, test)
