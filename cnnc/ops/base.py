"""What every layer is: `Op`, its errors, and the table of all of them.

In: the types of a layer's inputs. Out: the type of its output, its parameters, its multiply-adds, the
window through which it looks. An op knows nothing of text, NumPy or ONNX; a shape error carries no place.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from cnnc.arguments import Declared
from cnnc.record import Record
from cnnc.tensor import DType, Parameter, TensorType


class ShapeError(Exception):
    """A layer that cannot take its inputs.

    `argument` is the argument to blame (None: the call as a whole); `label` stands beside the carets;
    `shrunk` says that an earlier layer which shrank the image is to blame too.
    """

    def __init__(
        self, code: str, message: str, *, help: str = "", argument: str = "", label: str = "", shrunk: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        self.argument = argument
        self.label = label
        self.shrunk = shrunk


class Advice(Record):
    """A warning of an op about its own arguments."""

    code: str
    message: str
    help: str = ""
    argument: str = ""


class Window(Record):
    """How one output element reads one spatial axis: `size` elements from `first`, each next one `step` further."""

    size: int
    step: int = 1
    first: int = 0


class Op(Declared):
    """A layer's kind and arguments; the fields of a subclass are made by `arg`."""

    keyword: ClassVar[str]
    arity: ClassVar[int] = 1
    takes: ClassVar[tuple[DType, ...]] = ("float32",)

    def output(self, *inputs: TensorType) -> TensorType:
        """The type of the output. Raises ShapeError."""
        return inputs[0]

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        """What the layer learns, and its buffers (`trainable` false), for inputs of these types."""
        return ()

    def macs(self, *inputs: TensorType) -> int:
        """Multiply-adds for one sample; biases are not counted."""
        return 0

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """The window on each spatial axis of the first input; by default each output looks at its own place."""
        return tuple(Window(1) for _ in inputs[0].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        """The layer's formulas with their numbers put in."""
        return []

    def advice(self, *inputs: TensorType) -> list[Advice]:
        """Warnings about the layer itself."""
        return []

    def brief(self) -> str:
        """The arguments as a report shows them, without the keyword."""
        return ""


OPS: dict[str, type[Op]] = {}

T = TypeVar("T", bound=type[Op])


def register(cls: T) -> T:
    """Adds an op to the table, under its keyword."""
    OPS[cls.keyword] = cls
    return cls


def product(factors: tuple[int, ...]) -> str:
    return "·".join(map(str, factors)) or "1"
