"""float16: weights and values of half the bytes, inputs and outputs as before.

In: a proven model of float32, and examples (random input without). Out: the model in float16 and what it cost. The
gate: the logits deviate by at most a hundredth of the largest of their sample, and no other class comes out on top
where the margin is above twice the error.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from cnnc.diagnostics import CnncError
from cnnc.export.precision import Examples, Quality, feeds_of, mark, values
from cnnc.export.verify import sample_feeds
from cnnc.network import Network
from cnnc.ops.activation import LogSoftmax, Softmax
from cnnc.reference.engine import Array

HALF_ERROR = 1e-2
_SAMPLES = 64


def half(model: onnx.ModelProto, network: Network, examples: Examples | None) -> tuple[onnx.ModelProto, Quality]:
    """Weights and values of float16; inputs and outputs stay float32. Raises CnncError E802 where the gate fails."""
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


def logits(network: Network) -> list[str]:
    """The outputs; in place of a softmax what it reads."""
    graph = network.require_graph()
    nodes = [graph.by_name[name] for name in graph.outputs]
    return list(dict.fromkeys(n.inputs[0] if isinstance(n.op, Softmax | LogSoftmax) else n.name for n in nodes))


def _random(network: Network) -> dict[str, Array]:
    return sample_feeds(network.require_graph(), _SAMPLES, 1)
