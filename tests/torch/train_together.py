"""Trains networks in one of the processes that torchrun starts: `torchrun -m tests.torch.train_together FOLDER [N]`.

FOLDER holds the network files; each is trained into the folder of its name within FOLDER/together, in N passes per batch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cnnc.network import load
from cnnc.torch.distributed.engine import SplitEngine
from cnnc.torch.distributed.ranks import TorchRanks
from cnnc.training.loop import open_data, start, train


def main(folder: Path, accumulate: int) -> None:
    """Trains every network of the folder."""
    ranks = TorchRanks("cpu")
    for file in sorted(folder.glob("*.cnn")):
        network = load(file)
        data = open_data(network, folder, lambda line: None)
        engine = SplitEngine("cpu", ranks=ranks, accumulate=accumulate)
        train(start(network, data, folder / "together" / file.stem, engine=engine))
    ranks.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
