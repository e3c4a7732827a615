"""`cnnc inspect --maximize`: inputs that maximize a channel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cnnc.api.inspect.channel import ChosenChannels, InputRange, require_one_input
from cnnc.api.inspect.data import Inspection
from cnnc.core.arrays import Array
from cnnc.graph.graph import Node
from cnnc.reference.attribution import Ascent, ExplainedElement, ascend, differentiable
from cnnc.view.document import Section
from cnnc.view.inspect.signed_maps import input_sheet
from cnnc.view.number_text import number_text


def maximize(inspection: Inspection) -> Iterator[Section]:
    """One section for each layer that the command line names."""
    chosen = inspection.maximized
    sources = [require_one_input(inspection.graph, each.layer, "--maximize") for each in chosen]
    for number, (channels, source) in enumerate(zip(chosen, sources, strict=True), 1):
        yield _section("maximize" if number == 1 else f"maximize-{number}", inspection, channels, source)


def _section(name: str, inspection: Inspection, channels: ChosenChannels, source: Node) -> Section:
    graph, layer = inspection.graph, channels.layer
    search = inspection.search if inspection.data is not None else None
    given = search.ranges[source.name] if search is not None else InputRange(0, 1, 0.5)
    low, high = min(0.0, given.least), max(1.0, given.largest)
    span = high - low
    how = Ascent(rate=0.1 * span * float(np.sqrt(source.type.size)), noise=0.1 * span, low=low, high=high)
    feeds = {node.name: np.zeros((1, *node.type.shape), node.type.dtype) for node in graph.inputs}
    feeds[source.name] = np.full((1, *source.type.shape), given.mean)
    network = differentiable(graph, inspection.subject.weights, feeds)
    centre = tuple(size // 2 for size in graph.by_name[layer].type.shape[1:])
    targets = [ExplainedElement(layer, (*centre, c)) for c in channels.numbers]
    result = ascend(network, targets, source.name, given.mean, how)
    largest = search.layers[layer].values[0] if search is not None else None
    labels, reached = [], list[dict[str, Any]]()
    for c, value in zip(channels.numbers, map(float, result.values), strict=True):
        best = float(largest[c]) if largest is not None else None
        labels.append(f"{c}: {number_text(value)}" + (f", test {number_text(best)}" if best is not None else ""))
        reached.append({"channel": c, "reached": value, "largest_on_test": best})
    at = f" at its centre {','.join(map(str, centre))}" if centre else ""
    on = (
        f", and the largest at any position in {search.text}"
        if search is not None
        else f"; not compared with the test set: {inspection.problem}"
    )
    lines = (
        f"Gradient ascent changes the input {source.name} so that a channel of {layer}{at} grows.",
        _ascent_text(how, source, given.mean, search is not None),
        f"Each label shows the channel and its activation{on}.",
    )
    title = f"{channels.node.name}: inputs that maximize a channel"
    inputs: list[Array] = list(result.inputs[source.name])
    drawing = input_sheet(title, list(zip(labels, inputs, strict=True)), how.low, how.high)
    notes = (channels.note,) if channels.note else ()
    numbers = {"layer": layer, "channels": reached}
    return Section(name, f"Inputs that maximize {channels.node.name}", lines, (drawing,), notes, numbers)


def _ascent_text(how: Ascent, source: Node, start: float, is_mean: bool) -> str:
    of_data = ", the mean of the test inputs," if is_mean else ""
    has_axes = bool(source.type.spatial)
    unit = "pixel" if len(source.type.spatial) > 1 else "position"
    shift = f"shifts the input by up to {how.jitter} {unit} at random (not in the last quarter), " if has_axes else ""
    blur = f" In the first half, (1, 2, 1)/4 blurs it every {how.blur_every} steps." if has_axes else ""
    return (
        f"Regularisation: {how.steps} steps, whose length falls from {how.rate:.3g} to 0, start at {start:.3g}{of_data} with noise "
        f"of deviation {how.noise:.3g} (seed {how.seed}). Each step {shift}pulls it {how.decay:.1%} back to its start, and clips it to "
        f"{how.low:.3g}..{how.high:.3g}.{blur} Where no unit before the channel is active, so that the gradient is 0, rectifiers "
        "pass it on."
    )
