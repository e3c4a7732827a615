"""Fashion-MNIST: 60,000 training and 10,000 test images of clothes, grey, 28x28 (Xiao, Rasul and Vollgraf 2017; MIT
licence).

In: the folder given with `--data`, or None. Out: a `Dataset`. `fetch` finds or downloads the four IDX files, `idx` reads
them. The files have the same names as those of MNIST, so the first labels are checked not to be MNIST's.
"""

from __future__ import annotations

from pathlib import Path

from cnnc.data import Report, fetch
from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset, ReadFacts
from cnnc.data.download import RemoteFile
from cnnc.data.idx import read_split
from cnnc.diagnostics import CnncError

FILES = fetch.DataFiles(
    name="fashion_mnist",
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz", 26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz", 4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    ),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    aliases=("fashion-mnist", "FashionMNIST", "FashionMNIST/raw"),
)

_DIGITS = [5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7]  # the first training labels of MNIST


def read(folder: Path | None, report: Report, download: bool = True) -> Dataset:
    """Reads Fashion-MNIST from a folder, or from where `fetch.find_or_fetch` finds it. Raises CnncError E602, E603."""
    facts = KNOWN["fashion_mnist"]
    train_images, train_labels, test_images, test_labels = fetch.find_or_fetch(FILES, folder, report, download)
    train = read_split(train_images, train_labels, facts)
    if train.labels[: len(_DIGITS)].tolist() == _DIGITS:
        raise CnncError.of(
            "E602",
            f"{train_labels}: expected the labels of Fashion-MNIST, found those of MNIST",
            help="the files of both have the same names: keep those of Fashion-MNIST in a folder of their own, fashion_mnist",
        )
    test = read_split(test_images, test_labels, facts)
    return Dataset("fashion_mnist", facts.classes, train, test, facts=ReadFacts(str(train_images.parent)))
