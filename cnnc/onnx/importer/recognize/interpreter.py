"""Runs an ONNX graph on layers instead of numbers: `Interpreter`, and the table of operators, `IMPORTS`.

In: a `Model`, a number that stands for the batch, and one for each symbol. Out: a `Value`, an array or
`Refused` for each name of the graph, and the layers that were made on the way. The functions of the table
stand in imports/, a family a file; each makes layers of one step, and may look back at the steps before it,
so that what several operators do together becomes the layer it is.

Sizes are plain numbers here, so all that a graph computes from them (Shape, Gather, Concat, ...) is folded
as constants are. Whether the layers depend on the numbers chosen is found by choosing others (network.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, cast

import numpy as np

from cnnc.core.arguments import BadValue
from cnnc.core.arrays import Array
from cnnc.core.tensor import DType
from cnnc.onnx.importer.read.model import Model, Port, Step
from cnnc.onnx.importer.recognize.folding import FOLDABLE, fold
from cnnc.onnx.importer.recognize.rearrange import recognise
from cnnc.onnx.importer.recognize.values import Blocked, Cause, Layer, Move, Refusal, Refused, Value
from cnnc.onnx.importer.text.labels import hint
from cnnc.ops.activation import Identity
from cnnc.ops.base import Op, ShapeError
from cnnc.ops.dense import Input
from cnnc.ops.reshape import Flatten, Reshape

Made = Layer | Value | Array | Sequence[Layer | Value | Array | None]
Import = Callable[["Interpreter", Step], Made]
IMPORTS: dict[str, Import] = {}
# What comes of attributes of the wrong kind, or inputs that are lacking: a stranger's file may hold anything.
_MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
# Operators of one tensor whose output has its shape and type.
_ALIKE = frozenset(
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
NO_LAYER = "the language has no layer for it"
MAX_CAUSES = 1000
MAX_SIZE = 2**24  # of one axis
MAX_ELEMENTS = 2**33  # of one tensor, as in the language
MAX_AXES = 4  # of a shape in the language, without the batch


def import_of(*ops: str) -> Callable[[Import], Import]:
    """Enters a function `(interpreter, step)` in the table, for these operators of ONNX."""

    def enter(function: Import) -> Import:
        IMPORTS.update(dict.fromkeys(ops, function))
        return function

    return enter


def _is_held(shape: Sequence[int]) -> bool:
    """Whether a tensor is of a size that a network may have: a model can say any, and some layers have a number a channel."""
    return max(shape) <= MAX_SIZE and prod(shape) <= MAX_ELEMENTS


class Interpreter:
    """One run over a graph."""

    def __init__(self, model: Model, batch: int, sizes: Mapping[str, int]) -> None:
        self.model = model
        self.batch = batch
        self.sizes = sizes
        self.values: dict[str, Value | Array | Refused] = dict(model.constants)
        self.layers: list[Layer] = []
        self.inputs: list[Layer] = []
        self.bytes: dict[str, Layer] = {}  # inputs of uint8, which in the language are scaled to 0..1
        self.holes: dict[int, Cause] = {}  # layers that stand for what was refused
        self.step = Step("", "", "", (), (), {})

    def run(self) -> None:
        for port in self.model.inputs:
            self.values[port.name] = self._input(port)
        for step in self.model.steps:
            self.step = step
            before = len(self.layers)
            try:
                made = self._made(step)
            except Refusal as refusal:
                made = self._hole(step, str(refusal)) or [Refused(self._blame(step, str(refusal)))]
            except Blocked:
                known = step.op in IMPORTS or step.op in FOLDABLE
                made = [Refused(self._blame(step, "" if known else NO_LAYER))]
            for layer in self.layers[before:]:
                layer.step = layer.step or step.name
            if len(self.layers) > before:
                self.layers[-1].hint = hint(step, self.layers[-1], self.model)
            for name, value in zip(step.outputs, self._each(made, step), strict=False):
                if name:
                    self.values[name] = value

    def _each(self, made: Any, step: Step) -> list[Any]:
        found = list(made) if isinstance(made, list | tuple) and not isinstance(made, Value | Refused) else [made]
        found = [self.value(m) if isinstance(m, Layer) else m for m in found]
        if len(found) == 1 and isinstance(found[0], Refused):
            return found * len(step.outputs)
        unknown = Refused((Cause(step.name, step.op, "only its first output has a counterpart"),))
        found += [None] * (len(step.outputs) - len(found))
        return [unknown if f is None else f for f in found]

    def _made(self, step: Step) -> Any:
        if step.domain:
            raise Refusal(f"it is of the domain {step.domain}, which cnnc does not know")
        given = [self.values[name] if name else None for name in step.inputs]
        if all(g is None or isinstance(g, np.ndarray) for g in given) and step.op in FOLDABLE:
            return list(fold(step, given, self.model.opset))  # type: ignore[arg-type]
        handler = IMPORTS.get(step.op)
        if handler is None:
            raise Refusal(NO_LAYER)
        try:
            return handler(self, step)
        except ShapeError as error:
            raise Refusal(error.message) from None
        except BadValue as error:
            raise Refusal(f"a number of it is none that a layer takes: {error.expected}") from None
        except _MALFORMED as error:
            raise Refusal(f"it is not as ONNX defines it ({type(error).__name__})") from error

    def _hole(self, step: Step, reason: str) -> Layer | None:
        """A layer that stands for a refused one whose output is like its input, so that what follows is looked at too."""
        value = self.values.get(step.input(0))
        if step.op not in _ALIKE or step.domain or not isinstance(value, Value) or value.layer is None:
            return None
        layer = Layer(Identity(), (value.layer,), value.layer.type)
        self.layers.append(layer)
        self.holes[id(layer)] = Cause(step.name, step.op, reason)
        return layer

    def _blame(self, step: Step, reason: str) -> tuple[Cause, ...]:
        """What stands in the way of a step: in what it reads, and, where there is a reason, the step itself."""
        causes: list[Cause] = []
        for name in step.inputs:
            value = self.values.get(name)
            if isinstance(value, Refused):
                causes += value.causes
        if reason:
            causes.append(Cause(step.name, step.op, reason))
        return tuple(dict.fromkeys(causes))[:MAX_CAUSES]

    def _input(self, port: Port) -> Value | Refused:
        def refused(reason: str) -> Refused:
            return Refused((Cause(port.name, "input", reason),))

        if port.dtype not in ("float32", "uint8", "int64"):
            return refused(f"its elements are {port.dtype}; the language has float32, uint8 and int64")
        if port.shape is None:
            return refused("the model does not say its shape")
        if not 2 <= len(port.shape) <= MAX_AXES + 1:
            return refused(f"it has {len(port.shape)} axes; the language has a batch and one to {MAX_AXES} more")
        shape = tuple(self.sizes[s] if isinstance(s, str) else s for s in port.shape[1:])
        if any(n < 1 for n in shape):
            return refused("a size of it is 0")
        if not _is_held(shape):
            return refused("it is larger than any tensor that cnnc takes")
        symbols = tuple(s if isinstance(s, str) else "" for s in port.shape[1:])
        dtype = cast(DType, None if port.dtype == "float32" else port.dtype)
        op = Input(shape, dtype, symbols if any(symbols) else ())
        layer = Layer(op, (), op.output())
        layer.hint, layer.step = port.name, port.name
        self.layers.append(layer)
        self.inputs.append(layer)
        if port.dtype == "uint8":
            self.bytes[port.name] = layer
            return refused("its bytes are used before they are cast to float32")
        return self.value(layer)

    # --- what handlers use: reading ------------------------------------------------------------------------

    def value(self, layer: Layer) -> Value:
        return Value((self.batch, *layer.shape), layer, (), layer)

    def maker(self, name: str) -> Step | None:
        """The step that makes a value; None for inputs and initializers."""
        return self.model.makers.get(name)

    def sole(self, name: str) -> bool:
        """Whether one step alone reads a value, and it is no output."""
        return self.model.readers[name] == 1

    def get(self, place: int) -> Value | Array | None:
        """An input of the step; None where it is left out. Raises Blocked."""
        name = self.step.input(place)
        return self.named(name) if name else None

    def named(self, name: str) -> Value | Array:
        value = self.values[name]
        if isinstance(value, Refused):
            raise Blocked
        return value

    def tensor(self, place: int = 0) -> Value:
        """An input that a layer made. Raises Refusal for a constant."""
        value = self.get(place)
        if not isinstance(value, Value):
            raise Refusal("it works on a constant where the language has a layer's output")
        return value

    def layer(self, place: int = 0) -> Layer:
        """The layer that makes an input; one is added where its axes were only moved about."""
        return self.plain(self.tensor(place))

    def layer_named(self, name: str) -> Layer:
        value = self.named(name)
        if not isinstance(value, Value):
            raise Refusal("it works on a constant where the language has a layer's output")
        return self.plain(value)

    def constant(self, place: int, what: str) -> Array:
        """An input that is an array. Raises Refusal for one that is computed from the network's input."""
        value = self.get(place)
        if not isinstance(value, np.ndarray):
            raise Refusal(f"its {what} is no constant")
        return value

    def optional(self, place: int, what: str) -> Array | None:
        return self.constant(place, what) if self.step.input(place) else None

    def integers(self, place: int, key: str) -> tuple[int, ...] | None:
        """Whole numbers that are an attribute in older opsets and an input in newer ones; None where left out."""
        if key in self.step.attributes:
            found = self.step.get(key)
            return found if isinstance(found, tuple) else (int(found),)
        array = self.optional(place, key)
        return None if array is None else tuple(int(n) for n in array.ravel())

    def scalar(self, name: str) -> float | None:
        """The number that a value is, where it is a constant of one element."""
        value = self.values.get(name)
        return float(value.ravel()[0]) if isinstance(value, np.ndarray) and value.size == 1 else None

    # --- what handlers use: making -------------------------------------------------------------------------

    def add(
        self,
        cls: type[Op],
        inputs: Layer | Sequence[Layer],
        weights: Mapping[str, Array] | None = None,
        keys: Sequence[str] = (),
        names: Mapping[str, Layer] | None = None,
        **values: Any,
    ) -> Layer:
        """Adds a layer; `values` are as the language has them. Raises ShapeError, BadValue, Refusal."""
        reads = (inputs,) if isinstance(inputs, Layer) else tuple(inputs)
        op = cls.make(reads[0].rank if reads else 0, **{k: v for k, v in values.items() if v is not None})
        return self.add_op(op, reads, weights, keys, names)

    def add_op(
        self,
        op: Op,
        inputs: Sequence[Layer],
        weights: Mapping[str, Array] | None = None,
        keys: Sequence[str] = (),
        names: Mapping[str, Layer] | None = None,
    ) -> Layer:
        types = tuple(layer.type for layer in inputs)
        for type_ in types:
            if type_.dtype not in op.takes:
                raise Refusal(f"{op.keyword} takes {' or '.join(op.takes)}, not {type_.dtype}")
        made = op.output(*types)
        if not _is_held(made.shape):
            raise Refusal("what it makes is larger than any tensor that cnnc takes")
        found = {name: np.asarray(a, np.float32) for name, a in (weights or {}).items()}
        wanted = {p.name: p.shape for p in op.parameters(*types)}
        if wanted != {name: a.shape for name, a in found.items()}:
            raise Refusal(f"its weights do not have the shapes that {op.keyword} has")
        if not all(np.isfinite(a).all() for a in found.values()):
            raise Refusal("its weights are not all finite numbers")
        layer = Layer(op, tuple(inputs), made, found, tuple(keys), names)
        self.layers.append(layer)
        return layer

    def plain(self, value: Value) -> Layer:
        """The layer that makes a value; where its axes were moved about, layers that do so. Raises Refusal."""
        if value.layer is not None:
            return value.layer
        layer = value.root
        for cls, values in recognise(value, self.batch):
            layer = self.add(cls, layer, **values)
        return layer

    def moved(self, value: Value, move: Move, shape: tuple[int, ...], flatten: bool = True) -> Value:
        """The value with one more move; a layer at once where the language has one, which for vectors may be `flatten`."""
        moves = (*value.moves, move)
        if move.kind == "reshape" and shape == value.shape:
            return value
        legal = shape[0] == self.batch and 2 <= len(shape) <= MAX_AXES + 1 and move.kind == "reshape"
        if not legal or value.layer is None:
            return Value(shape, value.root, moves)
        flat = len(shape) == 2 and flatten
        layer = self.add(Flatten, value.layer) if flat else self.add(Reshape, value.layer, shape=shape[1:])
        return Value(shape, value.root, moves, layer)
