"""Emission of embeddings."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.ops.sequence import Embed


@emission_of(Embed)
def _embed(e: Emitter, op: Embed, node: Node, inputs: list[str]) -> None:
    rows = e.op("Gather", [e.weight("weight"), *inputs], e.inner_name("rows"), axis=0)  # (N, T, dim)
    e.op("Transpose", [rows], perm=[0, 2, 1])
