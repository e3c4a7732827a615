"""`cnnc inspect --why`: what an answer depends on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnnc.api.inspect.channel import before_softmax
from cnnc.api.inspect.data import Inspection
from cnnc.api.inspect.learned import true_class
from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.data.class_probabilities import class_probabilities
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node
from cnnc.ops.activation import Softmax
from cnnc.reference.attribution import (
    Differentiable,
    ExplainedElement,
    differentiable,
    gradients,
    integrated_gradients,
    occlusion,
)
from cnnc.reference.engine import forward
from cnnc.training.trained import Example, TrainedNetwork, dataset_example
from cnnc.view.document import Item, Section, Table
from cnnc.view.inspect.signed_maps import (
    CURVES,
    Image,
    curve_rows,
    input_pixels,
    map_image,
    overlay,
    picture_rows,
    signed_plane,
    word_rows,
)
from cnnc.view.inspect.words import word_text
from cnnc.view.number_text import number_text

STEPS = 128
_WORDS_LEGEND = (
    "Orange with a line above raises the score, blue with a line below lowers it; each row has its own scale, and words below a "
    "tenth of it have no line."
)
_LEGEND = "Orange (bright in grey) raises the score, blue (dark) lowers it; each map has its own scale."


def why(inspection: Inspection) -> Iterator[Section]:
    """One section for each input that the command line names, by default the first example of the test set."""
    for number, example in enumerate(_examples(inspection), 1):
        yield _section("why" if number == 1 else f"why-{number}", inspection, example)


def _examples(inspection: Inspection) -> list[Example]:
    """The inputs to explain. Raises CnncError E010 where there are none."""
    if inspection.examples:
        return inspection.examples
    if inspection.data is None:
        given = "--text SENTENCE" if inspection.graph.inputs[0].type.dtype == "int64" else "--image FILE"
        message = f"--why: no input to explain: {inspection.problem}"
        raise CnncError.of("E010", message, help=f"name an input with `{given}`")
    return [dataset_example(inspection.subject, inspection.data, 0)]


def _section(name: str, inspection: Inspection, example: Example) -> Section:
    subject = inspection.subject
    graph = subject.graph_for(example.feeds)
    network = differentiable(graph, subject.weights, example.feeds)
    target, value = explained_score(network, inspection.options.label)
    if not math.isfinite(value):
        message = f"--why: the scores of {example.name} are NaN or infinite, so that nothing explains them"
        raise CnncError.of(
            "E608", message, help="leave --why out; the feature maps name the first layer that is not finite"
        )
    inputs = [node for node in network.graph.nodes if not node.inputs and node.type.dtype == "float32"]
    slopes = gradients(network, network.feeds, target).inputs
    inputs = [node for node in inputs if node.name in slopes]
    if not inputs:
        message = f"--why: {target.layer} does not depend on an input that can be changed a little"
        raise CnncError.of("E010", message, help="leave --why out")
    integrated = integrated_gradients(network, target, STEPS)
    items: list[Item] = []
    sizes: dict[str, Any] = {}
    for node in inputs:
        x = network.feeds[node.name][0]
        is_words = node.name in graph.by_name and bool(graph.by_name[node.name].inputs)
        size, stride = _patches(x.shape[1:], is_words)
        hidden = occlusion(network, target, node.name, size, stride) if x.ndim > 1 else None
        sizes[node.name] = {"patch": list(size), "stride": list(stride)}
        if is_words:
            measures = _word_measures(
                network, node.name, hidden.map if hidden else np.zeros(0), slopes, integrated.inputs
            )
            items += _word_items(_words(subject, graph, node.name, example, x.shape[-1]), measures, node.name)
        else:
            show = _curves if x.ndim <= 2 else _maps
            items += show(
                node.name,
                x,
                hidden.map if hidden else None,
                slopes[node.name][0],
                integrated.inputs[node.name],
                size,
                stride,
            )
    gap = abs(integrated.total - integrated.difference)
    lines = (
        *_prediction(inspection, network, example),
        f"The maps explain {_explained(inspection, target)}: {number_text(value)}. {_baseline_text(graph, inputs)}",
        f"Integrated gradients ({STEPS} steps from the baseline) sum to {number_text(integrated.total, 6)}; the score of the input less "
        f"that of the baseline is {number_text(integrated.difference, 6)}. The difference, {number_text(gap)}, is the error of the steps.",
    )
    numbers = {
        "input": example.name,
        "layer": target.layer,
        "index": list(target.place),
        "score": value,
        "steps": STEPS,
        "integrated_sum": integrated.total,
        "difference": integrated.difference,
        "occlusion": sizes,
    }
    return Section(name, f"Why: {example.name}", lines, tuple(items), (), numbers)


def _baseline_text(graph: Graph, inputs: Sequence[Node]) -> str:
    """What the input is compared with: nothing is seen, or nothing is said."""
    words = [bool(node.name in graph.by_name and graph.by_name[node.name].inputs) for node in inputs]
    images = [len(node.type.spatial) == 2 for node in inputs]
    if all(words):
        return "The baseline is a text of padding only."
    if any(words):
        return "The baseline is an input of 0, for words the vector of the padding."
    return "The baseline is a black image (all 0)." if all(images) else "The baseline is an input of 0."


def _prediction(inspection: Inspection, network: Differentiable, example: Example) -> list[str]:
    """The predicted class with its probability, and the label where it is known."""
    output = inspection.graph.outputs[0]
    names = inspection.class_names(output)
    scores = forward(network.graph, network.weights, network.feeds, outputs=(output,)).values[output]
    if scores.size != len(names):
        return []
    (probabilities,) = class_probabilities(scores, isinstance(inspection.graph.by_name[output].op, Softmax))
    best, label = int(probabilities.argmax()), true_class(example, names)
    known = f"; the label is {label}" if label else ""
    return [f"The predicted class is {names[best]} with a probability of {probabilities[best]:.2%}{known}."]


def _explained(inspection: Inspection, target: ExplainedElement) -> str:
    """What is explained, in words: `the score of class 3 (cat) in fc3, before softmax1`."""
    output, number = inspection.graph.outputs[0], target.place[-1]
    names = inspection.class_names(output)
    channel = f"class {number}" if names else f"channel {number}"
    called = f" ({names[number]})" if names and names[number] != str(number) else ""
    at = f" at position {','.join(map(str, target.place[:-1]))}" if len(target.place) > 1 else ""
    before = f", before {output}" if target.layer != output else ""
    return f"the score of {channel}{called} in {target.layer}{at}{before}"


def require_label(graph: Graph, label: int) -> None:
    """Raises CnncError E010 if the first output has no such class."""
    output = graph.by_name[graph.outputs[0]]
    channels = output.type.channels
    if not 0 <= label < channels:
        message = f"--label {label}: {output.name} has {channels:,} channel{'s' * (channels > 1)}"
        raise CnncError.of("E010", message, help=f"number from 0 to {channels - 1}: `--label {channels - 1}`")


def explained_score(network: Differentiable, label: int | None) -> tuple[ExplainedElement, float]:
    """The largest score of the first output, or that of class `label`, before a softmax."""
    layer = before_softmax(network.graph, network.graph.outputs[0])
    output = forward(network.graph, network.weights, network.feeds, outputs=(layer,)).values[layer][0]
    of = output if label is None else output[..., label : label + 1]
    index = [int(i) for i in np.unravel_index(int(of.argmax()), of.shape)]
    if label is not None:
        index[-1] = label
    return ExplainedElement(layer, tuple(index)), float(output[tuple(index)])


def _patches(spatial: tuple[int, ...], is_words: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Patches of a seventh of each axis, every half of that; each word by itself."""
    size = tuple(1 if is_words else max(1, min(m, math.ceil(m / 7))) for m in spatial)
    return size, tuple(max(1, k // 2) for k in size)


def _maps(
    name: str, x: Array, hidden: Array | None, slope: Array, integrated: Array, size: Axes, stride: Axes
) -> Iterator[Item]:
    """The maps of an image, and of the middle slice of a volume."""
    assert hidden is not None
    occluded = hidden[len(hidden) // 2] if hidden.ndim == 3 else hidden
    maps = [
        ("occlusion", occluded),
        ("gradient", signed_plane(slope)),
        ("integrated gradients", signed_plane(integrated)),
    ]
    rows = [
        ("", [Image("input", input_pixels(x)), *(map_image(*each) for each in maps)]),
        ("Over the input", [overlay(each, plane, x) for each, plane in maps]),
    ]
    middle = f"The middle slice of {x.shape[1]}. " if x.ndim == 4 else ""
    text = f"{middle}{_patch_text(size, stride)} {_LEGEND}"
    yield picture_rows(f"{name}: what the score depends on", text, rows, 170)


def _curves(
    name: str, x: Array, hidden: Array | None, slope: Array, integrated: Array, size: Axes, stride: Axes
) -> Iterator[Item]:
    """The maps of a series (C, T) or a vector, as curves one below the other."""
    shown = np.atleast_2d(x)[:CURVES]
    rows = [("input", shown), ("gradient", np.atleast_2d(slope)[:CURVES])]
    rows.append(("integrated gradients", np.atleast_2d(integrated)[:CURVES]))
    if hidden is not None:
        rows.insert(1, ("occlusion", hidden[None]))
    text = "Above 0, an element raises the score; each curve of a map has its own scale."
    if hidden is not None:
        text = f"{_patch_text(size, stride)} {text}"
    if x.ndim == 2 and len(x) > CURVES:
        text += f" The first {CURVES} of {len(x):,} channels are shown."
    yield curve_rows(f"{name}: what the score depends on", text, rows)


def _patch_text(size: Axes, stride: Axes) -> str:
    steps = "x".join(map(str, stride)) if len(set(stride)) > 1 else str(stride[0])
    unit = "pixel" if len(size) == 2 else "element"
    covered = f"{'x'.join(map(str, size))} {unit}{'s' * (math.prod(size) > 1)}"
    return f"Occlusion sets {covered} at a time to 0, and moves by {steps} {unit}{'s' * (steps != '1')}."


# Words


def _words(subject: TrainedNetwork, graph: Graph, embed: str, example: Example, count: int) -> list[str]:
    """The words that an embedding reads; the positions where it reads another layer."""
    source = graph.by_name[embed].inputs[0]
    if source not in example.feeds:
        return [str(i) for i in range(count)]
    return [word_text(int(number), subject.vocabulary) for number in example.feeds[source].reshape(-1)]


def _word_measures(
    network: Differentiable, name: str, hidden: Array, slopes: dict[str, Array], integrated: dict[str, Array]
) -> list[tuple[str, Array]]:
    x = network.feeds[name][0]
    return [
        ("left out", hidden),
        ("gradient times vector", (slopes[name][0] * x).sum(0)),
        ("integrated gradients", integrated[name].sum(0)),
    ]


def _word_items(words: list[str], measures: list[tuple[str, Array]], name: str) -> list[Item]:
    last = max((i + 1 for i, word in enumerate(words) if word != word_text(0, ())), default=len(words))
    words, cut = words[:last], [(measure, values[:last]) for measure, values in measures]
    rows = tuple((word, *(number_text(float(values[i])) for _, values in cut)) for i, word in enumerate(words))
    heads = ("word", *(measure for measure, _ in cut))
    return [
        word_rows(f"{name}: what the score depends on", _WORDS_LEGEND, words, cut),
        Table(heads, rows, (False, True, True, True)),
    ]
