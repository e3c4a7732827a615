"""Networks built in Python, from the layers of the language: `Builder`.

In: calls, one per layer. Out: a `Network`, checked as a network file is: the builder writes the source, one layer per line, so
errors cite it, and `Network.save` writes a file that reads back as the same graph. Loads no NumPy.

    build = Builder("Small")
    x = build.input(1, 8, 8)
    x = build.relu(build.conv(x, 4, k=3, p=1))
    build.fc(x, 10)
    network = build.network()
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from cnnc.core.arguments import LayerName
from cnnc.diagnostics import CnncError, Source, nearest
from cnnc.language.format import format_text
from cnnc.network import Network, check
from cnnc.ops import OPS

_NO_VALUE = "\n;{}#"


class Built(NamedTuple):
    """A layer of a builder: the input of others."""

    name: str
    builder: Builder

    def __repr__(self) -> str:
        return f"<layer {self.name}>"


class Builder:
    """Builds a network layer by layer: `build.conv(x, 8, k=3)` adds a layer that reads the layer x, and returns it.

    Every layer of the language is a method: first the layers that it reads, then its arguments as in the language (`cnnc ops`
    lists them); `name` labels it. Merges take two layers or more. Numbers may be ints, floats, booleans, strings of the
    language, lists and arrays; a layer is an argument, too (`share=x`).

    >>> import cnnc
    >>> build = cnnc.Builder("Residual")
    >>> x = build.input(1, 8, 8)
    >>> y = build.relu(build.conv(x, 1, k=3, p=1, name="first"))
    >>> network = build.network(build.fc(build.add(x, y), 10), train="data digits; epochs 1")
    >>> print(network.source.text)
    net Residual
    <BLANKLINE>
    input 1x8x8
    first: conv 1 k=3 p=1
    relu
    from input1
    add relu1
    fc 10
    <BLANKLINE>
    train {
      data digits
      epochs 1
    }
    <BLANKLINE>
    >>> network["add1"].shape
    (1, 8, 8)
    """

    def __init__(self, name: str = "Net") -> None:
        """A builder without layers. Raises TypeError for a name that is not a string."""
        if not isinstance(name, str):
            raise TypeError(f'cnnc.Builder: name is {name!r}; expected a string, as in cnnc.Builder("LeNet5")')
        self._name = name
        self._lines: list[str] = []
        self._counts: Counter[str] = Counter()
        self._current: Built | None = None

    def __getattr__(self, keyword: str) -> Callable[..., Built]:
        if keyword not in OPS:
            near = nearest(keyword, OPS)
            hint = f"; did you mean {near}?" if near else "; `cnnc ops` lists them"
            raise AttributeError(f"no layer is named {keyword}{hint}")

        def add(*values: Any, name: str | None = None, **arguments: Any) -> Built:
            return self.layer(keyword, *values, name=name, **arguments)

        return add

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *OPS]

    def layer(self, keyword: str, *values: Any, name: str | None = None, **arguments: Any) -> Built:
        """Adds a layer by its name in the language, as the method of that name does.

        Raises CnncError E010 for a layer of another builder, or one that lacks its input; TypeError for a value that the
        language cannot write. Errors of the layer itself come from `network`.
        """
        if keyword == "input":
            values = ("x".join(map(str, values)),)
        inputs, rest = self._split(keyword, values)
        if inputs:
            self._go_to(inputs[0])
        words = [keyword, *(built.name for built in inputs[1:]), *(_text(value) for value in rest)]
        words += [f"{key}={_text(value)}" for key, value in arguments.items()]
        self._lines.append(" ".join([*([f"{name}:"] if name is not None else []), *words]))
        self._counts[keyword] += 1
        self._current = Built(name if name is not None else f"{keyword}{self._counts[keyword]}", self)
        return self._current

    def statement(self, line: str) -> None:
        """Adds a line of the language as it stands, for example `expect 16x5x5`, which is about the layer above it."""
        self._lines.append(line)

    def network(
        self, *outputs: Built, train: str = "", file: str | None = None, settings: Sequence[str] = ()
    ) -> Network:
        """The network, whose errors are in `diagnostics` as those of `cnnc.check`.

        `outputs` are the layers that it computes, by default the last one; `train` is the inside of the train section; `file` is
        the name of the file that errors cite (default: NAME.cnn). Raises CnncError for lines that cannot be read at all.
        """
        lines = [f"net {self._name if self._name.isidentifier() else _quoted(self._name)}", "", *self._lines]
        if outputs and outputs != (self._current,):
            lines.append(f"output {' '.join(self._own(built).name for built in outputs)}")
        if train:
            lines += ["", "train {", *re.split(r"\n|; ", train), "}"]
        file = file or f"{self._name}.cnn"
        try:
            text = format_text(Source(file, "\n".join(lines) + "\n"))
        except CnncError:  # check reports it, with the other errors
            text = "\n".join(lines) + "\n"
        return check(text, file, settings)

    def _split(self, keyword: str, values: Sequence[Any]) -> tuple[list[Built], list[Any]]:
        """The layers that a new one reads, and the values after them."""
        op = OPS.get(keyword)
        leading = next((i for i, value in enumerate(values) if not isinstance(value, Built)), len(values))
        count = leading
        if op is not None and op.arity >= 0:
            count = op.arity - sum(isinstance(s.kind, LayerName) and s.positional for s in op.arguments)
        if count > leading and len(values) > leading:
            self._own(values[leading])
        if count > leading or (op is not None and op.arity < 0 and leading < 2):
            need = f"{count} layer{'s' * (count != 1)}" if op is not None and op.arity >= 0 else "two layers or more"
            help = f"write build.{keyword}({'x, y' if need.startswith('two') else 'x'}, ...)"
            raise CnncError.of("E010", f"build.{keyword} reads {need}, and is given {leading}", help=help)
        return [self._own(built) for built in values[:count]], list(values[count:])

    def _own(self, built: Built) -> Built:
        """The layer. Raises TypeError for anything else, CnncError E010 for a layer of another builder."""
        if not isinstance(built, Built):
            raise TypeError(
                f"{built!r} is not a layer; give what a method of the builder returned, as in build.relu(x)"
            )
        if built.builder is not self:
            raise CnncError.of("E010", f"{built.name} is a layer of another builder")
        return built

    def _go_to(self, built: Built) -> None:
        if built != self._current:
            self._lines.append(f"from {built.name}")


def _text(value: Any) -> str:
    """A value as the language writes it. Raises TypeError, CnncError E010 for a string of several words of the language."""
    if isinstance(value, Built):
        return value.name
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        value = value.tolist()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        if any(character in value for character in _NO_VALUE):
            raise CnncError.of(
                "E010", f"{value!r} is not one value of the language", help="use build.statement for lines"
            )
        return value
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    kind = type(value).__name__
    raise TypeError(f"a {kind} is not a value of the language; give a number, a string, a list, an array or a layer")


def _quoted(name: str) -> str:
    import json

    return json.dumps(name)
