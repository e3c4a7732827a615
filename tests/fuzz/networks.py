"""Random networks, most of them valid, written from the declarations of the layers and train statements.

The tables `OPS` and `TRAIN_STATEMENTS` say which arguments there are, and each layer itself says whether it accepts its
input: this module decides only how often each form occurs. `VALUES` has an entry for each kind of argument.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

import cnnc.recipe.reading  # noqa: F401 - fills TRAIN_STATEMENTS
from cnnc.core import arguments as kinds
from cnnc.core.arguments import ArgumentSpec, BadValue, Declared, Extents, Kind, WordValue
from cnnc.core.tensor import TensorType
from cnnc.ops import OPS, Op, ShapeError
from cnnc.ops.dense import Bilinear, Input
from cnnc.ops.merge import Merge
from cnnc.ops.pool import Pool, Unpool
from cnnc.ops.sequence import Embed
from cnnc.recipe.declaration import TRAIN_STATEMENTS
from cnnc.recipe.losses import ClassWeights, PositiveWeights
from cnnc.recipe.metrics import ClassName

T = TypeVar("T")

TRIES = 4
"""How often a layer is drawn again that its input does not fit."""

MOST_ELEMENTS = 1 << 16
NEEDED_TO_TRAIN = ("data", "loss", "optimizer", "epochs")
LAYERS = tuple(op for op in OPS.values() if not issubclass(op, Input | Bilinear | Unpool))


def network_text(random: Random) -> str:
    """A network, with or without a train section."""
    return _Network(random).text()


# --- values ------------------------------------------------------------------------------------------------


def written(value: Any) -> str:
    """A value as the language writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Extents):
        return "x".join(map(written, value))
    if isinstance(value, tuple):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return value if isinstance(value, WordValue) else json.dumps(value)
    return repr(value)


def _whole(random: Random, kind: Any, x: TensorType) -> int:
    channels = x.channels
    divisors = [n for n in (2, 3, 4, channels) if channels % n == 0 and n >= kind.minimum]
    near = divisors if divisors and random.random() < 0.6 else (1, 2, 3, 4, 5, 8, 10, 16)
    number: int = min(max(random.choice(near), kind.minimum), kind.maximum)
    return number


def _real(random: Random, kind: Any, x: TensorType) -> float:
    low = max(kind.minimum, -4.0)
    high = min(kind.maximum, low + 8)
    return float(f"{low + (high - low) * random.choice((0.01, 0.1, 0.25, 0.5, 0.9)):.3g}")


def _per_axis(random: Random, kind: Any, x: TensorType) -> Any:
    one = max(kind.minimum, random.choice((1, 2, 2, 3, 3, 4, 5)))
    if x.rank < 1 or random.random() < 0.8:
        return one
    each = tuple(max(kind.minimum, random.choice((1, 2, 3))) for _ in range(x.rank))
    return each if x.rank < 2 or random.random() < 0.5 else Extents(each)


def _padding(random: Random, kind: Any, x: TensorType) -> Any:
    if kind.options and random.random() < 0.5:
        return WordValue(random.choice(kind.options))
    if random.random() < 0.8 or not x.rank:
        return random.choice((0, 1, 1, 2))
    return tuple(random.choice((0, 1, 2)) for _ in range(2 * x.rank))


def _shape(random: Random, kind: Any, x: TensorType) -> Any:
    size = x.size
    first = random.choice([n for n in (1, 2, 3, 4, 6, 8, size) if size % n == 0])
    second = random.choice([n for n in (1, 2, 4, size // first) if size // first % n == 0])
    shape = random.choice(((size,), (first, size // first), (first, second, size // first // second)))
    return shape[0] if len(shape) == 1 else Extents(shape)


def _word(random: Random, kind: Kind, x: TensorType) -> WordValue:
    return WordValue(random.choice(kind.words))


def _numbers(random: Random, kind: Any, x: TensorType) -> Any:
    count = x.channels if x.channels < 9 and random.random() < 0.4 else 0
    numbers = tuple(random.choice((0.1, 0.5, 1, 2)) for _ in range(count))
    return numbers or random.choice((0.5, 1, 2))


def _indices(random: Random, kind: Kind, x: TensorType) -> tuple[int, ...]:
    return tuple(random.randrange(min(n, 4)) for n in [min(x.shape)] * random.choice((1, 2, 3)))


def _kernel(random: Random, kind: Any, x: TensorType) -> Any:
    row: tuple[Any, ...] = (1, 0, -1)
    lists = {1: row, 2: (row, (2, 0, -2)), 3: ((row,),)}.get(x.rank, row)
    return WordValue(random.choice(kind.options)) if x.rank == 2 and random.random() < 0.7 else lists


VALUES: dict[type[Kind], Callable[[Random, Any, TensorType], Any]] = {
    kinds.Whole: _whole,
    kinds.Real: _real,
    kinds.Flag: lambda random, kind, x: random.random() < 0.5,
    kinds.OptionalFlag: lambda random, kind, x: random.choice((True, False, WordValue("auto"))),
    kinds.PerAxis: _per_axis,
    kinds.Padding: _padding,
    kinds.Shape: _shape,
    kinds.Choice: _word,
    kinds.Numbers: _numbers,
    kinds.Indices: _indices,
    kinds.Kernel: _kernel,
    kinds.NumberLists: lambda random, kind, x: random.choice((0.5, (1, 2), ((1, 0), (0, 1)))),
    kinds.Columns: lambda random, kind, x: random.choice((WordValue("first"), 2, "y", ("a", 3))),
    kinds.NumberRange: lambda random, kind, x: (0, random.choice((1, 255, 4095))),
    kinds.Colour: lambda random, kind, x: random.choice((WordValue("white"), "#ff8000")),
    kinds.Colours: lambda random, kind, x: ("#000000", "#ffffff"),
    kinds.String: lambda random, kind, x: WordValue("mnist") if kind.bare else "a/b",
    kinds.Strings: lambda random, kind, x: ("cat", "dog"),
    kinds.LayerName: lambda random, kind, x: WordValue("relu1"),
    ClassWeights: lambda random, kind, x: random.choice((WordValue("balanced"), (1, 2))),
    PositiveWeights: lambda random, kind, x: random.choice((WordValue("balanced"), 2)),
    ClassName: lambda random, kind, x: random.choice((1, "cat")),
}


def value_of(random: Random, spec: ArgumentSpec, x: TensorType) -> Any:
    """A value for an argument, of a layer with an input of this type."""
    return VALUES[type(spec.kind)](random, spec.kind, x)


RARE = ("weights", "biases", "share", "frozen", "init", "on", "flip")
"""Optional arguments that most networks leave out."""


def values_of(random: Random, declared: type[Declared], x: TensorType) -> dict[str, Any]:
    """Values for the required arguments of a layer or train statement, and for some of the others."""
    values = {}
    for spec in declared.arguments:
        needed = spec.required or (spec.positional and spec.default is None)
        if needed or random.random() < (0.02 if spec.name in RARE else 0.15):
            values[spec.name] = value_of(random, spec, x)
    return values


def call_text(
    keyword: str, declared: type[Declared], values: dict[str, Any], number: Callable[[int], str] = repr
) -> str:
    """A statement with these values; `number` writes whole numbers."""
    words = [keyword]
    gap = False  # after a positional argument that is left out, the others need their keys
    for spec in declared.arguments:
        if spec.name not in values:
            gap = gap or spec.positional
            continue
        value = values[spec.name]
        text = number(value) if type(value) is int else written(value)
        words.append(text if spec.positional and not gap else f"{spec.name}={text}")
    return " ".join(words)


# --- statements ----------------------------------------------------------------------------------------------


class _Network:
    """Writes one network; `x` is always the type of the current tensor."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []
        self.depth = 0
        self.variables: dict[int, str] = {}
        self.names = 0
        self.labels: list[tuple[str, TensorType]] = []
        self.pools: list[str] = []

    def one(self, of: Sequence[T]) -> T:
        return of[self.random.randrange(len(of))]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def name(self, stem: str) -> str:
        self.names += 1
        return f"{stem}{self.names}"

    def write(self, line: str) -> None:
        self.lines.append("  " * self.depth + line)

    def text(self) -> str:
        if self.chance(0.2):
            self.write("net Random")
        for _ in range(self.one((0, 0, 0, 0, 1))):
            self.let()
        x = self.input()
        for _ in range(self.one((1, 1, 1, 2, 3))):
            x = self.statement(x)
        if self.chance(0.15):
            self.write(self.one((f"expect {x}", "budget params=1G macs=1G")))
        elif self.labels and self.chance(0.2):
            self.write(f"output {self.one(self.labels)[0]}")
        if self.chance(0.1):
            self.train(x)
        if self.chance(0.05):
            self.write("# the end")
        return ("; " if self.chance(0.03) else "\n").join(self.lines) + "\n"

    def let(self) -> None:
        value = self.one((2, 3, 4, 8))
        name = self.name("w")
        self.write(f"let {name} = {self.number(value)}")
        self.variables[value] = name

    def number(self, value: int) -> str:
        """A whole number, or an expression with this value."""
        if self.chance(0.8) or value < 1:
            return str(value)
        if value in self.variables and self.chance(0.7):
            return self.variables[value]
        return self.one((f"{value}*1", f"({value + 1} - 1)", f"min({value}, 99)", f"{2 * value}//2"))

    def input(self) -> TensorType:
        rank = self.one((0, 1, 2, 2, 2, 2, 3))
        shape = (self.one((1, 2, 3, 4, 8)), *(self.one((4, 5, 8, 9, 12)) for _ in range(rank)))
        if rank == 0:
            shape = (self.one((4, 6, 12)),)
        x = TensorType(shape)
        if rank == 0 and self.chance(0.3):
            self.write(f"input {x} dtype=int64")
            return self.embed(TensorType(shape, "int64"))
        if self.chance(0.01) and rank:
            self.write(f"input {x.channels}x{'x'.join('HWD'[:rank])}")
        else:
            self.write(f"input {x}")
        return x

    def statement(self, x: TensorType) -> TensorType:
        """Writes a statement after a tensor of type `x`; returns the type of its output."""
        kind = self.random.randrange(24)
        if kind == 0:
            return self.repeat(x)
        if kind == 1:
            return self.block(x)
        if kind in (2, 3, 4):
            return self.merge(x)
        if kind == 5 and self.labels and self.depth == 0:
            name, x = self.one(self.labels)
            self.write(f"from {name}")
            return x
        if kind == 6 and self.pools and self.depth == 0:
            self.write(f"unpool {self.one(self.pools)}")
            return x
        if kind == 7 and self.depth == 0:
            self.let()
        return self.layer(x)

    def layer(self, x: TensorType, same_shape: bool = False) -> TensorType:
        """Writes a layer that accepts `x`, with `same_shape` one that keeps its type."""
        for _ in range(TRIES):
            op = self.one(LAYERS)
            if issubclass(op, Merge):
                continue
            values = values_of(self.random, op, x)
            y = _output(op, values, x)
            if y is not None and (not same_shape or y == x) and y.size <= MOST_ELEMENTS:
                return self.put(op, values, y)
        return self.put(OPS["identity"], {}, x)

    def put(self, op: type[Op], values: dict[str, Any], y: TensorType) -> TensorType:
        label = ""
        if self.depth == 0 and self.chance(0.2):
            label = self.name("x")
            self.labels.append((label, y))
            if op is Pool:
                self.pools.append(label)
        self.write(f"{label}: " * bool(label) + call_text(op.keyword, op, values, self.number))
        return y

    def embed(self, x: TensorType) -> TensorType:
        """Writes the layer that makes an int64 tensor one that most layers accept."""
        values = {"dim": self.one((2, 3, 4)), "vocab": self.one((5, 9))}
        return self.put(Embed, values, Embed.make(0, **values).output(x))

    def repeat(self, x: TensorType) -> TensorType:
        self.write(f"repeat {self.one((1, 2, 3))}{self.one(('', ' as i'))} {{")
        self.depth += 1
        for _ in range(self.one((1, 2))):
            self.layer(x, same_shape=True)
        self.depth -= 1
        self.write("}")
        return x

    def block(self, x: TensorType) -> TensorType:
        name = self.name("b")
        self.write(f"block {name}{self.one(('', '(n)', '(n, m=2)'))} {{")
        parameters = self.lines[-1].count("n")
        self.depth += 1
        y = x
        for _ in range(self.one((1, 2, 3))):
            y = self.layer(y)
        self.depth -= 1
        self.write("}")
        self.write(f"{name}{' 3' * bool(parameters)}")
        return y

    def merge(self, x: TensorType) -> TensorType:
        op = self.one([op for op in LAYERS if issubclass(op, Merge)])
        if self.labels and self.depth == 0 and self.chance(0.3):
            name, other = self.one(self.labels)
            y = _output(op, {}, x, other)
            if y is not None:
                self.write(f"{op.keyword} {name}")
                return y
        outer, head, types = self.lines, op.keyword, []
        self.depth += 1
        for _ in range(2):
            self.lines, y = [], x
            for _ in range(self.one((0, 1, 1, 2))):
                y = self.layer(y, same_shape=self.chance(0.9))
            types.append(y)
            if self.lines:
                outer += ["  " * (self.depth - 1) + head + " {", *self.lines]
            head = "}" if self.lines else f"{head} {{ }}"
        self.depth -= 1
        self.lines = outer
        self.write(head)
        return _output(op, {}, *types) or x

    def train(self, x: TensorType) -> None:
        self.write("train {")
        self.depth += 1
        for keyword, of_kind in TRAIN_STATEMENTS.items():
            if keyword not in NEEDED_TO_TRAIN and self.chance(0.8):
                continue
            statement = self.one(list(of_kind.values()))
            values = values_of(self.random, statement, x)
            if keyword == "data" and self.chance(0.9):
                values = {"name": "npz", "path": "a.npz"} if self.chance(0.8) else {"name": "digits"}
            self.write(call_text(f"{keyword} {statement.kind}".strip(), statement, values, self.number))
        self.depth -= 1
        self.write("}")


def _output(op: type[Op], values: dict[str, Any], *inputs: TensorType) -> TensorType | None:
    """The type of a layer's output; None if the layer does not accept its arguments or inputs."""
    try:
        if any(x.dtype not in op.takes for x in inputs):
            return None
        return op.make(inputs[0].rank, **values).output(*inputs)
    except (BadValue, ShapeError):
        return None
