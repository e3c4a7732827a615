"""Weights that a training begins with, taken from another network where names and shapes fit: retraining a model on other data.

In: the weights of another network by `layer.parameter`. Out: weights for every layer of a graph; what does not fit is drawn.

    Initial(others, "runs/big", {}, print).fitting(graph, 0)   # weights: 10 of 12 from runs/big; drawn at random: fc1.weight, fc1.bias
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.listing import listed
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.ops.sequence import Embed
from cnnc.reference.initializers import initialize

_MOST = 6  # names that a line lists


class Initial(NamedTuple):
    """The weights of another network, where they come from, and the `origin` of its checkpoint. `report` gets a line.

    `vocabulary` and `columns` say what the inputs of that network stand for, as in a `Dataset`.
    """

    weights: Mapping[str, Array]
    where: str
    origin: Mapping[str, str]
    report: Callable[[str], None]
    vocabulary: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def has_embeddings_of(self, graph: Graph) -> bool:
        """Whether the vectors of words fit: the words then keep their numbers."""
        names = [f"{node.parameter_owner}.weight" for node in graph.nodes if isinstance(node.op, Embed)]
        return any(n in self.weights and self.weights[n].shape == graph.weights[n].shape for n in names)

    def fitting(self, graph: Graph, seed: int) -> Weights:
        """The weights that fit, and drawn ones for the rest. Raises CnncError E605 where none fits."""
        drawn = initialize(graph, seed)
        fitting = [n for n, array in drawn.items() if n in self.weights and self.weights[n].shape == array.shape]
        if not fitting:
            message = f"no weight of {self.where} fits the network in name and shape"
            help = f"the network has {_names(list(drawn))}; {self.where} has {_names(list(self.weights))}"
            raise CnncError.of("E605", message, help=help)
        rest = [name for name in drawn if name not in fitting]
        line = f"weights: {len(fitting)} of {len(drawn)} from {self.where}"
        self.report(f"{line}; drawn at random: {_names(rest)}" if rest else line)
        return {**drawn, **{name: np.array(self.weights[name], drawn[name].dtype) for name in fitting}}


def _names(names: list[str]) -> str:
    return listed(names, _MOST) or "none"
