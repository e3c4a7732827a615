"""`cnnc inspect --shift`: what a shift of the input changes in the answers and in the activations of each layer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cnnc.api.inspect.data import SHIFTED_ACTIVATIONS, SHIFTED_PREDICTIONS, Inspection, TestPart
from cnnc.core.arrays import Array
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.reference.engine import layer_outputs
from cnnc.training.metrics import count_correct
from cnnc.training.objective import Objective, Term
from cnnc.training.trained import TrainedNetwork
from cnnc.view.document import Item, Section
from cnnc.view.inspect.shifts import (
    TOLERANCE,
    LayerShift,
    accuracy_chart,
    aligned_table,
    changed_table,
    charted,
    compared,
    layer_chart,
    layer_shift,
    shift_axes,
)

MOST_SHIFTS = 64


def shift(inspection: Inspection) -> Iterator[Section]:
    """One section: predictions under shifts, and the changes of each layer."""
    subject, text = inspection.subject, inspection.options.shift
    assert text is not None
    shifts = require_shifts(subject.graph, text)
    objective, term = inspection.objective, inspection.classified
    width = int(inspection.require_data().test.inputs[0].shape[-1])
    _require_smaller(shifts, width)
    lines, items, numbers = _what(shifts, width), list[Item](), dict[str, Any]()
    if term is not None:
        part = inspection.test_part(SHIFTED_PREDICTIONS, "--shift", len(shifts) + 1)
        right, total, same = _predictions(subject, objective, term, part.split, shifts)
        accuracy = [each / max(1, total) for each in right]
        changed = [1 - each for each in same]
        lines.append(_accuracy_line(shifts, accuracy, changed, part))
        items.append(accuracy_chart(shifts, accuracy, changed))
        numbers = {"examples": total, "right": right, "accuracy": accuracy, "changed_predictions": changed}
    else:
        lines.append("Accuracy is not measured: no loss compares the output with one class per example.")
    part = inspection.test_part(SHIFTED_ACTIVATIONS, passes=len(shifts) + 1)
    layers = _layers(subject, part.feeds(), shifts, width)
    axes = shift_axes(subject.graph)
    names = [name for name in charted(subject.graph) if name in layers]
    lines.append(
        f"Activations are of {part.text}. An activation counts as changed if it changes by more than {TOLERANCE:.3%} of the largest activation of its layer."
    )
    items += [layer_chart(shifts, {name: layers[name] for name in names})]
    items += [changed_table(subject.graph, shifts, layers), aligned_table(axes, shifts, layers)]
    notes = (
        "Feature maps are moved back if the shift is a multiple of the stride up to the layer. Only activations whose receptive "
        "field touches neither padding nor fill are compared; – means that there are none. Activations are computed in 64 bits: "
        "differences below 1e-12 come from rounding, because sums are added in another order.",
    )
    numbers |= {"shifts": list(shifts), "activation_examples": part.size, "layers": _layer_numbers(layers, axes)}
    yield Section("shift", f"Shifts by {text} pixels", tuple(lines), tuple(items), notes, numbers)


def require_shifts(graph: Graph, text: str) -> tuple[int, ...]:
    """The shifts of `A..B` that the inputs of a network allow. Raises CnncError E010."""
    return read_shifts(text, _width(graph))


def read_shifts(text: str, width: int) -> tuple[int, ...]:
    """The shifts A to B of `A..B`, or one. Raises CnncError E010."""
    largest = min(6, width - 1)
    match = re.fullmatch(r"\s*(\d{1,9})\s*(?:\.\.\s*(\d{1,9})\s*)?", text, re.ASCII)
    if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
        message = f"--shift {text}: expected A..B, whole numbers of pixels from 0 with A at most B"
        raise CnncError.of("E010", message, help=f"write `--shift 0..{largest}`")
    first, last = int(match[1]), int(match[2] or match[1])
    _require_smaller((last,), width)
    if last - first >= MOST_SHIFTS:
        help = f"write `--shift {first}..{first + MOST_SHIFTS - 1}`"
        raise CnncError.of("E010", f"--shift {text}: at most {MOST_SHIFTS} shifts", help=help)
    return tuple(range(first, last + 1))


def _require_smaller(shifts: Sequence[int], width: int) -> None:
    if shifts[-1] >= width:
        message = f"--shift: a shift by {shifts[-1]} pixels leaves nothing of an input of {width}"
        raise CnncError.of("E010", message, help=f"write `--shift 0..{min(6, width - 1)}`")


def _width(graph: Graph) -> int:
    """The width of the first input. Raises CnncError E010 where the inputs cannot be shifted."""
    for node in graph.inputs:
        if node.type.dtype == "int64":
            message = f"--shift moves pixels or the steps of a series; {node.name} takes words"
            raise CnncError.of("E010", message, help="leave --shift out")
        if not node.type.spatial:
            message = f"--shift needs an axis to shift along; {node.name} is {node.type}"
            raise CnncError.of("E010", message, help="leave --shift out")
    return graph.inputs[0].type.spatial[-1]


def shifted(values: Array, by: int) -> Array:
    """A batch shifted to the right along its last axis; the fill is 0."""
    if not by:
        return values
    result = np.zeros_like(values)
    result[..., by:] = values[..., :-by]
    return result


def _what(shifts: Sequence[int], width: int) -> list[str]:
    return [
        f"The input is shifted by {shifts[0]} to {shifts[-1]} pixels to the right, along its last axis of {width}; the "
        "pixels that come in at the left are 0."
    ]


# Predictions


def _predictions(
    subject: TrainedNetwork, objective: Objective, term: Term, part: Split, shifts: Sequence[int]
) -> tuple[list[int], int, list[float]]:
    """How many predictions are right under each shift, of how many, and the share that is as without a shift."""
    assert term.column is not None
    right, same, total = [0] * len(shifts), [0] * len(shifts), 0
    run = objective.network(subject.weights)
    for feeds, targets in objective.batches(part):
        labels = targets[term.column].reshape(-1)
        scores = {
            by: run({name: shifted(np.asarray(values), by) for name, values in feeds.items()}).values[term.node.name]
            for by in {0, *shifts}
        }
        before = scores[0].argmax(-1)
        for index, by in enumerate(shifts):
            right[index] += count_correct(scores[by], labels, term.loss.ignored_label)[0]
            same[index] += int((scores[by].argmax(-1) == before).sum())
        total += count_correct(scores[0], labels, term.loss.ignored_label)[1]
    return right, total, [each / max(1, len(part)) for each in same]


def _accuracy_line(shifts: Sequence[int], accuracy: Sequence[float], changed: Sequence[float], part: TestPart) -> str:
    each = ", ".join(f"{a:.2%} at {d}" for d, a in zip(shifts, accuracy, strict=True))
    return (
        f"Accuracy on {'all' if part.is_whole else 'the first'} {part.text}: {each} pixels. At {shifts[-1]} pixels, {changed[-1]:.2%} of the predictions differ from those "
        "without a shift."
    )


# Layers


def _layers(
    subject: TrainedNetwork, feeds: dict[str, Array], shifts: Sequence[int], width: int
) -> dict[str, list[LayerShift]]:
    """What each shift changes in each layer."""
    graph = subject.graph_for(feeds)
    names, axes = [node.name for node in compared(graph)], shift_axes(graph)
    weights = {name: values.astype(np.float64) for name, values in subject.weights.items()}
    feeds = {name: _exact(values) for name, values in feeds.items()}
    before = {
        name: values.copy() for name, values in layer_outputs(graph, weights, feeds, graph.outputs) if name in names
    }
    layers: dict[str, list[LayerShift]] = {name: [] for name in before}
    for by in shifts:
        moved = {name: shifted(values, by) for name, values in feeds.items()}
        for name, values in layer_outputs(graph, weights, moved, graph.outputs):
            if name in before:
                layers[name].append(layer_shift(before[name], values, axes.get(name), by, width))
    return layers


def _exact(values: Array) -> Array:
    """Floats in 64 bits, so that rounding is far below any real difference; bytes stay as they are."""
    return values if values.dtype == np.uint8 else values.astype(np.float64)


def _layer_numbers(layers: dict[str, list[LayerShift]], axes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "stride": axes[name].period if name in axes else None,
            "changed": [each.changed for each in values],
            "aligned_difference": [each.aligned for each in values],
        }
        for name, values in layers.items()
    }
