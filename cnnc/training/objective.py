"""What a network is trained for: its losses on its outputs, and what is counted beside them.

In: a graph, a recipe, a data set. Out: `Objective`, which turns the values of a batch into a loss and the
gradients that backward begins with, and `Score`s. Before the first step it checks that outputs and targets fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.data.dataset import Column, Dataset, Split
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import LogSoftmax, Sigmoid, Softmax
from cnnc.recipe import statements as recipes
from cnnc.recipe.metrics import LESS_IS_BETTER, shown
from cnnc.recipe.statements import CrossEntropy, Recipe
from cnnc.reference.activation import logistic
from cnnc.reference.engine import Trace, forward
from cnnc.reference.layout import to_channels_last
from cnnc.training.losses import loss_of

EVAL_BATCH = 256
"""At most so many examples are scored at once; no more than a training step takes, which fits into memory."""

_SLACK = 1e-5
"""So far beyond 0 and 1 a target of bce may lie, by rounding."""

Feeds = dict[str, Array]
Runner = Callable[[Feeds], Trace]
"""Runs a batch; the trace holds the values that the losses look at."""


class Score(NamedTuple):
    """A network on a set of examples: its mean loss, and the metric that decides.

    `right` of `total` answers were right (pixels, for label maps; 0 where nothing is right or wrong); `value` is
    the metric where it is not the accuracy; `others` are further metrics asked for.
    """

    right: int
    total: int
    loss: float
    metric: str = "accuracy"
    value: float | None = None
    others: tuple[tuple[str, float], ...] = ()

    @property
    def accuracy(self) -> float:
        return self.right / self.total if self.total else 0.0

    @property
    def result(self) -> float:
        """The metric's value."""
        return self.accuracy if self.value is None else self.value

    @property
    def rank(self) -> float:
        """The result, turned so that more is better."""
        return -self.result if self.metric in LESS_IS_BETTER else self.result

    def as_dict(self) -> dict[str, float]:
        """The score for programs: the loss, every metric by its name, and what was counted."""
        found = {"right": self.right, "total": self.total, "loss": self.loss, self.metric: self.result}
        return {**found, **dict(self.others)}

    def __str__(self) -> str:
        return f"{self.metric} {shown(self.metric, self.result)}"


class Term(NamedTuple):
    """One loss: the node it looks at (scores, before a final softmax), and its column of targets (None: the input)."""

    loss: recipes.Loss
    node: Node
    output: Node
    column: int | None


class Batch(NamedTuple):
    """What a batch came to: the weighted sum of losses, and where backward begins."""

    loss: float
    seeds: dict[str, Array]


class Objective:
    """The losses and metrics of a recipe on a graph."""

    def __init__(self, graph: Graph, recipe: Recipe, data: Dataset) -> None:
        self.graph = graph
        self.recipe = recipe
        columns = len(data.train.targets)
        self.terms = tuple(_term(graph, loss, columns) for loss in recipe.losses)
        self.labelled = next((t for t in self.terms if isinstance(t.loss, CrossEntropy)), None)
        self.valued = next((t for t in self.terms if not isinstance(t.loss, CrossEntropy)), None)
        self.input = graph.inputs[0].name
        self.classes = len(data.classes)
        for term in self.terms:
            _check(term, data, graph)
        reads_input = any(term.column is None for term in self.terms)
        self.wanted = tuple(dict.fromkeys([t.node.name for t in self.terms] + ([self.input] if reads_input else [])))

    @property
    def answers(self) -> bool:
        """Whether a loss is a classification, whose answers are right or wrong; the first of those counts."""
        return self.labelled is not None

    @property
    def chance(self) -> float | None:
        """The loss of guessing among equally likely classes, ln(classes); None where the loss is another, or several."""
        if self.labelled is None or len(self.terms) > 1:
            return None
        return self.labelled.loss.weight * math.log(self.labelled.node.type.channels)

    def batch(self, trace: Trace, targets: tuple[Array, ...]) -> Batch:
        """The loss of a batch whose wanted values are in the trace, and its gradients."""
        total, seeds = 0.0, dict[str, Array]()
        for term in self.terms:
            values = trace.values[term.node.name]
            found = loss_of(term.loss, values, self._target(term, trace.values, targets))
            total += term.loss.weight * found.value
            part = found.gradient if term.loss.weight == 1 else found.gradient * values.dtype.type(term.loss.weight)
            seeds[term.node.name] = seeds[term.node.name] + part if term.node.name in seeds else part
        return Batch(total, seeds)

    def right(self, trace: Trace, targets: tuple[Array, ...]) -> tuple[int, int]:
        """How many answers are right, of how many; (0, 0) where no loss is a classification."""
        term = self.labelled
        if term is None:
            return 0, 0
        assert isinstance(term.loss, CrossEntropy)
        labels = self._target(term, trace.values, targets)
        hits = trace.values[term.node.name].argmax(-1).reshape(labels.shape) == labels
        if term.loss.ignore is not None:
            counted = labels != term.loss.ignore
            return int((hits & counted).sum()), int(counted.sum())
        return int(hits.sum()), labels.size

    def _target(self, term: Term, values: Mapping[str, Array], targets: tuple[Array, ...]) -> Array:
        """The target of a loss, in the layout of the engine."""
        if term.column is None:
            return values[self.input]
        target = targets[term.column]
        if isinstance(term.loss, CrossEntropy):
            return target
        made = values[term.node.name]
        if target.dtype == np.uint8:
            target = target / np.float32(255)
        moved: Array = to_channels_last(np.asarray(target, made.dtype)).reshape(made.shape)
        return moved

    def parts(self, examples: Split) -> Iterator[slice]:
        """The batches in which examples are scored."""
        batch = min(EVAL_BATCH, self.recipe.batch)
        return (slice(start, start + batch) for start in range(0, len(examples), batch))

    def network(self, weights: Weights) -> Runner:
        """What runs the network itself, in the mode of use (no dropout, running statistics)."""
        return lambda feeds: forward(self.graph, weights, feeds, outputs=self.wanted)

    def model(self, run: Callable[[Feeds], Mapping[str, Array]], outputs: Sequence[str]) -> Runner:
        """What stands in for the network where a model of it gives its outputs, channels first, by name.

        Raises CnncError E609 where the model lacks an output that a loss looks at.
        """
        names = {term: next((n.name for n in (term.node, term.output) if n.name in outputs), "") for term in self.terms}
        missing = next((term.output.name for term, name in names.items() if not name), None)
        if missing is not None:
            raise CnncError.of("E609", f"the model has no output {missing}, on which its score is counted")

        def values(feeds: Feeds) -> Trace:
            made = run(feeds)
            found = {t.node.name: _scores(t, name, to_channels_last(made[name])) for t, name in names.items()}
            if self.input in self.wanted:
                entry = feeds[self.input]
                scaled = entry / np.float32(255) if entry.dtype == np.uint8 else entry
                found[self.input] = to_channels_last(np.asarray(scaled, np.float32))
            return Trace(found)

        return values

    def evaluate(self, weights: Weights, examples: Split) -> Score:
        """The score of the network on examples."""
        return self.measure(self.network(weights), examples)

    def measure(self, run: Runner, examples: Split) -> Score:
        """The score of whatever runs on examples: the network, or a model of it."""
        loss = 0.0
        counts = _Counts(self.recipe, self.classes)
        for feeds, targets in self._batches(examples):
            trace = run(feeds)
            loss += self.batch(trace, targets).loss * len(next(iter(feeds.values())))
            counts.add(self, trace, targets)
        return counts.score(loss / max(1, len(examples)), len(examples))

    def _batches(self, examples: Split) -> Iterator[tuple[Feeds, tuple[Array, ...]]]:
        for part in self.parts(examples):
            yield (
                feeds_of(self.graph, tuple(c[part] for c in examples.inputs)),
                tuple(c[part] for c in examples.targets),
            )


def confusion(objective: Objective, run: Runner, examples: Split) -> list[list[int]]:
    """How often each class (row) was taken for each (column). Raises CnncError E609 where the net is no classifier."""
    if not objective.answers:
        raise CnncError.of("E609", "only a classifier has a confusion matrix")
    counts = _Counts(objective.recipe.replace(metrics=("iou",)), objective.classes)
    for feeds, targets in objective._batches(examples):
        counts.add(objective, run(feeds), targets)
    assert counts.confusion is not None
    found: list[list[int]] = counts.confusion.tolist()
    return found


class _Counts:
    """Sums that metrics are made of, over batches; each is counted on the first loss that it goes with."""

    def __init__(self, recipe: Recipe, classes: int) -> None:
        self.metrics = recipe.metrics or (recipe.metric,)
        self.right = self.total = self.top5 = 0
        self.squares, self.elements = 0.0, 0
        self.confusion: Array | None = None
        self.classes = classes

    def add(self, objective: Objective, trace: Trace, targets: tuple[Array, ...]) -> None:
        right, total = objective.right(trace, targets)
        self.right += right
        self.total += total
        if (term := objective.labelled) is not None:
            assert isinstance(term.loss, CrossEntropy)
            values, target = trace.values[term.node.name], objective._target(term, trace.values, targets)
            if "top5" in self.metrics:
                flat = values.reshape(-1, values.shape[-1])
                best = np.argpartition(-flat, min(4, flat.shape[1] - 1), axis=-1)[:, :5]
                self.top5 += int((best == target.reshape(-1, 1)).any(-1).sum())
            if "iou" in self.metrics:
                self._confuse(values.argmax(-1).reshape(-1), target.reshape(-1), values.shape[-1], term.loss.ignore)
        if (term := objective.valued) is not None:
            made, target = _final(term, trace.values[term.node.name]), objective._target(term, trace.values, targets)
            self.squares += float(np.square(made - target).sum(dtype=np.float64))
            self.elements += made.size

    def _confuse(self, found: Array, wanted: Array, classes: int, ignore: int | None) -> None:
        if ignore is not None:
            kept = wanted != ignore
            found, wanted = found[kept], wanted[kept]
        pairs = np.bincount(wanted * classes + found, minlength=classes * classes).reshape(classes, classes)
        self.confusion = pairs if self.confusion is None else self.confusion + pairs

    def value(self, metric: str) -> float:
        if metric == "accuracy":
            return self.right / max(1, self.total)
        if metric == "top5":
            return self.top5 / max(1, self.total)
        if metric == "iou":
            return mean_iou(self.confusion) if self.confusion is not None else 0.0
        mse = self.squares / max(1, self.elements)
        return mse if metric == "mse" else (10 * math.log10(1 / mse) if mse else math.inf)

    def score(self, loss: float, examples: int) -> Score:
        first, *rest = self.metrics
        others = tuple((metric, self.value(metric)) for metric in rest)
        value = None if first == "accuracy" else self.value(first)
        return Score(self.right, self.total or examples, loss, first, value, others)


def mean_iou(confusion: Array) -> float:
    """The mean over classes of intersection over union, of those that occur (Everingham et al. 2015)."""
    both = np.diag(confusion)
    either = confusion.sum(0) + confusion.sum(1) - both
    seen = either > 0
    return float((both[seen] / either[seen]).mean()) if seen.any() else 0.0


def _final(term: Term, values: Array) -> Array:
    """The value of the output itself, where the loss looked before its sigmoid."""
    return values if term.node is term.output else logistic(values)


def _scores(term: Term, name: str, values: Array) -> Array:
    """What the loss looks at, from a model's output `name`: the scores that softmax or sigmoid turn into it.

    log softmax differs from the scores by a number that no loss or answer depends on.
    """
    if name == term.node.name or isinstance(term.output.op, LogSoftmax):
        return values
    values = values.astype(np.float32, copy=False)
    least = np.finfo(np.float32).tiny
    if isinstance(term.output.op, Softmax):
        return np.log(np.maximum(values, least))
    p = np.clip(values.astype(np.float64), least, 1 - 2.0**-25)
    return np.log(p / (1 - p)).astype(np.float32)


def _term(graph: Graph, loss: recipes.Loss, columns: int) -> Term:
    output = graph.by_name[loss.on or graph.outputs[0]]
    node = output
    if isinstance(loss, CrossEntropy) and isinstance(output.op, Softmax | LogSoftmax):
        node = graph.by_name[output.inputs[0]]
    if isinstance(loss, recipes.Bce) and isinstance(output.op, Sigmoid):
        node = graph.by_name[output.inputs[0]]
    if getattr(loss, "target", None) == "input":
        return Term(loss, node, output, None)
    if not columns:
        help = "give it targets, or compare with the input: `loss mse target=input`"
        raise CnncError(Diagnostic("E610", "the data has no targets for this output", output.span, help=help))
    place = graph.outputs.index(output.name)
    return Term(loss, node, output, place if place < columns else 0)


def _check(term: Term, data: Dataset, graph: Graph) -> None:
    """Raises CnncError E610 where an output and its targets do not go together."""
    column = data.train.inputs[0] if term.column is None else data.train.targets[term.column]
    problem, help = "", ""
    if isinstance(term.loss, CrossEntropy):
        problem, help = _classes_problem(term, data)
    elif term.column is not None and column.dtype == np.int64:
        problem = f"{term.loss.kind} compares with values; {data.name} has labels of {_by(column)}"
        help = "save values as floats, `y.astype(np.float32)`; for labels there is `loss cross_entropy`"
    elif term.column is not None and column.shape[1:] != term.node.type.shape:
        problem = f"{data.name} has targets of {_by(column)}; the output is {term.node.type}"
    elif isinstance(term.loss, recipes.Bce) and column.dtype.kind == "f":
        low, high = _range(column)
        if low < -_SLACK or high > 1 + _SLACK:
            what = "inputs" if term.column is None else "targets"
            problem = f"bce compares with values from 0 to 1; {data.name} has {what} from {low:g} to {high:g}"
            help = "bring them to 0..1, or use `loss mse`"
    if problem:
        raise CnncError(Diagnostic("E610", problem, term.output.span, label="this output", help=help))


def _classes_problem(term: Term, data: Dataset) -> tuple[str, str]:
    """What is wrong with labels for this output, and what helps; ("", "") where they fit."""
    assert term.column is not None
    target, shape = data.train.targets[term.column], term.node.type.shape
    if target.dtype != np.int64:
        found = f"cross_entropy needs labels; {data.name} has targets of {_by(target)} {target.dtype}"
        one_hot = target.shape[1:] == shape and shape[0] > 1
        way = "y.argmax(1)" if one_hot else "y.astype(np.int64)"
        return found, f"labels are whole numbers from 0 on: save `{way}`"
    pooled = shape[1:] if any(size != 1 for size in shape[1:]) else ()
    if target.shape[1:] not in (pooled, shape[1:]):
        found = f"{data.name} has labels of {_by(target)}; the output is {'x'.join(map(str, shape))}"
        return found, "labels are the numbers of classes: save `y.argmax(1)`" if target.shape[1:] == shape else ""
    if term.column == 0 and data.classes and shape[0] != len(data.classes):
        return f"{data.name} has {len(data.classes)} classes; the output has {shape[0]}", ""
    ignored = term.loss.ignore if isinstance(term.loss, CrossEntropy) else None
    largest = max(_range(part.targets[term.column], ignored)[1] for part in (data.train, data.test))
    if largest >= shape[0]:
        return f"{data.name} has the label {largest:g}; the output has {shape[0]} classes", "labels count from 0"
    return "", ""


def _range(column: Column, ignored: int | None = None) -> tuple[float, float]:
    """The least and the largest value of a column, read a part at a time; those that are `ignored` left out."""
    low, high = math.inf, -math.inf
    for start in range(0, len(column), 1024):
        part = np.asarray(column[start : start + 1024])
        part = part[part != ignored] if ignored is not None else part
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def _by(target: Column) -> str:
    return "x".join(str(size) for size in target.shape[1:]) or "one number"


def feeds_of(graph: Graph, inputs: tuple[Any, ...]) -> dict[str, Array]:
    """Batches of the inputs by name. Raises CnncError E607 where their numbers differ."""
    if len(inputs) != len(graph.inputs):
        raise CnncError.of("E607", f"the data has {len(inputs)} inputs; the network takes {len(graph.inputs)}")
    return {node.name: batch for node, batch in zip(graph.inputs, inputs, strict=True)}
