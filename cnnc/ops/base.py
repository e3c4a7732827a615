"""What every layer is: `Op`, its errors, and the table of all of them.

In: the types of a layer's inputs. Out: the type of its output, its parameters, its multiply-adds, the
window through which it looks. An op knows nothing of text, NumPy or ONNX; a shape error carries no place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cnnc.core.arguments import Choice, Declared, Flag, LayerName, arg
from cnnc.core.record import Record
from cnnc.core.tensor import DType, Parameter, TensorType

if TYPE_CHECKING:
    from fractions import Fraction


class ShapeError(Exception):
    """A layer that cannot take its inputs.

    `argument` is the argument to blame ("": the call as a whole); `label` stands beside the carets;
    `shrunk` says that an earlier layer which shrank the image is to blame too; `operands` are the places,
    among the inputs, of those that do not go together; `mend` is the place of one of them, layers that, put on it,
    make it go with the other, and what else would ("" for nothing).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        help: str = "",
        argument: str = "",
        label: str = "",
        shrunk: bool = False,
        operands: tuple[int, ...] = (),
        mend: tuple[int, str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        self.argument = argument
        self.label = label
        self.shrunk = shrunk
        self.operands = operands
        self.mend = mend


class Advice(Record):
    """A warning of an op about its own arguments."""

    code: str
    message: str
    help: str = ""
    argument: str = ""


class Window(Record):
    """How the outputs read one spatial axis of an input: `size` elements from `first`, each next output `step` further.

    Exactly: output i depends on the input elements whose places lie in the closed interval from
    first + step·i to first + step·i + size - 1. All three are whole numbers, but where a layer makes an axis longer
    (upsample, conv_transpose, unpool, depth_to_space): there the bounds are fractions, the elements those
    at whole places between them, and floor(size) is how many one output reads at most. So windows compose by
    the same rule whether they are whole or not: size + (size' - 1)·step, step·step', first + first'·step.
    A layer whose every output reads the whole axis of m elements says Window(m); its step says nothing. A
    step of 0 is an axis of one element that every output reads.
    """

    size: int | Fraction
    step: int | Fraction = 1
    first: int | Fraction = 0


class Op(Declared):
    """A layer's kind and arguments; the fields of a subclass are made by `arg`.

    `arity` is the number of inputs, -1 for a merge of one or more. `takes` are the element types of inputs.
    `example` is a line as one would write it. The first line of a class's docstring is its help.
    """

    keyword: ClassVar[str]
    arity: ClassVar[int] = 1
    takes: ClassVar[tuple[DType, ...]] = ("float32",)
    example: ClassVar[str]

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

    def reads(self, operand: int, *inputs: TensorType) -> tuple[Window, ...]:
        """The window on each spatial axis of any of the inputs, by its place: `windows` for all of them."""
        return self.windows(*inputs) if operand == 0 else tuple(Window(1) for _ in inputs[operand].spatial)

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


ANY: tuple[DType, ...] = ("float32", "int64")
"""What layers take that only carry values along."""

INITS = ("he", "xavier", "lecun", "normal", "zeros")

# The last arguments of every layer with a weight of its own; SHARE is that of all that learn.
INIT: Any = arg(Choice(INITS), default=None, help="how its weights begin; he before relu-like layers, else xavier")
SHARE: Any = arg(LayerName(), default=None, help="use the parameters of that layer")
FROZEN: Any = arg(Flag(), default=False, help="training leaves its parameters as they are")


def weight_and_bias(
    shape: tuple[int, ...], fans: tuple[int, int], biases: int, init: str | None, frozen: bool
) -> tuple[Parameter, ...]:
    """The parameters of a layer with `INIT` and `FROZEN`; without biases where there are 0."""
    weight = Parameter("weight", shape, init or "auto", *fans, frozen=frozen)
    return (weight, Parameter("bias", (biases,), frozen=frozen)) if biases else (weight,)


def check_share(share: str | None, init: str | None, frozen: bool) -> None:
    """Raises ShapeError E313 where a layer has another's parameters, and says how they begin or stay."""
    for key, given in (("init", init is not None), ("frozen", frozen)):
        if share is not None and given:
            raise ShapeError(
                "E313",
                f"{key} beside share: the parameters are those of {share}",
                help=f"leave {key} out here, and say it at {share}",
                argument=key,
            )


def learning(share: str | None, init: str | None = None, frozen: bool = False) -> str:
    """`INIT`, `SHARE` and `FROZEN` as a report shows them, each with a space before it."""
    text = f" init={init}" if init is not None else ""
    return text + (f" share={share}" if share is not None else "") + (" frozen=true" if frozen else "")


def need_multiple(x: TensorType, n: int, what: str, argument: str, help: str = "") -> None:
    """Raises ShapeError E304 where n does not divide the channels; `what` completes "32 channels are no ..."."""
    if x.channels % n:
        fitting = f"it must divide {x.channels}: {divisors(x.channels)}"
        raise ShapeError("E304", f"{x.channels} channels are no {what}", help=help or fitting, argument=argument)


def divisors(n: int) -> str:
    """The first divisors of n, for a help line."""
    found = [d for d in range(1, min(n, 10_000) + 1) if n % d == 0]
    return ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")


def count_of(parameters: tuple[Parameter, ...]) -> int:
    """How many numbers are learned."""
    return sum(math.prod(p.shape) for p in parameters if p.trainable)


def product(factors: tuple[int, ...]) -> str:
    return "·".join(map(str, factors)) or "1"
