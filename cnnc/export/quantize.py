"""int8: weights and values as whole numbers of 8 bits with a scale, by onnxruntime's static quantization (QDQ).

In: a proven model of float32, and examples. Out: the quantized model and what it cost. The ranges of values come
from examples of the training data; weights have a scale for each output channel. Where the accuracy on held-back
examples falls, the layers that hurt most by themselves are left in float until it does not.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError
from cnnc.export.precision import Examples, Quality, feeds_of, mark, scored, values
from cnnc.export.runtime import batches
from cnnc.network import Network
from cnnc.recipe import CrossEntropy
from cnnc.reference.engine import Array

POINTS = 0.01  # of accuracy that may be lost
SIGNAL = 0.1  # root mean square error where there are no labels, in parts of that of the values
_CALIBRATED, _TRIED = 256, 2000  # examples to find ranges by; to choose layers by
_WITH_WEIGHTS = ("Conv", "ConvTranspose", "Gemm")
_OPERATORS = [
    *_WITH_WEIGHTS,
    *("Add", "Mul", "Concat", "Relu", "Clip", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Resize", "Reshape", "Transpose", "Pad", "Slice", "Gather", "DepthToSpace"),
]


def quantized(model: onnx.ModelProto, network: Network, examples: Examples) -> tuple[onnx.ModelProto, Quality]:
    """The model in int8. Raises CnncError E803 where it loses more than a point of accuracy on the test examples."""
    with _quiet():
        work = _Work.of(model, network, examples)
        kept = _kept(work, examples.choosing)
        made = work.quantize(kept)
    before, after = work.score(model, examples.test), work.score(made, examples.test)
    metric = "accuracy" if work.labelled else "error"
    quality = Quality("int8", metric, before, after, tuple(kept), len(examples.test))
    if not work.passes(before, after, POINTS, SIGNAL):
        left = f", even with {', '.join(kept)} in float" if kept else ""
        lost = f"falls from {before:.2%} to {after:.2%}" if work.labelled else f"has an error of {after:.1%}"
        raise CnncError.of(
            "E803",
            f"{network.name} in int8 {lost}{left}",
            help=f"leave --int8 out; at most {POINTS:.0%} of accuracy may be lost"
            if work.labelled
            else f"leave --int8 out; {SIGNAL:.0%} is allowed",
        )
    return made, quality


class _Work(NamedTuple):
    """What stays the same whichever layers are quantized; `output` is the one that is looked at."""

    model: onnx.ModelProto
    network: Network
    output: str
    ranges: Any
    labelled: bool

    @classmethod
    def of(cls, model: onnx.ModelProto, network: Network, examples: Examples) -> _Work:
        graph = network.require_graph()
        output, targets = scored(network, graph), examples.test.targets
        classes = graph.by_name[output].type.channels
        labelled = bool(targets) and np.issubdtype(targets[0].dtype, np.integer) and classes > 1
        return cls(model, network, output, _ranges(model, network, examples.calibration), labelled)

    def quantize(self, kept: Sequence[str] = (), only: Sequence[str] = ()) -> onnx.ModelProto:
        """The model with all nodes quantized but those kept, or with these alone."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        quantizer = QDQQuantizer(
            copy,
            True,
            False,
            QuantType.QInt8,
            QuantType.QUInt8,
            self.ranges,
            list(only),
            self.with_activation(kept),
            _OPERATORS,
            {"WeightSymmetric": True, "ActivationSymmetric": False},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        made: onnx.ModelProto = quantizer.model.model
        _rename(made.graph, self.model.graph)
        mark(made, "int8")
        return made

    def layers(self) -> list[str]:
        """The nodes that have weights."""
        return [node.name for node in self.model.graph.node if node.op_type in _WITH_WEIGHTS]

    def with_activation(self, names: Sequence[str]) -> list[str]:
        """Nodes, and the activations that they run into: those belong to them."""
        made = {output for node in self.model.graph.node if node.name in names for output in node.output}
        after = [n.name for n in self.model.graph.node if n.op_type in ("Relu", "Clip") and n.input[0] in made]
        return [*names, *after]

    def score(self, model: onnx.ModelProto, examples: Split) -> float:
        """The accuracy on labels (N,) or label maps (N, *spatial); without labels the error beside the float model."""
        right = total = 0.0
        name = self.output
        first = self.network.recipe.losses[0] if self.network.recipe is not None else None
        ignore = first.ignore if isinstance(first, CrossEntropy) else None
        for part in batches(len(examples), 256):
            feeds = feeds_of(self.network, examples, part)
            found = values(model, feeds, [name])[name]
            if self.labelled:
                labels = examples.targets[0][part]
                counted = labels != ignore if ignore is not None else np.ones(labels.shape, bool)
                right += float(((found.argmax(1) == labels) & counted).sum())
                total += float(counted.sum())
            else:
                expected = values(self.model, feeds, [name])[name]
                right += float(np.square(found - expected, dtype=np.float64).sum())
                total += float(np.square(expected, dtype=np.float64).sum())
        share = right / total if total else 0.0
        return share if self.labelled else float(np.sqrt(share))

    def passes(self, before: float, after: float, points: float, signal: float) -> bool:
        return before - after <= points if self.labelled else after <= signal


def _kept(work: _Work, choosing: Split) -> list[str]:
    """The layers to leave in float: as few as bring the loss on the held-back examples to half of what is allowed."""
    examples = choosing.part(np.arange(min(len(choosing), _TRIED)))
    before = work.score(work.model, examples)

    def good(kept: list[str]) -> bool:
        points = max(POINTS / 2, 1.5 / len(examples))  # one example more or less says nothing
        return work.passes(before, work.score(work.quantize(kept), examples), points, SIGNAL / 2)

    if good([]):
        return []
    layers = work.layers()
    feeds = feeds_of(work.network, examples, slice(0, 64))
    harm = {layer: _harm(work, layer, feeds) for layer in layers}
    worst = sorted(layers, key=lambda layer: -harm[layer])
    count = 1
    while count < len(worst) / 2 and not good(worst[:count]):
        count += max(1, count // 2)
    return sorted(worst[:count], key=layers.index)


def _harm(work: _Work, layer: str, feeds: dict[str, Array]) -> float:
    """How far the output moves when this layer alone is quantized."""
    name = work.output
    alone = work.quantize(only=work.with_activation([layer]))
    return float(np.abs(values(alone, feeds, [name])[name] - values(work.model, feeds, [name])[name]).mean())


_SHORT = (
    ("_QuantizeLinear_Output", ".q"),
    ("_DequantizeLinear_Output", ".dq"),
    ("_QuantizeLinear", ".quantize"),
    ("_DequantizeLinear", ".dequantize"),
    ("_zero_point", ".zero"),
    ("_scale", ".scale"),
    ("_quantized", ".q"),
)


def _rename(graph: onnx.GraphProto, before: onnx.GraphProto) -> None:
    """What the quantizer added is named as other parts of a layer are: `conv1.weight.scale`, `relu1.q`."""
    known = {part.name for part in (*before.input, *before.initializer)}
    known |= {output for node in before.node for output in node.output}

    def short(name: str) -> str:
        made = name
        for long, end in _SHORT:
            made = made.replace(long, end)
        return name if name in known or made in known else made

    for part in (*graph.initializer, *graph.value_info):
        part.name = short(part.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [short(name) for name in names]
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.name = short(node.name)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Examples for onnxruntime's calibration, a few at a time."""

    def __init__(self, network: Network, examples: Split) -> None:
        count = min(len(examples), _CALIBRATED)
        self.feeds = iter(feeds_of(network, examples, part) for part in batches(count, 32))

    def get_next(self) -> dict[str, Array] | None:
        return next(self.feeds, None)


def _ranges(model: onnx.ModelProto, network: Network, examples: Split) -> Any:
    """The smallest and largest value of each tensor over the examples."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        calibrator = create_calibrator(
            path, None, (Path(folder) / "augmented.onnx").as_posix(), calibrate_method=CalibrationMethod.MinMax
        )
        calibrator.collect_data(_Reader(network, examples))
        return calibrator.compute_data()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's advice, which is written for its own users."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
