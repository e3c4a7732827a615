"""Examples whose predictions are watched while a network trains.

In: a run. Out: a few examples that cover all classes, as plain data for a page, and the network's predictions for them.
They are validation examples, or training examples where none are held back.

    samples = SampleSet(run)
    samples.shown, samples.predictions(run)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnc.core.arrays import Array
from cnnc.data.dataset import Split
from cnnc.graph.graph import Node
from cnnc.ops.activation import Softmax
from cnnc.ops.dense import Input
from cnnc.training.objective import Term, after_included_layer, feeds_of
from cnnc.training.run import Run
from cnnc.view.inspect.examples import NUMBERS, class_pixels, example_pixels, numbers_line, sentence
from cnnc.view.live.moment import Sample, SamplePrediction, Series, Shown

CLASSIFIED, OTHERS = 12, 8
"""The most samples of a classifier of whole examples, and of other networks, whose outputs are larger."""
_MOST_MACS = 2e9
"""The most multiply-adds that one prediction of all samples may take."""


class SampleSet:
    """Samples of a run. The predictions change nothing in it."""

    def __init__(self, run: Run) -> None:
        self.is_validation = len(run.validation) > 0
        examples = run.validation if self.is_validation else run.train
        self.term = run.objective.term_by_target.get("labels") or run.objective.terms[0]
        self.classes = _class_names(run, self.term)
        labels = self.term.loss.compares_with == "labels" and self.term.column is not None
        self.is_classifier = labels and examples.targets[self.term.column or 0][:1].size == 1
        most = CLASSIFIED if self.is_classifier else OTHERS
        count = max(1, min(most, len(examples), int(_MOST_MACS / max(1, run.graph.total_macs))))
        part = examples.select(_spread(examples, self.term if self.is_classifier else None, count))
        self.shown = tuple(Sample(_input(run, part, i), self._target(part, i)) for i in range(count))
        self._feeds = feeds_of(run.graph, part.inputs)
        self._targets = part.targets

    def __len__(self) -> int:
        return len(self.shown)

    def predictions(self, run: Run) -> tuple[SamplePrediction, ...]:
        """What the network with the weights of this moment says for each sample."""
        outputs = run.objective.network(run.weights)(self._feeds).values[self.term.node.name]
        if self.is_classifier:
            return tuple(self._class_of(scores, i) for i, scores in enumerate(outputs.reshape(len(self), -1)))
        return tuple(SamplePrediction(self._output(np.moveaxis(output, -1, 0), i)) for i, output in enumerate(outputs))

    def _class_of(self, scores: Array, number: int) -> SamplePrediction:
        values = scores.astype(np.float64)
        best = int(values.argmax())
        shares = values if isinstance(self.term.node.op, Softmax) else np.exp(values - values.max())
        probability = float(shares[best] / shares.sum()) if shares.sum() else float("nan")
        label = int(self._targets[self.term.column or 0][number].reshape(()))
        return SamplePrediction(self.classes[best], probability if np.isfinite(probability) else None, best == label)

    def _output(self, output: Array, number: int) -> Shown:
        if self.term.loss.compares_with == "labels":
            return class_pixels(output.argmax(0), len(output))
        shown, sample = _values(after_included_layer(self.term.loss, output)), self.shown[number]
        expected = sample.shown if sample.target is None else sample.target
        if isinstance(shown, Series) and isinstance(expected, Series):
            return shown._replace(low=expected.low, high=expected.high)
        return shown

    def _target(self, examples: Split, number: int) -> Shown | None:
        if self.term.column is None:
            return None
        target = np.asarray(examples.targets[self.term.column][number])
        if self.is_classifier:
            label = int(target.reshape(()))
            return self.classes[label] if 0 <= label < len(self.classes) else str(label)
        if self.term.loss.compares_with == "labels":
            return class_pixels(target, self.term.node.type.channels)
        return _values(target)


def _class_names(run: Run, term: Term) -> tuple[str, ...]:
    """A name or number for each class; none for a network that is not a classifier."""
    if term.loss.compares_with != "labels":
        return ()
    count = term.node.type.channels
    has_names = not term.column and len(run.data.classes) == count
    return run.data.classes if has_names else tuple(map(str, range(count)))


def _spread(examples: Split, term: Term | None, count: int) -> Any:
    """The indices of examples spread evenly over all examples; of a classifier over its classes."""
    if term is None or term.column is None:
        return np.linspace(0, len(examples) - 1, count).astype(int)
    labels = np.asarray(examples.targets[term.column][:]).reshape(len(examples))
    order = np.argsort(labels, kind="stable")
    by_class = labels[order]
    turn = np.arange(len(order)) - np.searchsorted(by_class, by_class)  # 0 for the first example of each class
    turns, classes = order[np.lexsort((by_class, turn))], np.count_nonzero(turn == 0)
    return np.sort(turns[:count] if classes < count else turns[np.linspace(0, classes - 1, count).astype(int)])


def _input(run: Run, examples: Split, number: int) -> Shown:
    """The first input of an example."""
    values, node = np.asarray(examples.inputs[0][number]), run.graph.inputs[0]
    if values.dtype == np.int64:
        return sentence(values, run.data.vocabulary) if run.data.vocabulary else numbers_line(values)
    if _is_vector(node):
        return numbers_line(values)
    return _values(values)


def _is_vector(node: Node) -> bool:
    return isinstance(node.op, Input) and len(node.type.shape) == 1


def _values(values: Array) -> Shown:
    """A few numbers as text, a series as the curve of its first channel, the rest as an image."""
    if values.size <= NUMBERS:
        return numbers_line(values)
    if values.ndim == 2:
        return Series.of(values[0])
    return example_pixels(values)
