"""The loss of a network on one example.

In: a graph, a recipe or None, an example with targets or a label. Out: `ExampleLoss`: in words, the layers it is computed
from, and a function from their activations to the loss and its gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.recipe.recipe import Recipe
from cnnc.reference.engine import Trace
from cnnc.training.objective import Objective


class ExampleLoss(NamedTuple):
    """The loss of one example: what it is, and how it is computed from the outputs of some layers."""

    text: str
    objective: Objective
    targets: tuple[Array, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The layers whose outputs the loss reads."""
        return self.objective.activations

    def __call__(self, trace: Trace) -> tuple[float, Mapping[str, Array]]:
        """The loss, and its gradients by layer, channels last."""
        loss = self.objective.batch(trace, self.targets)
        return loss.loss, loss.gradients


def losses_of_each(objective: Objective, trace: Trace, targets: tuple[Array, ...]) -> list[float]:
    """The loss of each example of a batch by itself."""
    count = len(next(iter(trace.values.values())))
    return [
        objective.batch(
            Trace({name: array[i : i + 1] for name, array in trace.values.items()}),
            tuple(target[i : i + 1] for target in targets),
        ).loss
        for i in range(count)
    ]


def example_loss(
    graph: Graph, recipe: Recipe, feeds: Mapping[str, Array], targets: tuple[Array, ...], label: int | None = None
) -> ExampleLoss:
    """The loss of the train section on an example with these targets, or with `label`, a class.

    Raises CnncError E610 where a target does not fit its output, E010 where no loss compares with a label.
    """
    first = next((loss for loss in recipe.losses if loss.compares_with == "labels"), None)
    if label is not None:
        if first is None:
            kinds = ", ".join(loss.kind for loss in recipe.losses)
            help = "leave --label out, or take the target of the test set with --example N"
            raise CnncError.of("E010", f"--label: the loss of the train section, {kinds}, has no labels", help=help)
        other = next((each for each in recipe.losses if each.compares_with != "labels" and not each.of_input), None)
        if other is not None:
            message = f"--label gives the target of {first.kind}, but {other.kind} needs another"
            raise CnncError.of(
                "E010", message, help="take the targets of the test set: `--example 0` instead of --label"
            )
        node = graph.by_name[first.on or graph.outputs[0]]
        if not 0 <= label < node.type.channels:
            help = f"classes are numbered from 0 to {node.type.channels - 1}"
            raise CnncError.of("E010", f"--label {label}: {node.name} has {node.type.channels} classes", help=help)
        targets = (np.full((1, *_map_shape(node.type.spatial)), label, np.int64),)
    split = Split(tuple(feeds[node.name] for node in graph.inputs), targets)
    objective = Objective(graph, recipe, Dataset("the example", (), split, split))
    return ExampleLoss(_text(recipe, targets, label), objective, targets)


def _map_shape(spatial: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a label for an output with these spatial axes: a label map, or one number."""
    return spatial if any(size > 1 for size in spatial) else ()


def _text(recipe: Recipe, targets: tuple[Array, ...], label: int | None) -> str:
    named = " + ".join(
        (f"{loss.weight:g}·" if loss.weight != 1 else "") + loss.kind + (f" of {loss.on}" if loss.on else "")
        for loss in recipe.losses
    )
    labels = [target for target in targets if target.dtype == np.int64 and target.size == 1]
    if label is None and labels and any(loss.compares_with == "labels" for loss in recipe.losses):
        label = int(labels[0].flat[0])
    return named if label is None else f"{named} with label {label}"
