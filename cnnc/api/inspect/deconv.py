"""`cnnc inspect --deconv`: projections of the strongest activations of the test set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnnc.api.inspect.channel import TOP, ChosenChannels, require_patches
from cnnc.api.inspect.data import Inspection
from cnnc.core.arrays import Array
from cnnc.graph.analysis import ReceptiveField, receptive_fields
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.reference.attribution import Differentiable, ExplainedElement, differentiable, gradients
from cnnc.reference.backward_rules import DECONV_RULES, DeconvTreatment, deconv_treatment
from cnnc.training.objective import feeds_of
from cnnc.view.document import Item, Section, Table
from cnnc.view.fields import field_at
from cnnc.view.inspect.signed_maps import Patch, projection_items
from cnnc.view.number_text import number_text

_METHOD = "Zeiler & Fergus 2013: the activation alone is sent back to the input. The table says what each layer on the way does to it."


def deconv(inspection: Inspection) -> Iterator[Section]:
    """One section for each layer that the command line names."""
    chosen = inspection.projected
    sources = [require_patches(inspection.graph, each) for each in chosen]
    inspection.require_data()
    fields = receptive_fields(inspection.graph)
    for number, (channels, source) in enumerate(zip(chosen, sources, strict=True), 1):
        name = "deconv" if number == 1 else f"deconv-{number}"
        yield _section(name, inspection, channels, source, fields[channels.layer])


def _section(
    name: str, inspection: Inspection, channels: ChosenChannels, source: Node, field: Sequence[ReceptiveField]
) -> Section:
    layer, search = channels.layer, inspection.search
    strongest = search.layers[layer]
    items: list[Item] = [_treatments(inspection.graph, layer)]
    numbers: list[dict[str, Any]] = []
    for c in channels.numbers:
        active = [i for i in range(len(strongest.values)) if strongest.values[i, c] > 0]
        examples, values = strongest.examples[active, c], strongest.values[active, c]
        if active:
            network = _network(inspection, examples)
            patches = _patches(network, source.name, layer, c, strongest.places[active, c], field)
            labels = [f"{int(n)}: {number_text(float(v))}" for n, v in zip(examples, values, strict=True)]
            items += projection_items(f"{layer} channel {c}", labels, patches)
        shown = [{"example": int(n), "activation": float(v)} for n, v in zip(examples, values, strict=True)]
        numbers.append({"channel": c, "strongest": shown})
    silent = [str(each["channel"]) for each in numbers if not each["strongest"]]
    notes = [channels.note] if channels.note else []
    if silent:
        notes.append(f"Not positive on any of these examples: channel{'s' * (len(silent) > 1)} {', '.join(silent)}.")
    searched = f"The {TOP} strongest activations of each channel in {search.text}, one of each example."
    title = f"Projections of {channels.node.name}"
    treated = {name: treatment.name.lower() for name, treatment in _treated(inspection.graph, layer)}
    of_layers = {"layer": layer, "treatments": treated, "channels": numbers}
    return Section(name, title, (searched, _METHOD), tuple(items), tuple(notes), of_layers)


def _treated(graph: Graph, layer: str) -> list[tuple[str, DeconvTreatment]]:
    """The layers between the input and this one, from the top down, and what is done on the way back."""
    path = [node for node in needed_nodes(graph, (layer,)) if node.inputs]
    treated = [(node.name, deconv_treatment(node.op)) for node in reversed(path)]
    return [each for each in treated if each[1] is not DeconvTreatment.MOVED]


def _treatments(graph: Graph, layer: str) -> Table:
    """The layers of each treatment, those that the method does not define last."""
    treated = _treated(graph, layer)
    rows = [
        (", ".join(name for name, of in treated if of is treatment), str(treatment))
        for treatment in DeconvTreatment
        if any(of is treatment for _, of in treated)
    ]
    return Table(("layers", "on the way back"), tuple(rows))


def _network(inspection: Inspection, examples: Array) -> Differentiable:
    """The network with a batch of these examples of the test set."""
    columns = inspection.require_data().test.inputs
    feeds = feeds_of(
        inspection.graph, tuple(np.concatenate([c[int(i) : int(i) + 1] for i in examples]) for c in columns)
    )
    return differentiable(inspection.subject.graph_for(feeds), inspection.subject.weights, feeds)


def _patches(
    network: Differentiable, source: str, layer: str, channel: int, places: Array, field: Sequence[ReceptiveField]
) -> list[Patch]:
    """What each activation reads, and what is projected back to it."""
    spatial = network.graph.by_name[layer].type.shape[1:]
    indices = [tuple(int(i) for i in np.unravel_index(int(p), spatial)) if spatial else () for p in places]
    targets = [ExplainedElement(layer, (*index, channel)) for index in indices]
    projected = gradients(network, network.feeds, targets, DECONV_RULES, seeded_by_value=True).inputs[source]
    patches = []
    for x, back, index in zip(network.feeds[source], projected, indices, strict=True):
        crop = _crop(field, index, x.shape[1:])
        patches.append(Patch(x[:, *crop], back[:, *crop]))
    return patches


def _crop(fields: Sequence[ReceptiveField], index: tuple[int, ...], spatial: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of the input that an output reads; all of it where axes do not correspond."""
    if len(index) != len(spatial):
        return tuple(slice(0, m) for m in spatial)
    return tuple(interval.crop(m) for interval, m in zip(field_at(fields, index), spatial, strict=True))
