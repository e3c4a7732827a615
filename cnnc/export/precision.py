"""What float16 and int8 share: the examples they are measured on, and what they cost.

In: models, a network, examples. Out: values of tensors, and `Quality`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from cnnc.data.dataset import Column, Split
from cnnc.export.runtime import Session, as_fed, batches
from cnnc.network import Network
from cnnc.reference.engine import Array

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
        calibration = train.part(np.random.default_rng([seed, 4]).permutation(len(train))[:_SEEN])
        choosing = held if len(held) else calibration
        return cls(calibration, choosing, test if len(test) else choosing)


class Quality(NamedTuple):
    """What a lower precision cost. `metric` is "accuracy" (of the labels) or "error" (of the outputs, of which float32
    makes none); `before` and `after` are its values; `kept` are layers left in float32."""

    precision: Precision
    metric: str
    before: float
    after: float
    kept: tuple[str, ...] = ()
    samples: int = 0


def mark(model: onnx.ModelProto, precision: Precision) -> None:
    """Says in the model's metadata what its precision is."""
    model.metadata_props.add(key="cnnc.precision", value=precision)


def values(model: onnx.ModelProto, feeds: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Tensors of a model as users run it; those that it lacks (a layer that a pass removed) are not there."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {info.name: info for info in [*model.graph.value_info, *model.graph.output]}
    wanted = [name for name in names if name in known] or [info.name for info in model.graph.output]
    del copy.graph.output[:]
    copy.graph.output.extend(known[name] for name in wanted)
    session = Session(copy.SerializeToString(), "the model", "cpu")
    runs = [session.run({n: a[part] for n, a in feeds.items()}, wanted) for part in batches(_count(feeds), 256)]
    return {name: np.concatenate([run[i] for run in runs]) for i, name in enumerate(wanted)}


def _count(feeds: dict[str, Array]) -> int:
    return len(next(iter(feeds.values())))


def feeds_of(network: Network, examples: Split, part: slice | NDArray[np.int64]) -> dict[str, Array]:
    """Examples as a model is fed: bytes as they are where it takes them, else as numbers in 0..1."""
    graph = network.require_graph()
    kinds = {"uint8": "tensor(uint8)", "float32": "tensor(float)", "int64": "tensor(int64)"}
    found: dict[str, Array] = {}
    for node, column in zip(graph.inputs, examples.inputs, strict=True):
        array: Array = _taken(column, part)
        kind = getattr(node.op, "dtype", None) or "float32"
        found[node.name] = as_fed(array, kinds[kind]) if array.dtype == np.uint8 else array.astype(kind)
    return found


def _taken(column: Column, part: Any) -> Array:
    return column[part]
