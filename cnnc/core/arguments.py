"""What a call may say: the kinds of its arguments, and the tables made of them.

In: values as the language computes them (int, float, bool, `Word`, str, tuples, `Extents`). Out: values as
a layer or a training statement keeps them, or a `BadValue` that says what was expected. Every layer
(cnnc/ops) and every training statement (cnnc/recipe) is a `Declared` whose
fields are made by `arg`; binding, error messages, help pages and the reference are made from those fields.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self, dataclass_transform

from cnnc.core.record import Record

Axes = tuple[int, ...]
"""One number for each spatial axis."""

Pads = str | tuple[tuple[int, int], ...]
"""A word (`same`), or (begin, end) for each spatial axis."""

MAX_WHOLE = 2**31 - 1


class Word(str):
    """A bare word, as `max` in `pool max`."""

    __slots__ = ()


class Extents(tuple[Any, ...]):
    """An extent: `3x5`. A plain tuple is a list: `[3, 5]`."""

    __slots__ = ()


class BadValue(Exception):
    """A value of the wrong kind or out of range; `expected` completes "k takes ..."."""

    def __init__(self, expected: str, help: str = "") -> None:
        super().__init__(expected)
        self.expected = expected
        self.help = help


class Missing:
    """The default of an argument that must be given."""

    def __repr__(self) -> str:
        return "(needed)"


MISSING = Missing()


class Kind(Record):
    """One kind of argument.

    `words` are the bare words it takes; `example` is what a help line may put in the place of one that is missing.
    """

    words: ClassVar[tuple[str, ...]] = ()
    example: ClassVar[str] = "1"

    def take(self, value: Any, rank: int) -> Any:
        """The value as the layer keeps it, on an input of `rank` spatial axes. Raises BadValue."""
        raise NotImplementedError

    def describe(self) -> str:
        raise NotImplementedError

    def reject(self, help: str = "") -> BadValue:
        return BadValue(self.describe(), help)


def whole(value: Any) -> int | None:
    """The value as a whole number, or None. 4.0 is whole, true is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if math.isfinite(value) and value == int(value) else None


class Whole(Kind):
    minimum: int = 1
    maximum: int = MAX_WHOLE

    def take(self, value: Any, rank: int) -> int:
        number = whole(value)
        if number is None and isinstance(value, float):
            raise self.reject(f"{value:g} is not whole; `//` divides and rounds down")
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
    """A number in [minimum, maximum], the ends excluded where `open_below` or `open_above` say so."""

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
        parts = []
        if self.minimum > -math.inf:
            parts.append(f"{'above' if self.open_below else 'of at least'} {self.minimum:g}")
        if self.maximum < math.inf:
            parts.append(f"{'below' if self.open_above else 'of at most'} {self.maximum:g}")
        return " ".join(["a number", " and ".join(parts)]).strip()


class Flag(Kind):
    def take(self, value: Any, rank: int) -> bool:
        if not isinstance(value, bool):
            meant = dict.fromkeys(("false", "no", "off", "0"), "false") | dict.fromkeys(
                ("true", "yes", "on", "1"), "true"
            )
            word = meant.get(str(value).lower())
            raise self.reject(f"write `{word}`" if word else "")
        return value

    def describe(self) -> str:
        return "true or false"


class Choice(Kind):
    options: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.options

    @property
    def example(self) -> str:  # type: ignore[override]
        return self.options[0]

    def take(self, value: Any, rank: int) -> str:
        if not isinstance(value, Word) or value not in self.options:
            raise self.reject()
        return str(value)

    def describe(self) -> str:
        if len(self.options) == 1:
            return f"the word {self.options[0]}"
        return f"{', '.join(self.options[:-1])} or {self.options[-1]}"


class String(Kind):
    """A string in quotes, or a bare word."""

    bare: bool = True

    def take(self, value: Any, rank: int) -> str:
        if not isinstance(value, str) or (isinstance(value, Word) and not self.bare):
            raise self.reject()
        return str(value)

    def describe(self) -> str:
        return "a name or a string" if self.bare else "a string in quotes"


class LayerName(Kind):
    """The name of a layer, as a bare word: `conv1`, `stage3.skip`."""

    example: ClassVar[str] = "name"

    def take(self, value: Any, rank: int) -> str:
        if not isinstance(value, Word):
            raise self.reject()
        return str(value)

    def describe(self) -> str:
        return "the name of a layer"


class PerAxis(Kind):
    """A whole number for all spatial axes, or one for each: `3`, `3x5`, `[3, n]`."""

    minimum: int = 1

    def take(self, value: Any, rank: int) -> Axes:
        items = value if isinstance(value, tuple) else (value,) * max(rank, 1)
        numbers = tuple(whole(item) for item in items)
        if any(n is None or not self.minimum <= n <= MAX_WHOLE for n in numbers):
            if any(isinstance(i, float) and whole(i) is None for i in items):
                raise self.reject("`//` divides and rounds down")
            raise self.reject()
        if not rank and not isinstance(value, tuple):
            return ()
        if rank and len(numbers) != rank:  # without spatial axes the layer itself is the error
            raise BadValue(f"one number for each of the {_axes(rank)}, or one for all")
        return tuple(n for n in numbers if n is not None)

    def describe(self) -> str:
        return f"whole numbers of at least {self.minimum}"


class Padding(Kind):
    """`p`: a number, an extent, a list (one an axis, or all begins, then all ends), or a word of `options`."""

    options: tuple[str, ...] = ("valid", "half", "same", "same_lower", "full", "causal")

    @property
    def words(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.options

    def take(self, value: Any, rank: int) -> Pads:
        if isinstance(value, Word):
            if value not in self.options:
                raise self.reject()
            if value == "causal" and rank != 1:
                raise BadValue("causal on sequences only (one spatial axis)", "`same` pads both sides")
            return str(value)
        items = value if isinstance(value, tuple) else (value,) * max(rank, 1)
        numbers = [whole(item) for item in items]
        if any(n is None or not 0 <= n <= MAX_WHOLE for n in numbers):
            raise self.reject()
        if not rank and not isinstance(value, tuple):
            return ()
        sides = [n for n in numbers if n is not None]
        if len(sides) == rank or not rank:
            return tuple((n, n) for n in sides)
        if len(sides) == 2 * rank and not isinstance(value, Extents):
            return tuple(zip(sides[:rank], sides[rank:], strict=True))
        raise BadValue(f"one number for each of the {_axes(rank)}, or a list of {2 * rank}: all begins, then all ends")

    def describe(self) -> str:
        words = f", or {', '.join(self.options[:-1])} or {self.options[-1]}" if self.options else ""
        return f"whole numbers of at least 0{words}"


class Shape(Kind):
    """A shape: `16x5x5`, `[c, 5, 5]`, `784`."""

    def take(self, value: Any, rank: int) -> tuple[int, ...]:
        items = value if isinstance(value, tuple) else (value,)
        numbers = tuple(whole(item) for item in items)
        if not numbers or any(n is None or not 1 <= n <= MAX_WHOLE for n in numbers) or len(numbers) > 4:
            small = any(n is not None and n < 1 for n in numbers)
            raise self.reject("each size is at least 1" if small else "")
        return tuple(n for n in numbers if n is not None)

    def describe(self) -> str:
        return "a shape of one to four sizes, such as 784, 16x5x5 or [c, 5, 5]"


class Numbers(Kind):
    """A number, or a list of numbers (one a channel)."""

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
        return f"{one}, or a list of them, one a channel"


class Indices(Kind):
    """Places on an axis: a list of whole numbers, or one; negatives count from the end."""

    example: ClassVar[str] = "[0, 1]"

    def take(self, value: Any, rank: int) -> tuple[int, ...]:
        items = value if isinstance(value, tuple) and not isinstance(value, Extents) else (value,)
        numbers = tuple(whole(item) for item in items)
        if not numbers or any(n is None or abs(n) > MAX_WHOLE for n in numbers):
            raise self.reject()
        return tuple(n for n in numbers if n is not None)

    def describe(self) -> str:
        return "a list of whole numbers, such as [0, 2]"


Nested = tuple[Any, ...]
"""Numbers in as many levels of tuples as there are spatial axes."""


class Kernel(Kind):
    """A fixed kernel: a word of `options` (for two axes), or numbers, a list of rows for an image."""

    options: tuple[str, ...]
    example: ClassVar[str] = "sobel_x"

    @property
    def words(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.options

    def take(self, value: Any, rank: int) -> str | Nested:
        if isinstance(value, Word):
            if value not in self.options:
                raise self.reject()
            if rank not in (0, 2):
                raise BadValue(f"a list of numbers on {_axes(rank)}; the kernels with a name are for images")
            return str(value)
        sizes = _sizes(value)
        if sizes is None or not 1 <= len(sizes) <= 3:
            raise self.reject()
        if rank and len(sizes) != rank:
            form = {1: "[1, 0, -1]", 2: "[[1, 0], [0, -1]]"}.get(rank, "[[[1, 0], [0, -1]]]")
            raise BadValue(f"lists in {rank} levels for {_axes(rank)}, such as {form}")
        numbers: Nested = _floats(value)
        return numbers

    def describe(self) -> str:
        return f"{', '.join(self.options)}, or numbers in rows of one length, such as [[0, 1], [1, 0]]"


def _sizes(value: Any) -> tuple[int, ...] | None:
    """The sizes of nested lists of numbers: () of a number, None where they do not line up."""
    if not isinstance(value, tuple):
        return () if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None
    inner = {_sizes(item) for item in value}
    if isinstance(value, Extents) or len(inner) != 1:
        return None
    (first,) = inner
    return None if first is None else (len(value), *first)


def _floats(value: Any) -> Any:
    return tuple(_floats(item) for item in value) if isinstance(value, tuple) else float(value)


def _axes(rank: int) -> str:
    return "one spatial axis" if rank == 1 else f"{rank} spatial axes"


class ArgumentSpec(Record):
    """One argument of a layer or statement, as the help pages and the binder see it."""

    name: str
    kind: Kind
    default: Any
    help: str
    long: str
    positional: bool
    unit: str = ""

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.name, self.long) if self.long else (self.name,)


def arg(
    kind: Kind, *, help: str, default: Any = MISSING, long: str = "", positional: bool = False, unit: str = ""
) -> Any:
    """A field of a `Declared` that is an argument.

    `default` is a value of the language (it goes through `kind.take` like a written one), or None where
    leaving the argument out has a meaning of its own. Positional arguments are given by place.
    """
    return ArgumentSpec("", kind, default, help, long, positional, unit)


@dataclass_transform(frozen_default=True, field_specifiers=(arg,))
class Declared(Record):
    """A record whose fields are arguments of the language: a layer, or a statement of the train section."""

    arguments: ClassVar[tuple[ArgumentSpec, ...]] = ()

    def __init_subclass__(cls) -> None:
        specs = {n: v for n, v in cls.__dict__.items() if isinstance(v, ArgumentSpec)}
        for name in specs:
            delattr(cls, name)
        super().__init_subclass__()
        cls.arguments = (*cls.arguments, *(spec.replace(name=name) for name, spec in specs.items()))

    @classmethod
    def make(cls, rank: int = 2, **values: Any) -> Self:
        """Builds one from values of the language, defaults filled in. Raises BadValue, and KeyError for a missing one."""
        bound = {}
        for spec in cls.arguments:
            value = values[spec.name] if spec.required else values.get(spec.name, spec.default)
            bound[spec.name] = None if value is None else spec.kind.take(value, rank)
        return cls(**bound)
