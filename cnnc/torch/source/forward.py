"""The method `forward` of a class.

In: a class with its modules named. Out: lines. The running tensor is `x`; a tensor that is read again later has the name of
its layer. Steps that keep the shape are written around the step before them: `x = F.relu(self.bn1(self.conv1(x)))`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from cnnc.ops.pool import Unpool
from cnnc.torch.source.classes import CallItem, Item, LayerItem, ModuleClass, Ref
from cnnc.torch.source.layers import SourcePiece, WrittenCall, argument_text
from cnnc.torch.source.layout import INDENT, WIDTH, call_lines, expression_lines
from cnnc.torch.source.names import variable_name

_MOST_NESTED = 3  # calls around one another on a line
_UNTYPED = (
    "F.max_pool",
    "F.adaptive_max_pool",
)  # functions of which type checkers do not know that they return a Tensor


class _Expression(NamedTuple):
    """The text of a tensor, with `depth` calls around a variable.

    `is_typed` says that type checkers know it for a Tensor, which they do not of what a module returns. `is_operator` says
    that it needs parentheses before a method or an index.
    """

    text: str
    depth: int = 0
    is_typed: bool = True
    is_operator: bool = False

    @property
    def operand(self) -> str:
        """The text where a method, an index or an operator follows."""
        return f"({self.text})" if self.is_operator else self.text


class ForwardWriter:
    """Writes the method item by item. `shape_of` gives the comment of an item."""

    def __init__(
        self,
        group: ModuleClass,
        modules: Mapping[tuple[int, int], str],
        numbers: Mapping[tuple[int, int, int], str],
        shape_of: Callable[[int], str],
    ) -> None:
        self.group = group
        self.modules = modules
        self.numbers = numbers
        self.shape_of = shape_of
        self.names: dict[Ref, str] = {Ref(-1, i): name for i, name in enumerate(group.inputs)}
        self.pending: dict[Ref, _Expression] = {}  # not assigned: the next item is written around it
        self.used: set[str] = set()  # variables assigned so far
        self.held = {name: ref for ref, name in self.names.items()}  # the last tensor of each variable
        self.aliases = self._aliases()
        self.outputs = [self.aliases.get(ref, ref) for ref in group.outputs]
        self.pools = self._pools_with_indices()
        self.readers = self._readers()
        self.indices: dict[int, str] = {}  # by pool: the variable with the positions of its maxima

    def _aliases(self) -> dict[Ref, Ref]:
        """The outputs of layers that compute nothing, with the tensors that they are."""
        aliases: dict[Ref, Ref] = {}
        for number, item in enumerate(self.group.items):
            if isinstance(item, LayerItem) and not item.merged and all(_is_alias(piece) for piece in item.pieces):
                source = item.inputs[0]
                aliases[Ref(number)] = aliases.get(source, source)
        return aliases

    def _readers(self) -> dict[Ref, list[int]]:
        """For each tensor the items that read it; the `return` counts as the one after the last."""
        readers: dict[Ref, list[int]] = {}
        for number, item in enumerate(self.group.items):
            if Ref(number) not in self.aliases:
                for ref in item.inputs[:1] if number in self.pools else item.inputs:
                    readers.setdefault(self.aliases.get(ref, ref), []).append(number)
        for ref in self.outputs:
            readers.setdefault(ref, []).append(len(self.group.items))
        return readers

    def _pools_with_indices(self) -> dict[int, int]:
        """For each unpool the pool of this class that can return the positions of its maxima, by their numbers."""
        pools: dict[int, int] = {}
        for number, item in enumerate(self.group.items):
            if not isinstance(item, LayerItem) or not item.with_indices or not isinstance(item.node.op, Unpool):
                continue
            for other, pool in enumerate(self.group.items[:number]):
                if not isinstance(pool, LayerItem) or (other, 0) in self.modules:
                    continue
                if pool.node.op == item.node.op.pool and pool.inputs[0] == item.inputs[1]:
                    pools[number] = other
        return pools

    def lines(self) -> Iterator[str]:
        """The method."""
        arguments = [f"{name}: Tensor" for name in self.group.inputs]
        count = len(self.outputs)
        type_ = "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"
        yield from call_lines(INDENT, "def forward(", ["self", *arguments], f") -> {type_}:")
        for number, item in enumerate(self.group.items):
            if Ref(number) not in self.aliases:
                yield from self._item(number, item)
        yield from self._return()

    def _return(self) -> Iterator[str]:
        if len(self.outputs) == 1 and self.outputs[0] in self.pending:
            text, comment = self.pending[self.outputs[0]].text, self.shape_of(self.outputs[0].item)
            yield from expression_lines(INDENT * 2, "return ", text, comment)
            return
        yield from expression_lines(INDENT * 2, "return ", ", ".join(self.names[ref] for ref in self.outputs))

    # --- one item --------------------------------------------------------------------------------------------

    def _item(self, number: int, item: Item) -> Iterator[str]:
        if isinstance(item, CallItem):
            yield from self._call(number, item)
        elif item.merged:
            yield from self._assign(number, Ref(number), self._merged(number, item))
        else:
            expression = self._tensor(item.inputs[0])
            for index, piece in enumerate(item.pieces):
                expression = self._applied(number, index, item, piece, expression)
            if number in self.pools.values():
                expression = expression._replace(text=f"{expression.text[:-1]}, return_indices=True)", is_typed=False)
            yield from self._assign(number, Ref(number), expression)

    def _tensor(self, ref: Ref) -> _Expression:
        """What stands for a tensor in the next line."""
        ref = self.aliases.get(ref, ref)
        return self.pending.pop(ref, None) or _Expression(self.names[ref])

    def _applied(self, number: int, index: int, item: LayerItem, piece: SourcePiece, x: _Expression) -> _Expression:
        """A piece around an expression."""
        module = self.modules.get((number, index))
        if module is None and item.owner and piece.parameters:
            return self._with_tensors_of(item, piece, x.text, x.depth + 1)
        if module is not None:
            return _Expression(f"self.{module}({x.text})", x.depth + 1, is_typed=False)
        assert piece.function is not None
        return _written(piece.function, x, self._arguments(number, index, piece))

    def _arguments(self, number: int, index: int, piece: SourcePiece) -> list[str]:
        """The arguments of a function: its numbers, or the attributes that hold them."""
        assert piece.function is not None
        if piece.module is not None or not any(key[:2] == (number, index) for key in self.numbers):
            return _own_arguments(piece.function)
        shown = []
        for place, argument in enumerate(piece.function.arguments):
            attribute = self.numbers.get((number, index, place))
            text = f"self.{attribute}" if attribute else argument_text(argument.value)
            shown.append(f"{argument.key}={text}" if argument.key else text)
        return shown

    def _with_tensors_of(self, item: LayerItem, piece: SourcePiece, inputs: str, depth: int) -> _Expression:
        """A layer that uses the parameters of another module: that module itself where it computes the same."""
        if item.is_same:
            return _Expression(f"self.{item.owner}({inputs})", depth, is_typed=False)
        assert piece.shared is not None
        arguments = [argument.replace("{}", f"self.{item.owner}") for argument in _own_arguments(piece.shared)]
        return _Expression(f"{piece.shared.name}({', '.join([inputs, *arguments])})", depth)

    def _merged(self, number: int, item: LayerItem) -> _Expression:
        """A layer of several inputs. They are variables: only layers of one input are written around another."""
        if number in self.pools:
            text = item.with_indices.format(self._tensor(item.inputs[0]).text, self.indices[self.pools[number]])
            return _Expression(text, 1)
        text = item.merged.format(*(self._tensor(ref).operand for ref in item.inputs))
        if not item.pieces:
            is_operator = _has_operator(text)
            return _Expression(text, 1, not is_operator, is_operator)
        module = self.modules.get((number, 0))
        if module is None:
            return self._with_tensors_of(item, item.pieces[0], text, 1)
        return _Expression(f"self.{module}({text})", 1, is_typed=False)

    def _call(self, number: int, item: CallItem) -> Iterator[str]:
        inputs = ", ".join(self._tensor(ref).text for ref in item.inputs)
        expression = _Expression(f"self.{item.twin or item.name}({inputs})", 1, is_typed=False)
        if len(item.scope.read) == 1:
            yield from self._assign(number, Ref(number), expression)
            return
        for output, full_name in enumerate(item.scope.read):
            own = full_name.rpartition(".")[2]
            self.names[Ref(number, output)] = self._own_name(f"{item.name}_{own}" if output else item.name)
        targets = ", ".join(self.names[Ref(number, output)] for output in range(len(item.scope.read)))
        yield from expression_lines(INDENT * 2, f"{targets} = ", expression.text)

    # --- variables -------------------------------------------------------------------------------------------

    def _assign(self, number: int, ref: Ref, expression: _Expression) -> Iterator[str]:
        """The line that assigns an item's output; none if the next line is written around the expression."""
        is_result = number == len(self.group.items) - 1 and self.outputs == [ref]
        if number in self.pools.values():
            name = self.names[ref] = self._name_for(number, ref)
            self.held[name] = ref
            self.used.add(name)
            self.indices[number] = self._own_name(f"{self.group.items[number].name}_indices")
            targets = f"{name}, {self.indices[number]} = "
            yield from expression_lines(INDENT * 2, targets, expression.text, self.shape_of(number))
            return
        if (is_result and expression.is_typed) or self._is_nested(number, ref, expression):
            self.pending[ref] = expression
            return
        name, annotation = self._name_for(number, ref), ""
        if is_result and name not in self.group.inputs:
            name = self._own_name("out") if name in self.used else name
            annotation = ": Tensor"
        self.names[ref] = name
        self.held[name] = ref
        self.used.add(name)
        yield from expression_lines(INDENT * 2, f"{name}{annotation} = ", expression.text, self.shape_of(number))

    def _is_nested(self, number: int, ref: Ref, expression: _Expression) -> bool:
        """Whether the next item is written around an expression: it alone reads it, and keeps the shape."""
        if self.readers.get(ref) != [number + 1] or number + 1 == len(self.group.items):
            return False
        item = self.group.items[number + 1]
        if not isinstance(item, LayerItem) or item.merged or not all(piece.is_light for piece in item.pieces):
            return False
        return expression.depth < _MOST_NESTED and len(expression.text) + len(item.name) < WIDTH - 40

    def _name_for(self, number: int, ref: Ref) -> str:
        """`x` for a tensor that only the next item reads, `y` where `x` is read later; else the layer's own name."""
        if max(self.readers.get(ref, [number])) <= number + 1 and not self._is_branch(number):
            for name in ("x", "y"):
                if name not in self.held or not self._is_live(self.held[name], number):
                    return name
        return self._own_name(self.group.items[number].name)

    def _is_branch(self, number: int) -> bool:
        """Whether the next item joins this one with other branches, each of which has a name there."""
        if number + 1 == len(self.group.items):
            return False
        others = {self.aliases.get(ref, ref) for ref in self.group.items[number + 1].inputs} - {Ref(number)}
        return any(ref.item >= 0 and self.readers[ref] == [number + 1] for ref in others)

    def _is_live(self, ref: Ref, number: int) -> bool:
        return max(self.readers.get(ref, [-1])) > number

    def _own_name(self, name: str) -> str:
        name = variable_name(name, {"x", "y", *self.group.inputs, *self.used})
        self.used.add(name)
        return name


def _is_alias(piece: SourcePiece) -> bool:
    return piece.function is not None and piece.function.name == "{}"


def _own_arguments(written: WrittenCall) -> list[str]:
    """The arguments of a call with its own numbers, without those that are the default."""
    shown = []
    for argument in written.arguments:
        if argument.default is None or argument.value != argument.default:
            text = argument_text(argument.value)
            shown.append(f"{argument.key}={text}" if argument.key else text)
    return shown


def _written(written: WrittenCall, x: _Expression, arguments: list[str]) -> _Expression:
    """A function, a method or an index applied to an expression."""
    if "{}" in written.name:
        text = written.name.replace("{}", x.operand)
        for place, argument in enumerate(arguments):
            text = text.replace(f"{{{place}}}", argument)
        return _Expression(text, x.depth + 1, False, _has_operator(written.name))
    if written.name.startswith("."):
        return _Expression(f"{x.operand}{written.name}({', '.join(arguments)})", x.depth + 1, is_typed=False)
    is_typed = not written.name.startswith(_UNTYPED)
    return _Expression(f"{written.name}({', '.join([x.text, *arguments])})", x.depth + 1, is_typed)


def _has_operator(text: str) -> bool:
    return re.search(" [-+*/] ", text) is not None
