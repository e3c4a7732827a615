"""What float16 and int8 share: the examples they are measured on, and what they cost.

In: models, a network, examples. Out: values of tensors, and `Quality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.data.dataset import Column, Split
from cnnc.graph.graph import Graph
from cnnc.network import Network
from cnnc.onnx.metadata import PRECISION
from cnnc.onnx.run.session import Session, as_fed, batches
from cnnc.ops.dense import Input

Precision = Literal["float32", "float16", "int8"]
_SEEN = 1024  # training examples that a lower precision may look at


class Examples(NamedTuple):
    """Examples as a data set has them: to calibrate by, to choose by which layers stay in float, and to score with."""

    calibration: Split
    choosing: Split
    test: Split

    @classmethod
    def of(cls, train: Split, held: Split, test: Split, seed: int) -> Examples:
        """Those of a data set that was split for training; what is missing is made up for by the next before it."""
        calibration = train.select(np.random.default_rng([seed, 4]).permutation(len(train))[:_SEEN])
        choosing = held if len(held) else calibration
        return cls(calibration, choosing, test if len(test) else choosing)

    def of_part(self, network: Network, graph: Graph) -> Examples:
        """For the model of `graph`, the network's own or a part of it: its inputs, and the targets if they are its own."""
        kept = [i for i, node in enumerate(network.require_graph().inputs) if node.name in graph.by_name]
        whole = scored(network, graph) == scored(network, network.require_graph())

        def of(split: Split) -> Split:
            return Split(tuple(split.inputs[i] for i in kept), split.targets if whole else ())

        return Examples(of(self.calibration), of(self.choosing), of(self.test))


class Quality(NamedTuple):
    """What a lower precision cost. `metric` is "accuracy" (of the labels) or "error" (of the outputs, of which float32
    makes none); `before` and `after` are its values. `kept` are layers left in float32, as they would hurt; `faster` are
    those that compute in float32 because int8 is slower there."""

    precision: Precision
    metric: str
    before: float
    after: float
    kept: tuple[str, ...] = ()
    faster: tuple[str, ...] = ()
    samples: int = 0


def scored(network: Network, graph: Graph) -> str:
    """The output of a graph that a precision is judged by: that of the first loss where it is there, else the first."""
    on = network.recipe.losses[0].on if network.recipe is not None else None
    return on if on is not None and on in graph.outputs else graph.outputs[0]


def mark(model: onnx.ModelProto, precision: Precision) -> None:
    """Says in the model's metadata what its precision is."""
    model.metadata_props.add(key=PRECISION, value=precision)


def values(model: onnx.ModelProto, feeds: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Tensors of a model as users run it; those that it lacks (a layer that a pass removed) are not there."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {info.name: info for info in [*model.graph.value_info, *model.graph.output]}
    wanted = [name for name in names if name in known] or [info.name for info in model.graph.output]
    del copy.graph.output[:]
    copy.graph.output.extend(known[name] for name in wanted)
    session = Session(copy.SerializeToString(), "the model", "cpu")
    parts = batches(_count(feeds), session.batch or 256)
    runs = [session.run({n: a[part] for n, a in feeds.items()}, wanted) for part in parts]
    return {name: np.concatenate([run[i] for run in runs]) for i, name in enumerate(wanted)}


def _count(feeds: dict[str, Array]) -> int:
    return len(next(iter(feeds.values())))


def feeds_of(network: Network, examples: Split, part: slice | NDArray[np.int64]) -> dict[str, Array]:
    """Examples as a model is fed: bytes as they are where it takes them, else as numbers in 0..1."""
    found: dict[str, Array] = {}
    for node, column in zip(network.require_graph().inputs, examples.inputs, strict=True):
        assert isinstance(node.op, Input)
        found[node.name] = as_fed(_taken(column, part), np.dtype(node.op.fed().dtype))
    return found


def _taken(column: Column, part: Any) -> Array:
    return column[part]
