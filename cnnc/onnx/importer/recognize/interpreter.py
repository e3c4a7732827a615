"""Interprets an ONNX graph on layers instead of numbers: `Interpreter`, and `HANDLERS`, the table of operators.

In: an `OnnxModel`, a number for the batch, and one for each symbolic size. Out: for each tensor of the graph a
`LayerOutput`, an array or an `UnsupportedValue`, and the layers that were added on the way. The handlers are in
cnnc/onnx/importer/ops, one family of operators per file. A handler adds the layers of one node, and may look back at
the nodes before it to recognize a layer that an exporter wrote as several operators.

Example: MaxPool on a `LayerOutput` adds a `pool max` layer; Shape gives an array, and Gather, Concat and the other
operators that compute with sizes are folded as constants are. To find out whether the layers depend on the numbers
chosen for batch and sizes, layers.py interprets the graph again with other numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, cast

import numpy as np

from cnnc.core.arguments import BadValue
from cnnc.core.arrays import Array
from cnnc.core.tensor import DType
from cnnc.language.infer import MAX_ELEMENTS
from cnnc.onnx.importer.read.model import ModelInput, OnnxModel, OnnxNode
from cnnc.onnx.importer.recognize.folding import FOLDABLE, fold
from cnnc.onnx.importer.recognize.rearrange import NoLayerMoves, permutation_of, rearranging_layers
from cnnc.onnx.importer.recognize.values import (
    Cause,
    Layer,
    LayerOutput,
    Rearrangement,
    Unsupported,
    UnsupportedInput,
    UnsupportedValue,
)
from cnnc.onnx.importer.text.labels import suggested_name
from cnnc.ops.activation import Identity
from cnnc.ops.base import Op, ShapeError
from cnnc.ops.dense import Input
from cnnc.ops.reshape import ChannelShuffle, Flatten, Reshape, Select

HandlerResult = Layer | LayerOutput | Array | Sequence[Layer | LayerOutput | Array | None]
Handler = Callable[["Interpreter", OnnxNode], HandlerResult]
HANDLERS: dict[str, Handler] = {}
# What handlers raise for attributes of the wrong type or missing inputs: an untrusted file may hold anything.
_MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
# Operators with one input tensor whose output has the same shape and type.
_SHAPE_PRESERVING = frozenset(
    [
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "Celu",
        "Ceil",
        "Cos",
        "Cosh",
        "CumSum",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Hardmax",
        "HardSigmoid",
        "Log",
        "LogSoftmax",
        "LpNormalization",
        "MeanVarianceNormalization",
        "Pow",
        "Reciprocal",
        "RMSNormalization",
        "Round",
        "Shrink",
        "Sign",
        "Sin",
        "Sinh",
        "Softmax",
        "Softsign",
        "Sqrt",
        "Swish",
        "Tan",
        "ThresholdedRelu",
    ]
)
# Operators that are only parts of layers: where their input is unsupported, that is the whole cause.
_PARTS = frozenset(["Erf", "Reciprocal", "Sqrt"])
NO_LAYER = "the language has no layer for it"
MAX_CAUSES = 1000
MAX_AXIS_SIZE = 2**24
MAX_AXES = 4  # of a shape in the language, without the batch


def handles(*ops: str) -> Callable[[Handler], Handler]:
    """Registers a function `(interpreter, node)` in `HANDLERS` for these ONNX operators."""

    def register(function: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(ops, function))
        return function

    return register


def _fits_limits(shape: Sequence[int]) -> bool:
    """Whether a tensor of this shape is within cnnc's limits: a model can declare any sizes, and some layers have a
    parameter per channel."""
    return max(shape) <= MAX_AXIS_SIZE and prod(shape) <= MAX_ELEMENTS


class Interpreter:
    """One walk through a graph, with fixed numbers for the batch and the symbolic `sizes`.

    `values` holds what each tensor name stands for, `layers` all layers in the order they were added, `inputs` those
    of the graph's inputs, `node` the node that a handler is converting.
    """

    def __init__(self, model: OnnxModel, batch: int, sizes: Mapping[str, int]) -> None:
        self.model = model
        self.batch = batch
        self.sizes = sizes
        self.values: dict[str, LayerOutput | Array | UnsupportedValue] = dict(model.constants)
        self.layers: list[Layer] = []
        self.inputs: list[Layer] = []
        self.uint8_inputs: dict[str, Layer] = {}  # the language scales uint8 inputs to 0..1, ONNX does not
        self.placeholders: dict[int, Cause] = {}  # identity layers in place of unsupported ones, by id
        self.limits: list[Cause] = []  # nodes that have no layer at these sizes, but may have one at others
        self.node = OnnxNode("", "", "", (), (), {})

    def run(self) -> None:
        """Converts all inputs and nodes. Unsupported nodes raise nothing; `values` holds them as `UnsupportedValue`."""
        for model_input in self.model.inputs:
            self.values[model_input.name] = self._input(model_input)
        for node in self.model.nodes:
            self.node = node
            before = len(self.layers)
            try:
                result = self._convert(node)
            except Unsupported as error:
                if error.at_this_size:
                    self.limits.append(Cause(node.name, node.op, str(error), error.help))
                result = self._placeholder(node, error) or [UnsupportedValue(self._causes(node, error))]
            except UnsupportedInput:
                known = node.op in HANDLERS or node.op in FOLDABLE
                result = [UnsupportedValue(self._causes(node, None if known else Unsupported(NO_LAYER)))]
            for layer in self.layers[before:]:
                layer.node_name = layer.node_name or node.name
            if len(self.layers) > before:
                self.layers[-1].suggested_name = suggested_name(node, self.layers[-1], self.model)
            for name, value in zip(node.outputs, self._as_values(result, node), strict=False):
                if name:
                    self.values[name] = value

    def _as_values(self, result: Any, node: OnnxNode) -> list[Any]:
        """What a handler returned as one value for each output of the node."""
        several = isinstance(result, list | tuple) and not isinstance(result, LayerOutput | UnsupportedValue)
        values = [self.output_of(v) if isinstance(v, Layer) else v for v in (result if several else [result])]
        if len(values) == 1 and isinstance(values[0], UnsupportedValue):
            return values * len(node.outputs)
        unsupported = UnsupportedValue((Cause(node.name, node.op, "a layer computes only its first output"),))
        values += [None] * (len(node.outputs) - len(values))
        return [unsupported if value is None else value for value in values]

    def _convert(self, node: OnnxNode) -> Any:
        """Folds a node of constants, or calls its handler. Raises Unsupported, UnsupportedInput."""
        if node.domain:
            raise Unsupported(f"it belongs to the operator domain {node.domain}; cnnc imports ONNX's own operators")
        inputs = [self.values[name] if name else None for name in node.inputs]
        if all(value is None or isinstance(value, np.ndarray) for value in inputs) and node.op in FOLDABLE:
            return list(fold(node, inputs, self.model.opset))  # type: ignore[arg-type]
        handler = HANDLERS.get(node.op)
        if node.op in _PARTS and any(isinstance(value, UnsupportedValue) for value in inputs):
            raise UnsupportedInput
        if handler is None:
            raise Unsupported(NO_LAYER)
        try:
            return handler(self, node)
        except ShapeError as error:
            raise Unsupported(error.message) from None
        except BadValue as error:
            raise Unsupported(f"one of its numbers is not allowed: expected {error.expected}") from None
        except _MALFORMED as error:
            raise Unsupported(
                f"it does not follow ONNX's definition of the operator ({type(error).__name__})"
            ) from error

    def _placeholder(self, node: OnnxNode, error: Unsupported) -> Layer | None:
        """An identity in place of an unsupported node whose output has the type of its input.

        With it, the nodes that follow are checked too, and all unsupported nodes are listed at once.
        """
        value = self.values.get(node.input_name(0))
        if node.op not in _SHAPE_PRESERVING or node.domain or not isinstance(value, LayerOutput) or value.layer is None:
            return None
        layer = Layer(Identity(), (value.layer,), value.layer.type)
        self.layers.append(layer)
        self.placeholders[id(layer)] = Cause(node.name, node.op, str(error), error.help)
        return layer

    def _causes(self, node: OnnxNode, error: Unsupported | None) -> tuple[Cause, ...]:
        """The causes of a node's failure: those of its inputs and, where there is an error, the node itself."""
        causes: list[Cause] = []
        for name in node.inputs:
            value = self.values.get(name)
            if isinstance(value, UnsupportedValue):
                causes += value.causes
        if error is not None:
            causes.append(Cause(node.name, node.op, str(error), error.help))
        return tuple(dict.fromkeys(causes))[:MAX_CAUSES]

    def _input(self, model_input: ModelInput) -> LayerOutput | UnsupportedValue:
        """The layer of an input of the graph, or the reason why there is none."""

        def unsupported(reason: str) -> UnsupportedValue:
            return UnsupportedValue((Cause(model_input.name, "input", reason),))

        if model_input.dtype not in ("float32", "uint8", "int64"):
            return unsupported(f"its elements are {model_input.dtype}; the language has float32, uint8 and int64")
        if model_input.shape is None:
            return unsupported("the model does not declare its shape")
        if not 2 <= len(model_input.shape) <= MAX_AXES + 1:
            return unsupported(
                f"it has {len(model_input.shape)} axes; an input of the language has a batch and 1 to {MAX_AXES} more"
            )
        shape = tuple(self.sizes[s] if isinstance(s, str) else s for s in model_input.shape[1:])
        if any(n < 1 for n in shape):
            return unsupported("one of its sizes is 0")
        if not _fits_limits(shape):
            return unsupported("it is larger than the largest tensor of cnnc")
        symbols = tuple(s if isinstance(s, str) else "" for s in model_input.shape[1:])
        dtype = cast(DType, None if model_input.dtype == "float32" else model_input.dtype)
        op = Input(shape, dtype, symbols if any(symbols) else ())
        layer = Layer(op, (), op.output())
        layer.suggested_name, layer.node_name = model_input.name, model_input.name
        self.layers.append(layer)
        self.inputs.append(layer)
        if model_input.dtype == "uint8":
            self.uint8_inputs[model_input.name] = layer
            return unsupported("its uint8 values are used before they are cast to float32")
        return self.output_of(layer)

    # --- for handlers: reading -----------------------------------------------------------------------------

    def output_of(self, layer: Layer) -> LayerOutput:
        """The output of a layer as it is."""
        return LayerOutput((self.batch, *layer.shape), layer, (), layer)

    def node_of(self, name: str) -> OnnxNode | None:
        """The node that computes a tensor; None for inputs and initializers."""
        return self.model.node_by_output.get(name)

    def used_once(self, name: str) -> bool:
        """Whether exactly one node reads a tensor, and the tensor is not an output of the graph."""
        return self.model.use_counts[name] == 1

    def input_value(self, position: int) -> LayerOutput | Array | None:
        """An input of the current node; None where it is left out. Raises UnsupportedInput."""
        name = self.node.input_name(position)
        return self.value_of(name) if name else None

    def value_of(self, name: str) -> LayerOutput | Array:
        """What a tensor name stands for. Raises UnsupportedInput."""
        value = self.values[name]
        if isinstance(value, UnsupportedValue):
            raise UnsupportedInput
        return value

    def tensor(self, position: int = 0) -> LayerOutput:
        """An input of the current node that a layer computes. Raises Unsupported for a constant, UnsupportedInput."""
        value = self.input_value(position)
        if not isinstance(value, LayerOutput):
            raise Unsupported("its input is a constant; a layer reads the output of another layer")
        return value

    def layer(self, position: int = 0) -> Layer:
        """The layer that computes an input; a reshaped or transposed input adds one. Raises as `tensor`."""
        return self.as_layer(self.tensor(position))

    def layer_of(self, name: str) -> Layer:
        """As `layer`, by the name of the tensor."""
        value = self.value_of(name)
        if not isinstance(value, LayerOutput):
            raise Unsupported("its input is a constant; a layer reads the output of another layer")
        return self.as_layer(value)

    def constant(self, position: int, what: str) -> Array:
        """An input that is an array; `what` names it in the error. Raises Unsupported where a layer computes it."""
        value = self.input_value(position)
        if not isinstance(value, np.ndarray):
            raise Unsupported(f"its {what} is not a constant")
        return value

    def optional_constant(self, position: int, what: str) -> Array | None:
        """As `constant`, but None where the input is left out."""
        return self.constant(position, what) if self.node.input_name(position) else None

    def integers(self, position: int, key: str) -> tuple[int, ...] | None:
        """Integers that are an attribute in older opsets and an input in newer ones; None where they are left out."""
        if key in self.node.attributes:
            value = self.node.get(key)
            return value if isinstance(value, tuple) else (int(value),)
        array = self.optional_constant(position, key)
        return None if array is None else tuple(int(n) for n in array.ravel())

    def scalar(self, name: str) -> float | None:
        """The number in a constant of one element; None for other tensors."""
        value = self.values.get(name)
        return float(value.ravel()[0]) if isinstance(value, np.ndarray) and value.size == 1 else None

    # --- for handlers: adding layers ----------------------------------------------------------------------

    def add(
        self,
        cls: type[Op],
        inputs: Layer | Sequence[Layer],
        weights: Mapping[str, Array] | None = None,
        initializers: Sequence[str] = (),
        layer_arguments: Mapping[str, Layer] | None = None,
        **arguments: Any,
    ) -> Layer:
        """Adds a layer of an op class; `arguments` are those of the language, None for the default.

        For the other parameters see `Layer`. Raises ShapeError, BadValue, Unsupported.
        """
        input_layers = (inputs,) if isinstance(inputs, Layer) else tuple(inputs)
        rank = input_layers[0].rank if input_layers else 0
        op = cls.make(rank, **{k: v for k, v in arguments.items() if v is not None})
        return self.add_op(op, input_layers, weights, initializers, layer_arguments)

    def add_op(
        self,
        op: Op,
        inputs: Sequence[Layer],
        weights: Mapping[str, Array] | None = None,
        initializers: Sequence[str] = (),
        layer_arguments: Mapping[str, Layer] | None = None,
    ) -> Layer:
        """Adds a layer with a given op. Raises ShapeError, Unsupported."""
        types = tuple(layer.type for layer in inputs)
        for type_ in types:
            if type_.dtype not in op.takes:
                raise Unsupported(f"{op.keyword} takes {' or '.join(op.takes)}, not {type_.dtype}")
        output = op.output(*types)
        if not _fits_limits(output.shape):
            raise Unsupported("its output is larger than the largest tensor of cnnc")
        arrays = {name: np.asarray(a, np.float32) for name, a in (weights or {}).items()}
        shapes = {p.name: p.shape for p in op.parameters(*types)}
        if shapes != {name: a.shape for name, a in arrays.items()}:
            raise Unsupported(f"its weights do not have the shapes of {op.keyword}")
        if not all(np.isfinite(a).all() for a in arrays.values()):
            raise Unsupported("its weights are not all finite numbers")
        layer = Layer(op, tuple(inputs), output, arrays, tuple(initializers), layer_arguments)
        self.layers.append(layer)
        return layer

    def as_layer(self, value: LayerOutput) -> Layer:
        """The layer whose output this is; layers are added for pending rearrangements. Raises Unsupported."""
        if value.layer is not None:
            return value.layer
        layer = value.root
        try:
            calls = rearranging_layers(value, self.batch)
        except NoLayerMoves as error:
            return self._permuted(value, error)
        for cls, arguments in calls:
            layer = self.add(cls, layer, **arguments)
            if cls in (ChannelShuffle, Select) and not value.root.rank and len(value.shape) > 2:
                layer.permutation = permutation_of(value, self.batch)
        return layer

    def _permuted(self, value: LayerOutput, error: NoLayerMoves) -> Layer:
        """A placeholder for a permutation of all elements of an example, which permutations.py moves into an fc."""
        permutation = permutation_of(value, self.batch)
        if permutation is None:
            raise error
        vector = value.root if not value.root.rank else self.add(Flatten, value.root)
        layer = Layer(Identity(), (vector,), vector.type)
        layer.permutation = permutation
        self.layers.append(layer)
        self.placeholders[id(layer)] = Cause(self.node.name, self.node.op, str(error), error.help)
        return layer if len(value.shape) == 2 else self.add(Reshape, layer, shape=value.shape[1:])

    def rearranged(
        self, value: LayerOutput, step: Rearrangement, shape: tuple[int, ...], flatten: bool = True
    ) -> LayerOutput:
        """The value after one more rearrangement, `shape` its new shape.

        A reshape that the language can express adds its layer at once: for vectors flatten, if `flatten` allows it.
        """
        rearrangements = (*value.rearrangements, step)
        if step.kind == "reshape" and shape == value.shape:
            return value
        legal = shape[0] == self.batch and 2 <= len(shape) <= MAX_AXES + 1 and step.kind == "reshape"
        if not legal or value.layer is None:
            return LayerOutput(shape, value.root, rearrangements)
        flat = len(shape) == 2 and flatten
        layer = self.add(Flatten, value.layer) if flat else self.add(Reshape, value.layer, shape=shape[1:])
        return LayerOutput(shape, value.root, rearrangements, layer)
