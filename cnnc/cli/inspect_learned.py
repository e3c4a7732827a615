"""`cnnc inspect`: kernels, n-grams, feature maps and histograms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cnnc.cli.console import print_status
from cnnc.cli.inspect_options import InspectOptions
from cnnc.core.arrays import Array
from cnnc.data import ignore_report
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from cnnc.ops.activation import LogSoftmax, Softmax
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.reference.engine import forward, layer_outputs
from cnnc.training.loop import open_data
from cnnc.training.objective import feeds_of
from cnnc.training.trained import Example, TrainedNetwork, file_examples, sentence_example, test_example
from cnnc.view.document import Item, Section, Table
from cnnc.view.inspect.feature_maps import map_items, map_numbers
from cnnc.view.inspect.histograms import LayerActivations, histogram_section, layer_activations
from cnnc.view.inspect.kernels import kernel_section, source_of
from cnnc.view.inspect.words import ngram_table, top_ngrams

EXAMPLES, SENTENCES, FILTERS, NGRAMS, CLASSES, INPUTS = 256, 1000, 20, 5, 5, 8
_MOST_ELEMENTS, _MOST_MACS = 64_000_000, 10_000_000_000
_LONG = 2_000_000_000
"""What one batch for the histograms may take: elements of the largest activation, and multiply-adds; above _LONG of these a line
says so."""


def kernels(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """The kernels, and for convolutions of words the n-grams."""
    yield kernel_section(subject.graph, subject.weights, subject.vocabulary)
    filters = _word_filters(subject)
    if filters and subject.vocabulary:
        yield _ngrams(options, subject, filters)


def maps(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """One section for each input that the command line names."""
    for number, example in enumerate(_examples(options, subject), 1):
        if example.note:
            print_status(example.note)
        graph = subject.graph_for(example.feeds)
        values = forward(graph, subject.weights, example.feeds, keep_all=True).values
        table, answers = _predictions(subject, values, example)
        bad = [node.name for node in graph.nodes if not np.isfinite(values[node.name]).all()]
        lines = [example.note] if example.note else []
        lines += [f"Activations are NaN or infinite from {bad[0]} on."] if bad else []
        yield Section(
            "maps" if number == 1 else f"maps-{number}",
            f"Feature maps: {example.name}",
            tuple(lines),
            (*table, *map_items(graph, values)),
            (),
            {"input": example.name, "predictions": answers, "layers": map_numbers(graph, values)},
        )


def histograms(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """Weights, and activations on the test set, or on the given inputs where the data cannot be read."""
    feeds, on, note = _histogram_feeds(options, subject)
    activations: dict[str, LayerActivations] = {}
    if feeds:
        graph = subject.graph_for(feeds)
        names = [node.name for node in graph.nodes if node.type.dtype != "int64"]
        for name, values in layer_outputs(graph, subject.weights, feeds, graph.outputs):
            if name in names:
                activations[name] = layer_activations(graph.by_name[name], values)
    yield histogram_section(subject.graph, subject.weights, activations, on, note)


# Inputs


def _examples(options: InspectOptions, subject: TrainedNetwork) -> list[Example]:
    """The inputs that the command line names, in the order of the help."""
    examples = []
    for path in options.images:
        read = file_examples(subject, path)
        if len(read) > INPUTS:
            print_status(f"{path} holds {len(read):,} examples; the first {INPUTS} are shown")
        examples += read[:INPUTS]
    examples += [sentence_example(subject, sentence) for sentence in options.sentences]
    if options.example is not None:
        examples.append(test_example(subject, options.example, options.data, print_status))
    return examples


def _histogram_feeds(options: InspectOptions, subject: TrainedNetwork) -> tuple[dict[str, Array], str, str]:
    """What the activations are measured on, in words too, and a note where it is not the test set."""
    reason = ""
    try:
        dataset = open_data(subject.network, options.data, print_status, subject.vocabulary, download=False)
        return _first_examples(subject, dataset)
    except CnncError as error:
        if options.data is not None:
            raise
        reason = error.diagnostics[0].message
    feeds: dict[str, Array] = {}
    examples = _examples(options._replace(example=None), subject)
    if examples:
        shapes = {tuple(array.shape for array in example.feeds.values()) for example in examples}
        used = examples if len(shapes) == 1 else examples[:1]
        feeds = {name: np.concatenate([each.feeds[name] for each in used]) for name in used[0].feeds}
        on = f"{len(used)} given input{'s' * (len(used) > 1)}"
        return feeds, on, f"Activations are of the given inputs, not of the test set: {reason}."
    return {}, "", f"No activations: {reason}. `--data FOLDER` names the data, `--image FILE` an input."


def _first_examples(subject: TrainedNetwork, dataset: Dataset) -> tuple[dict[str, Array], str, str]:
    graph = subject.graph
    largest = max(node.type.size for node in graph.nodes)
    most = min(EXAMPLES, _MOST_ELEMENTS // largest, _MOST_MACS // max(1, graph.total_macs))
    count = max(1, min(len(dataset.test), most))
    feeds = feeds_of(graph, tuple(column[:count] for column in dataset.test.inputs))
    on = f"{count:,} example{'s' * (count > 1)} of the test set of {dataset.name}"
    if count * graph.total_macs > _LONG:
        print_status(f"measuring activations on {on}")
    return feeds, on, ""


# Predictions


def _predictions(
    subject: TrainedNetwork, values: Mapping[str, Array], example: Example
) -> tuple[list[Item], dict[str, Any]]:
    """The most probable classes of each output that has classes."""
    graph, recipe = subject.graph, subject.network.recipe
    scored = {loss.on or graph.outputs[0] for loss in recipe.losses if loss.compares_with == "labels"} if recipe else ()
    tables: list[Item] = []
    numbers: dict[str, Any] = {}
    for index, name in enumerate(graph.outputs):
        node = graph.by_name[name]
        scores = values[name][0].reshape(-1).astype(np.float64)
        is_softmax = isinstance(node.op, Softmax)
        has_classes = scores.size == node.type.channels > 1 and (
            is_softmax or name in scored or isinstance(node.op, LogSoftmax)
        )
        if not has_classes or not np.isfinite(scores).all():
            continue
        probabilities = scores if is_softmax else np.exp(scores - scores.max())
        probabilities = probabilities / probabilities.sum()
        best = np.argsort(-probabilities, kind="stable")[:CLASSES]
        classes = subject.classes if index == 0 and len(subject.classes) == len(scores) else ()
        rows = tuple((classes[c] if classes else str(c), f"{probabilities[c]:.2%}") for c in best)
        title = f"Prediction of {name}"
        if example.targets is not None and index == 0 and example.targets[0].size == 1:
            target = int(example.targets[0].reshape(-1)[0])
            title += f"; the label is {classes[target] if 0 <= target < len(classes) else target}"
        tables.append(Table(("class", "probability"), rows, (False, True), title))
        numbers[name] = [
            {"class": int(c), "name": classes[c] if classes else None, "probability": float(probabilities[c])}
            for c in best
        ]
    return tables, numbers


# Words


def _word_filters(subject: TrainedNetwork) -> list[tuple[str, str]]:
    """Convolutions that read the vectors of words, each with the input of the words."""
    graph = subject.graph
    found = []
    for node in graph.nodes:
        if isinstance(node.op, Conv) and len(node.op.k) == 1:
            embed = source_of(graph, node)
            if isinstance(embed.op, Embed) and isinstance(graph.by_name[embed.inputs[0]].op, Input):
                found.append((node.name, embed.inputs[0]))
    return found


def _ngrams(options: InspectOptions, subject: TrainedNetwork, filters: list[tuple[str, str]]) -> Section:
    title = "N-grams"
    batches: list[dict[str, Array]]
    if options.sentences:
        batches = [sentence_example(subject, sentence).feeds for sentence in options.sentences]
        on = f"the {len(batches)} given sentence{'s' * (len(batches) > 1)}"
    else:
        try:
            dataset = open_data(subject.network, options.data, ignore_report, subject.vocabulary, download=False)
        except CnncError as error:
            if options.data is not None:
                raise
            note = f"{error.diagnostics[0].message}. `--data FOLDER` names the data, `--text SENTENCE` a sentence."
            return Section("ngrams", title, ("No sentences to read.",), (), (note,))
        count = min(SENTENCES, len(dataset.test))
        columns = dataset.test.inputs
        batches = [
            feeds_of(subject.graph, tuple(c[i : min(i + 100, count)] for c in columns)) for i in range(0, count, 100)
        ]
        on = f"{count:,} sentences of the test set of {dataset.name}"
        print_status(f"reading n-grams in {on}")
    names = list(dict.fromkeys(name for name, _ in filters))
    results: dict[str, list[Array]] = {name: [] for name in names}
    for feeds in batches:
        values = forward(subject.graph_for(feeds), subject.weights, feeds, outputs=names).values
        for name in names:
            results[name].append(values[name][..., :FILTERS])
    tables: list[Item] = []
    numbers: dict[str, Any] = {}
    for name, source in filters:
        op = subject.graph.by_name[name].op
        assert isinstance(op, Conv)
        rule = op.rules(subject.graph.by_name[subject.graph.by_name[name].inputs[0]].type)[0]
        longest = max(feeds[source].shape[1] for feeds in batches)
        sentences = np.concatenate([_padded(feeds[source], 1, longest) for feeds in batches])
        positions = max(array.shape[1] for array in results[name])
        activations = np.concatenate([_padded(array, 1, positions, -np.inf) for array in results[name]])
        starts = [position * rule.s - rule.begin for position in range(positions)]
        taps = [tap * rule.d for tap in range(op.k[0])]
        grams = top_ngrams(sentences, activations, taps, starts, subject.vocabulary, NGRAMS)
        tables.append(ngram_table(name, grams, op.out))
        numbers[name] = [[gram._asdict() for gram in each] for each in grams]
    line = f"For each filter the windows with the largest activation, in {on}. Each n-gram is listed once."
    return Section("ngrams", title, (line,), tuple(tables), (), numbers)


def _padded(array: Array, axis: int, size: int, value: float = 0) -> Array:
    widths = [(0, size - n if a == axis else 0) for a, n in enumerate(array.shape)]
    return np.pad(array, widths, constant_values=value)
