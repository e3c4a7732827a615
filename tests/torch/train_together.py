"""Trains networks in one of the processes that torchrun starts: `torchrun -m tests.torch.train_together FOLDER copies|shards N`.

FOLDER holds the network files; each is trained into the folder of its name within FOLDER/together, with copies or shards of
the weights, in N passes per batch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cnnc.network import load
from cnnc.torch.distributed.engine import SplitEngine
from cnnc.torch.distributed.ranks import TorchRanks
from cnnc.torch.distributed.shards import ShardedEngine
from cnnc.training.loop import open_data, start, train


def main(folder: Path, is_sharded: bool, accumulate: int) -> None:
    """Trains every network of the folder."""
    ranks = TorchRanks("cpu")
    kind = ShardedEngine if is_sharded else SplitEngine
    for file in sorted(folder.glob("*.cnn")):
        network = load(file)
        data = open_data(network, folder, lambda line: None)
        engine = kind("cpu", ranks=ranks, accumulate=accumulate)
        train(start(network, data, folder / "together" / file.stem, engine=engine))
    ranks.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "shards", int(sys.argv[3]))
