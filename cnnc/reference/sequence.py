"""Embeddings: integers become vectors. x (N, T) of int64, weight (vocab, dim), output (N, T, dim)."""

from __future__ import annotations

from collections.abc import Mapping

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.ops.sequence import Embed
from cnnc.reference.registry import Gradients, Mode, Outcome, backward_of, forward_of
from cnnc.reference.reshape import sum_rows_by_index


@forward_of(Embed)
def embed(op: Embed, weights: Mapping[str, Array], inputs: tuple[Array, ...], mode: Mode) -> Outcome:
    """Raises CnncError E602 for an integer outside the vocabulary."""
    (x,) = inputs
    if x.size and not 0 <= x.min() <= x.max() < op.vocab:
        outside = x[(x < 0) | (x >= op.vocab)][0]
        raise CnncError.of("E602", f"embed takes integers from 0 to {op.vocab - 1}, not {outside}")
    return Outcome(weights["weight"][x], x)


@backward_of(Embed)
def embed_backward(op: Embed, weights: Mapping[str, Array], x: Array, gradient: Array, needs_dx: bool) -> Gradients:
    if op.frozen:
        return Gradients((None,))
    rows = gradient.reshape(-1, op.dim)  # (N·T, dim)
    return Gradients((None,), {"weight": sum_rows_by_index(rows, x.reshape(-1), op.vocab)})
