"""What a finished training tells: its score with an interval, each class, and what to do next.

In: `Closing`, plain numbers of a run. Out: next steps, by the rules that docs/data.md lists, and text. A rule is a function in
`RULES`; it says what it saw and what probably helps, and nothing where it does not apply.

    next_steps(closing)     # [NextStep("overfitting", "the validation loss has risen from 0.21 ...", "add `augment` ...")]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cnnc.core.intervals import Interval, accuracy_interval, interval_text, wilson
from cnnc.core.listing import listed
from cnnc.diagnostics import one_line
from cnnc.recipe.metrics import format_metric, metric_text
from cnnc.report.confusion import Matrix, class_scores, mean_scores, most_confused
from cnnc.report.data import FEW, IMBALANCE

FEWEST_TESTED = 100
"""With fewer test examples, the interval of a score of 50 % reaches 10 points up and down."""

CONFUSED = 0.1
"""A class of which this fraction is predicted as one other class is named, from `LEAST_CONFUSED` examples on."""

LEAST_CONFUSED = 3
RARE, MANY_TESTED = 0.5, 0.2
"""A class with at most this part of the examples of the largest is rare; a fraction of test examples that is not raised further."""

RISEN, FALLING, GAP = 1.2, 0.95, 0.1
"""A validation loss that ends this many times above its lowest; a loss that ends at most this part of what it was a quarter of
the epochs before; a training accuracy this far above that of validation."""

_MOST, _PAIRS = 5, 3  # classes, and pairs of them, that one sentence names

Row = Mapping[str, float | None]


class Closing(NamedTuple):
    """A finished run.

    `rows` are the lines of metrics.jsonl, `best_epoch` counts from 1, `epochs` are those that the recipe names. `confusion` is
    the matrix of the test share, empty without classes; `training` are the training examples of each class, where each has one
    label. `tested` and `validated` are the numbers of test and validation examples, `right` of `total` predictions are correct. `metric` decides which epoch is
    best. `corrected` says that weights or sampling correct an imbalance, `augmented` that images are augmented. `loss` is the
    kind of the first loss, `source` the run folder or model as a command takes it. `test_fraction` is the `test=` of the data,
    None where its files have a test share.
    """

    classes: Sequence[str]
    confusion: Matrix
    training: Sequence[int]
    tested: int
    validated: int
    right: int
    total: int
    metric: str
    score: float
    others: Sequence[tuple[str, float]]
    rows: Sequence[Row]
    best_epoch: int
    epochs: int
    corrected: bool
    augmented: bool
    loss: str
    source: str
    test_fraction: float | None = 0.1

    @property
    def interval(self) -> Interval | None:
        """The interval of the accuracy; None where a test example has more than one label, as one for each pixel."""
        return accuracy_interval(self.right, self.total, self.tested)

    def value(self, key: str, epoch: int | None = None) -> float | None:
        """A number of an epoch, by default of the best."""
        epoch = self.best_epoch if epoch is None else epoch
        return next((row.get(key) for row in self.rows if row.get("epoch") == epoch), None)

    def curve(self, key: str) -> list[float]:
        """A number of every epoch that has it."""
        return [value for row in self.rows if (value := row.get(key)) is not None]


class NextStep(NamedTuple):
    """One conclusion: the rule that it follows, what was seen, and what probably helps."""

    rule: str
    seen: str
    help: str

    def __str__(self) -> str:
        return one_line(f"{self.seen}: {self.help}")


Rule = Callable[[Closing], Iterator[NextStep]]
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Registers a rule, in the order in which they are listed."""

    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


def next_steps(closing: Closing) -> list[NextStep]:
    """What stands out, the most important first."""
    return [each for function in RULES.values() for each in function(closing)]


@rule("no better than the largest class")
def _guessing(c: Closing) -> Iterator[NextStep]:
    """The accuracy is at most the share of the largest class of the test examples."""
    if not c.confusion or not c.total:
        return
    counts = [sum(row) for row in c.confusion]
    largest = max(range(len(counts)), key=counts.__getitem__)
    share = counts[largest] / c.total
    if c.right / c.total <= share:
        seen = f"the accuracy of {c.right / c.total:.1%} does not exceed that of always answering {c.classes[largest]}, {share:.1%}"
        yield NextStep(
            "no better than the largest class",
            seen,
            "check the labels with `cnnc data`, try a tenth of the learning rate",
        )


@rule("never predicted")
def _never_predicted(c: Closing) -> Iterator[NextStep]:
    """A class with test examples is never predicted."""
    missing = never_predicted(c.confusion)
    names = [c.classes[i] for i in missing]
    if names:
        verb = "is" if len(names) == 1 else "are"
        help = predicting(missing, c.training, c.corrected, c.loss)
        yield NextStep("never predicted", f"{joined(names)} {verb} never predicted", help)


@rule("imbalance")
def _imbalance(c: Closing) -> Iterator[NextStep]:
    """The largest class has `IMBALANCE` times the training examples of the smallest, and nothing corrects it."""
    found = imbalance(c.classes, c.training)
    if found is not None and not c.corrected:
        yield NextStep("imbalance", found, f"{balancing(c.loss)}, and judge by `metric macro_f1`")


@rule("few training examples")
def _few_examples(c: Closing) -> Iterator[NextStep]:
    """A class has fewer than `FEW` training examples."""
    few = [f"{name} ({count})" for name, count in zip(c.classes, c.training, strict=False) if count < FEW]
    if few:
        help = "add examples" + ("" if c.augmented else ", or make more of them with `augment`")
        yield NextStep("few training examples", f"fewer than {FEW} training examples of {joined(few)}", help)


@rule("few test examples")
def _few_tested(c: Closing) -> Iterator[NextStep]:
    """There are fewer than `FEWEST_TESTED` test examples."""
    if c.interval is not None and c.total < FEWEST_TESTED:
        low, high = c.interval
        seen = f"the 95% interval of the accuracy on {c.total} test examples is {100 * (high - low):.0f} points wide"
        yield NextStep("few test examples", seen, testing_more(c.test_fraction))


@rule("overfitting")
def _overfitting(c: Closing) -> Iterator[NextStep]:
    """The validation loss ends `RISEN` times above its lowest while the training loss falls, or the training accuracy of the
    best epoch is `GAP` above that of validation."""
    losses, trained = c.curve("val_loss"), c.curve("train_loss")
    help = f"{'' if c.augmented else 'add `augment`, '}`dropout` or `weight_decay`, or add training examples"
    if len(losses) == len(trained) and len(losses) > 2:
        lowest = min(range(len(losses)), key=losses.__getitem__)
        if losses[-1] >= RISEN * losses[lowest] and trained[-1] < trained[lowest]:
            seen = f"the validation loss has risen from {losses[lowest]:.3g} in epoch {lowest + 1} to {losses[-1]:.3g}"
            yield NextStep("overfitting", f"{seen} while that of training fell", help)
            return
    training, validation = c.value("train_accuracy"), c.value("val_accuracy")
    if training is not None and validation is not None and training - validation >= GAP:
        seen = f"the accuracy on the training examples is {training:.1%}, on those of validation {validation:.1%}"
        yield NextStep("overfitting", seen, help)


@rule("not converged")
def _not_converged(c: Closing) -> Iterator[NextStep]:
    """The best epoch is among the last tenth, the loss is at most `FALLING` of what it was a quarter of the epochs before, and the
    metric has changed since; the loss has not been much lower before."""
    losses, scores = c.curve("val_loss") or c.curve("train_loss"), c.curve(f"val_{c.metric}")
    if len(losses) < 2 or len(c.rows) < c.epochs or c.best_epoch <= 0.9 * c.epochs:
        return
    if losses[-1] >= RISEN * min(losses):
        return  # that is overfitting, or noise
    back = 1 + max(1, len(losses) // 4)
    if losses[-1] < FALLING * losses[-back] and not (len(scores) == len(losses) and scores[-1] == scores[-back]):
        seen = f"the loss was still falling, from {losses[-back]:.3g} to {losses[-1]:.3g} in the last epochs"
        yield NextStep("not converged", seen, f"train longer, e.g. `--set train.epochs={2 * c.epochs}`")


@rule("test below validation")
def _below_validation(c: Closing) -> Iterator[NextStep]:
    """The interval of the validation accuracy lies above that of the test accuracy."""
    validation = c.value("val_accuracy")
    if c.interval is None or validation is None:
        return
    tested = c.right / c.total
    if wilson(round(validation * c.validated), c.validated)[0] > c.interval[1]:
        seen = f"the test accuracy, {tested:.1%}, is below that of validation, {validation:.1%}, by more than chance explains"
        yield NextStep(
            "test below validation", seen, "compare the shares with `cnnc data`: their classes or sources may differ"
        )


@rule("confused")
def _confused(c: Closing) -> Iterator[NextStep]:
    """At least `CONFUSED` of a class, and `LEAST_CONFUSED` examples, are predicted as one other class."""
    if any(_guessing(c)):
        return
    pairs = [
        pair
        for pair in most_confused(c.confusion)
        if pair.examples >= max(LEAST_CONFUSED, CONFUSED * sum(c.confusion[pair.true]))
    ][:_PAIRS]
    if pairs:
        texts = [
            f"{c.classes[p.true]} as {c.classes[p.predicted]} ({p.examples:,} of {sum(c.confusion[p.true]):,})"
            for p in pairs
        ]
        help = "give the network more resolution or more training examples of them"
        if c.interval is not None:
            help = f"look at them with `cnnc inspect {c.source} --mistakes`, and check their labels"
        yield NextStep("confused", f"predicted wrongly: {joined(texts)}", help)


def never_predicted(confusion: Matrix) -> list[int]:
    """The classes that have test examples and are never predicted."""
    return [i for i, row in enumerate(confusion) if sum(row) and not any(each[i] for each in confusion)]


def imbalance(classes: Sequence[str], training: Sequence[int]) -> str | None:
    """In words, how much larger the largest class is than the smallest with examples; None below `IMBALANCE`."""
    counts = {name: count for name, count in zip(classes, training, strict=False) if count}
    if len(counts) < 2:
        return None
    most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    if counts[most] < IMBALANCE * counts[least]:
        return None
    ratio = counts[most] / counts[least]
    return f"{most} has {ratio:.3g} times the training examples of {least} ({counts[most]:,} and {counts[least]:,})"


def predicting(missing: Sequence[int], training: Sequence[int], corrected: bool, loss: str) -> str:
    """What to do where these classes are never predicted; `training` counts the training examples of each, if known."""
    if training and min(training[i] for i in missing) > RARE * max(training):
        return "train longer or with another learning rate, and look at its examples with `cnnc data`"
    return "add examples" if corrected else balancing(loss)


def testing_more(fraction: float | None) -> str:
    """What to do about few test examples, where `test=` is this, or None: the files of the data have a test share."""
    more = ", or hold back more of the data with `test=0.2`" if fraction is not None and fraction < MANY_TESTED else ""
    return f"add test examples{more}"


def balancing(loss: str) -> str:
    """What to write against imbalance."""
    argument = "alpha" if loss == "focal" else "weights"
    return f"write `loss {loss} {argument}=balanced` or `data ... sampling=balanced`"


def joined(names: Sequence[str]) -> str:
    """`a, b and c`; of more than `_MOST`, the first and how many more there are."""
    if len(names) > _MOST:
        return listed(names, _MOST)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# ---- text and JSON


def confusion_facts(closing: Closing) -> dict[str, Any]:
    """The matrix and what follows from it, for JSON."""
    scores = class_scores(closing.confusion, closing.classes)
    intervals = [_recall_interval(closing, row[i], sum(row)) for i, row in enumerate(closing.confusion)]
    means = mean_scores(closing.confusion)
    return {
        "confusion": closing.confusion,
        "classes": [
            {**each._asdict(), "recall_interval": interval} for each, interval in zip(scores, intervals, strict=True)
        ],
        **means._asdict(),
    }


def _recall_interval(closing: Closing, right: int, examples: int) -> list[float] | None:
    return list(wilson(right, examples)) if closing.interval is not None and examples else None


def score_text(closing: Closing) -> str:
    """`test accuracy 97.22% (175 of 180), 95% interval 93.7% to 98.8%, top5 99.40%`."""
    scores = [(closing.metric, closing.score), *closing.others]
    texts = [f"{metric_text(metric)} {format_metric(metric, value)}" for metric, value in scores]
    if closing.metric == "accuracy":
        texts[0] += f" ({closing.right:,} of {closing.total:,})"
    names = [metric for metric, _ in scores]
    if closing.interval is not None and "accuracy" in names:
        texts.insert(names.index("accuracy") + 1, f"95% interval {interval_text(closing.interval)}")
    return f"test {', '.join(texts)}"


WARNED = frozenset({"never predicted", "imbalance", "few test examples"})
"""Rules of which a training warns by itself (W703 to W705)."""


def classes_text(classes: Sequence[str], confusion: Matrix) -> str:
    """One line about the classes: the two means that count each equally, and the class that is recognized worst."""
    scores = [score for score in class_scores(confusion, classes) if score.examples]
    if len(scores) < 2:
        return ""
    means, worst = mean_scores(confusion), min(scores, key=lambda score: score.recall)
    right = round(worst.recall * worst.examples)
    return (
        f"balanced accuracy {means.balanced_accuracy:.2%}, macro F1 {means.macro_f1:.2%}; "
        f"lowest recall: {worst.recall:.1%} of class {one_line(worst.name)} ({right:,} of {worst.examples:,})"
    )
