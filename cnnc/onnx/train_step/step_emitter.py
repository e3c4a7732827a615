"""The tools of the step graph: `StepEmitter`, an emitter whose weights are inputs, and the tables of a layer's training.

    EMISSIONS            (emit/emitter.py) the forward nodes of a layer, here as well
    TRAINING_EMISSIONS   those of layers that compute something else in training
    BACKWARDS            the nodes that compute the gradients of a layer's inputs and weights

The functions are in ops/, one file per layer family. Example:

    @backward_of(Sigmoid)
    def _sigmoid(e: StepEmitter, op: Sigmoid, node: Node, at: Passed) -> InputGradients:
        slope = e.new("Mul", at.output, e.new("Sub", e.number(1), at.output))
        return Gradients((e.new("Mul", at.gradient, slope),))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cnnc.core.tensor import Parameter
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node
from cnnc.onnx.emit.emitter import AXIS_END, Emission, Emitter
from cnnc.ops.base import Op

GRADIENT, UPDATE = "gradient", "update"


class StepEmitter(Emitter):
    """An emitter whose weights are inputs of the graph, named and shaped as in a checkpoint.

    Tensors inside a layer are named `conv1.flat` in the forward pass, `conv1.gradient.flat` within `stage("gradient")`.
    `saved` holds, by layer, what a function of `TRAINING_EMISSIONS` returned. `updated` holds the new value of buffers
    by full name.
    """

    def __init__(self, graph: Graph, opset: int) -> None:
        super().__init__(graph, {}, opset)
        self.weight_inputs: dict[str, Parameter] = {}
        self.saved: dict[str, Any] = {}
        self.updated: dict[str, str] = {}
        self._stage = ""
        self._shared: dict[str, str] = {}

    @contextmanager
    def stage(self, node: Node, name: str = "") -> Iterator[None]:
        """The nodes that are added inside belong to this layer and to a stage of the step, "" for the forward pass."""
        before, self.node, self._stage = (self.node, self._stage), node, f"{name}." if name else ""
        yield
        self.node, self._stage = before

    def inner_name(self, suffix: str) -> str:
        return super().inner_name(self._stage + suffix)

    def op(self, type_: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        if self._stage and not output:
            output = self.fresh_name(type_.lower())
        return super().op(type_, inputs, output, **attributes)

    def new(self, type_: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node whose output gets a fresh name inside the current layer."""
        return self.op(type_, inputs, self.fresh_name(type_.lower()), **attributes)

    def number(self, value: float, dtype: Any = np.float32) -> str:
        """A constant with one element, of which the graph has one for each value."""
        return self.constant(f"train.number.{np.dtype(dtype)}.{value!r}", value, dtype)

    def shared(self, key: str, build: Callable[[], str]) -> str:
        """The tensor that `build` adds at the first call with this key, for what all layers share."""
        if key not in self._shared:
            self._shared[key] = build()
        return self._shared[key]

    def sizes(self, *values: int) -> str:
        """A vector of integers (a shape, axes), of which the graph has one for each value."""
        return self.constant(f"train.sizes.{'_'.join(map(str, values))}", list(values), np.int64)

    def reduce(self, kind: str, x: str, axes: Sequence[int], keepdims: bool = False) -> str:
        """ReduceSum, ReduceMean, ... of a tensor over axes."""
        if kind == "Sum" or self.opset >= 18:
            return self.new(f"Reduce{kind}", x, self.sizes(*axes), keepdims=int(keepdims))
        return self.new(f"Reduce{kind}", x, axes=list(axes), keepdims=int(keepdims))

    def reshape(self, x: str, *shape: int) -> str:
        """A tensor in another shape; 0 copies a size, -1 is computed."""
        return self.new("Reshape", x, self.sizes(*shape))

    def slice(
        self, x: str, begins: Sequence[int], ends: Sequence[int], axes: Sequence[int], steps: Sequence[int] = ()
    ) -> str:
        """A part of a tensor, on these axes."""
        steps_input = [self.sizes(*steps)] if any(step != 1 for step in steps) else []
        return self.new("Slice", x, self.sizes(*begins), self.sizes(*ends), self.sizes(*axes), *steps_input)

    def where(self, condition: str, value: str) -> str:
        """A tensor where a condition of its shape holds, 0 elsewhere; onnxruntime's Where takes seven times as long."""
        return self.new("Mul", value, self.new("Cast", condition, to=TensorProto.FLOAT))

    def choose(self, condition: str, if_true: float, if_false: float) -> str:
        """One of two numbers at each element."""
        difference = self.new("Mul", self.new("Cast", condition, to=TensorProto.FLOAT), self.number(if_true - if_false))
        return self.new("Add", difference, self.number(if_false)) if if_false else difference

    def zeros(self, shape: str) -> str:
        """Zeros of the shape that a tensor holds."""
        return self.new("ConstantOfShape", shape, value=numpy_helper.from_array(np.zeros(1, np.float32)))

    def require_opset(self, least: int, purpose: str) -> None:
        """Raises CnncError E805 if the current layer needs a newer opset; `purpose` completes "its gradient"."""
        assert self.node is not None
        if self.opset < least:
            message = f"the training step of {self.node.name} cannot be exported at opset {self.opset}: its gradient {purpose}"
            help = f"`--opset {least}` or later can express it"
            raise CnncError.of("E805", message, span=self.node.span, help=help)

    def add_input(self, name: str, shape: Sequence[int | str], dtype: int = TensorProto.FLOAT) -> str:
        """Adds an input of the graph and returns its name."""
        self.inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    # --- weights ---------------------------------------------------------------------------------------------------

    def weight(self, name: str) -> str:
        assert self.node is not None
        full = f"{self.node.parameter_owner}.{name}"
        return self.updated.get(full, self.weight_input(full))

    def weight_input(self, full: str) -> str:
        """The input of a weight or buffer by its full name; added where the graph has none yet."""
        if full not in self.weight_inputs:
            self.weight_inputs[full] = self.graph.weights[full]
            self.add_input(full, self.graph.weights[full].shape)
        return full

    def arranged(self, name: str, shape: Sequence[int], perm: Sequence[int] | None = None) -> str:
        weight = self.weight(name)
        if perm is not None:
            weight = self.new("Transpose", weight, perm=list(perm))
        return self.reshape(weight, *shape)

    def rotated(self, name: str, stored: str) -> str:
        return self.rotate(self.weight(name), self._rank())

    def rotate(self, weight: str, rank: int) -> str:
        """A weight (O, C, kh, kw) rotated by 180°: reversed on its `rank` spatial axes."""
        return self.slice(weight, [-1] * rank, [-AXIS_END] * rank, range(2, 2 + rank), [-1] * rank)

    def _rank(self) -> int:
        assert self.node is not None
        return self.node.type.rank


class Passed(NamedTuple):
    """What a backward function gets, names of tensors: the layer's inputs, its output, and the gradient of its output.

    `needed` says for each input whether its gradient is needed, `trains` whether the gradients of the weights are.
    `saved` is what the layer's function in `TRAINING_EMISSIONS` returned; `types` are the types of the inputs.
    """

    inputs: list[str]
    output: str
    gradient: str
    needed: tuple[bool, ...]
    trains: bool
    saved: Any = None


class TensorGradients(NamedTuple):
    """The gradients of a layer's inputs, None where not needed, and of its weights by short name; names of tensors."""

    inputs: tuple[str | None, ...]
    weights: Mapping[str, str] = {}


StepBackward = Callable[[StepEmitter, Any, Node, Passed], TensorGradients]
"""(emitter, op, node, Passed): adds the nodes that compute the gradients of a layer's inputs and weights."""

TRAINING_EMISSIONS: dict[type[Op], Emission] = {}
BACKWARDS: dict[type[Op], StepBackward] = {}


def training_emission_of(*ops: type[Op]) -> Callable[[Any], Any]:
    """Registers a function `(emitter, op, node, inputs)` for these op classes; what it returns becomes `Passed.saved`."""

    def register(function: Any) -> Any:
        TRAINING_EMISSIONS.update(dict.fromkeys(ops, function))
        return function

    return register


def backward_of(*ops: type[Op]) -> Callable[[StepBackward], StepBackward]:
    """Registers the backward function of these op classes."""

    def register(function: StepBackward) -> StepBackward:
        BACKWARDS.update(dict.fromkeys(ops, function))
        return function

    return register
