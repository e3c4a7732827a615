"""Health checks of a run: its batches, its first loss, and the first layer that is not finite after training diverged.

In: a run. Out: W502 and W702 where batches are too large or too small, W701 where the first loss is far from that of
guessing, E701 with the layer where training diverged. It changes nothing and saves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.random_streams import Stream
from cnnc.diagnostics import CnncError, Diagnostic, Note
from cnnc.graph.graph import Node
from cnnc.recipe.fit import larger_batch, single_element_norm
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.training.run import Run

FAR_OFF = 3.0
"""A first loss this many times that of guessing, or this fraction of it, is reported."""

_FEWEST = 8
"""The loss of fewer examples than these may be as far off by chance."""


def check_batches(run: Run) -> Iterator[Diagnostic]:
    """W502 for batches larger than the training set, if `cnnc check` did not know its size; W702 where the last batch of
    each epoch has one example and a batch norm one element per channel of it."""
    examples, batch = len(run.train), run.recipe.batch
    if all(d.code != "W502" for d in run.network.diagnostics):
        yield from larger_batch(run.recipe, examples)
    node = single_element_norm(run.graph)
    if node is not None and batch > 1 and examples % batch == 1:
        message = f"the last batch of each epoch has one example of {examples:,}, so {node.name} normalizes over one element per channel"
        # the next smaller batch that leaves no single example; 2 leaves one of every odd number
        better = next((n for n in range(min(batch, examples) - 1, 1, -1) if examples % n != 1), examples)
        notes = (Note(node.span, "one element per example"),) if node.span is not None else ()
        span = run.recipe.spans.get("batch", node.span)
        yield Diagnostic(
            "W702", message, span, notes=notes, help=f"write `batch {better}`, which leaves no batch of one"
        )


def check_first_loss(run: Run, loss: float) -> Diagnostic | None:
    """W701 where the first loss of an untrained classifier is far from that of guessing."""
    chance = run.objective.chance
    if any(parameter.is_given for parameter in run.graph.weights.values()):
        return None  # the author's weights may be good already
    if chance is None or min(run.recipe.batch, len(run.train)) < _FEWEST:
        return None
    if chance / FAR_OFF <= loss <= FAR_OFF * chance:
        return None
    above = loss > chance
    return Diagnostic(
        "W701",
        f"the first loss is {loss:.4g}; guessing costs {chance:.4g}, the logarithm of the number of classes",
        run.objective.terms[0].output.span,
        help="the initial scores are too large: scale the input (`normalize`), or write `init=normal` at the last layer"
        if above
        else "check the data: the input may contain the label, or all labels may be the same",
    )


def diverged(run: Run, feeds: dict[str, Array], epoch: int, step: int) -> CnncError:
    """E701, with the first layer whose weights, or whose activation on these feeds, the engine cannot represent."""
    path = run.folder / "last.safetensors"
    saved = f"the last good checkpoint is {path}; " if path.exists() else ""
    advice = f"try a lower learning rate, e.g. --set train.optimizer.lr={run.recipe.optimizer.lr / 10:g}"
    first, where = _not_finite(run, feeds), ""
    if first is not None:
        where = f"; {first.node.name} is the first layer that is not finite"
        if math.isfinite(first.largest):
            where = f"; {first.node.name} reaches {first.largest:,.0f}, and float16 ends at {run.engine.limit:,.0f}"
            advice = "write `--precision bf16`, which has the range of float32"
    message = f"training diverged at epoch {epoch + 1}, step {step + 1}: the loss is not finite{where}"
    span = None if first is None else first.node.span
    return CnncError(Diagnostic("E701", message, span, help=f"{saved}{advice}"))


class _Beyond(NamedTuple):
    """A layer, and the largest magnitude that it reaches."""

    node: Node
    largest: float


def _not_finite(run: Run, feeds: dict[str, Array]) -> _Beyond | None:
    """The first layer whose weights are not finite, else the first whose activation on these feeds is beyond the limit of
    the engine; or None."""
    graph, weights = run.graph, run.weights
    for node in graph.nodes:
        if any(not np.isfinite(weights[f"{node.parameter_owner}.{p.name}"]).all() for p in graph.parameters(node)):
            return _Beyond(node, math.inf)
    if not feeds:
        return None
    activations = forward(graph, weights, feeds, keep_all=True, training=True, random=_fixed_random).values
    for node in graph.nodes:
        if node.name in activations:
            largest = float(np.abs(to_channels_first(activations[node.name])).max(initial=0))
            if not largest <= run.engine.limit or math.isinf(largest):  # also nan
                return _Beyond(node, largest)
    return None


def _fixed_random(layer: str) -> np.random.Generator:
    return np.random.default_rng(Stream.DIVERGENCE.key(0, layer))
