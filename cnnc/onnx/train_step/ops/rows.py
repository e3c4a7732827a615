"""The adjoint of Gather with constant indices, which several families use."""

from __future__ import annotations

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.train_step.step_emitter import StepEmitter


def gather_adjoint(e: StepEmitter, gradient: str, indices: Array, count: int, axis: int, rank: int) -> str:
    """`count` elements along an axis of a gradient with `rank` axes, each the sum of the elements gathered from it.

    Also a Gather, as ScatterElements takes far longer and adds only from opset 16 on: each element gathers the positions
    that read it. Where their number differs, the rest of them gather a zero that is appended.
    """
    table = _readers(indices, count)  # (count, most readers)
    if (table == len(indices)).any():
        amounts = [0] * rank + [1 if a == axis else 0 for a in range(rank)]
        gradient = e.new("Pad", gradient, e.sizes(*amounts), e.number(0))
    if table.shape[1] == 1:
        return e.new("Gather", gradient, e.constant(e.fresh_name("readers"), table[:, 0], np.int64), axis=axis)
    gathered = e.new("Gather", gradient, e.constant(e.fresh_name("readers"), table, np.int64), axis=axis)
    return e.reduce("Sum", gathered, [axis + 1])


def _readers(indices: Array, count: int) -> Array:
    """For each of `count` elements the positions in `indices` that hold it, then len(indices)."""
    order = np.argsort(indices, kind="stable")
    counts = np.bincount(indices, minlength=count)
    starts = np.cumsum(counts) - counts
    table = np.full((count, max(1, int(counts.max(initial=0)))), len(indices))
    element = indices[order]
    table[element, np.arange(len(order)) - starts[element]] = order
    return table
