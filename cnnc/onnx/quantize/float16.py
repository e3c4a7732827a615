"""float16: weights and activations in 16 bits; inputs and outputs stay float32.

Input: a verified float32 model, and examples (random input without). Output: the model in float16 and its `Quality`.

A device computes every result in float16, and onnxruntime on a CPU does not. So the model is judged three times: by the
largest activations in float32 (see float16_ranges.py), by an emulation that rounds the result of every operator (see
float16_conversion.py), and as onnxruntime runs it. The acceptance test of the last two: the logits deviate by at most a
hundredth of the largest logit of their sample (or of the root mean square of all, if larger), and the top class stays the
same wherever its margin exceeds twice the deviation.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import onnx

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph
from cnnc.network import Network
from cnnc.onnx.emit.verify import sample_feeds
from cnnc.onnx.quantize.examples import CalibrationExamples, Quality, feeds_of, record_precision, tensor_values
from cnnc.onnx.quantize.float16_conversion import emulation, with_float16
from cnnc.onnx.quantize.float16_magnitudes import BATCH, measure
from cnnc.onnx.quantize.float16_ranges import KEEP_FLOAT32, layer_of, layers_in_float32, require_range
from cnnc.onnx.run.session import batch_slices

MAX_LOGIT_ERROR = 1e-2  # see `_deviations`
# Multiply-adds to spend, and the largest number of examples: to compare on, and to measure ranges on.
_COMPARED, _MEASURED = (2 * 10**10, 64), (5 * 10**9, 1024)
_MIN_SAMPLES = 4


def to_float16(
    model: onnx.ModelProto, network: Network, examples: CalibrationExamples | None
) -> tuple[onnx.ModelProto, Quality]:
    """The model in float16 and its quality.

    Raises CnncError E802 if activations exceed float16, if the model deviates too far, or if onnxruntime cannot run it.
    """
    graph = network.require_graph()
    feeds = _feeds(network, graph, examples)
    pairs = _logits(model)
    names = list(dict.fromkeys([*pairs.values(), *pairs]))
    others, data = _range_feeds(network, graph, examples)
    before, magnitudes = measure(model, feeds, others, names)
    require_range(model, network, magnitudes, data)
    kept = layers_in_float32(model, graph, magnitudes)
    converted = with_float16(model, _nodes_of(model, graph, kept))
    record_precision(converted, "float16")
    onnx.checker.check_model(converted, full_check=True)
    emulated = emulation(converted)
    try:
        results = [tensor_values(candidate, feeds, names) for candidate in (emulated, converted)]
    except CnncError as error:  # onnxruntime lacks a float16 kernel for some operators
        message = f"{network.name} does not run in float16: {error.diagnostics[0].message}"
        raise CnncError.of("E802", message, help=KEEP_FLOAT32) from error
    deviations = np.stack([_deviations(before[name], after[name]) for after in results for name in pairs.values()])
    worst = float(deviations.max(initial=0))
    if worst > MAX_LOGIT_ERROR:
        sample = int(deviations.max(0).argmax())
        one = {name: array[sample : sample + 1] for name, array in feeds.items()}
        raise _deviation_error(network, graph, worst, _layer_deviations(model, emulated, graph, one))
    for output, logits in pairs.items():
        if any(top_class_changes(before[logits], after[logits], after[output]) for after in results):
            message = f"{network.name} in float16 predicts another class at {output} where the margin was clear"
            raise CnncError.of("E802", message, span=graph.by_name[output].span, help=KEEP_FLOAT32)
    samples = len(next(iter(feeds.values())))
    return converted, Quality("float16", "error", 0.0, worst, kept, samples=samples, random=examples is None)


def _sample_count(graph: Graph, effort: tuple[int, int]) -> int:
    macs, most = effort
    return min(max(macs // max(1, graph.total_macs), _MIN_SAMPLES), most)


def _feeds(network: Network, graph: Graph, examples: CalibrationExamples | None) -> dict[str, Array]:
    """What the models are compared on."""
    count = _sample_count(graph, _COMPARED)
    if examples is None:
        return sample_feeds(graph, count, 1)
    return feeds_of(network, examples.test, slice(0, count))


def _range_feeds(
    network: Network, graph: Graph, examples: CalibrationExamples | None
) -> tuple[Iterator[dict[str, Array]], str]:
    """What the ranges are measured on, in batches, and its description."""
    count = _sample_count(graph, _MEASURED)
    if examples is None:
        count = min(count, _sample_count(graph, _COMPARED))
        return iter([sample_feeds(graph, count, 2)]), f"{count:,} random inputs"
    count = min(count, len(examples.calibration))
    batches = (feeds_of(network, examples.calibration, part) for part in batch_slices(count, BATCH))
    return batches, f"{count:,} training examples"


def _nodes_of(model: onnx.ModelProto, graph: Graph, layers: Collection[str]) -> set[str]:
    """The ONNX nodes of these layers."""
    return {node.name for node in model.graph.node if layer_of(node.name, graph) in layers}


def _layer_deviations(
    model: onnx.ModelProto, emulated: onnx.ModelProto, graph: Graph, feeds: dict[str, Array]
) -> dict[str, float]:
    """The deviation of each layer's activations in float16, in graph order."""
    computed = {name for node in model.graph.node for name in node.output}
    names = [node.name for node in graph.nodes if node.name in computed]
    declared = {info.name for info in emulated.graph.value_info}
    in_float16 = [new if (new := f"{name}.float16") in declared else name for name in names]
    before, after = tensor_values(model, feeds, names), tensor_values(emulated, feeds, in_float16)
    return {
        name: float(_deviations(before[name], after[new]).max(initial=0))
        for name, new in zip(names, in_float16, strict=True)
    }


def _deviation_error(network: Network, graph: Graph, worst: float, layers: Mapping[str, float]) -> CnncError:
    """The error E802 at the first layer that deviates too far, or else at the last of those that deviate most."""
    name = next(
        (name for name, value in layers.items() if value > MAX_LOGIT_ERROR), max(layers, key=layers.__getitem__)
    )
    node = graph.by_name[name]
    amount = f"deviates by {worst:.2%} of its logits" if math.isfinite(worst) else "computes no finite logits"
    share = f"deviates by {layers[name]:.2%}" if math.isfinite(layers[name]) else "is not finite"
    return CnncError(
        Diagnostic(
            "E802",
            f"{network.name} in float16 {amount}; {MAX_LOGIT_ERROR:.0%} is allowed",
            node.span,
            label=f"this layer {share}",
            calls=node.calls,
            help=f"{KEEP_FLOAT32}; float16 has 11 bits of precision, and fewer for numbers below 0.00006",
        )
    )


def _logits(model: onnx.ModelProto) -> dict[str, str]:
    """For each output the tensor of its logits: the input of its softmax, or the output itself."""
    ends = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in ("Softmax", "LogSoftmax")}
    inputs = {info.name for info in model.graph.input}
    return {
        info.name: info.name if (logits := ends.get(info.name, info.name)) in inputs else logits
        for info in model.graph.output
    }


def _deviations(before: Array, after: Array) -> Array:
    """For each sample the largest difference relative to its largest magnitude.

    Where all elements of a sample are close to 0, as a single logit is near the decision, the difference is relative to the
    root mean square over all samples.
    """
    before, after = before.astype(np.float64), after.astype(np.float64)
    axes = tuple(range(1, before.ndim))
    scale = np.maximum(np.abs(before).max(axis=axes), np.sqrt(np.square(before).mean()))
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.abs(after - before).max(axis=axes)
        relative = np.where(difference == 0, 0, difference / scale)
    return np.nan_to_num(relative, nan=np.inf)


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
