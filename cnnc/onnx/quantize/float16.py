"""float16: weights and values of half the bytes, inputs and outputs as before.

In: a proven model of float32, and examples (random input without). Out: the model in float16 and what it cost. The
gate: the logits deviate by at most a hundredth of the largest of their sample, and no other class comes out on top
where the margin is above twice the error.
"""

from __future__ import annotations

from graphlib import TopologicalSorter

import numpy as np
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.onnx.emit.verify import LARGE, sample_feeds
from cnnc.onnx.quantize.examples import Examples, Quality, feeds_of, mark, values

HALF_ERROR = 1e-2
_SAMPLES, _FEW = 64, 4  # examples to compare by; of a large network


def half(model: onnx.ModelProto, network: Network, examples: Examples | None) -> tuple[onnx.ModelProto, Quality]:
    """Weights and values of float16; inputs and outputs stay float32. Raises CnncError E802 where the gate fails."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made = convert_float_to_float16(copy, keep_io_types=True, disable_shape_infer=False)
    _sort(made.graph)
    mark(made, "float16")
    onnx.checker.check_model(made, full_check=True)
    graph = network.require_graph()
    count = _SAMPLES if graph.total_macs < LARGE else _FEW
    if examples is not None:
        feeds = feeds_of(network, examples.test, slice(0, count))
    else:
        feeds = sample_feeds(graph, count, 1)
    pairs = _logits(model)
    names = list(dict.fromkeys([*pairs.values(), *pairs]))
    before = values(model, feeds, names)
    try:
        after = values(made, feeds, names)
    except CnncError as error:  # onnxruntime has no kernel of float16 for some operators
        message = f"{network.name} does not run in float16: {error.diagnostics[0].message}"
        raise CnncError.of("E802", message, help="leave --fp16 out") from error
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


def _sort(graph: onnx.GraphProto) -> None:
    """Puts each node after those whose values it reads, as ONNX demands; the conversion puts its casts at the end."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    reads = {place: [makers[n] for n in node.input if n in makers] for place, node in enumerate(graph.node)}
    nodes = [graph.node[place] for place in TopologicalSorter(reads).static_order()]
    sorted_ = onnx.GraphProto(node=nodes)
    graph.ClearField("node")
    graph.node.MergeFrom(sorted_.node)


def _logits(model: onnx.ModelProto) -> dict[str, str]:
    """For each output the tensor of its logits: what its softmax reads, or itself."""
    ends = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in ("Softmax", "LogSoftmax")}
    given = {info.name for info in model.graph.input}
    return {
        info.name: info.name if (logits := ends.get(info.name, info.name)) in given else logits
        for info in model.graph.output
    }


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
