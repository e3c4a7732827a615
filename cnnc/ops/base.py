"""The base class of all layers, `Op`, its errors, and the table of all layers, `OPS`.

In: the types of a layer's inputs. Out: the type of its output, its parameters, its multiply-adds (MACs), and the window
of each input axis that an output reads. An op knows nothing of source text, NumPy or ONNX: a ShapeError has no
source position, lowering adds it. Example: `Conv.make(out=4, k=3).output(TensorType((1, 8, 8)))` is 4x6x6.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cnnc.core.arguments import Choice, Declared, Flag, LayerName, arg
from cnnc.core.record import Record
from cnnc.core.tensor import DType, GivenNumbers, Parameter, TensorType

if TYPE_CHECKING:
    from fractions import Fraction


BEFORE, INSTEAD = "before", "instead"  # where a Fix puts layers


class Fix(Record):
    """A change of the source that makes a layer fit: an argument `on` becomes `text`, "" for none.

    Or `on` is BEFORE or INSTEAD: the layers in `text` are inserted before the layer, or replace it. `help` says it in
    words, with `{}` for the text; with the name of the argument, unless it is `positional`.
    """

    on: str
    text: str
    help: str = "write `{}`"
    positional: bool = False

    @property
    def words(self) -> str:
        """The help with the text filled in."""
        keyed = self.on not in (BEFORE, INSTEAD) and not self.positional
        return self.help.replace("{}", f"{self.on}={self.text}" if keyed else self.text, 1)


class ShapeError(Exception):
    """A layer that does not accept its inputs or arguments.

    `argument` is the argument to blame ("" for the whole call); `label` is printed next to the carets; `shrunk` says
    that an earlier layer which shrank the image is also to blame; `operands` are the indices of the inputs that do
    not fit together; `fix` is (index of one of them, layers that make it fit when appended to it, another fix or "").
    `fixes` are alternatives; `help` is their words, or what is given as `help` if there are none or none works.
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
        fix: tuple[int, str, str] | None = None,
        fixes: tuple[Fix, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = ", or ".join(fix.words for fix in fixes) or help
        self.words = help
        self.argument = argument
        self.label = label
        self.shrunk = shrunk
        self.operands = operands
        self.fix = fix
        self.fixes = fixes


class Advice(Record):
    """A warning of an op about its own arguments; `argument` is the one to mark ("" for the whole call).

    `fixes` are alternatives; `words` is help where none of them works.
    """

    code: str
    message: str
    words: str = ""
    argument: str = ""
    fixes: tuple[Fix, ...] = ()

    @property
    def help(self) -> str:
        """The words of the fixes, or `words`."""
        return ", or ".join(fix.words for fix in self.fixes) or self.words


class Window(Record):
    """Which elements of one spatial input axis an output reads: `size` elements from `first` on, `step` apart per output.

    Output i depends on the input elements whose index lies in the closed interval from first + step·i to
    first + step·i + size - 1. All three are whole numbers, except where a layer makes an axis longer (upsample,
    conv_transpose, unpool, depth_to_space). There the bounds are fractions, an output reads the whole indices
    between them, and floor(size) is the most that one output reads. Windows compose by one rule, whole or not:
    size + (size' - 1)·step, step·step', first + first'·step.
    A layer whose outputs read the whole axis of m elements has Window(m), whose step means nothing. A step of 0 is
    an axis of one element that every output reads. Example: a convolution with k=3 s=2 p=1 has Window(3, 2, -1).
    """

    size: int | Fraction
    step: int | Fraction = 1
    first: int | Fraction = 0


MAX_REMEMBERED = 256  # results of an op; after these it forgets them


def _remembered(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of an op that remembers its results by the types of the inputs: both are immutable."""
    name = method.__qualname__

    @wraps(method)
    def remembering(self: Op, *inputs: TensorType) -> Any:
        results = self.__dict__.get("_results")
        if results is None or len(results) >= MAX_REMEMBERED:
            results = self.__dict__["_results"] = {}
        key = (name, *inputs)
        result = results.get(key)
        if result is None:
            result = results[key] = method(self, *inputs)
        return result

    return remembering


class Op(Declared):
    """A layer with its arguments; the fields of a subclass are declared with `arg`.

    `arity` is the number of inputs, -1 for a merge of one or more. `takes` are the accepted element types of the inputs.
    `example` is a source line. The docstring of a subclass is what `cnnc ops` shows, and its first line what
    docs/language.md shows. Words in capitals there are arguments, written as in the signature.
    """

    keyword: ClassVar[str]
    arity: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in ("output", "parameters", "advice"):
            if name in cls.__dict__:
                setattr(cls, name, _remembered(cls.__dict__[name]))

    takes: ClassVar[tuple[DType, ...]] = ("float32",)
    example: ClassVar[str]

    @classmethod
    def details(cls) -> str:
        """What `cnnc ops` shows after the docstring, generated from tables; "" for nothing."""
        return ""

    def output(self, *inputs: TensorType) -> TensorType:
        """The type of the output. Raises ShapeError where the inputs do not fit."""
        return inputs[0]

    def parameters(self, *inputs: TensorType) -> tuple[Parameter, ...]:
        """The layer's parameters and buffers (`trainable` false) for inputs of these types."""
        return ()

    def macs(self, *inputs: TensorType) -> int:
        """Multiply-adds (MACs) for one sample.

        Counted are products of activations with weights that are summed in a window or a matrix product: conv, local,
        conv_transpose, fc, bilinear, and the fixed weights of filter and `pool weighted`. Whether the weights are learned
        or given makes no difference. Not counted are biases, elementwise layers, normalization, interpolation, and pools
        without weights: a maximum, mean or norm multiplies no activation by a weight of its own.
        """
        return 0

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """The window on each spatial axis of the first input; by default an output reads the element at its own position."""
        return tuple(Window(1) for _ in inputs[0].spatial)

    def reads(self, operand: int, *inputs: TensorType) -> tuple[Window, ...]:
        """The window on each spatial axis of input number `operand`; `windows` is that of input 0."""
        return self.windows(*inputs) if operand == 0 else tuple(Window(1) for _ in inputs[operand].spatial)

    def explain(self, *inputs: TensorType) -> list[str]:
        """The layer's formulas with its numbers filled in, one per line."""
        return []

    def advice(self, *inputs: TensorType) -> list[Advice]:
        """Warnings about the layer itself."""
        return []

    def brief(self) -> str:
        """The arguments as a report shows them, without the keyword and without most defaults."""
        return ""


OPS: dict[str, type[Op]] = {}

T = TypeVar("T", bound=type[Op])


def register(cls: T) -> T:
    """Class decorator: adds an op to `OPS` under its keyword."""
    OPS[cls.keyword] = cls
    return cls


ANY_DTYPE: tuple[DType, ...] = ("float32", "int64")
"""The element types of layers that only copy or rearrange elements."""

INITS = ("he", "xavier", "lecun", "normal", "zeros")

# The last arguments of every layer with a weight; SHARE is one of every layer with parameters.
INIT: Any = arg(
    Choice(INITS), default=None, help="initialization of the weights; he before relu-like layers, else xavier"
)
SHARE: Any = arg(LayerName(), default=None, help="layer whose parameters this one uses")
FROZEN: Any = arg(Flag(), default=False, help="exclude the parameters from training")


def weight_and_bias(
    shape: tuple[int, ...],
    fans: tuple[int, int],
    biases: int | tuple[int, ...],
    init: str | None,
    frozen: bool,
    given_weights: GivenNumbers | None = None,
    given_biases: GivenNumbers | None = None,
) -> tuple[Parameter, ...]:
    """The parameters of a layer with `INIT` and `FROZEN`: a weight, and a bias of this size or shape unless that is 0.

    Beside given weights, biases that are not given are given as 0.
    """
    weight = Parameter("weight", shape, given_weights or init or "auto", *fans, frozen=frozen)
    if not biases:
        return (weight,)
    bias_init = given_biases or (GivenNumbers((), (0.0,)) if given_weights else "zeros")
    bias_shape = (biases,) if isinstance(biases, int) else biases
    return (weight, Parameter("bias", bias_shape, bias_init, frozen=frozen))


def require_unshared_options(share: str | None, init: str | None, frozen: bool) -> None:
    """Raises ShapeError E313 if a layer shares parameters and also sets `init` or `frozen`."""
    for key, given in (("init", init is not None), ("frozen", frozen)):
        if share is not None and given:
            raise ShapeError(
                "E313",
                f"{key} cannot be combined with share: the parameters belong to {share}",
                argument=key,
                fixes=(Fix(key, "", f"leave {key} out here; set it at {share}"),),
            )


def parameter_options(share: str | None, init: str | None = None, frozen: bool = False) -> str:
    """` init=he share=a frozen=true`: those of `INIT`, `SHARE` and `FROZEN` that are set, as a report shows them."""
    text = f" init={init}" if init is not None else ""
    return text + (f" share={share}" if share is not None else "") + (" frozen=true" if frozen else "")


def require_channel_multiple(x: TensorType, n: int, what: str, argument: str, fixes: tuple[Fix, ...] = ()) -> None:
    """Raises ShapeError E304 if n does not divide the channels; `what` completes "32 channels are not a multiple of"."""
    if x.channels % n:
        raise ShapeError(
            "E304",
            f"{x.channels} channels are not a multiple of {what}",
            help=f"it must divide {x.channels}: {divisors_text(x.channels)}",
            argument=argument,
            fixes=fixes or (nearest_divisor(x.channels, n, argument),),
        )


def nearest_divisor(channels: int, n: int, argument: str, positional: bool = False) -> Fix:
    """The argument becomes the largest divisor of the channels that is not above n."""
    divisor = max(d for d in range(1, min(n, channels) + 1) if channels % d == 0)
    help = f"it must divide {channels}: {divisors_text(channels)}; write `{{}}`"
    return Fix(argument, str(divisor), help, positional)


def divisors_text(n: int) -> str:
    """The first eight divisors of n, for a help line: `1, 2, 4`."""
    divisors = [d for d in range(1, min(n, 10_000) + 1) if n % d == 0]
    return ", ".join(map(str, divisors[:8])) + (", ..." if len(divisors) > 8 else "")


def trainable_count(parameters: tuple[Parameter, ...]) -> int:
    """The number of elements in the trainable parameters, frozen ones included."""
    return sum(p.size for p in parameters if p.trainable)


def product_text(factors: tuple[int, ...]) -> str:
    """`3·5·5`."""
    return "·".join(map(str, factors)) or "1"
