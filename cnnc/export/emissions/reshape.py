"""Layers that rearrange values."""

from __future__ import annotations

import numpy as np

from cnnc.export.emitter import Emitter, emission_of
from cnnc.graph import Node
from cnnc.ops.reshape import Flatten, Reshape


@emission_of(Flatten)
def _flatten(e: Emitter, op: Flatten, node: Node, inputs: list[str]) -> None:
    e.op("Flatten", inputs, axis=1)


@emission_of(Reshape)
def _reshape(e: Emitter, op: Reshape, node: Node, inputs: list[str]) -> None:
    shape = e.constant(e.inner("shape"), [0, *op.shape], np.int64)  # 0: the batch, whatever it is
    e.op("Reshape", [*inputs, shape])
