"""Activations and dropout."""

from __future__ import annotations

from cnnc.export.emitter import Emitter, emission_of
from cnnc.graph import Node
from cnnc.ops.activation import Dropout, Relu, Sigmoid, Softmax, Tanh
from cnnc.ops.base import Op


@emission_of(Relu, Sigmoid, Tanh)
def _activation(e: Emitter, op: Op, node: Node, inputs: list[str]) -> None:
    e.op(type(op).__name__, inputs)


@emission_of(Softmax)
def _softmax(e: Emitter, op: Softmax, node: Node, inputs: list[str]) -> None:
    e.op("Softmax", inputs, axis=1)


@emission_of(Dropout)
def _dropout(e: Emitter, op: Dropout, node: Node, inputs: list[str]) -> None:
    e.op("Identity", inputs)  # only one that is an output is left by the passes
