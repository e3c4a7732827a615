"""MNIST: 60,000 training and 10,000 test images of handwritten digits, grey, 28x28.

In: the folder given with `--data`, or None. Out: a `Dataset`. `fetch` finds or downloads the four IDX files, `idx` reads
them.
"""

from __future__ import annotations

from pathlib import Path

from cnnc.data import Report, fetch
from cnnc.data.catalog import KNOWN
from cnnc.data.dataset import Dataset, ReadFacts
from cnnc.data.download import RemoteFile
from cnnc.data.idx import read_split

# The checksums are those of the archives on the mirrors. An archive that was compressed again has another checksum but
# the same content, so files found on the disk are not compared with them.
FILES = fetch.DataFiles(
    name="mnist",
    aliases=("MNIST", "MNIST/raw"),  # as torchvision unpacks it
    files=(
        RemoteFile(
            "train-images-idx3-ubyte.gz", 9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        RemoteFile(
            "train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte.gz", 1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    ),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)


def read(folder: Path | None, report: Report, download: bool = True) -> Dataset:
    """Reads MNIST from a folder, or from where `fetch.find_or_fetch` finds it. Raises CnncError E602, E603."""
    facts = KNOWN["mnist"]
    train_images, train_labels, test_images, test_labels = fetch.find_or_fetch(FILES, folder, report, download)
    train = read_split(train_images, train_labels, facts)
    test = read_split(test_images, test_labels, facts)
    return Dataset("mnist", facts.classes, train, test, facts=ReadFacts(str(train_images.parent)))
