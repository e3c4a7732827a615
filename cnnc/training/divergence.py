"""Whether a run is sound: its first loss, and that its numbers are finite.

In: a run. Out: W701 where an untrained network begins far from guessing, E701 where training diverged, with the layer to
blame. It changes nothing and saves nothing.
"""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Node
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.training.run import Run

FAR_OFF = 3.0  # a first loss so many times that of guessing is told


def odd_first_loss(run: Run, loss: float) -> Diagnostic | None:
    """W701 where an untrained classifier does not begin at about the loss of guessing."""
    chance = run.objective.chance
    if chance is None or chance / FAR_OFF <= loss <= FAR_OFF * chance:
        return None
    above = loss > chance
    return Diagnostic(
        "W701",
        f"the first loss is {loss:.4g}; guessing costs {chance:.4g}, the logarithm of the number of classes",
        run.objective.terms[0].output.span,
        help="the scores begin too large: scale the input (`normalize`), or give the last layer `init=normal`"
        if above
        else "the answer may be in the input, or all labels may be one",
    )


def diverged(run: Run, feeds: dict[str, Array], epoch: int, step: int) -> CnncError:
    """E701, naming the first layer whose weights, or whose value on these feeds, are not finite."""
    guilty = _not_finite(run, feeds)
    kept = run.folder / "last.safetensors"
    where = f"; {guilty.name} is the first layer that is not finite" if guilty is not None else ""
    saved = f"the last good checkpoint is {kept}; " if kept.exists() else ""
    return CnncError(
        Diagnostic(
            "E701",
            f"training diverged at epoch {epoch + 1}, step {step + 1}: the loss is not finite{where}",
            guilty.span if guilty is not None else None,
            help=f"{saved}try a lower learning rate, e.g. --set train.optimizer.lr={run.recipe.optimizer.lr / 10:g}",
        )
    )


def _not_finite(run: Run, feeds: dict[str, Array]) -> Node | None:
    graph, weights = run.graph, run.weights
    for node in graph.nodes:
        if any(not np.isfinite(weights[f"{node.parameter_owner}.{p.name}"]).all() for p in graph.parameters(node)):
            return node
    if not feeds:
        return None
    values = forward(graph, weights, feeds, keep_all=True, training=True, random=_fixed).values
    return next(
        (n for n in graph.nodes if n.name in values and not np.isfinite(to_channels_first(values[n.name])).all()), None
    )


def _fixed(layer: str) -> np.random.Generator:
    return np.random.default_rng(0)
