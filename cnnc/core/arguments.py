"""The arguments of layers and training statements: their kinds, and how they are declared.

In: values as the language computes them (int, float, bool, `WordValue`, str, tuples, `Extents`). Out: values as a layer or
training statement stores them, or a `BadValue` with the expected kind. Every layer (cnnc/ops) and every training
statement (cnnc/recipe) is a `Declared` whose fields are declared with `arg`. Binding, error messages, help
pages and the language reference read those fields.

Example: `k: Axes = arg(PerAxis(1), help="window size")` stores `3` as (3, 3) on an image, and rejects `0`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self, dataclass_transform

from cnnc.core.record import Record
from cnnc.core.tensor import GivenNumbers

Axes = tuple[int, ...]
"""One number per spatial axis."""

Pads = str | tuple[tuple[int, int], ...]
"""A word (`same`), or (begin, end) per spatial axis."""

MAX_WHOLE = 2**31 - 1


class WordValue(str):
    """A bare word, like `max` in `pool max`."""

    __slots__ = ()


class Extents(tuple[Any, ...]):
    """An extent, `3x5`. A plain tuple is a list, `[3, 5]`."""

    __slots__ = ()


class BadValue(Exception):
    """A value of the wrong kind or out of range; `expected` completes the message "k takes ...".

    `help` says what to do, with `{}` for `value`, which fits instead. `path` leads to the item of nested lists that is wrong.
    """

    def __init__(self, expected: str, help: str = "", value: str = "", path: tuple[int, ...] = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.help = help
        self.value = value
        self.path = path


class Missing:
    """The default of a required argument."""

    def __repr__(self) -> str:
        return "(needed)"


MISSING = Missing()


class Kind(Record):
    """A kind of argument: which values it accepts and how it stores them.

    `words` are the bare words it accepts; `example` stands for a missing value in a help line.
    """

    words: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = "1"

    def take(self, value: Any, rank: int) -> Any:
        """The value as the layer stores it, for an input with `rank` spatial axes. Raises BadValue."""
        raise NotImplementedError

    def describe(self) -> str:
        """The accepted values, in words that complete "k takes ..."."""
        raise NotImplementedError

    def reject(self, help: str = "", value: str = "") -> BadValue:
        """The error for a value that is not accepted; `value` is one that fits instead."""
        return BadValue(self.describe(), help, value)

    def example_for(self, rank: int) -> str:
        """The example for an input with `rank` spatial axes."""
        return self.example


def whole_number(value: Any) -> int | None:
    """The value as an int if it is a whole number, else None: 4.0 is 4, 4.5 and true are None."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if math.isfinite(value) and value == int(value) else None


class Whole(Kind):
    """A whole number from `minimum` to `maximum`."""

    minimum: int = 1
    maximum: int = MAX_WHOLE

    def take(self, value: Any, rank: int) -> int:
        number = whole_number(value)
        if number is None and isinstance(value, float):
            raise self.reject(f"{value:g} is not a whole number; `//` divides and rounds down")
        if number is None or not self.minimum <= number <= self.maximum:
            raise self.reject()
        return number

    def describe(self) -> str:
        if self.maximum != MAX_WHOLE:
            return f"a whole number from {self.minimum} to {self.maximum}"
        if self.minimum <= -MAX_WHOLE:
            return "a whole number"
        return f"a whole number of at least {self.minimum}"


class Real(Kind):
    """A number in [minimum, maximum]; `open_below` and `open_above` exclude the ends."""

    minimum: float = -math.inf
    maximum: float = math.inf
    open_below: bool = False
    open_above: bool = False

    def take(self, value: Any, rank: int) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.reject()
        low = value > self.minimum if self.open_below else value >= self.minimum
        high = value < self.maximum if self.open_above else value <= self.maximum
        if not (low and high):
            raise self.reject()
        return float(value)

    def describe(self) -> str:
        if -math.inf < self.minimum and self.maximum < math.inf and not (self.open_below or self.open_above):
            return f"a number from {self.minimum:g} to {self.maximum:g}"
        parts = []
        if self.minimum > -math.inf:
            parts.append(f"{'above' if self.open_below else 'of at least'} {self.minimum:g}")
        if self.maximum < math.inf:
            parts.append(f"{'below' if self.open_above else 'of at most'} {self.maximum:g}")
        return " ".join(["a number", " and ".join(parts)]).strip()


_FALSE = ("false", "no", "off", "0")  # what other notations write, in any case
_TRUE = ("true", "yes", "on", "1")


class Flag(Kind):
    """`true` or `false`."""

    def take(self, value: Any, rank: int) -> bool:
        if not isinstance(value, bool):
            text = str(value).lower()
            word = "false" if text in _FALSE else "true" if text in _TRUE else ""
            raise self.reject("write `{}`" if word else "", word)
        return value

    def describe(self) -> str:
        return "true or false"


class OptionalFlag(Kind):
    """`true` or `false`; `auto` is stored as None."""

    words: ClassVar[tuple[str, ...]] = ("auto",)

    def take(self, value: Any, rank: int) -> bool | None:
        if isinstance(value, WordValue) and value == "auto":
            return None
        try:
            return Flag().take(value, rank)
        except BadValue as error:
            raise self.reject(error.help, error.value) from None

    def describe(self) -> str:
        return "auto, true or false"


class Columns(Kind):
    """Columns of a table, each a name, a number from 1, `first` or `last`; a list of several.

    Stored as a tuple of names and numbers; -1 is the last column.
    """

    words: ClassVar[tuple[str, ...]] = ("first", "last")

    def take(self, value: Any, rank: int) -> tuple[str | int, ...]:
        items = value if isinstance(value, tuple) and value else (value,)
        return tuple(self._column(item) for item in items)

    def _column(self, value: Any) -> str | int:
        if isinstance(value, WordValue) and value in self.words:
            return 1 if value == "first" else -1
        if isinstance(value, str):
            return str(value)
        number = whole_number(value)
        if number is None or not 1 <= number <= MAX_WHOLE:
            raise self.reject()
        return number

    def describe(self) -> str:
        return "the name of a column, its number from 1, first or last, or a list of these"


class NumberRange(Kind):
    """Two numbers in a list, the smaller one first."""

    example: ClassVar[str] = "[0, 4095]"

    def take(self, value: Any, rank: int) -> tuple[float, float]:
        if not isinstance(value, tuple) or isinstance(value, Extents) or len(value) != 2:
            raise self.reject()
        low, high = (Real().take(item, rank) for item in value)
        if low >= high:
            raise self.reject("write the smaller number first: `{}`", f"[{high:g}, {low:g}]" if low > high else "")
        return low, high

    def describe(self) -> str:
        return "a list of two numbers, the smaller one first"


_COLOUR_WORDS = ("white", "black", "grey")


class Colour(Kind):
    """The word white, black or grey, or a string such as "#ff8000"."""

    words: ClassVar[tuple[str, ...]] = _COLOUR_WORDS
    example: ClassVar[str] = "white"

    def take(self, value: Any, rank: int) -> str:
        if not isinstance(value, str) or not is_colour(value.lower()):
            raise self.reject()
        return value.lower()

    def describe(self) -> str:
        return 'white, black, grey, or a colour such as "#ff8000"'


def is_colour(text: str) -> bool:
    """Whether a text is white, black, grey, or `#` and six hexadecimal digits."""
    return text in _COLOUR_WORDS or (
        len(text) == 7 and text[0] == "#" and all(d in "0123456789abcdef" for d in text[1:])
    )


class Choice(Kind):
    """One of a few bare words."""

    options: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.options

    @property
    def example(self) -> str:  # type: ignore[override]
        return self.options[0]

    def take(self, value: Any, rank: int) -> str:
        if not isinstance(value, WordValue) or value not in self.options:
            raise self.reject()
        return str(value)

    def describe(self) -> str:
        if len(self.options) == 1:
            return f"the word {self.options[0]}"
        return f"{', '.join(self.options[:-1])} or {self.options[-1]}"


class String(Kind):
    """A string in quotes, or with `bare` also a bare word."""

    bare: bool = True

    def take(self, value: Any, rank: int) -> str:
        if not isinstance(value, str) or (isinstance(value, WordValue) and not self.bare):
            raise self.reject()
        return str(value)

    def describe(self) -> str:
        return "a name or a string" if self.bare else "a string in quotes"


class Strings(Kind):
    """A list of different names in quotes, or one; none is empty or has line breaks or tabs."""

    example: ClassVar[str] = '"name"'

    def take(self, value: Any, rank: int) -> tuple[str, ...]:
        items = value if isinstance(value, tuple) and not isinstance(value, Extents) else (value,)
        if not items or any(not isinstance(item, str) or isinstance(item, WordValue) for item in items):
            raise self.reject()
        is_name = [bool(item.strip()) and item.splitlines() == [item] and "\t" not in item for item in items]
        if not all(is_name) or len(set(items)) < len(items):
            raise self.reject()
        return tuple(map(str, items))

    def describe(self) -> str:
        return "a list of different names in quotes, each on one line"


class Colours(Kind):
    """A list of two or more different colours, each a string such as "#ff0000"."""

    example: ClassVar[str] = '["#000000", "#ffffff"]'

    def take(self, value: Any, rank: int) -> tuple[str, ...]:
        items = value if isinstance(value, tuple) and not isinstance(value, Extents) else (value,)
        colours = tuple(item.lower() for item in items if isinstance(item, str) and not isinstance(item, WordValue))
        if (
            len(colours) < len(items)
            or not 2 <= len(colours) == len(set(colours))
            or not all(colour.startswith("#") and is_colour(colour) for colour in colours)
        ):
            raise self.reject()
        return colours

    def describe(self) -> str:
        return 'a list of at least two different colours, such as ["#000000", "#ff0000"]'


class LayerName(Kind):
    """The name of a layer, as a bare word: `conv1`, `stage3.skip`."""

    example: ClassVar[str] = "name"

    def take(self, value: Any, rank: int) -> str:
        if not isinstance(value, WordValue):
            raise self.reject()
        return str(value)

    def describe(self) -> str:
        return "the name of a layer"


class PerAxis(Kind):
    """A whole number for all spatial axes, or one per axis: `3`, `3x5`, `[3, n]`."""

    minimum: int = 1

    def take(self, value: Any, rank: int) -> Axes:
        items = value if isinstance(value, tuple) else (value,) * max(rank, 1)
        numbers = tuple(whole_number(item) for item in items)
        if any(n is None or not self.minimum <= n <= MAX_WHOLE for n in numbers):
            if any(isinstance(i, float) and whole_number(i) is None for i in items):
                raise self.reject("`//` divides and rounds down")
            raise self.reject()
        if not rank and not isinstance(value, tuple):
            return ()
        if rank and len(numbers) != rank:  # on a vector the layer itself raises the error
            raise BadValue(f"{_one_per_axis(rank)}, or one for all" if rank > 1 else _one_per_axis(rank))
        return tuple(n for n in numbers if n is not None)

    def describe(self) -> str:
        return f"whole numbers of at least {self.minimum}"


class Padding(Kind):
    """Padding: a number, an extent, a list (one per axis, or all begins, then all ends), or a word of `options`."""

    options: tuple[str, ...] = ("valid", "half", "same", "same_lower", "full", "causal")

    @property
    def words(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.options

    def take(self, value: Any, rank: int) -> Pads:
        if isinstance(value, WordValue):
            if value not in self.options:
                raise self.reject()
            if value == "causal" and rank != 1:
                raise BadValue("causal only on sequences (one spatial axis)", "`{}` pads both sides", "same")
            return str(value)
        items = value if isinstance(value, tuple) else (value,) * max(rank, 1)
        numbers = [whole_number(item) for item in items]
        if any(n is None or not 0 <= n <= MAX_WHOLE for n in numbers):
            raise self.reject()
        if not rank and not isinstance(value, tuple):
            return ()
        sides = [n for n in numbers if n is not None]
        if len(sides) == rank or not rank:
            return tuple((n, n) for n in sides)
        if len(sides) == 2 * rank and not isinstance(value, Extents):
            return tuple(zip(sides[:rank], sides[rank:], strict=True))
        raise BadValue(f"{_one_per_axis(rank)}, or a list of {2 * rank}: all beginnings, then all ends")

    def describe(self) -> str:
        words = f", or {', '.join(self.options[:-1])} or {self.options[-1]}" if self.options else ""
        return f"whole numbers of at least 0{words}"


class Shape(Kind):
    """A shape: `16x5x5`, `[c, 5, 5]`, `784`."""

    def take(self, value: Any, rank: int) -> tuple[int, ...]:
        items = value if isinstance(value, tuple) else (value,)
        numbers = tuple(whole_number(item) for item in items)
        if not numbers or any(n is None or not 1 <= n <= MAX_WHOLE for n in numbers) or len(numbers) > 4:
            small = any(n is not None and n < 1 for n in numbers)
            raise self.reject("each size is at least 1" if small else "")
        return tuple(n for n in numbers if n is not None)

    def describe(self) -> str:
        return "a shape of one to four sizes, such as 784, 16x5x5 or [c, 5, 5]"


class Numbers(Kind):
    """A number, or a list with one number per channel."""

    minimum: float = -math.inf
    open_below: bool = False

    def take(self, value: Any, rank: int) -> tuple[float, ...]:
        items = value if isinstance(value, tuple) else (value,)
        inner = Real(self.minimum, open_below=self.open_below)
        try:
            numbers = tuple(inner.take(item, rank) for item in items)
        except BadValue:
            raise self.reject() from None
        if not numbers:
            raise self.reject()
        return numbers

    def describe(self) -> str:
        one = Real(self.minimum, open_below=self.open_below).describe()
        return f"{one}, or a list of them, one per channel"


class Indices(Kind):
    """Indices on an axis: one whole number or a list; negative ones count from the end."""

    example: ClassVar[str] = "[0, 1]"

    def take(self, value: Any, rank: int) -> tuple[int, ...]:
        items = value if isinstance(value, tuple) and not isinstance(value, Extents) else (value,)
        numbers = tuple(whole_number(item) for item in items)
        if not numbers or any(n is None or abs(n) > MAX_WHOLE for n in numbers):
            raise self.reject()
        return tuple(n for n in numbers if n is not None)

    def describe(self) -> str:
        return "a list of whole numbers, such as [0, 2]"


Nested = tuple[Any, ...]
"""Numbers in nested tuples, one level per spatial axis."""


class Kernel(Kind):
    """A fixed kernel: a word of `options` (two spatial axes), or nested lists of numbers, one level per axis."""

    options: tuple[str, ...]
    example: ClassVar[str] = "sobel_x"

    @property
    def words(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.options

    def example_for(self, rank: int) -> str:
        return {1: "[1, 0, -1]", 3: "[[[1, 0], [0, -1]]]"}.get(rank, self.example)

    def take(self, value: Any, rank: int) -> str | Nested:
        if isinstance(value, WordValue):
            if value not in self.options:
                raise self.reject()
            if rank not in (0, 2):
                raise BadValue(f"a list of numbers on {_axes(rank)}; the named kernels are for images")
            return str(value)
        if isinstance(value, tuple) and value and not isinstance(value, Extents):
            _require_even_lists(value)
        sizes = _sizes(value)
        if sizes is None or not 1 <= len(sizes) <= 3:
            raise self.reject()
        if rank and len(sizes) != rank:
            form = {1: "[1, 0, -1]", 2: "[[1, 0], [0, -1]]"}.get(rank, "[[[1, 0], [0, -1]]]")
            raise BadValue(
                f"lists nested {rank} deep for {_axes(rank)}, such as {form}"
                if rank > 1
                else f"a list of numbers for {_axes(rank)}, such as {form}"
            )
        numbers: Nested = _floats(value)
        return numbers

    def describe(self) -> str:
        return f"{', '.join(self.options)}, or {_ROWS_OF_NUMBERS}"


_ROWS_OF_NUMBERS = "rows of numbers, all of one length, such as [[0, 1], [1, 0]]"


def _require_even_lists(value: tuple[Any, ...]) -> None:
    """Raises BadValue for an item that is not a number, or lists of different lengths."""
    given = NumberLists(_ROWS_OF_NUMBERS).take(value, 0)
    if given.ragged:
        raise BadValue(_ROWS_OF_NUMBERS, given.ragged)


def _sizes(value: Any) -> tuple[int, ...] | None:
    """The size of nested lists of numbers on each level: () for a number, None if the lists are ragged."""
    if not isinstance(value, tuple):
        return () if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None
    inner = {_sizes(item) for item in value}
    if isinstance(value, Extents) or len(inner) != 1:
        return None
    (first,) = inner
    return None if first is None else (len(value), *first)


def _floats(value: Any) -> Any:
    """Nested tuples with every number as a float."""
    return tuple(_floats(item) for item in value) if isinstance(value, tuple) else float(value)


MAX_FLOAT32 = 3.4028234663852886e38


class NumberLists(Kind):
    """Numbers in nested lists, of a depth and of sizes that the layer judges; a single number is a list of depth 0.

    `form` describes them.
    """

    form: str = "numbers in nested lists, such as [[1, 0], [0, -1]]"

    def take(self, value: Any, rank: int) -> GivenNumbers:
        shape: list[int] = []
        level = value
        while isinstance(level, tuple) and level:
            shape.append(len(level))
            level = level[0]
        lists = _ListsOfNumbers(self.form, shape)
        lists.read(value, ())
        return GivenNumbers(tuple(shape), tuple(lists.values), lists.ragged)

    def describe(self) -> str:
        return self.form


class _ListsOfNumbers:
    """Reads nested lists: their numbers, and where the first list is that has another length than `shape` says."""

    def __init__(self, form: str, shape: list[int]) -> None:
        self.form = form
        self.shape = shape
        self.values: list[float] = []
        self.ragged = ""

    def read(self, value: Any, path: tuple[int, ...]) -> None:
        """Raises BadValue at an item that is neither a list nor a number that float32 can hold."""
        depth = len(path)
        if isinstance(value, tuple) and value and not isinstance(value, Extents):
            if depth >= len(self.shape):
                self.differs(path, "is a list", "is a number")
            elif len(value) != self.shape[depth]:
                self.differs(path, f"has {_items(len(value))}", f"has {_items(self.shape[depth])}")
            numbers = [float(i) for i in value if type(i) in (int, float) and -MAX_FLOAT32 <= i <= MAX_FLOAT32]
            if len(numbers) == len(value) and depth == len(self.shape) - 1:
                self.values += numbers  # a row without fault
                return
            for i, item in enumerate(value):
                self.read(item, (*path, i))
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            help = "replace it with a number" if path else "give its numbers, or leave the argument out"
            raise BadValue(self.form, help, path=path)
        if not abs(value) <= MAX_FLOAT32:
            raise BadValue("numbers that float32 can hold", "the largest is 3.4e38", path=path)
        if depth != len(self.shape):
            self.differs(path, "is a number", "is a list")
        self.values.append(float(value))

    def differs(self, path: tuple[int, ...], found: str, expected: str) -> None:
        if not self.ragged:
            at, first = ("".join(f"[{i}]" for i in p) for p in (path, (0,) * len(path)))
            self.ragged = f"{at} {found}, but {first} {expected}"


def _items(count: int) -> str:
    return f"{count} item{'s' if count != 1 else ''}"


def _one_per_axis(rank: int) -> str:
    return "one number" if rank == 1 else f"one number for each of the {rank} spatial axes"


def _axes(rank: int) -> str:
    return "one spatial axis" if rank == 1 else f"{rank} spatial axes"


class ArgumentSpec(Record):
    """The declaration of one argument: name, kind, default, help, long name, whether it is positional, and its unit."""

    name: str
    kind: Kind
    default: Any
    help: str
    long: str
    positional: bool
    unit: str = ""

    @property
    def required(self) -> bool:
        """Whether the argument has no default."""
        return self.default is MISSING

    @property
    def keys(self) -> tuple[str, ...]:
        """The names by which it can be given: `k`, `kernel`."""
        return (self.name, self.long) if self.long else (self.name,)


def arg(
    kind: Kind, *, help: str, default: Any = MISSING, long: str = "", positional: bool = False, unit: str = ""
) -> Any:
    """Declares a field of a `Declared` as an argument.

    `default` is a value of the language, which `kind.take` converts like one in the source; None means that leaving the
    argument out has a special meaning; without it the argument is required. `long` is a second name. `help` is a noun
    phrase; that of a required argument completes "conv needs the number of output channels" if it is positional,
    and "conv needs `k`, the window size" if not.
    """
    return ArgumentSpec("", kind, default, help, long, positional, unit)


@dataclass_transform(frozen_default=True, field_specifiers=(arg,))
class Declared(Record):
    """A record whose fields are arguments in the language: a layer or a statement of the train section."""

    arguments: ClassVar[tuple[ArgumentSpec, ...]] = ()

    def __init_subclass__(cls) -> None:
        specs = {n: v for n, v in cls.__dict__.items() if isinstance(v, ArgumentSpec)}
        for name in specs:
            delattr(cls, name)
        super().__init_subclass__()
        inherited = (
            spec for spec in cls.arguments if spec.name not in specs
        )  # as Record: a field declared again moves
        cls.arguments = (*inherited, *(spec.replace(name=name) for name, spec in specs.items()))

    @classmethod
    def make(cls, rank: int = 2, **values: Any) -> Self:
        """Creates one from values of the language, with defaults filled in.

        Raises BadValue for a value that is not accepted, KeyError for a missing required argument.
        """
        bound = {}
        for spec in cls.arguments:
            value = values[spec.name] if spec.required else values.get(spec.name, spec.default)
            bound[spec.name] = None if value is None else spec.kind.take(value, rank)
        return cls(**bound)
