"""Lower precision: float16 and int8, each behind a gate that compares it with float32.

In: a proven model of float32, and examples. Out: the model of lower precision and `Quality`, what it cost. A model
that loses more than the gate allows is an error: it is not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from cnnc.data.dataset import Column, Split
from cnnc.diagnostics import CnncError
from cnnc.export.runtime import Session, as_fed, batches
from cnnc.export.verify import sample_feeds
from cnnc.network import Network
from cnnc.ops.activation import LogSoftmax, Softmax
from cnnc.reference.engine import Array

Precision = Literal["float32", "float16", "int8"]
HALF_ERROR = 1e-2  # of the logits, in parts of the largest of them
POINTS = 0.01  # of accuracy that int8 may lose
SIGNAL = 0.1  # root mean square error that int8 may make where there are no labels, in parts of the values' own
_SAMPLES = 64
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


def lowered(
    model: onnx.ModelProto, network: Network, precision: Precision, examples: Examples | None
) -> tuple[onnx.ModelProto, Quality]:
    """The model in another precision. Raises CnncError E802, E803 where its gate fails, E808 where data are missing."""
    if precision == "float16":
        return _half(model, network, examples)
    if examples is None:
        message = "int8 needs data to find the ranges of values in, and this network is untrained"
        raise CnncError.of("E808", message, help="train it, and export its run: `cnnc export RUN --int8`")
    from cnnc.export.quantize import quantized  # a second that only int8 pays

    return quantized(model, network, examples)


# --- float16 ---------------------------------------------------------------------------------------------------


def _half(model: onnx.ModelProto, network: Network, examples: Examples | None) -> tuple[onnx.ModelProto, Quality]:
    """Weights and values of float16; inputs and outputs stay float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made = convert_float_to_float16(copy, keep_io_types=True, disable_shape_infer=False)
    mark(made, "float16")
    feeds = feeds_of(network, examples.test, slice(0, _SAMPLES)) if examples is not None else _random(network)
    names = logits(network)
    before = {n: a.astype(np.float64) for n, a in values(model, feeds, names).items()}
    after = {n: a.astype(np.float64) for n, a in values(made, feeds, names).items()}
    worst = max(_logit_error(before[name], after[name]) for name in names)
    _require_half(network, before, after, worst)
    return made, Quality("float16", "error", 0.0, worst, (), len(next(iter(feeds.values()))))


def _logit_error(before: Array, after: Array) -> float:
    """The largest difference within a sample, in parts of the sample's largest value; the worst of all samples."""
    axes = tuple(range(1, before.ndim))
    scale = np.abs(before).max(axis=axes)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.abs(after - before).max(axis=axes) / scale
    return float(np.nan_to_num(np.where(scale == 0, 0, found), nan=np.inf).max(initial=0))


def _require_half(network: Network, before: dict[str, Array], after: dict[str, Array], worst: float) -> None:
    """Raises CnncError E802: an error above the gate, or another top class where the margin is above twice the error."""
    if worst > HALF_ERROR:
        raise CnncError.of(
            "E802",
            f"{network.name} in float16 deviates by {worst:.2%} of its logits; {HALF_ERROR:.0%} is allowed",
            help="leave --fp16 out; values beyond 65,504 or far below 1 do not go into float16",
        )
    for name, expected in before.items():
        if expected.ndim < 2 or expected.shape[1] < 2:
            continue
        first, second = -np.partition(-expected, 1, axis=1)[:, :2].swapaxes(0, 1)
        error = np.abs(after[name] - expected).max(axis=1)
        turned = (after[name].argmax(1) != expected.argmax(1)) & (first - second > 2 * error)
        if turned.any():
            raise CnncError.of(
                "E802", f"{network.name} in float16 names another class at {name}", help="leave --fp16 out"
            )


# --- what both precisions share --------------------------------------------------------------------------------


def mark(model: onnx.ModelProto, precision: Precision) -> None:
    """Says in the model's metadata what its precision is."""
    model.metadata_props.add(key="cnnc.precision", value=precision)


def logits(network: Network) -> list[str]:
    """The outputs; in place of a softmax what it reads."""
    graph = network.require_graph()
    nodes = [graph.by_name[name] for name in graph.outputs]
    return list(dict.fromkeys(n.inputs[0] if isinstance(n.op, Softmax | LogSoftmax) else n.name for n in nodes))


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


def _random(network: Network) -> dict[str, Array]:
    return sample_feeds(network.require_graph(), _SAMPLES, 1)


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
