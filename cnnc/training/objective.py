"""What a network is trained for: its losses on its outputs, and its metrics.

In: a graph, a recipe, a data set. Out: `Objective`, which turns the activations of a batch into a loss and the
gradients with which the backward pass starts, and scores a network on examples. It checks that outputs and targets fit
before the first step (E610).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.core.intervals import Interval, accuracy_interval
from cnnc.data.dataset import Column, Dataset, Split
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph, Node
from cnnc.recipe.losses import BALANCED, Loss
from cnnc.recipe.metrics import class_of_metric, format_metric, metric_named, metric_text
from cnnc.recipe.recipe import Recipe
from cnnc.reference.activation import logistic
from cnnc.reference.engine import Trace, forward
from cnnc.reference.layout import to_channels_last
from cnnc.training.balance import balanced
from cnnc.training.losses import are_probabilities, compute_loss, measured_outputs
from cnnc.training.maps import TargetColumn
from cnnc.training.metrics import COUNTERS, Confusion, MetricCounter, count_by_class, count_correct
from cnnc.training.ranks import ALONE, Ranks

EVAL_BATCH = 256
"""Examples per batch in scoring, at most; a batch is no larger than that of training, which fits into memory."""

_SLACK = 1e-5
"""How far targets may lie outside `Loss.target_range`, by rounding."""

Feeds = dict[str, Array]
Runner = Callable[[Feeds], Trace]
"""Runs a batch, channels first; the trace holds the activations that the losses read, channels last."""

Observer = Callable[[Trace, tuple[Array, ...]], None]
"""Sees the activations and targets of each batch that is scored."""


class Score(NamedTuple):
    """A network's score on a set of examples: the mean loss, and the metric that decides which epoch is best.

    `right` of `total` predictions are correct (pixels, for label maps; 0 where no loss compares with labels); `value`
    is the metric where it is not the accuracy; `others` are the further metrics. `examples` is the number of examples, 0
    without classes.
    """

    right: int
    total: int
    loss: float
    metric: str = "accuracy"
    value: float | None = None
    others: tuple[tuple[str, float], ...] = ()
    examples: int = 0

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the accuracy; None where predictions are not those of whole examples, as for label maps."""
        return accuracy_interval(self.right, self.total, self.examples)

    @property
    def accuracy(self) -> float:
        """The fraction of correct predictions, 0..1."""
        return self.right / self.total if self.total else 0.0

    @property
    def result(self) -> float:
        """The value of the metric."""
        return self.accuracy if self.value is None else self.value

    @property
    def rank(self) -> float:
        """The value of the metric, negated where less is better."""
        return -self.result if metric_named(self.metric).less_is_better else self.result

    def as_dict(self) -> dict[str, Any]:
        """The score for JSON: the loss, every metric by its name, the counts of the accuracy, and its interval if it has one."""
        counts = {"right": self.right, "total": self.total, "loss": self.loss, self.metric: self.result}
        interval = {"accuracy_interval": list(self.interval)} if self.interval is not None else {}
        return {**counts, **dict(self.others), **interval}

    def __str__(self) -> str:
        return f"{metric_text(self.metric)} {format_metric(self.metric, self.result)}"


class Term(NamedTuple):
    """One loss of the sum.

    `output` is the network's output, `node` the layer whose activation the loss reads: the output, or the layer before
    an activation that the loss includes. `column` is the column of targets, None for the network's input.
    """

    loss: Loss
    node: Node
    output: Node
    column: int | None


class BatchLoss(NamedTuple):
    """The weighted sum of losses of a batch, and its gradients by the name of the layer whose activation they are of."""

    loss: float
    gradients: dict[str, Array]


@dataclass
class ScoreSums:
    """What a score is computed from, summed over batches: the counters of metrics by name, the losses of all examples, and
    the numbers of correct predictions and of all predictions."""

    counters: dict[str, MetricCounter]
    loss: float = 0.0
    right: int = 0
    total: int = 0

    def merge(self, other: ScoreSums) -> None:
        """Adds the sums over other batches."""
        self.loss, self.right, self.total = self.loss + other.loss, self.right + other.right, self.total + other.total
        for name, counter in self.counters.items():
            counter.merge(other.counters[name])


class Objective:
    """The losses and metrics of a recipe on a graph. Raises CnncError E610 where an output does not fit its targets.

    `train` is the training share of the data, from which weights that are `balanced` are computed (default: its training
    data); in `recipe` they are numbers.
    """

    def __init__(self, graph: Graph, recipe: Recipe, data: Dataset, train: Split | None = None) -> None:
        self.graph = graph
        columns = len(data.train.targets)
        terms = [term_of(graph, loss, columns) for loss in recipe.losses]
        for term in terms:
            _check(term, data)
        self.terms = tuple(_balanced(term, data.train if train is None else train) for term in terms)
        self.recipe = recipe.replace(losses=tuple(term.loss for term in self.terms))
        self.term_by_target = {term.loss.compares_with: term for term in reversed(self.terms)}  # the first of each
        self.metric_class = {name: self._class_number(name, data) for name in recipe.metrics or (recipe.metric,)}
        """Each metric by name, with the number of its class, None for one of all classes."""
        self.input = graph.inputs[0].name
        reads_input = any(term.column is None for term in self.terms)
        names = [term.node.name for term in self.terms] + ([self.input] if reads_input else [])
        self.activations = tuple(dict.fromkeys(names))
        """The names of the layers whose activations the losses read."""
        self.target_columns = tuple(self._column(n, column) for n, column in enumerate(data.train.targets))
        """What augmentation needs to know of each column of targets."""

    def _column(self, n: int, column: Column) -> TargetColumn:
        terms = [term for term in self.terms if term.column == n]
        if not terms:
            return TargetColumn(used=False)
        type_, loss = terms[0].node.type, terms[0].loss
        is_map = type_.rank == self.graph.inputs[0].type.rank and any(size != 1 for size in type_.spatial)
        if loss.compares_with == "labels":
            return TargetColumn(max(term.node.type.channels for term in terms), is_map, loss.ignored_label)
        return TargetColumn(is_map=is_map and len(column.shape) > 2)

    def class_names(self, data: Dataset) -> tuple[str, ...]:
        """The names of the classes that the first loss on labels tells apart, or their numbers; () without such a loss."""
        term = self.term_by_target.get("labels")
        if term is None:
            return ()
        count = term.node.type.channels
        is_named = term.column == 0 and len(data.classes) == count
        return data.classes if is_named else tuple(map(str, range(count)))

    def _class_number(self, metric: str, data: Dataset) -> int | None:
        """The class of a metric of one class. Raises CnncError E610 where there is no such class."""
        name, names = class_of_metric(metric), self.class_names(data)
        if name is None:
            return None
        if name in names:
            return names.index(name)
        if name.isdecimal() and int(name) < len(names):
            return int(name)
        help = f"the classes are {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}"
        message = f"{data.name} has no class `{name}` for `metric {metric_named(metric).kind}`"
        raise CnncError.of("E610", message, span=self.recipe.spans.get("metric"), help=help)

    @property
    def is_classifier(self) -> bool:
        """Whether a loss compares with labels, so that predictions are right or wrong; the first such loss counts."""
        return "labels" in self.term_by_target

    @property
    def chance(self) -> float | None:
        """The loss of guessing among equally likely classes; None without such a loss, or with several losses."""
        if len(self.terms) > 1:
            return None
        (term,) = self.terms
        chance = term.loss.chance_loss(term.node.type.channels)
        return None if chance is None else term.loss.weight * chance

    def batch(self, trace: Trace, targets: tuple[Array, ...]) -> BatchLoss:
        """The loss of a batch and its gradients; the trace holds `activations`."""
        total, gradients = 0.0, dict[str, Array]()
        for term in self.terms:
            name, weight = term.node.name, term.loss.weight
            outputs = trace.values[name]
            value, gradient = compute_loss(term.loss, outputs, self._target(term, trace.values, targets))
            total += weight * value
            if weight != 1:
                gradient = gradient * outputs.dtype.type(weight)
            gradients[name] = gradients[name] + gradient if name in gradients else gradient
        return BatchLoss(total, gradients)

    def right(self, trace: Trace, targets: tuple[Array, ...]) -> tuple[int, int]:
        """The number of correct predictions and of all predictions; (0, 0) where no loss compares with labels."""
        term = self.term_by_target.get("labels")
        if term is None:
            return 0, 0
        labels = _most_probable(self._target(term, trace.values, targets), term.loss.ignored_label)
        return count_correct(trace.values[term.node.name], labels, term.loss.ignored_label)

    def right_by_class(self, trace: Trace, targets: tuple[Array, ...]) -> tuple[Array, Array] | None:
        """The correct predictions of each class, and how often it is the label; None where no loss compares with labels."""
        term = self.term_by_target.get("labels")
        if term is None:
            return None
        labels = self._target(term, trace.values, targets)
        return count_by_class(trace.values[term.node.name], labels, term.loss.ignored_label)

    def _target(self, term: Term, activations: Mapping[str, Array], targets: tuple[Array, ...]) -> Array:
        """The target of a loss, channels last."""
        if term.column is None:
            return activations[self.input]
        target = targets[term.column]
        if are_probabilities(term.loss, target):
            return target[:, : term.node.type.channels]
        if term.loss.compares_with == "labels":
            return target
        output = activations[term.node.name]
        if target.dtype == np.uint8:
            target = target / np.float32(255)
        converted: Array = to_channels_last(np.asarray(target, output.dtype)).reshape(output.shape)
        return converted

    def parts(self, examples: Split) -> Iterator[slice]:
        """The batches in which examples are scored."""
        batch = min(EVAL_BATCH, self.recipe.batch)
        return (slice(start, start + batch) for start in range(0, len(examples), batch))

    def network(self, weights: Weights) -> Runner:
        """Runs the network as in inference: no dropout, running statistics."""
        return lambda feeds: forward(self.graph, weights, feeds, outputs=self.activations)

    def model(self, run: Callable[[Feeds], Mapping[str, Array]], outputs: Sequence[str]) -> Runner:
        """Runs an exported model in place of the network; `run` gives its outputs by name, channels first.

        Raises CnncError E609 where the model lacks an output that a loss needs.
        """
        names = {term: next((n.name for n in (term.node, term.output) if n.name in outputs), "") for term in self.terms}
        missing = next((term.output.name for term, name in names.items() if not name), None)
        if missing is not None:
            raise CnncError.of("E609", f"the model has no output {missing}, which its score is computed from")

        def runner(feeds: Feeds) -> Trace:
            results = run(feeds)
            activations = {t.node.name: _scores(t, name, to_channels_last(results[name])) for t, name in names.items()}
            if self.input in self.activations:
                batch = feeds[self.input]
                scaled = batch / np.float32(255) if batch.dtype == np.uint8 else batch
                activations[self.input] = to_channels_last(np.asarray(scaled, np.float32))
            return Trace(activations)

        return runner

    def evaluate(self, weights: Weights, examples: Split, observer: Observer | None = None) -> Score:
        """The score of the network with these weights on examples, as in inference."""
        return self.measure(self.network(weights), examples, observer)

    def measure(self, run: Runner, examples: Split, observer: Observer | None = None, ranks: Ranks = ALONE) -> Score:
        """The score on examples of the network or of an exported model of it; each of `ranks` computes a share of the batches."""
        return self._score(self._sums(run, examples, observer, ranks), examples)

    def measure_classes(self, run: Runner, examples: Split, ranks: Ranks = ALONE) -> tuple[Score, list[list[int]]]:
        """`measure`, and how often each class (row) was predicted as each class (column); [] where no loss compares with labels."""
        term, counts = self.term_by_target.get("labels"), Confusion()

        def count(trace: Trace, targets: tuple[Array, ...]) -> None:
            if term is not None:
                labels = self._target(term, trace.values, targets)
                counts.add(trace.values[term.node.name], labels, term.loss.ignored_label)

        sums = self._sums(run, examples, count, ranks)
        first, *others = ranks.gather(counts)
        whole = sum(others, first).matrix
        return self._score(sums, examples), [] if whole is None else whole.tolist()

    def _score(self, sums: ScoreSums, examples: Split) -> Score:
        (first, value), *further = [(n, counter.value(self.metric_class[n])) for n, counter in sums.counters.items()]
        total, mean = sums.total or len(examples), sums.loss / max(1, len(examples))
        first_value, judged = None if first == "accuracy" else value, len(examples) if self.is_classifier else 0
        return Score(sums.right, total, mean, first, first_value, tuple(further), judged)

    def _sums(self, run: Runner, examples: Split, observer: Observer | None, ranks: Ranks) -> ScoreSums:
        """The sums over all batches, of which each of `ranks` computes a share."""
        sums, *others = ranks.gather(self._sums_of(run, ranks.share(self.batches(examples)), observer))
        for other in others:
            sums.merge(other)
        return sums

    def _sums_of(
        self, run: Runner, batches: Iterator[tuple[Feeds, tuple[Array, ...]]], observer: Observer | None
    ) -> ScoreSums:
        sums = ScoreSums({name: COUNTERS[metric_named(name)]() for name in self.metric_class})
        for feeds, targets in batches:
            trace = run(feeds)
            sums.loss += self.batch(trace, targets).loss * len(next(iter(feeds.values())))
            right, total = self.right(trace, targets)
            sums.right, sums.total = sums.right + right, sums.total + total
            for name, counter in sums.counters.items():
                self._count(name, counter, trace, targets)
            if observer is not None:
                observer(trace, targets)
        return sums

    def _count(self, metric: str, counter: MetricCounter, trace: Trace, targets: tuple[Array, ...]) -> None:
        """Counts a batch on the first loss that compares with what the metric compares with."""
        term = self.term_by_target[metric_named(metric).compares_with]
        outputs, target = trace.values[term.node.name], self._target(term, trace.values, targets)
        if term.loss.compares_with == "values":
            outputs = after_included_layer(term.loss, outputs)
        counter.add(measured_outputs(term.loss, outputs), target, term.loss.ignored_label)

    def batches(self, examples: Split) -> Iterator[tuple[Feeds, tuple[Array, ...]]]:
        """The examples in batches: inputs by name, and targets."""
        for inputs, targets in examples.batches(list(self.parts(examples))):
            yield feeds_of(self.graph, inputs), targets


def _most_probable(target: Array, ignored: int | None) -> Array:
    """Labels as they are; of probabilities (N, C) the class of the largest, or the label that does not count if all are 0."""
    if target.dtype.kind != "f":
        return target
    labels: Array = target.argmax(-1)
    return labels if ignored is None else np.where(target.any(-1), labels, ignored)


_TINY = np.finfo(np.float32).tiny


def _scores_of_softmax(probabilities: Array) -> Array:
    """The scores up to a constant, on which no loss and no prediction depends."""
    scores: Array = np.log(np.maximum(probabilities.astype(np.float32, copy=False), _TINY))
    return scores


def _scores_of_sigmoid(probabilities: Array) -> Array:
    """The scores log(p/(1 − p)), with p clipped to the open interval (0, 1)."""
    p = np.clip(probabilities.astype(np.float32, copy=False).astype(np.float64), _TINY, 1 - 2.0**-25)
    scores: Array = np.log(p / (1 - p)).astype(np.float32)
    return scores


SCORES: dict[str, Callable[[Array], Array]] = {
    "softmax": _scores_of_softmax,
    "log_softmax": lambda outputs: outputs,  # differs from the scores by a constant
    "sigmoid": _scores_of_sigmoid,
}
"""For each layer that a loss may include (`Loss.included_layers`): its input from its output, for models that give the output."""

OUTPUTS: dict[str, Callable[[Array], Array]] = {"sigmoid": logistic}
"""For each layer that a loss on values may include: its output from its input, for the metrics."""


def after_included_layer(loss: Loss, activation: Array) -> Array:
    """What a loss on values compares with the target: of scores their sigmoid, whether or not the network ends in one."""
    return OUTPUTS[loss.included_layers[0]](activation) if loss.included_layers else activation


def _scores(term: Term, name: str, activation: Array) -> Array:
    """What the loss reads, from the activation of the model's output `name`."""
    return activation if name == term.node.name else SCORES[term.output.op.keyword](activation)


def term_of(graph: Graph, loss: Loss, columns: int) -> Term:
    """A loss with its layers and its column of targets, where the data has this many. Raises CnncError E610 where the data has no targets."""
    output = graph.by_name[loss.on or graph.outputs[0]]
    node = graph.by_name[output.inputs[0]] if output.op.keyword in loss.included_layers else output
    if loss.of_input:
        return Term(loss, node, output, None)
    if not columns:
        help = "add targets to the data, or compare with the input: `loss mse target=input`"
        raise CnncError(Diagnostic("E610", "the data has no targets for this output", output.span, help=help))
    index = graph.outputs.index(output.name)
    return Term(loss, node, output, index if index < columns else 0)


def _balanced(term: Term, train: Split) -> Term:
    """The loss with numbers in place of `balanced`."""
    if term.loss.balance != BALANCED:
        return term
    column = (train.inputs[:1] if term.column is None else train.targets[term.column :])[0]
    return term._replace(loss=balanced(term.loss, term.node.type.channels, column))


def _check(term: Term, data: Dataset) -> None:
    """Raises CnncError E610 where an output does not fit its targets."""
    column = data.train.inputs[0] if term.column is None else data.train.targets[term.column]
    problem, help = "", ""
    if term.loss.compares_with == "labels":
        problem, help = _labels_problem(term, data)
    elif term.column is not None and column.dtype == np.int64:
        problem = f"{term.loss.kind} compares with values; {data.name} has labels of {_shape_text(column)}"
        help = "save values as floats, `y.astype(np.float32)`; for labels use `loss cross_entropy`"
    elif term.column is not None and column.shape[1:] != term.node.type.shape:
        problem = f"{data.name} has targets of {_shape_text(column)}; the output is {term.node.type}"
    elif term.loss.target_range is not None and column.dtype.kind == "f":
        problem, help = _range_problem(term, data.name, column)
    if problem:
        raise CnncError(Diagnostic("E610", problem, term.output.span, label="this output", help=help))


def _range_problem(term: Term, data: str, column: Column) -> tuple[str, str]:
    """What is wrong with values outside the range of the loss, and what helps; ("", "") where all lie within."""
    assert term.loss.target_range is not None
    least, most = term.loss.target_range
    low, high = _range(column)
    if least - _SLACK <= low and high <= most + _SLACK:
        return "", ""
    what = "inputs" if term.column is None else "targets"
    problem = (
        f"{term.loss.kind} compares with values from {least:g} to {most:g}; {data} has {what} from {low:g} to {high:g}"
    )
    return problem, f"scale them to {least:g}..{most:g}, or use `loss mse`"


def _labels_problem(term: Term, data: Dataset) -> tuple[str, str]:
    """What is wrong with labels for this output, and what helps; ("", "") where they fit."""
    assert term.column is not None
    target, shape = data.train.targets[term.column], term.node.type.shape
    if target.dtype != np.int64:
        problem = f"{term.loss.kind} needs labels; {data.name} has targets of {_shape_text(target)} {target.dtype}"
        one_hot = target.shape[1:] == shape and shape[0] > 1
        fix = "y.argmax(1)" if one_hot else "y.astype(np.int64)"
        return problem, f"labels are whole numbers from 0: save `{fix}`"
    pooled = shape[1:] if any(size != 1 for size in shape[1:]) else ()
    if target.shape[1:] not in (pooled, shape[1:]):
        problem = f"{data.name} has labels of {_shape_text(target)}; the output is {'x'.join(map(str, shape))}"
        return problem, "labels are numbers of classes: save `y.argmax(1)`" if target.shape[1:] == shape else ""
    if term.column == 0 and data.classes and shape[0] != len(data.classes):
        return f"{data.name} has {len(data.classes)} classes; the output has {shape[0]}", ""
    parts = [part for part in (data.train, data.validation, data.test) if part is not None]
    largest = max(_range(part.targets[term.column], term.loss.ignored_label)[1] for part in parts)
    if largest >= shape[0]:
        return f"{data.name} has the label {largest:g}; the output has {shape[0]} classes", "labels count from 0"
    return "", ""


def _range(column: Column, ignored: int | None = None) -> tuple[float, float]:
    """The least and the largest value of a column without those that are `ignored`; read in parts of 1,024 rows."""
    low, high = math.inf, -math.inf
    for start in range(0, len(column), 1024):
        part = np.asarray(column[start : start + 1024])
        part = part[part != ignored] if ignored is not None else part
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def _shape_text(target: Column) -> str:
    """The shape of one target, in words."""
    return "x".join(str(size) for size in target.shape[1:]) or "one number"


def feeds_of(graph: Graph, inputs: tuple[Any, ...]) -> dict[str, Array]:
    """Batches of the inputs by name. Raises CnncError E607 where their number is not that of the network's inputs."""
    if len(inputs) != len(graph.inputs):
        raise CnncError.of("E607", f"the data has {len(inputs)} inputs; the network takes {len(graph.inputs)}")
    return {node.name: batch for node, batch in zip(graph.inputs, inputs, strict=True)}
