"""`cnnc inspect --mistakes`: the most confident wrong answers, or the examples with the largest loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnc.api.inspect.data import Inspection
from cnnc.core.arrays import Array
from cnnc.data.class_probabilities import class_probabilities
from cnnc.data.dataset import Dataset
from cnnc.ops.activation import Softmax
from cnnc.report.confusion import class_scores
from cnnc.training.example_loss import losses_of_each
from cnnc.training.metrics import Confusion
from cnnc.training.objective import OUTPUTS, Term
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Item, Section, Table
from cnnc.view.drawing import Drawing
from cnnc.view.inspect.confusions import LEGEND, confusion_items
from cnnc.view.inspect.examples import NUMBERS, class_pixels, example_pixels, numbers_line, sentence, shortened
from cnnc.view.inspect.signed_maps import Image, picture_rows
from cnnc.view.inspect.tiles import SheetTile, scale_of, tile_sheet
from cnnc.view.number_text import number_text

WRONG, WORST = 24, 8


class Answer(NamedTuple):
    """The prediction of a classifier for one example of the test set."""

    example: int
    true: int
    predicted: int
    probability: float
    probability_of_true: float


def mistakes(inspection: Inspection) -> Iterator[Section]:
    """One section: wrong answers of a classifier of whole examples, else the examples with the largest loss."""
    inspection.require_data()
    term = inspection.classified
    yield _wrong_answers(inspection, term) if term is not None else _largest_losses(inspection)


# Classes


def _wrong_answers(inspection: Inspection, term: Term) -> Section:
    subject, objective, dataset = inspection.subject, inspection.objective, inspection.require_data()
    counts, wrong = Confusion(), list[Answer]()
    run, start = objective.network(subject.weights), 0
    for feeds, targets in objective.batches(dataset.test):
        trace = run(feeds)
        assert term.column is not None
        scores, labels = trace.values[term.node.name], targets[term.column]
        counts.add(scores, labels, term.loss.ignored_label)
        is_softmax = isinstance(term.node.op, Softmax)
        wrong += _wrong_of_batch(scores, labels, term.loss.ignored_label, is_softmax, start)
        wrong = sorted(wrong, key=lambda answer: (-answer.probability, answer.example))[:WRONG]
        start += len(labels)
    matrix: list[list[int]] = counts.matrix.tolist() if counts.matrix is not None else []
    known = (subject.classes or dataset.classes) if term.column == 0 else ()
    names = known if len(known) == len(matrix) else tuple(map(str, range(len(matrix))))
    total, right = sum(map(sum, matrix)), sum(row[i] for i, row in enumerate(matrix))
    lines = (
        f"{right:,} of {total:,} examples of {inspection.test_set} are classified correctly: accuracy "
        f"{right / max(1, total):.2%}. {total - right:,} are wrong.",
        *([f"`--example {wrong[0].example} --why` shows what the first of these answers depends on."] if wrong else []),
    )
    scores_of_classes = [score._asdict() for score in class_scores(matrix, names)]
    numbers = {
        "right": right,
        "total": total,
        "accuracy": right / max(1, total),
        "mistakes": [answer._asdict() for answer in wrong],
        "confusion": matrix,
        "classes": scores_of_classes,
    }
    items = _shown_answers(subject, dataset, wrong, names, total - right) + confusion_items(matrix, names)
    return Section("mistakes", "Mistakes", lines, tuple(items), (LEGEND,), numbers)


def _wrong_of_batch(scores: Array, labels: Array, ignored: int | None, is_softmax: bool, start: int) -> list[Answer]:
    labels = labels.reshape(-1)
    predicted = scores.reshape(len(labels), -1).argmax(-1)
    flat = np.nan_to_num(class_probabilities(scores, is_softmax))
    chosen = np.flatnonzero((predicted != labels) & (labels != ignored if ignored is not None else True))
    return [
        Answer(
            start + int(i), int(labels[i]), int(predicted[i]), float(flat[i, predicted[i]]), float(flat[i, labels[i]])
        )
        for i in chosen
    ]


def _shown_answers(
    subject: TrainedNetwork, dataset: Dataset, wrong: Sequence[Answer], names: Sequence[str], count: int
) -> list[Item]:
    if not wrong:
        return []
    title = f"The most confident wrong answers: {len(wrong)} of {count:,}"
    column = dataset.test.inputs[0]
    node = subject.graph.inputs[0]
    rows: tuple[tuple[str, ...], ...] = tuple(
        (
            str(answer.example),
            names[answer.predicted],
            f"{answer.probability:.2%}",
            names[answer.true],
            f"{answer.probability_of_true:.2%}",
        )
        for answer in wrong
    )
    heads = ("example", "predicted", "probability", "true", "probability of the true class")
    right = (True, False, True, False, True)
    if node.type.dtype == "int64":
        texts = [sentence(np.asarray(column[answer.example]), subject.vocabulary) for answer in wrong]
        rows = tuple((*row, text) for row, text in zip(rows, texts, strict=True))
        return [Table((*heads, "input"), rows, (*right, False), title)]
    images = [
        Image(
            f"{a.example}: {shortened(names[a.predicted])} {a.probability:.1%}, true {shortened(names[a.true])}",
            example_pixels(np.asarray(column[a.example])),
        )
        for a in wrong
    ]
    text = "Below each input: its number, the predicted class with its probability, and the true class."
    if len(node.type.spatial) == 1:
        series = [(image.label, np.asarray(column[a.example])) for image, a in zip(images, wrong, strict=True)]
        picture = _curves(title, text, series, 0)
    else:
        picture = picture_rows(title, text, [("", images)], 112)
    return [picture, Table(heads, rows, right, "The most confident wrong answers as numbers")]


def _curves(title: str, text: str, series: Sequence[tuple[str, Array]], columns: int) -> Drawing:
    """Series (C, T) as curves of their first channel, on one scale."""
    tiles = [
        SheetTile(label, np.asarray(values, np.float64).reshape(-1, values.shape[-1])[0]) for label, values in series
    ]
    notes = ["The first channel is shown."] if any(len(values) > 1 for _, values in series) else []
    scale = scale_of(np.concatenate([tile.values for tile in tiles]))
    return tile_sheet(title, text, tiles, scale, columns=columns, notes=notes)


# Losses


class _Worst(NamedTuple):
    """An example with its loss, its output and its target (None where it is the input), channels first."""

    loss: float
    example: int
    output: Array
    target: Array | None


def _largest_losses(inspection: Inspection) -> Section:
    subject, objective, dataset = inspection.subject, inspection.objective, inspection.require_data()
    worst, losses, start = list[_Worst](), list[float](), 0
    term = objective.terms[0]
    run = objective.network(subject.weights)
    for feeds, targets in objective.batches(dataset.test):
        trace = run(feeds)
        each = losses_of_each(objective, trace, targets)
        losses += each
        for i, loss in enumerate(each):
            if len(worst) < WORST or loss > worst[-1].loss:
                output = np.moveaxis(trace.values[term.node.name][i], -1, 0).copy()
                target = None if term.column is None else np.asarray(targets[term.column][i])
                worst = sorted([*worst, _Worst(loss, start + i, output, target)], key=lambda w: -w.loss)[:WORST]
        start += len(each)
    mean, largest = float(np.mean(losses)), max(losses)
    lines = (
        f"The loss on the {len(losses):,} examples of {inspection.test_set}: mean {number_text(mean)}, median {number_text(float(np.median(losses)))}, "
        f"largest {number_text(largest)}.",
    )
    found = [{"example": each.example, "loss": each.loss} for each in worst]
    items = _shown_losses(subject, dataset, worst, term)
    numbers = {"examples": len(losses), "mean_loss": mean, "mistakes": found}
    return Section("mistakes", "The largest losses", lines, tuple(items), (), numbers)


def _shown_losses(subject: TrainedNetwork, dataset: Dataset, worst: Sequence[_Worst], term: Term) -> list[Item]:
    title = f"The {len(worst)} examples with the largest loss"
    column = dataset.test.inputs[0]
    is_words = subject.graph.inputs[0].type.dtype == "int64"
    if is_words or worst[0].output.size <= NUMBERS:
        rows = []
        for each in worst:
            given = np.asarray(column[each.example])
            shown = sentence(given, subject.vocabulary) if is_words else numbers_line(given)
            target = "" if each.target is None else numbers_line(each.target)
            rows.append((str(each.example), number_text(each.loss), shown, numbers_line(each.output), target))
        heads = ("example", "loss", "input", f"{term.node.name}", "target")
        return [Table(heads, tuple(rows), (True, True), title)]
    text = "Each input above its output" + (" and its target." if worst[0].target is not None else ".")
    if term.loss.compares_with == "values" and np.ndim(column[0]) == worst[0].output.ndim == 2:
        series = [pair for each in worst for pair in _input_and_output(each, np.asarray(column[each.example]), term)]
        return [_curves(title, text, series, len(series) // len(worst))]
    labels = [f"{each.example}: {number_text(each.loss)}" for each in worst]
    inputs = [example_pixels(np.asarray(column[each.example])) for each in worst]
    outputs = [_output_pixels(each.output, term) for each in worst]
    targets = [_target_pixels(each.target, term) for each in worst if each.target is not None]
    kinds: list[tuple[str, list[Image]]] = [
        ("Inputs: example and loss", list(map(Image, labels, inputs))),
        ("Outputs", list(map(Image, labels, outputs))),
        ("Targets", list(map(Image, labels, targets))),
    ]
    if term.loss.compares_with == "labels":
        text += f" Classes are grey: black is 0, white is {term.node.type.channels - 1}."
    return [picture_rows(title, text, kinds if targets else kinds[:2], 96)]


def _input_and_output(worst: _Worst, given: Array, term: Term) -> list[tuple[str, Array]]:
    """The series of an example with their labels."""
    pairs = [(f"{worst.example}: loss {number_text(worst.loss)}", given), ("output", _output(worst.output, term))]
    return pairs if worst.target is None else [*pairs, ("target", worst.target)]


def _output_pixels(output: Array, term: Term) -> Any:
    if term.loss.compares_with == "labels":
        return class_pixels(output.argmax(0), term.node.type.channels)
    return example_pixels(_output(output, term))


def _output(output: Array, term: Term) -> Array:
    """The output of a loss on values, of which the loss may read the layer before."""
    return OUTPUTS[term.output.op.keyword](output) if term.node is not term.output else output


def _target_pixels(target: Array, term: Term) -> Any:
    return (
        class_pixels(target, term.node.type.channels) if term.loss.compares_with == "labels" else example_pixels(target)
    )
