"""int8: weights and values as whole numbers of 8 bits with a scale, by onnxruntime's static quantization (QDQ).

In: a proven model of float32, and examples. Out: the quantized model and what it cost. The ranges of values come
from examples of the training data; weights have a scale for each output channel. Layers that are faster in float32
(see placement.py) compute so, with weights of 8 bits. Where the accuracy on held-back examples falls, the layers that
hurt most by themselves are left in float, with their weights, until it does not.
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
from cnnc.onnx.quantize.column_blocking import cells_of, in_cells
from cnnc.onnx.quantize.examples import Examples, Quality, feeds_of, mark, scored, values
from cnnc.onnx.quantize.placement import QUANTIZED, WITH_WEIGHTS, in_integers, shapes_of
from cnnc.onnx.quantize.qdq_cleanup import drop_implied, known_as, marked, slim, store
from cnnc.onnx.run.session import batches
from cnnc.recipe.statements import CrossEntropy

POINTS = 0.01  # of accuracy that may be lost
SIGNAL = 0.1  # root mean square error where there are no labels, in parts of that of the values
_CALIBRATED, _TRIED = 256, 2000  # examples to find ranges by; to choose layers by
_STORED = 1000  # numbers from which weights of a layer that computes in float32 are worth 8 bits


def quantized(
    model: onnx.ModelProto, network: Network, examples: Examples, everywhere: bool = False
) -> tuple[onnx.ModelProto, Quality]:
    """The model in int8; `everywhere` also where float32 is faster on a processor with vectors.

    Raises CnncError E803 where it loses more than a point of accuracy on the test examples.
    """
    with _quiet():
        work = _Work.of(model, network, examples, everywhere)
        kept = _kept(work, examples.choosing)
        made = work.quantize(work.plan(kept))
    before, after = work.score(model, examples.test), work.score(made, examples.test)
    metric = "accuracy" if work.labelled else "error"
    hurting, faster = work.titles(kept), work.titles(work.faster(kept))
    quality = Quality("int8", metric, before, after, hurting, faster, len(examples.test))
    if not work.passes(before, after, POINTS, SIGNAL):
        left = f", even with {', '.join(hurting)} in float" if kept else ""
        lost = f"falls from {before:.2%} to {after:.2%}" if work.labelled else f"has an error of {after:.1%}"
        raise CnncError.of(
            "E803",
            f"{network.name} in int8 {lost}{left}",
            help=f"leave --int8 out; at most {POINTS:.0%} of accuracy may be lost"
            if work.labelled
            else f"leave --int8 out; {SIGNAL:.0%} is allowed",
        )
    return made, quality


class _Plan(NamedTuple):
    """Nodes by name: those that compute in int8, and those that compute in float32 with weights of 8 bits."""

    integer: Sequence[str]
    stored: Sequence[str]


class _Work(NamedTuple):
    """What stays the same whichever layers are quantized; `output` is the one that is looked at."""

    model: onnx.ModelProto
    network: Network
    output: str
    ranges: Any
    labelled: bool
    everywhere: bool

    @classmethod
    def of(cls, model: onnx.ModelProto, network: Network, examples: Examples, everywhere: bool) -> _Work:
        graph = network.require_graph()
        output, targets = scored(network, graph), examples.test.targets
        classes = graph.by_name[output].type.channels
        labelled = bool(targets) and np.issubdtype(targets[0].dtype, np.integer) and classes > 1
        return cls(model, network, output, _ranges(model, network, examples.calibration), labelled, everywhere)

    def plan(self, kept: Sequence[str] = ()) -> _Plan:
        """What becomes of each node but the layers `kept`, which stay as they are."""
        integer = in_integers(self.model, self._with_activation(kept), self.everywhere)
        sizes = shapes_of(self.model.graph)
        large = [node.name for node in self._layers() if prod(sizes[node.input[1]]) >= _STORED]
        return _Plan(integer, [name for name in large if name not in integer and name not in kept])

    def alone(self, layer: str) -> _Plan:
        """That of one layer, and of no other."""
        whole = self.plan()
        return _Plan(
            [name for name in self._with_activation([layer]) if name in whole.integer],
            [name for name in whole.stored if name == layer],
        )

    def quantize(self, plan: _Plan) -> onnx.ModelProto:
        made = marked(self.model)
        if plan.integer:  # of no names the quantizer would take all
            options: dict[str, Any] = {"WeightSymmetric": True, "ActivationSymmetric": False, "QuantizeBias": False}
            options |= {"TensorQuantOverrides": self._whole(made.graph)}
            types = QuantType.QInt8, QuantType.QUInt8
            ranges = deepcopy(self.ranges)  # which the quantizer changes
            quantizer = QDQQuantizer(
                made, True, False, *types, ranges, list(plan.integer), [], list(QUANTIZED), options
            )
            quantizer.quantize_model()
            made = quantizer.model.model
        store(made.graph, plan.stored)
        slim(made, self.model)
        if not self.everywhere:
            drop_implied(made.graph)
            shapes = shapes_of(self.model.graph)
            found = {node.name: cells_of(node, shapes) for node in self.model.graph.node if node.name in plan.integer}
            in_cells(made.graph, {name: cells for name, cells in found.items() if cells is not None})
        mark(made, "int8")
        return made

    def _whole(self, graph: onnx.GraphProto) -> dict[str, Any]:
        """The ranges of outputs that an activation reads: onnxruntime would take those of what that makes of them."""
        read = {node.input[0] for node in graph.node if node.op_type in ("Relu", "Clip")}
        ranges = {info.name: self.ranges[info.name].range_value for info in graph.output if info.name in read}
        return {name: [{"rmin": low, "rmax": high}] for name, (low, high) in ranges.items()}

    def faster(self, kept: Sequence[str]) -> list[str]:
        """The layers that compute in float32 because that is faster."""
        integer = self.plan(kept).integer
        own = [node.name for node in self._layers() if node.input[1].endswith(".weight")]
        return [name for name in own if name not in integer and name not in kept]

    def titles(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """The layers of the text that these nodes have their weights of; nodes have the names of what was folded into
        them, as of a batch norm."""
        return tuple(dict.fromkeys(n.input[1].removesuffix(".weight") for n in self._layers() if n.name in nodes))

    def _layers(self) -> list[onnx.NodeProto]:
        """The nodes that have weights, or other constants to multiply by."""
        constants = {tensor.name for tensor in self.model.graph.initializer}
        return [n for n in self.model.graph.node if n.op_type in WITH_WEIGHTS and n.input[1] in constants]

    def touched(self) -> list[str]:
        """The layers that are not as they were."""
        plan = self.plan()
        return [node.name for node in self._layers() if node.name in (*plan.integer, *plan.stored)]

    def _with_activation(self, names: Sequence[str]) -> list[str]:
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
    examples = choosing.select(np.arange(min(len(choosing), _TRIED)))
    before = work.score(work.model, examples)

    def good(kept: list[str]) -> bool:
        points = max(POINTS / 2, 1.5 / len(examples))  # one example more or less says nothing
        return work.passes(before, work.score(work.quantize(work.plan(kept)), examples), points, SIGNAL / 2)

    if good([]):
        return []
    layers = work.touched()
    feeds = feeds_of(work.network, examples, slice(0, 64))
    harm = {layer: _harm(work, layer, feeds) for layer in layers}
    worst = sorted(layers, key=lambda layer: -harm[layer])
    count = 1
    while count < len(worst) / 2 and not good(worst[:count]):
        count += max(1, count // 2)
    return sorted(worst[:count], key=layers.index)


def _harm(work: _Work, layer: str, feeds: dict[str, Array]) -> float:
    """How far the output moves when nothing but this layer is quantized."""
    name = work.output
    alone = work.quantize(work.alone(layer))
    return float(np.abs(values(alone, feeds, [name])[name] - values(work.model, feeds, [name])[name]).mean())


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Examples for onnxruntime's calibration, a few at a time, or as many as the model takes."""

    def __init__(self, model: onnx.ModelProto, network: Network, examples: Split) -> None:
        fixed = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
        count = min(len(examples), _CALIBRATED)
        self.feeds = iter(feeds_of(network, examples, part) for part in batches(count, fixed or 32))

    def get_next(self) -> dict[str, Array] | None:
        feeds = next(self.feeds, None)
        return None if feeds is None else {known_as(name): values for name, values in feeds.items()}


def _ranges(model: onnx.ModelProto, network: Network, examples: Split) -> Any:
    """The smallest and largest value of each tensor over the examples, by its name in the marked model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(marked(model).SerializeToString())
        calibrator = create_calibrator(
            path, None, (Path(folder) / "augmented.onnx").as_posix(), calibrate_method=CalibrationMethod.MinMax
        )
        calibrator.collect_data(_Reader(model, network, examples))
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
