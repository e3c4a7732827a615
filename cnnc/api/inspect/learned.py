"""`cnnc inspect`: kernels, n-grams, feature maps and histograms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import join
from typing import Any

import numpy as np

from cnnc.api.inspect.data import HISTOGRAMS, NGRAMS, Inspection
from cnnc.api.subject import is_model
from cnnc.core.arrays import Array
from cnnc.data.class_probabilities import NO_CLASS, class_probabilities
from cnnc.ops.activation import Softmax
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Input
from cnnc.ops.sequence import Embed
from cnnc.reference.engine import forward, layer_outputs
from cnnc.training.trained import Example, TrainedNetwork
from cnnc.view.document import Item, Section, Table
from cnnc.view.inspect.feature_maps import map_items, map_numbers
from cnnc.view.inspect.histograms import LayerActivations, histogram_section, layer_activations
from cnnc.view.inspect.kernels import kernel_section, source_of
from cnnc.view.inspect.words import ngram_table, top_ngrams

FILTERS, MOST_NGRAMS, CLASSES = 20, 5, 5


def kernels(inspection: Inspection) -> Iterator[Section]:
    """The kernels, and for convolutions of words the n-grams."""
    subject = inspection.subject
    yield kernel_section(subject.graph, subject.weights, subject.vocabulary)
    filters = _word_filters(subject)
    if filters and subject.vocabulary:
        yield _ngrams(inspection, filters)


def maps(inspection: Inspection) -> Iterator[Section]:
    """One section for each input that the command line names."""
    subject = inspection.subject
    for number, example in enumerate(inspection.examples, 1):
        graph = subject.graph_for(example.feeds)
        values = forward(graph, subject.weights, example.feeds, keep_all=True).values
        table, answers, problem = _predictions(inspection, values, example)
        lines = [example.note] if example.note else []
        bad = [node.name for node in graph.nodes if not np.isfinite(values[node.name]).all()]
        if bad:
            line = f"{problem or 'NaN or infinity'}; activations are NaN or infinite from {bad[0]} on"
            inspection.options.report(f"{example.name}: {line}")
            lines.append(f"{line[0].upper()}{line[1:]}.")
        yield Section(
            "maps" if number == 1 else f"maps-{number}",
            f"Feature maps: {example.name}",
            tuple(lines),
            (*table, *map_items(graph, values)),
            _unfolding(inspection, example),
            {"input": example.name, "predictions": answers, "layers": map_numbers(graph, values)},
        )


def _unfolding(inspection: Inspection, example: Example) -> tuple[str, ...]:
    """The command that shows how a number of the first convolution comes about, for an example of the test set of a run."""
    source, number = inspection.options.source, inspection.options.example
    layer = next((node.name for node in inspection.graph.nodes if isinstance(node.op, Conv)), None)
    if example.targets is None or number is None or layer is None or is_model(source):
        return ()
    command = join(["cnnc", "unfold", str(source), layer, "--example", str(number)])
    return (f"`{command}` shows how one number of {layer} comes about.",)


def histograms(inspection: Inspection) -> Iterator[Section]:
    """Weights, and activations on the test set, or on the given inputs where the data cannot be read."""
    subject = inspection.subject
    feeds, on, note = _histogram_feeds(inspection)
    activations: dict[str, LayerActivations] = {}
    if feeds:
        graph = subject.graph_for(feeds)
        names = [node.name for node in graph.nodes if node.type.dtype != "int64"]
        for name, values in layer_outputs(graph, subject.weights, feeds, graph.outputs):
            if name in names:
                activations[name] = layer_activations(graph.by_name[name], values)
    yield histogram_section(subject.graph, subject.weights, activations, on, note)


def _histogram_feeds(inspection: Inspection) -> tuple[dict[str, Array], str, str]:
    """What the activations are measured on, in words too, and a note where it is not the test set."""
    if inspection.data is not None:
        part = inspection.test_part(HISTOGRAMS, "measuring activations")
        return part.feeds(), part.text, ""
    examples, reason = inspection.given, inspection.problem
    if not examples:
        return {}, "", f"No activations: {reason}. `--data FOLDER` names the data, `--image FILE` an input."
    shapes = {tuple(array.shape for array in example.feeds.values()) for example in examples}
    used = examples if len(shapes) == 1 else examples[:1]
    feeds = {name: np.concatenate([each.feeds[name] for each in used]) for name in used[0].feeds}
    on = f"{len(used)} given input{'s' * (len(used) > 1)}"
    return feeds, on, f"Activations are of the given inputs, not of the test set: {reason}."


# Predictions


def _predictions(
    inspection: Inspection, values: Mapping[str, Array], example: Example
) -> tuple[list[Item], dict[str, Any], str]:
    """The most probable classes of each output that has classes, and what is wrong with the scores of one."""
    graph = inspection.graph
    tables: list[Item] = []
    numbers: dict[str, Any] = {}
    problem = ""
    for index, name in enumerate(graph.outputs):
        names, scores = inspection.class_names(name), values[name]
        if scores.size != len(names):
            continue
        (probabilities,) = class_probabilities(scores, isinstance(graph.by_name[name].op, Softmax))
        if np.isnan(probabilities).any():
            problem = NO_CLASS
            continue
        best = np.argsort(-probabilities, kind="stable")[:CLASSES]
        rows = tuple((names[c], f"{probabilities[c]:.2%}") for c in best)
        label = true_class(example, names) if index == 0 else ""
        title = f"Prediction of {name}" + (f"; the label is {label}" if label else "")
        tables.append(Table(("class", "probability"), rows, (False, True), title))
        is_named = index == 0 and names == inspection.subject.classes
        numbers[name] = [
            {"class": int(c), "name": names[c] if is_named else None, "probability": float(probabilities[c])}
            for c in best
        ]
    return tables, numbers, problem


def true_class(example: Example, names: Sequence[str]) -> str:
    """The name of the label of an example of the test set; "" without one."""
    if example.targets is None or example.targets[0].size != 1 or example.targets[0].dtype.kind not in "iu":
        return ""
    label = int(example.targets[0].reshape(-1)[0])
    return names[label] if 0 <= label < len(names) else str(label)


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


def _ngrams(inspection: Inspection, filters: list[tuple[str, str]]) -> Section:
    title, subject = "N-grams", inspection.subject
    batches: Sequence[dict[str, Array]]
    if inspection.sentences:
        batches = [example.feeds for example in inspection.sentences]
        on = f"the {len(batches)} given sentence{'s' * (len(batches) > 1)}"
    elif inspection.data is not None:
        part = inspection.test_part(NGRAMS, "reading n-grams")
        batches, on = list(part.batches()), part.text
    else:
        note = f"{inspection.problem}. `--data FOLDER` names the data, `--text SENTENCE` a sentence."
        return Section("ngrams", title, ("No sentences to read.",), (), (note,))
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
        grams = top_ngrams(sentences, activations, taps, starts, subject.vocabulary, MOST_NGRAMS)
        tables.append(ngram_table(name, grams, op.out))
        numbers[name] = [[gram._asdict() for gram in each] for each in grams]
    line = f"For each filter the windows with the largest activation, in {on}. Each n-gram is listed once."
    return Section("ngrams", title, (line,), tuple(tables), (), numbers)


def _padded(array: Array, axis: int, size: int, value: float = 0) -> Array:
    widths = [(0, size - n if a == axis else 0) for a, n in enumerate(array.shape)]
    return np.pad(array, widths, constant_values=value)
