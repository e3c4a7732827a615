"""Emission of merges. ONNX broadcasts as the language does, since all operands have the same number of axes."""

from __future__ import annotations

from cnnc.graph.graph import Node
from cnnc.onnx.emit.emitter import Emitter, emission_of
from cnnc.ops.merge import Add, Concat, Maximum, Mul, Sub


@emission_of(Add)
def _add(e: Emitter, op: Add, node: Node, inputs: list[str]) -> None:
    e.op("Add" if len(inputs) == 2 else "Sum", inputs)


@emission_of(Sub)
def _sub(e: Emitter, op: Sub, node: Node, inputs: list[str]) -> None:
    e.op("Sub", inputs)


@emission_of(Mul)
def _mul(e: Emitter, op: Mul, node: Node, inputs: list[str]) -> None:
    if len(inputs) == 1:
        e.op("Identity", inputs)
        return
    product, *others = inputs
    for number, name in enumerate(others, 1):
        product = e.op("Mul", [product, name], "" if number == len(others) else e.inner_name(f"product{number}"))


@emission_of(Maximum)
def _maximum(e: Emitter, op: Maximum, node: Node, inputs: list[str]) -> None:
    e.op("Max", inputs)


@emission_of(Concat)
def _concat(e: Emitter, op: Concat, node: Node, inputs: list[str]) -> None:
    e.op("Concat", inputs, axis=1)
