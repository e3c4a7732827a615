"""int8: weights and activations as 8-bit integers with a scale, by onnxruntime's static quantization (QDQ).

Input: a verified float32 model and `CalibrationExamples`. Output: the quantized model and its `Quality`. The ranges of
activations come from training examples; weights have one scale per output channel. Layers that are faster in float32 (see
placement.py) compute in float32 with weights stored in int8. If the accuracy on the selection examples falls too far, the
layers that lose most on their own stay in float32, weights included, until it does not.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from cnnc.core.arrays import Array
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.onnx.quantize.column_blocking import block_columns, find_blocking
from cnnc.onnx.quantize.examples import (
    CalibrationExamples,
    ChangedAnswers,
    Quality,
    feeds_of,
    judged_output,
    record_precision,
    record_quality,
    tensor_values,
)
from cnnc.onnx.quantize.placement import INT8_OPERATORS, WITH_WEIGHTS, int8_nodes, tensor_shapes
from cnnc.onnx.quantize.qdq_cleanup import clean_up, drop_inferable, mark_names, marked_name, store_weights_as_int8
from cnnc.onnx.run.session import batch_slices

MAX_ACCURACY_LOSS = 0.01  # accuracy that may be lost, 0..1
MAX_RELATIVE_ERROR = 0.1  # without labels: root mean square error relative to the root mean square of the outputs
_MAX_RANGE_EXAMPLES, _MAX_SELECTION_EXAMPLES = 256, 2000  # examples to calibrate ranges on; to select layers on
_MIN_STORED_WEIGHTS = 1000  # weights from which a float32 layer stores them in int8


def to_int8(
    model: onnx.ModelProto, network: Network, examples: CalibrationExamples, everywhere: bool = False
) -> tuple[onnx.ModelProto, Quality]:
    """The model in int8; with `everywhere`, also where float32 is faster on a processor with vector instructions.

    Raises CnncError E803 if it loses more than a percentage point of accuracy on the test examples, or without labels if
    its outputs deviate by more than 10 % (root mean square).
    """
    with _quiet():
        task = _Quantization.of(model, network, examples, everywhere)
        kept = _layers_to_keep(task, examples.selection)
        int8_model = task.quantize(task.plan(kept))
    before, after = task.score(model, examples.test), task.score(int8_model, examples.test)
    metric = "accuracy" if task.labelled else "error"
    losing, faster = task.layer_names(kept), task.layer_names(task.faster(kept))
    changed = task.changed_answers(int8_model, examples.test)
    quality = Quality("int8", metric, before, after, losing, faster, len(examples.test), changed=changed)
    record_quality(int8_model, quality)
    if not task.passes(before, after, MAX_ACCURACY_LOSS, MAX_RELATIVE_ERROR):
        left = f", even with {', '.join(losing)} in float32" if kept else ""
        lost = f"falls from {before:.2%} to {after:.2%}" if task.labelled else f"has an error of {after:.1%}"
        raise CnncError.of(
            "E803",
            f"{network.name} in int8 {lost}{left}",
            help=f"leave --int8 out; at most {MAX_ACCURACY_LOSS:.0%} of accuracy may be lost"
            if task.labelled
            else f"leave --int8 out; {MAX_RELATIVE_ERROR:.0%} is allowed",
        )
    return int8_model, quality


class _Plan(NamedTuple):
    """Node names: those that compute in int8, and those that compute in float32 with weights stored in int8."""

    integer: Sequence[str]
    stored: Sequence[str]


class _Quantization(NamedTuple):
    """What stays the same whichever layers are quantized.

    `output` is the output that is judged, `ranges` are the calibrated ranges by marked tensor name.
    """

    model: onnx.ModelProto
    network: Network
    output: str
    ranges: Any
    labelled: bool
    everywhere: bool

    @classmethod
    def of(
        cls, model: onnx.ModelProto, network: Network, examples: CalibrationExamples, everywhere: bool
    ) -> _Quantization:
        graph = network.require_graph()
        output, targets = judged_output(network, graph), examples.test.targets
        classes = graph.by_name[output].type.channels
        labelled = bool(targets) and np.issubdtype(targets[0].dtype, np.integer) and classes > 1
        return cls(model, network, output, _ranges(model, network, examples.calibration), labelled, everywhere)

    def plan(self, kept: Sequence[str] = ()) -> _Plan:
        """The plan for all nodes except the layers `kept`, which stay in float32."""
        integer = int8_nodes(self.model, self._with_activation(kept), self.everywhere)
        sizes = tensor_shapes(self.model.graph)
        large = [node.name for node in self._layers() if prod(sizes[node.input[1]]) >= _MIN_STORED_WEIGHTS]
        return _Plan(integer, [name for name in large if name not in integer and name not in kept])

    def alone(self, layer: str) -> _Plan:
        """The plan that changes this layer and no other."""
        full = self.plan()
        return _Plan(
            [name for name in self._with_activation([layer]) if name in full.integer],
            [name for name in full.stored if name == layer],
        )

    def quantize(self, plan: _Plan) -> onnx.ModelProto:
        """A new model, quantized as planned."""
        quantized = mark_names(self.model)
        if plan.integer:  # given no names, the quantizer would take all nodes
            options: dict[str, Any] = {"WeightSymmetric": True, "ActivationSymmetric": False, "QuantizeBias": False}
            options |= {"TensorQuantOverrides": self._ranges_before_activation(quantized.graph)}
            types = QuantType.QInt8, QuantType.QUInt8
            ranges = deepcopy(self.ranges)  # the quantizer changes them
            quantizer = QDQQuantizer(
                quantized, True, False, *types, ranges, list(plan.integer), [], list(INT8_OPERATORS), options
            )
            quantizer.quantize_model()
            quantized = quantizer.model.model
        store_weights_as_int8(quantized.graph, plan.stored)
        clean_up(quantized, self.model)
        if not self.everywhere:
            drop_inferable(quantized.graph)
            shapes = tensor_shapes(self.model.graph)
            nodes = [node for node in self.model.graph.node if node.name in plan.integer]
            blockings = {node.name: find_blocking(node, shapes) for node in nodes}
            block_columns(quantized.graph, {name: one for name, one in blockings.items() if one is not None})
        record_precision(quantized, "int8")
        return quantized

    def _ranges_before_activation(self, graph: onnx.GraphProto) -> dict[str, Any]:
        """The ranges of model outputs that an activation reads; onnxruntime would take the range after the activation."""
        read = {node.input[0] for node in graph.node if node.op_type in ("Relu", "Clip")}
        ranges = {info.name: self.ranges[info.name].range_value for info in graph.output if info.name in read}
        return {name: [{"rmin": low, "rmax": high}] for name, (low, high) in ranges.items()}

    def faster(self, kept: Sequence[str]) -> list[str]:
        """The layers with weights of their own that compute in float32 because that is faster."""
        integer = self.plan(kept).integer
        layers = [node.name for node in self._layers() if node.input[1].endswith(".weight")]
        return [name for name in layers if name not in integer and name not in kept]

    def layer_names(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """The layers whose weights these nodes have. A node can have another name: that of the batch norm folded into it."""
        return tuple(dict.fromkeys(n.input[1].removesuffix(".weight") for n in self._layers() if n.name in nodes))

    def _layers(self) -> list[onnx.NodeProto]:
        """The nodes that multiply by weights or by another constant."""
        constants = {tensor.name for tensor in self.model.graph.initializer}
        return [n for n in self.model.graph.node if n.op_type in WITH_WEIGHTS and n.input[1] in constants]

    def changed_layers(self) -> list[str]:
        """The layers that quantization changes."""
        plan = self.plan()
        return [node.name for node in self._layers() if node.name in (*plan.integer, *plan.stored)]

    def _with_activation(self, names: Sequence[str]) -> list[str]:
        """Nodes and the activations after them, which are quantized together."""
        outputs = {output for node in self.model.graph.node if node.name in names for output in node.output}
        after = [n.name for n in self.model.graph.node if n.op_type in ("Relu", "Clip") and n.input[0] in outputs]
        return [*names, *after]

    def score(self, model: onnx.ModelProto, examples: Split) -> float:
        """The accuracy on labels (N,) or label maps (N, *spatial), 0..1. Without labels, the root mean square deviation from
        the float32 model relative to the root mean square of its outputs."""
        numerator = denominator = 0.0
        name = self.output
        ignore = self._ignored_label
        for part in batch_slices(len(examples), 256):
            feeds = feeds_of(self.network, examples, part)
            output = tensor_values(model, feeds, [name])[name]
            if self.labelled:
                labels = examples.targets[0][part]
                counted = labels != ignore if ignore is not None else np.ones(labels.shape, bool)
                numerator += float(((output.argmax(1) == labels) & counted).sum())
                denominator += float(counted.sum())
            else:
                expected = tensor_values(self.model, feeds, [name])[name]
                numerator += float(np.square(output - expected, dtype=np.float64).sum())
                denominator += float(np.square(expected, dtype=np.float64).sum())
        share = numerator / denominator if denominator else 0.0
        return share if self.labelled else float(np.sqrt(share))

    def changed_answers(self, model: onnx.ModelProto, examples: Split) -> ChangedAnswers | None:
        """What became of the answers; None where examples do not have one label each, or none counts."""
        if not self.labelled or examples.targets[0][:1].size != 1:
            return None
        labels, answers = examples.targets[0][:].reshape(len(examples)), [list[Array](), list[Array]()]
        for part in batch_slices(len(examples), 256):
            feeds = feeds_of(self.network, examples, part)
            for each, of_model in zip((self.model, model), answers, strict=True):
                scores = tensor_values(each, feeds, [self.output])[self.output]
                of_model.append(scores.reshape(len(scores), scores.shape[1]).argmax(1))
        before, after = map(np.concatenate, answers)
        counted = labels != self._ignored_label if self._ignored_label is not None else np.ones(len(labels), bool)
        return ChangedAnswers.of(before[counted], after[counted], labels[counted]) if counted.any() else None

    @property
    def _ignored_label(self) -> int | None:
        first = self.network.recipe.losses[0] if self.network.recipe is not None else None
        return first.ignored_label if first is not None else None

    def passes(self, before: float, after: float, max_loss: float, max_error: float) -> bool:
        """Whether it lost at most `max_loss` of accuracy; without labels, whether its error is at most `max_error`."""
        return before - after <= max_loss if self.labelled else after <= max_error


def _layers_to_keep(task: _Quantization, selection: Split) -> list[str]:
    """The layers to leave in float32: as few as keep the loss on the selection examples within half of what is allowed.

    Layers are ranked by what quantizing them alone changes; their number grows by half each time, up to half of all.
    """
    examples = selection.select(np.arange(min(len(selection), _MAX_SELECTION_EXAMPLES)))
    before = task.score(task.model, examples)

    def is_good(kept: list[str]) -> bool:
        max_loss = max(MAX_ACCURACY_LOSS / 2, 1.5 / len(examples))  # one example more or less is noise
        after = task.score(task.quantize(task.plan(kept)), examples)
        return task.passes(before, after, max_loss, MAX_RELATIVE_ERROR / 2)

    if is_good([]):
        return []
    layers = task.changed_layers()
    feeds = feeds_of(task.network, examples, slice(0, 64))
    harm = {layer: _harm(task, layer, feeds) for layer in layers}
    worst = sorted(layers, key=lambda layer: -harm[layer])
    count = 1
    while count < len(worst) / 2 and not is_good(worst[:count]):
        count += max(1, count // 2)
    return sorted(worst[:count], key=layers.index)


def _harm(task: _Quantization, layer: str, feeds: dict[str, Array]) -> float:
    """The mean absolute change of the output when only this layer is quantized."""
    name = task.output
    alone = task.quantize(task.alone(layer))
    return float(
        np.abs(tensor_values(alone, feeds, [name])[name] - tensor_values(task.model, feeds, [name])[name]).mean()
    )


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds for onnxruntime's calibration, in the model's batch size or 32."""

    def __init__(self, model: onnx.ModelProto, network: Network, examples: Split) -> None:
        fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
        count = min(len(examples), _MAX_RANGE_EXAMPLES)
        self.feeds = iter(feeds_of(network, examples, part) for part in batch_slices(count, fixed or 32))

    def get_next(self) -> dict[str, Array] | None:
        feeds = next(self.feeds, None)
        return None if feeds is None else {marked_name(name): values for name, values in feeds.items()}


def _ranges(model: onnx.ModelProto, network: Network, examples: Split) -> Any:
    """The minimum and maximum of each tensor over the examples, by its name in the marked model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(mark_names(model).SerializeToString())
        calibrator = create_calibrator(
            path, None, (Path(folder) / "augmented.onnx").as_posix(), calibrate_method=CalibrationMethod.MinMax
        )
        calibrator.collect_data(_Reader(model, network, examples))
        return calibrator.compute_data()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences warnings of onnxruntime's quantizer, which address its direct users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
