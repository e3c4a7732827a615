"""`cnnc inspect --deconv`: projections of the strongest activations of the test set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnc.cli.inspect_channel import (
    ChosenChannels,
    batches,
    examples_to_search,
    open_test_data,
    require_channels,
    require_image_like,
)
from cnnc.cli.inspect_options import InspectOptions
from cnnc.cli.inspect_why import before_softmax
from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from cnnc.graph.analysis import receptive_fields
from cnnc.reference.attribution import DECONV_RULES, ExplainedElement, differentiable, gradients, strongest
from cnnc.training.objective import feeds_of
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Item, Section
from cnnc.view.inspect.signed_maps import Image, input_pixels, picture_rows, signed_plane
from cnnc.view.inspect.tiles import number_text
from cnnc.view.shades import score_pixels

TOP = 9
_LINES = (
    "Zeiler & Fergus 2013: the activation alone is sent back to the input: max pools put it where their maximum was, ReLUs "
    "keep what is positive, convolutions use their transposed filters without the bias.",
    "Other layers send back their gradient: average pools spread it, batch norm scales it by its running statistics, skips "
    "and concatenations pass it to each input, and overlapping windows add up. Smooth activations such as tanh have no "
    "rectification.",
)


def deconv(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """One section for each layer that the command line names."""
    graph = subject.graph
    source = require_image_like(graph, "--deconv")
    if len(source.type.shape) != 3:
        raise CnncError.of("E010", f"--deconv needs images, not an input {source.type}", help="leave --deconv out")
    chosen = [require_channels(graph, text, "--deconv") for text in options.deconv]
    dataset = open_test_data(subject, options.data, "--deconv")
    for number, channels in enumerate(chosen, 1):
        yield _section("deconv" if number == 1 else f"deconv-{number}", subject, channels, dataset)


def _section(name: str, subject: TrainedNetwork, channels: ChosenChannels, dataset: Dataset) -> Section:
    graph = subject.graph
    layer = before_softmax(graph, channels.node.name)
    count = examples_to_search(graph, dataset)
    values, examples, places = strongest((graph, subject.weights), batches(graph, dataset, count), layer, TOP)
    items: list[Item] = []
    numbers: list[dict[str, Any]] = []
    for c in channels.numbers:
        active = [i for i in range(len(values)) if values[i, c] > 0]
        if active:
            items.append(
                _channel(subject, dataset, layer, c, values[active, c], examples[active, c], places[active, c])
            )
        shown = [{"example": int(examples[i, c]), "activation": float(values[i, c])} for i in active]
        numbers.append({"channel": c, "strongest": shown})
    silent = [str(each["channel"]) for each in numbers if not each["strongest"]]
    notes = [channels.note] if channels.note else []
    if silent:
        notes.append(f"Not positive on any of these examples: channel {', '.join(silent)}.")
    searched = f"The {TOP} strongest activations of each channel in {count:,} examples of the test set of {dataset.name}, one of each example."
    title = f"Projections of {channels.node.name}"
    return Section(name, title, (searched, *_LINES), tuple(items), tuple(notes), {"layer": layer, "channels": numbers})


def _channel(
    subject: TrainedNetwork, dataset: Dataset, layer: str, channel: int, values: Array, examples: Array, places: Array
) -> Item:
    graph, node = subject.graph, subject.graph.by_name[layer]
    (source,) = graph.inputs
    columns = [np.concatenate([column[int(i) : int(i) + 1] for i in examples]) for column in dataset.test.inputs]
    network = differentiable(graph, subject.weights, feeds_of(graph, tuple(columns)))
    indices = [
        tuple(int(i) for i in np.unravel_index(int(p), node.type.shape[1:])) if node.type.shape[1:] else ()
        for p in places
    ]
    targets = [ExplainedElement(layer, (*index, channel)) for index in indices]
    projected = gradients(network, network.feeds, targets, DECONV_RULES, seeded_by_value=True).inputs[source.name]
    patches, projections = [], []
    for i, index in enumerate(indices):
        crop = _field(subject, layer, index)
        x = network.feeds[source.name][i][:, *crop]
        plane = signed_plane(projected[i][:, *crop])
        label = f"{int(examples[i])}: {number_text(float(values[i]))}"
        patches.append(Image(label, input_pixels(x)))
        projections.append(Image(label, score_pixels(plane / (float(np.abs(plane).max()) or 1))))
    rows = [
        ("Patches of the test set: example and activation", patches),
        ("Projections: orange (bright in grey) is positive", projections),
    ]
    text = "Each image is the receptive field of the activation, cut at the border; each projection has its own scale."
    return picture_rows(f"{layer} channel {channel}", text, rows, 84)


def _field(subject: TrainedNetwork, layer: str, index: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of the input that an output reads; all of it where axes do not correspond."""
    (source,) = subject.graph.inputs
    spatial = source.type.shape[1:]
    fields = receptive_fields(subject.graph)[layer]
    if len(index) != len(spatial):
        return tuple(slice(0, m) for m in spatial)
    cut = []
    for i, m, field in zip(index, spatial, fields, strict=True):
        first = field.first + field.step * i
        cut.append(slice(max(0, math.floor(first)), max(1, min(m, math.ceil(first + field.size)))))
    return tuple(cut)
