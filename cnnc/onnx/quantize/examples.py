"""What float16 and int8 share: the examples that they are calibrated and measured on, and the `Quality` they report.

Input: models, a network, examples of its data set. Output: feeds and tensors of a model as NumPy arrays.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.core.intervals import Interval, paired
from cnnc.core.random_streams import Stream
from cnnc.data.dataset import Column, Split
from cnnc.graph.graph import Graph
from cnnc.network import Network
from cnnc.onnx.emit.verify import with_outputs
from cnnc.onnx.metadata import PRECISION, QUALITY
from cnnc.onnx.run.session import Session, batch_slices, convert_for_input
from cnnc.ops.dense import Input

Precision = Literal["float32", "float16", "int8"]
_MAX_CALIBRATION_EXAMPLES = 1024  # drawn from the training examples


class CalibrationExamples(NamedTuple):
    """Examples of a data set: to calibrate ranges on, to select the layers that stay in float32, and to measure on."""

    calibration: Split
    selection: Split
    test: Split

    @classmethod
    def of(cls, train: Split, validation: Split, test: Split, seed: int) -> CalibrationExamples:
        """The examples of a data set as training split it, drawn with `seed`.

        Without held-out examples the calibration examples select the layers; without test examples the selection
        examples measure.
        """
        calibration = train.select(
            np.random.default_rng(Stream.CALIBRATION.key(seed)).permutation(len(train))[:_MAX_CALIBRATION_EXAMPLES]
        )
        selection = validation if len(validation) else calibration
        return cls(calibration, selection, test if len(test) else selection)

    def for_graph(self, network: Network, graph: Graph) -> CalibrationExamples:
        """The examples for `graph`, the network's graph or a part of it: its inputs, and the labels of the output that is judged,
        if that is still there and its loss compares with labels."""
        kept = [i for i, node in enumerate(network.require_graph().inputs) if node.name in graph.by_name]
        same_output = judged_output(network, graph) == judged_output(network, network.require_graph())

        def restrict(split: Split) -> Split:
            targets = _judged_targets(network, split) if same_output else ()
            return Split(tuple(split.inputs[i] for i in kept), targets)

        return CalibrationExamples(restrict(self.calibration), restrict(self.selection), restrict(self.test))


def _judged_targets(network: Network, split: Split) -> tuple[Column, ...]:
    """The targets that the first loss compares with, if they are labels: data may have labels that no loss reads."""
    if network.recipe is None or not split.targets:
        return split.targets
    if network.recipe.losses[0].compares_with != "labels":
        return ()
    outputs = network.require_graph().outputs
    column = outputs.index(judged_output(network, network.require_graph()))
    return (split.targets[column if column < len(split.targets) else 0],)


class ChangedAnswers(NamedTuple):
    """How the answers of two models differ on the same examples: `lost` were right before only, `gained` after only, `other` are
    wrong both times, with another class. `interval` is the 95 % interval of the accuracy that is lost, (lost - gained)/examples."""

    lost: int
    gained: int
    other: int
    interval: Interval

    @classmethod
    def of(cls, before: Array, after: Array, labels: Array) -> ChangedAnswers:
        """From the classes that both models answer, and the labels, of examples (N,)."""
        was_right, is_right = before == labels, after == labels
        lost, gained = int((was_right & ~is_right).sum()), int((~was_right & is_right).sum())
        other = int((before != after).sum()) - lost - gained
        return cls(lost, gained, other, paired(lost, gained, len(labels)))


class Quality(NamedTuple):
    """What a lower precision cost, measured on `samples` examples.

    `metric` is "accuracy" or "error" (deviation of the outputs from float32, which is 0 before); `before` and `after` are
    its values in float32 and in `precision`, 0..1. `kept` are layers left in float32 because int8 loses too much
    there, or float16 cannot hold what they compute; `faster` are layers that compute in float32 because int8 is slower
    there. `random` says that the examples are random inputs. `changed` is what became of the answers, where each example has one
    label: None otherwise.
    """

    precision: Precision
    metric: str
    before: float
    after: float
    kept: tuple[str, ...] = ()
    faster: tuple[str, ...] = ()
    samples: int = 0
    random: bool = False
    changed: ChangedAnswers | None = None


def judged_output(network: Network, graph: Graph) -> str:
    """The output that a precision is judged by: that of the first loss if the graph has it, else the first output."""
    on = network.recipe.losses[0].on if network.recipe is not None else None
    return on if on is not None and on in graph.outputs else graph.outputs[0]


def record_precision(model: onnx.ModelProto, precision: Precision) -> None:
    """Writes the precision into the model's metadata."""
    model.metadata_props.add(key=PRECISION, value=precision)


def record_quality(model: onnx.ModelProto, quality: Quality) -> None:
    """Writes into the model's metadata what its precision cost."""
    changed = quality.changed._asdict() if quality.changed is not None else None
    names = ("metric", "before", "after", "samples")
    facts = {**{name: getattr(quality, name) for name in names}, "changed": changed}
    model.metadata_props.add(key=QUALITY, value=json.dumps(facts))


def tensor_values(model: onnx.ModelProto, feeds: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """These tensors of the model, run with onnxruntime's optimizations, by name: arrays (N, ...).

    Names that the model lacks (a layer that a pass removed) are skipped; if it lacks all, its outputs are returned.
    """
    known = {info.name for info in (*model.graph.value_info, *model.graph.output)}
    kept = [name for name in names if name in known] or [info.name for info in model.graph.output]
    session = Session(with_outputs(model, kept).SerializeToString(), "the model", "cpu")
    parts = batch_slices(_count(feeds), session.batch or 256)
    runs = [session.run({n: a[part] for n, a in feeds.items()}, kept) for part in parts]
    return {name: np.concatenate([run[i] for run in runs]) for i, name in enumerate(kept)}


def _count(feeds: dict[str, Array]) -> int:
    return len(next(iter(feeds.values())))


def feeds_of(network: Network, examples: Split, part: slice | NDArray[np.int64]) -> dict[str, Array]:
    """The examples as the model is fed, by input name: bytes for a uint8 input, else 8-bit pixels scaled to 0..1."""
    feeds: dict[str, Array] = {}
    for node, column in zip(network.require_graph().inputs, examples.inputs, strict=True):
        assert isinstance(node.op, Input)
        feeds[node.name] = convert_for_input(column[part], np.dtype(node.op.fed().dtype))
    return feeds
