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
from cnnc.export.verify import LARGE, sample_feeds
from cnnc.network import Network
from cnnc.reference.engine import Array

HALF_ERROR = 1e-2
_SAMPLES, _FEW = 64, 4  # examples to compare by; of a large network


def half(model: onnx.ModelProto, network: Network, examples: Examples | None) -> tuple[onnx.ModelProto, Quality]:
    """Weights and values of float16; inputs and outputs stay float32. Raises CnncError E802 where the gate fails."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made = convert_float_to_float16(copy, keep_io_types=True, disable_shape_infer=False)
    mark(made, "float16")
    graph = network.require_graph()
    count = _SAMPLES if graph.total_macs < LARGE else _FEW
    if examples is not None:
        feeds = feeds_of(network, examples.test, slice(0, count))
    else:
        feeds = sample_feeds(graph, count, 1)
    pairs = _logits(model)
    names = list(dict.fromkeys([*pairs.values(), *pairs]))
    before, after = (values(each, feeds, names) for each in (model, made))
    worst = max(_deviation(before[name], after[name]) for name in pairs.values())
    if worst > HALF_ERROR:
        raise CnncError.of(
            "E802",
            f"{network.name} in float16 deviates by {worst:.2%} of its logits; {HALF_ERROR:.0%} is allowed",
            help="leave --fp16 out; values beyond 65,504 or far below 1 do not go into float16",
        )
    for output, logits in pairs.items():
        if turned(before[logits], after[logits], after[output]):
            message = f"{network.name} in float16 names another class at {output}, where the margin was clear"
            raise CnncError.of("E802", message, help="leave --fp16 out")
    return made, Quality("float16", "error", 0.0, worst, samples=len(next(iter(feeds.values()))))


def _logits(model: onnx.ModelProto) -> dict[str, str]:
    """For each output the tensor of its logits: what its softmax reads, or itself."""
    makers = {node.output[0]: node for node in model.graph.node}
    found = {}
    for info in model.graph.output:
        maker = makers.get(info.name)
        ends = maker is not None and maker.op_type in ("Softmax", "LogSoftmax")
        found[info.name] = maker.input[0] if maker is not None and ends else info.name
    return found


def _deviation(before: Array, after: Array) -> float:
    """The largest difference within a sample, in parts of the sample's largest value; the worst of all samples."""
    before, after = before.astype(np.float64), after.astype(np.float64)
    axes = tuple(range(1, before.ndim))
    scale = np.abs(before).max(axis=axes)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.abs(after - before).max(axis=axes) / scale
    return float(np.nan_to_num(np.where(scale == 0, 0, found), nan=np.inf).max(initial=0))


def turned(before: Array, after: Array, answer: Array) -> bool:
    """Whether the answer's top class is another in some sample whose logits had a margin above twice their error."""
    if before.ndim < 2 or before.shape[1] < 2:
        return False
    first, second = -np.partition(-before.astype(np.float64), 1, axis=1)[:, :2].swapaxes(0, 1)
    error = np.abs(after.astype(np.float64) - before).max(axis=1)
    other = answer.argmax(1) != before.argmax(1)
    return bool((other & (first - second > 2 * error)).any())
