"""float16: weights and activations in 16 bits; inputs and outputs stay float32.

Input: a verified float32 model, and examples (random input without). Output: the model in float16 and its `Quality`. The
acceptance test: the logits deviate by at most a hundredth of the largest logit of their sample, and the top class stays
the same wherever its margin exceeds twice the deviation.
"""

from __future__ import annotations

from graphlib import TopologicalSorter

import numpy as np
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.onnx.emit.verify import LARGE_MACS, sample_feeds
from cnnc.onnx.quantize.examples import CalibrationExamples, Quality, feeds_of, record_precision, tensor_values

MAX_LOGIT_ERROR = 1e-2  # relative to the largest logit of the sample
_SAMPLES, _LARGE_NETWORK_SAMPLES = 64, 4  # examples to compare on


def to_float16(
    model: onnx.ModelProto, network: Network, examples: CalibrationExamples | None
) -> tuple[onnx.ModelProto, Quality]:
    """The model in float16 and its quality. Raises CnncError E802 if it deviates too far or onnxruntime cannot run it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    converted = convert_float_to_float16(copy, keep_io_types=True, disable_shape_infer=False)
    _sort_nodes(converted.graph)
    record_precision(converted, "float16")
    onnx.checker.check_model(converted, full_check=True)
    graph = network.require_graph()
    count = _SAMPLES if graph.total_macs < LARGE_MACS else _LARGE_NETWORK_SAMPLES
    if examples is not None:
        feeds = feeds_of(network, examples.test, slice(0, count))
    else:
        feeds = sample_feeds(graph, count, 1)
    pairs = _logits(model)
    names = list(dict.fromkeys([*pairs.values(), *pairs]))
    before = tensor_values(model, feeds, names)
    try:
        after = tensor_values(converted, feeds, names)
    except CnncError as error:  # onnxruntime lacks a float16 kernel for some operators
        message = f"{network.name} does not run in float16: {error.diagnostics[0].message}"
        raise CnncError.of("E802", message, help="leave --fp16 out") from error
    worst = max(_deviation(before[name], after[name]) for name in pairs.values())
    if worst > MAX_LOGIT_ERROR:
        raise CnncError.of(
            "E802",
            f"{network.name} in float16 deviates by {worst:.2%} of its logits; {MAX_LOGIT_ERROR:.0%} is allowed",
            help="leave --fp16 out; float16 cannot hold activations beyond 65,504 or far below 1",
        )
    for output, logits in pairs.items():
        if top_class_changes(before[logits], after[logits], after[output]):
            message = f"{network.name} in float16 predicts another class at {output} where the margin was clear"
            raise CnncError.of("E802", message, help="leave --fp16 out")
    return converted, Quality("float16", "error", 0.0, worst, samples=len(next(iter(feeds.values()))))


def _sort_nodes(graph: onnx.GraphProto) -> None:
    """Sorts the nodes topologically, as ONNX requires; the conversion appends its casts at the end."""
    producers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    reads = {index: [producers[n] for n in node.input if n in producers] for index, node in enumerate(graph.node)}
    nodes = [graph.node[index] for index in TopologicalSorter(reads).static_order()]
    sorted_ = onnx.GraphProto(node=nodes)
    graph.ClearField("node")
    graph.node.MergeFrom(sorted_.node)


def _logits(model: onnx.ModelProto) -> dict[str, str]:
    """For each output the tensor of its logits: the input of its softmax, or the output itself."""
    ends = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in ("Softmax", "LogSoftmax")}
    inputs = {info.name for info in model.graph.input}
    return {
        info.name: info.name if (logits := ends.get(info.name, info.name)) in inputs else logits
        for info in model.graph.output
    }


def _deviation(before: Array, after: Array) -> float:
    """The largest difference within a sample relative to the sample's largest magnitude; the maximum over samples."""
    before, after = before.astype(np.float64), after.astype(np.float64)
    axes = tuple(range(1, before.ndim))
    scale = np.abs(before).max(axis=axes)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(after - before).max(axis=axes) / scale
    return float(np.nan_to_num(np.where(scale == 0, 0, relative), nan=np.inf).max(initial=0))


def top_class_changes(before: Array, after: Array, output: Array) -> bool:
    """Whether the top class of any sample changes although its margin exceeds twice the deviation of its logits.

    `before` are the float32 logits, `after` the float16 logits and `output` the float16 scores, each (N, classes, ...).
    """
    if before.ndim < 2 or before.shape[1] < 2:
        return False
    first, second = -np.partition(-before.astype(np.float64), 1, axis=1)[:, :2].swapaxes(0, 1)
    error = np.abs(after.astype(np.float64) - before).max(axis=1)
    changed = output.argmax(1) != before.argmax(1)
    return bool((changed & (first - second > 2 * error)).any())
