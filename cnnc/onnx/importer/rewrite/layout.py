"""Rewrites a graph that is channels last (NHWC) in whole or in part into one that is channels first.

In: an `OnnxModel`. Out: a `ChannelsFirst`: the same graph without the transposes between the two layouts, and the names of the
inputs and outputs that were channels last and are now channels first. TensorFlow and Keras compute channels last, and
their exporters put a Transpose before and behind each operator that ONNX defines channels first.

Each tensor that is channels last in the model becomes a `channels_first` one of the same name in the rewritten graph. The
rules in layout_rules.py say what an operator does on such a tensor; for an operator without a rule, and where a rule does
not apply, a Transpose restores the tensor as it was.

Example: Transpose by (0, 3, 1, 2), Conv, Transpose by (0, 2, 3, 1), Relu, ReduceMean over the axes 1 and 2 becomes
Conv, Relu, ReduceMean over the axes 2 and 3, and the input N x H x W x C becomes N x C x H x W.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import ModelInput, OnnxModel, OnnxNode
from cnnc.onnx.importer.recognize.folding import FOLDABLE, fold
from cnnc.onnx.importer.recognize.values import Unsupported

Rule = Callable[["LayoutPass", OnnxNode], bool]
"""Rewrites a node that reads a channels-last tensor; False, with nothing added, where it does not apply."""
RULES: dict[str, Rule] = {}
SOURCES = ("Transpose", "Gather")  # their rules also apply where no input is channels last: their output may be
MAX_RANK = 5  # of a tensor with a layout: batch, channels and up to three spatial axes
MALFORMED = (
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
)  # what a rule may raise for what an untrusted file holds
MAX_INPUTS = 16  # inputs whose layout is determined; it takes a walk through the graph for each
# Operators that work on an input in any layout. On the way from an input to its first Transpose, they leave the layout open.
UNDECIDED = {"Add", "Cast", "Clip", "Concat", "Div", "Dropout", "Elu", "Erf", "Gather", "HardSigmoid", "HardSwish",
             "Identity", "LeakyRelu", "Mul", "Pad", "Relu", "Resize", "Sigmoid", "Slice", "Split", "Sub", "Tanh",
             "Upsample"}  # fmt: skip
CHANNELS_FIRST = {"AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "GlobalAveragePool", "GlobalMaxPool",
                  "InstanceNormalization", "MaxPool", "PRelu"}  # fmt: skip


class ChannelsFirst(NamedTuple):
    """The rewritten graph; `channels_last` are the names of the model's inputs and outputs whose layout changed."""

    model: OnnxModel
    channels_last: frozenset[str]


def rewrites(*ops: str) -> Callable[[Rule], Rule]:
    """Registers a rule for these ONNX operators in `RULES`."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


def to_last(rank: int) -> tuple[int, ...]:
    """The permutation that makes a tensor with this number of axes channels last."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    """The permutation that makes a channels-last tensor channels first."""
    return (0, rank - 1, *range(1, rank - 1))


def channels_first(model: OnnxModel) -> ChannelsFirst:
    """The graph of a model, channels first."""
    layout = LayoutPass(model)
    for node in model.nodes:
        layout.rewrite(node)
    return layout.result()


class Rewritten(NamedTuple):
    """The tensor of the rewritten graph that stands for a tensor of the model, and its number of axes."""

    name: str
    rank: int


class LayoutPass:
    """One walk through a graph.

    `last` holds the channels-last tensors of the model, each with its channels-first counterpart in the rewritten graph.
    `same` holds the outputs of removed transposes, each with the tensor that equals it. Other tensors keep their names.
    Tensors that are channels first in both are in `first` as far as that is known.
    """

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.last: dict[str, Rewritten] = {}
        self.same: dict[str, Rewritten] = {}
        self.nodes: list[OnnxNode] = []
        self.sequences = {p.name for p in model.inputs if len(p.shape or ()) == 2}  # tensors known to have two axes
        self.first: set[str] = set()  # tensors known to be channels first
        self.new_constants: dict[str, Array] = {}
        self._folded: dict[str, Array | None] = {}
        self._restored: dict[str, str] = {}
        self._names = {*model.constants, *(p.name for p in model.inputs), *model.node_by_output}
        for model_input in model.inputs[:MAX_INPUTS]:
            if is_channels_last(model, model_input):
                self.last[model_input.name] = Rewritten(model_input.name, len(model_input.shape or ()))

    def rewrite(self, node: OnnxNode) -> None:
        """Adds what a node becomes in the rewritten graph."""
        rule = None if node.domain else RULES.get(node.op)
        relevant = node.op in SOURCES or any(name in self.last for name in node.inputs)
        if rule is None or not relevant or not self._applies(rule, node):
            self.nodes.append(node._replace(inputs=tuple(self.as_in_model(name) for name in node.inputs)))
        if node.op in UNDECIDED and node.op != "Gather" and any(name in self.sequences for name in node.inputs):
            self.sequences.update(node.outputs)
        if node.op in CHANNELS_FIRST or (node.op in UNDECIDED and any(name in self.first for name in node.inputs)):
            self.first.update(node.outputs)

    def _applies(self, rule: Rule, node: OnnxNode) -> bool:
        """Applies a rule, and returns whether it rewrote the node."""
        before = len(self.nodes)
        try:
            return rule(self, node)
        except MALFORMED:  # the interpreter reports it
            del self.nodes[before:]
            self._restored.clear()
            return False

    def result(self) -> ChannelsFirst:
        """The rewritten graph, when all nodes have been rewritten."""
        for name in dict.fromkeys(self.model.outputs):
            counterpart = self.last.get(name) or self.same.get(name)
            if counterpart is not None and counterpart.name != name:  # an output keeps its name
                self._add_node(name, "Transpose", [counterpart.name], perm=tuple(range(counterpart.rank)))
        model = self.model
        rewritten = model.replaced(
            inputs=tuple(self._input(model_input) for model_input in model.inputs),
            nodes=tuple(self.nodes),
            constants={**model.constants, **self.new_constants} if self.new_constants else model.constants,
            removed=frozenset(self.same),
        )
        names = {*(p.name for p in model.inputs), *model.outputs}
        return ChannelsFirst(rewritten, frozenset(names & self.last.keys()))

    def _input(self, model_input: ModelInput) -> ModelInput:
        shape = model_input.shape
        if model_input.name not in self.last or shape is None:
            return model_input
        return model_input._replace(shape=tuple(shape[axis] for axis in to_first(len(shape))))

    # --- for rules ----------------------------------------------------------------------------------------------

    def rank(self, node: OnnxNode) -> int:
        """The number of axes of the first channels-last input of a node."""
        return next(self.last[name].rank for name in node.inputs if name in self.last)

    def as_in_model(self, name: str) -> str:
        """A tensor of the rewritten graph that equals one of the model: channels last where it is so there."""
        if name in self.same:
            return self.same[name].name
        if name not in self.last:
            return name
        if name not in self._restored:
            counterpart = self.last[name]
            self._restored[name] = self.add("Transpose", [counterpart.name], perm=to_last(counterpart.rank))
        return self._restored[name]

    def channels_first(self, name: str, rank: int) -> str | None:
        """A tensor of the rewritten graph that is a tensor of the model in channels-first order.

        A constant may have fewer axes than `rank`, as in an operator that broadcasts. None where there is no such tensor.
        """
        if name in self.last:
            return self.last[name].name if self.last[name].rank == rank else None
        array = self.value_of(name)
        if array is None:
            return self.add("Transpose", [self.as_in_model(name)], perm=to_first(rank)) if name else None
        if array.size == 1:
            return name
        if array.ndim > rank:
            return None
        return self.constant(array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(to_first(rank)), name)

    def emit(self, node: OnnxNode, rank: int) -> bool:
        """Adds a node whose outputs are channels first, and channels last in the model, with `rank` axes. Returns True.

        Two axes are a batch and its channels, in both layouts.
        """
        self.nodes.append(node)
        if rank > 2:
            self.last.update({output: Rewritten(output, rank) for output in node.outputs if output})
        return True

    def add(self, op: str, inputs: Sequence[str], **attributes: object) -> str:
        """Adds a node, and returns the name of its output."""
        output = self._unused_name(inputs[0])
        self._add_node(output, op, inputs, **attributes)
        return output

    def _add_node(self, output: str, op: str, inputs: Sequence[str], **attributes: object) -> None:
        self.nodes.append(OnnxNode(output, op, "", tuple(inputs), (output,), attributes))

    def constant(self, array: Array, near: str) -> str:
        """Adds a constant and returns its name, which resembles the name `near`."""
        name = self._unused_name(near)
        self.new_constants[name] = array
        return name

    def value_of(self, name: str) -> Array | None:
        """The array of a constant tensor, computed if need be; None for other tensors."""
        if name in self.model.constants:
            return self.model.constants[name]
        if name not in self.model.node_by_output:
            return None
        pending = [name]
        while pending:  # not recursive: a chain of constants can be as long as the graph
            current = pending[-1]
            node = self.model.node_by_output.get(current)
            if current in self._folded or current in self.model.constants or node is None:
                pending.pop()
                continue
            unknown = [n for n in node.inputs if n in self.model.node_by_output and n not in self._folded]
            if unknown and node.op in FOLDABLE and not node.domain:
                pending += unknown
                continue
            self._folded.update(self._fold(node))
            pending.pop()
        return self._folded.get(name)

    def _fold(self, node: OnnxNode) -> dict[str, Array | None]:
        """The outputs of a node, each None where they are not constants."""
        unknown: dict[str, Array | None] = dict.fromkeys((o for o in node.outputs if o), None)
        if node.op == "Constant" and isinstance(node.get("value"), np.ndarray):
            return {node.outputs[0]: node.get("value")}
        if node.op == "Constant":
            arrays = [np.asarray(v) for v in node.attributes.values() if isinstance(v, int | float | tuple)]
            numbers = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays if a.dtype.kind in "fi"]
            return {**unknown, node.outputs[0]: numbers[0] if numbers else None}
        inputs = [self._known(n) if n else None for n in node.inputs]
        if (
            node.op not in FOLDABLE
            or node.domain
            or any(a is None for a, n in zip(inputs, node.inputs, strict=True) if n)
        ):
            return unknown
        try:
            return {**unknown, **dict(zip(node.outputs, fold(node, inputs, self.model.opset), strict=False))}
        except Unsupported:
            return unknown

    def _known(self, name: str) -> Array | None:
        return self.model.constants[name] if name in self.model.constants else self._folded.get(name)

    def _unused_name(self, near: str) -> str:
        name = f"{near}~"
        while name in self._names:
            name += "~"
        self._names.add(name)
        return name


def is_channels_last(model: OnnxModel, model_input: ModelInput) -> bool:
    """Whether an input is channels last: the model transposes it to channels first before it decides on a layout.

    A sequence N x T x C counts only if a channels-first operator reads it transposed: the same permutation leads back.
    """
    rank = len(model_input.shape or ())
    if not 3 <= rank <= MAX_RANK:
        return False
    reached = {model_input.name}
    transposed: set[str] = set()
    for node in model.nodes:
        first = node.input_name(0)
        perm = node.get("perm", ())
        perm = perm if isinstance(perm, tuple) else ()
        if node.op == "Transpose" and first in reached and len(perm) >= rank and tuple(perm) == to_first(len(perm)):
            if len(perm) > 3:
                return True
            transposed.update(node.outputs)
        elif (node.op in UNDECIDED or _adds_spatial_axes(model, node, rank)) and not reached.isdisjoint(node.inputs):
            reached.update(node.outputs)
        elif first in transposed and node.op in CHANNELS_FIRST:
            return True
        elif not transposed.isdisjoint(node.inputs) and node.op in UNDECIDED:
            transposed.update(node.outputs)
    return False


def _adds_spatial_axes(model: OnnxModel, node: OnnxNode, rank: int) -> bool:
    """Whether a node is an Unsqueeze of a tensor with this number of axes between its batch and its last axis."""
    if node.op != "Unsqueeze":
        return False
    axes = np.ravel(model.constants.get(node.input_name(1), ()) if len(node.inputs) > 1 else node.get("axes", ()))
    if axes.dtype.kind != "i":
        return False
    positions = axes % (rank + axes.size)
    return bool(((positions > 0) & (positions < rank + axes.size - 1)).all())
