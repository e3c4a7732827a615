"""Random data that a network can train on, for tests that need examples of the right shapes and nothing more.

In: a network with a train section, a number of examples and a seed. Out: a `Dataset` of random numbers, with a column
for each input and, where the losses compare with targets, for each output.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnnc.core.tensor import TensorType
from cnnc.data.dataset import Column, Dataset, Split
from cnnc.network import Network
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.recipe.losses import CrossEntropy
from cnnc.recipe.recipe import require_recipe


def random_dataset(network: Network, count: int, seed: int = 0) -> Dataset:
    """`count` examples to train on, and as many to test."""
    graph, recipe = network.require_graph(), require_recipe(network.recipe, network.name)
    vocabulary = max((n.op.vocab for n in graph.nodes if isinstance(n.op, Embed)), default=0)
    losses = {loss.on or graph.outputs[0]: loss for loss in recipe.losses}
    classes = graph.by_name[graph.outputs[0]].type.channels if isinstance(recipe.losses[0], CrossEntropy) else 0

    def split(random: np.random.Generator) -> Split:
        inputs = [
            _input(node.op.fed(), vocabulary, count, random) for node in graph.inputs if isinstance(node.op, Input)
        ]
        targets: list[Column] = []
        for name in graph.outputs:
            output = graph.by_name[name].type
            if isinstance(losses.get(name), CrossEntropy):
                sizes = output.spatial if any(size != 1 for size in output.spatial) else ()
                targets.append(random.integers(0, output.channels, (count, *sizes)))
            else:
                targets.append(random.random((count, *output.shape), np.float32))
        return Split(tuple(inputs), tuple(targets))

    train, test = (split(np.random.default_rng([seed, part])) for part in (0, 1))
    return Dataset("random", tuple(map(str, range(classes))), train, test)


def _input(type_: TensorType, vocabulary: int, count: int, random: np.random.Generator) -> NDArray[np.generic]:
    """A column for an input: word numbers below the vocabulary's size, or bytes, which are scaled to 0 to 1."""
    shape = (count, *type_.shape)
    if type_.dtype == "int64":
        return random.integers(0, vocabulary, shape)
    return random.integers(0, 256, shape, np.uint8)
