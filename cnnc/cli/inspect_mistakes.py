"""`cnnc inspect --mistakes`: the most confident wrong answers, or the examples with the largest loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnc.cli.console import print_status
from cnnc.cli.inspect_options import InspectOptions
from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset
from cnnc.ops.activation import Softmax
from cnnc.recipe.recipe import require_recipe
from cnnc.reference.engine import Trace
from cnnc.report.confusion import class_scores
from cnnc.training.loop import open_data
from cnnc.training.metrics import Confusion
from cnnc.training.objective import OUTPUTS, Objective, Term
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Item, Section, Table
from cnnc.view.drawing import Drawing
from cnnc.view.inspect.confusions import confusion_items
from cnnc.view.inspect.examples import NUMBERS, class_pixels, example_pixels, numbers_line, sentence, shortened
from cnnc.view.inspect.signed_maps import Image, picture_rows
from cnnc.view.inspect.tiles import SheetTile, number_text, scale_of, tile_sheet

WRONG, WORST = 24, 8


class Answer(NamedTuple):
    """The prediction of a classifier for one example of the test set."""

    example: int
    true: int
    predicted: int
    probability: float
    probability_of_true: float


def mistakes(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """One section: wrong answers of a classifier of whole examples, else the examples with the largest loss."""
    recipe = require_recipe(subject.network.recipe, subject.network.name)
    dataset = open_data(subject.network, options.data, print_status, subject.vocabulary)
    objective = Objective(subject.graph, recipe, dataset)
    term = objective.term_by_target.get("labels")
    if term is not None and term.column is not None and dataset.test.targets[term.column][:1].size == 1:
        yield _wrong_answers(subject, dataset, objective, term)
    else:
        yield _largest_losses(subject, dataset, objective)


# Classes


def _wrong_answers(subject: TrainedNetwork, dataset: Dataset, objective: Objective, term: Term) -> Section:
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
    named = term.column == 0 and len(subject.classes or dataset.classes) == len(matrix)
    names = (subject.classes or dataset.classes) if named else tuple(str(i) for i in range(len(matrix)))
    total, right = sum(map(sum, matrix)), sum(row[i] for i, row in enumerate(matrix))
    lines = (
        f"{right:,} of {total:,} examples of the test set of {dataset.name} are classified correctly: accuracy "
        f"{right / max(1, total):.2%}. {total - right:,} are wrong.",
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
    return Section("mistakes", "Mistakes", lines, tuple(items), (), numbers)


def _wrong_of_batch(scores: Array, labels: Array, ignored: int | None, is_softmax: bool, start: int) -> list[Answer]:
    flat, labels = scores.reshape(len(labels), -1).astype(np.float64), labels.reshape(-1)
    predicted = flat.argmax(-1)
    if not is_softmax:
        flat = np.exp(flat - flat.max(-1, keepdims=True))
    flat = np.nan_to_num(flat / flat.sum(-1, keepdims=True))
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
            f"{shortened(names[a.predicted])} {a.probability:.1%}, true {shortened(names[a.true])}",
            example_pixels(np.asarray(column[a.example])),
        )
        for a in wrong
    ]
    text = "Below each input: the predicted class, its probability, and the true class."
    if len(node.type.spatial) == 1:
        series = [(image.label, np.asarray(column[a.example])) for image, a in zip(images, wrong, strict=True)]
        picture = _curves(title, text, series, 0)
    else:
        picture = picture_rows(title, text, [("", images)], 112)
    return [picture, Table(heads, rows, right, "The same as numbers")]


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


def _largest_losses(subject: TrainedNetwork, dataset: Dataset, objective: Objective) -> Section:
    worst, losses, start = list[_Worst](), list[float](), 0
    term = objective.terms[0]
    run = objective.network(subject.weights)
    for feeds, targets in objective.batches(dataset.test):
        values = run(feeds).values
        for i in range(len(next(iter(feeds.values())))):
            one = {name: array[i : i + 1] for name, array in values.items()}
            loss = objective.batch(Trace(one), tuple(target[i : i + 1] for target in targets)).loss
            losses.append(loss)
            if len(worst) < WORST or loss > worst[-1].loss:
                output = np.moveaxis(one[term.node.name][0], -1, 0).copy()
                target = None if term.column is None else np.asarray(targets[term.column][i])
                worst = sorted([*worst, _Worst(loss, start + i, output, target)], key=lambda each: -each.loss)[:WORST]
        start += len(next(iter(feeds.values())))
    name = f"{len(losses):,} examples of the test set of {dataset.name}"
    mean, largest = float(np.mean(losses)), max(losses)
    lines = (
        f"The loss on the {name}: mean {number_text(mean)}, median {number_text(float(np.median(losses)))}, "
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
    text = "Each input beside the output" + (" and its target." if worst[0].target is not None else ".")
    if term.loss.compares_with == "values" and np.ndim(column[0]) == worst[0].output.ndim == 2:
        series = [pair for each in worst for pair in _input_and_output(each, np.asarray(column[each.example]), term)]
        return [_curves(title, text, series, len(series) // len(worst))]
    pictures: list[tuple[str, list[Image]]] = []
    for each in worst:
        images = [Image("input", example_pixels(np.asarray(column[each.example])))]
        images.append(Image("output", _output_pixels(each.output, term)))
        if each.target is not None:
            images.append(Image("target", _target_pixels(each.target, term)))
        pictures.append((f"Example {each.example}: loss {number_text(each.loss)}", images))
    if term.loss.compares_with == "labels":
        text += f" Classes are grey: black is 0, white is {term.node.type.channels - 1}."
    return [picture_rows(title, text, pictures, 112)]


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
