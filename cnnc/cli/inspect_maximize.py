"""`cnnc inspect --maximize`: inputs that maximize a channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnc.cli.inspect_channel import batches, examples_to_search, open_test_data, require_channels, require_image_like
from cnnc.cli.inspect_options import InspectOptions
from cnnc.cli.inspect_why import before_softmax
from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset
from cnnc.diagnostics import CnncError
from cnnc.reference.attribution import Ascent, ExplainedElement, ascend, differentiable, strongest
from cnnc.reference.feeds import to_working_dtype
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Section
from cnnc.view.inspect.signed_maps import Image, input_pixels, picture_rows
from cnnc.view.inspect.tiles import number_text


def maximize(options: InspectOptions, subject: TrainedNetwork) -> Iterator[Section]:
    """One section for each layer that the command line names."""
    graph = subject.graph
    source = require_image_like(graph, "--maximize")
    chosen = [require_channels(graph, text, "--maximize") for text in options.maximize]
    how = Ascent(rate=0.05 * float(np.sqrt(source.type.size)), low=0, high=1)
    dataset, reason = _test_data(options, subject)
    start = _mean(subject, dataset) if dataset is not None else 0.5
    network = differentiable(graph, subject.weights, {source.name: np.full((1, *source.type.shape), start)})
    for number, (node, channels, note) in enumerate(chosen, 1):
        layer = before_softmax(graph, node.name)
        centre = tuple(size // 2 for size in node.type.shape[1:])
        result = ascend(network, [ExplainedElement(layer, (*centre, c)) for c in channels], source.name, start, how)
        largest, on = _largest(subject, dataset, layer) if dataset is not None else (None, reason)
        images, reached = [], []
        for i, c in enumerate(channels):
            value = float(result.values[i])
            best = float(largest[c]) if largest is not None else None
            text = f"{c}: {number_text(value)}" + (f", test {number_text(best)}" if best is not None else "")
            images.append(Image(text, input_pixels(result.inputs[source.name][i])))
            reached.append({"channel": c, "reached": value, "largest_on_test": best})
        position = f" at its centre {','.join(map(str, centre))}" if centre else ""
        of_data = ", the mean of the test images," if dataset is not None else ""
        lines = (
            f"Gradient ascent on the input, so that a channel of {layer}{position} grows: {how.steps} steps, whose length "
            f"falls from {how.rate:.3g} to 0, from {start:.3g}{of_data} with noise of deviation {how.noise} (seed {how.seed}). Each step moves the input "
            f"by up to {how.jitter} pixel at random (in the last quarter not), draws it {how.decay:.1%} back to its start, and clips it to 0..1; in the "
            f"first half it is blurred by (1, 2, 1)/4 every {how.blur_every} steps. Where no unit before the channel is active, and the "
            "gradient is 0, rectifiers pass it on.",
            f"Below each image: the channel and its value{on}.",
        )
        drawing = picture_rows(
            f"{node.name}: inputs that maximize a channel", "Black is 0, white is 1.", [("", images)], 120
        )
        name = "maximize" if number == 1 else f"maximize-{number}"
        yield Section(
            name,
            f"Inputs that maximize {node.name}",
            lines,
            (drawing,),
            (note,) if note else (),
            {"layer": layer, "channels": reached},
        )


def _test_data(options: InspectOptions, subject: TrainedNetwork) -> tuple[Dataset | None, str]:
    """The data to compare with, or None and why there is none. Raises CnncError for data that --data names."""
    try:
        return open_test_data(subject, options.data, "--maximize"), ""
    except CnncError as error:
        if options.data is not None:
            raise
        return None, f"; not compared with the test set: {error.diagnostics[0].message}"


def _mean(subject: TrainedNetwork, dataset: Dataset) -> float:
    """The mean of all elements of the test images that are searched, as the network sees them."""
    (source,), count = subject.graph.inputs, examples_to_search(subject.graph, dataset)
    sums = [
        to_working_dtype(source, feeds[source.name], np.dtype(np.float32)).sum(dtype=np.float64)
        for feeds in batches(subject.graph, dataset, count)
    ]
    return float(sum(sums)) / (count * source.type.size)


def _largest(subject: TrainedNetwork, dataset: Dataset, layer: str) -> tuple[Array, str]:
    """The largest value of each channel on the test set, and what is said about it."""
    count = examples_to_search(subject.graph, dataset)
    values, _, _ = strongest((subject.graph, subject.weights), batches(subject.graph, dataset, count), layer, 1)
    return values[0], f", and the largest at any position in {count:,} examples of the test set of {dataset.name}"
