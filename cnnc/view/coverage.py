"""How often each element of an input is read, through one layer or through many.

In: a layer, or a graph and the name of a layer. Out: `Coverage` or `Paths`, whose counts are exact up to 2^53. A layer reads its
input separately on each axis, so that its counts are products of matrices with one row per output and one column per
element. Through several layers they are numbers of paths: those of branches add up. Channels do not count: one stands for all.

    window_coverage(op, x).counts          # [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    paths(graph, "conv2", outputs)["input1"].counts
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Graph, Node, needed_nodes
from cnnc.ops.base import Op, Window
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.filter import Filter
from cnnc.ops.local import Local
from cnnc.ops.pool import Pool
from cnnc.ops.spectrogram import Spectrogram
from cnnc.ops.window import AxisRule, TransposedRule

_TOO_LARGE, _DOWN = 1e200, 600
"""Counts above this are scaled down by this power of 2."""
_LEAST = 2.0**-1000
"""What a count is at least after that, so that an element that is read once does not become one that is never read."""


class Coverage(NamedTuple):
    """How often each element of an input is read: `counts` (*spatial) times 2 to the `exponent`, and what that counts in words.

    `outputs` is the number of outputs that read them, `taps` how many elements each of them reads with those of padding;
    None where that is not one number.
    """

    title: str
    counts: Array
    outputs: int
    taps: int | None = None
    exponent: int = 0


class Paths(NamedTuple):
    """The number of paths from each position of a tensor: `counts` (*spatial) times 2 to the `exponent`."""

    counts: Array
    exponent: int = 0

    def plus(self, other: Paths) -> Paths:
        """The sum; what is far smaller than the largest count is lost in rounding, but stays above 0."""
        exponent = max(self.exponent, other.exponent)
        return Paths(_scaled(self, exponent) + _scaled(other, exponent), exponent)

    def reduced(self) -> Paths:
        """The same numbers with counts that can be multiplied and added further."""
        if self.counts.max(initial=0) <= _TOO_LARGE:
            return self
        return Paths(_scaled(self, self.exponent + _DOWN), self.exponent + _DOWN)


def _scaled(paths: Paths, exponent: int) -> Array:
    """The counts of paths for another, not smaller exponent."""
    if exponent == paths.exponent:
        return paths.counts
    counts: Array = np.ldexp(paths.counts, paths.exponent - exponent)
    return np.where(paths.counts > 0, np.maximum(counts, _LEAST), 0)


def window_coverage(op: Any, x: TensorType, title: str = "") -> Coverage:
    """How often a layer with windows reads each position of its input."""
    rules = op.rules(x)
    outputs = int(np.prod([rule.out for rule in rules]))
    counts = _back(np.ones(tuple(rule.out for rule in rules)), [_rule_matrix(rule) for rule in rules])
    return Coverage(title, counts, outputs, int(np.prod([rule.k for rule in rules])))


def layer_coverage(graph: Graph, node: Node) -> Coverage:
    """How often a layer reads each position of its first input."""
    types = graph.input_types(node)
    ones = np.ones(node.type.spatial)
    counts = _through(node.op, ones, 0, types, node.type)
    return Coverage(f"{node.inputs[0]}, read by {node.name}", counts, ones.size)


def paths(graph: Graph, name: str, outputs: Array) -> dict[str, Paths]:
    """For each tensor that layer `name` depends on, the paths from each position to the outputs, weighted by `outputs`."""
    pending = {name: Paths(np.asarray(outputs, float))}
    for node in reversed(needed_nodes(graph, [name])):
        if node.name not in pending:
            continue
        types, after = graph.input_types(node), pending[node.name]
        for operand, read in enumerate(node.inputs):
            through = Paths(_through(node.op, after.counts, operand, types, node.type), after.exponent)
            pending[read] = (pending[read].plus(through) if read in pending else through).reduced()
    return pending


def _through(op: Op, counts: Array, operand: int, types: tuple[TensorType, ...], out: TensorType) -> Array:
    """The counts of an input of a layer from those of its output."""
    sizes = types[operand].spatial
    if isinstance(op, Conv | Local | Filter | Pool | ConvTranspose):
        return _back(counts, [_rule_matrix(rule) for rule in op.rules(types[0])])
    if isinstance(op, Spectrogram):  # all frequencies of a frame read the same samples
        return _back(counts.sum(0), [_rule_matrix(rule) for rule in op.rules(types[0])])
    windows = op.reads(operand, *types)
    if len(out.spatial) != len(sizes) or len(windows) != len(sizes):  # positions do not correspond: each reads all
        return np.full(sizes, float(counts.sum()))
    return _back(counts, [_window_matrix(w, n, m) for w, n, m in zip(windows, out.spatial, sizes, strict=True)])


def _back(counts: Array, matrices: list[Array]) -> Array:
    for axis, matrix in enumerate(matrices):
        counts = np.moveaxis(np.tensordot(counts, matrix, (axis, 0)), -1, axis)
    return counts


def _rule_matrix(rule: AxisRule | TransposedRule) -> Array:
    """Which elements (columns) each output (rows) reads on an axis."""
    matrix = np.zeros((rule.out, rule.m))
    if isinstance(rule, TransposedRule):
        for element in range(rule.m):
            places = element * rule.s + np.arange(rule.k) * rule.d - rule.begin
            matrix[places[(places >= 0) & (places < rule.out)], element] = 1
        return matrix
    for output in range(rule.out):
        places = output * rule.s + np.arange(rule.k) * rule.d - rule.begin
        matrix[output, places[(places >= 0) & (places < rule.m)]] = 1
    return matrix


def _window_matrix(window: Window, outputs: int, elements: int) -> Array:
    matrix = np.zeros((outputs, elements))
    whole = window.size == elements and window.step == 1 and window.first == 0 and outputs != 1
    for output in range(outputs):
        low = window.first + window.step * (0 if whole and elements > 1 else output)
        matrix[output, max(0, ceil(low)) : max(0, floor(low + window.size - 1) + 1)] = 1
    return matrix


def positions(type: TensorType, at: Axes) -> Array:
    """1 at a position, 0 elsewhere."""
    values = np.zeros(type.spatial)
    values[at] = 1
    return values
