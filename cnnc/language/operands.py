"""The operands that a merge names, and the current tensor, which it takes unless it has branches.

In: a call such as `add a b`, its frame, and the current tensor. Out: the named operands (`operands_of`), an error if `sub`
names several (`require_one_subtrahend`), and a warning if the current tensor is named as well (`named_twice`). Example: if b
is the current tensor, `add a b` is b + a + b; `add a` is b + a.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnnc.diagnostics import CnncError, Diagnostic, Edit, Span
from cnnc.language import syntax
from cnnc.language.edits import first_that_works, rewritten
from cnnc.language.references import layers_above
from cnnc.language.resolve import tensors
from cnnc.language.scope import Frame, Tensor
from cnnc.language.synonyms import needless_key_help
from cnnc.ops.merge import Concat, Maximum, Merge, Sub


class Operand(NamedTuple):
    """An operand by name: each round of `s.*` is one, named `s.0`, `s.1`, ...; `span` is that of the argument."""

    name: str
    tensor: Tensor
    span: Span


def operands_of(cls: type[Merge], call: syntax.Call, frame: Frame, current: Tensor | None) -> list[Operand]:
    """The operands that a merge names: `a` and `b` of `add a b`. Raises CnncError E114, E117, E203."""
    operands: list[Operand] = []
    for argument in call.arguments:
        word = argument.value
        if argument.key is not None or not isinstance(word, syntax.Word):
            message = f"{cls.keyword} takes layer names and branches"
            edits = [Edit(argument.span, name, "name a layer, e.g. `{}`") for name in layers_above(frame, current)]
            help = "name layers above, or write branches in braces"
            edits = [*_with_constant(cls, call), *edits]
            raise CnncError.of("E203", message, span=argument.span, help=help, edits=first_that_works(edits))
        named = tensors(word, frame)
        names = [*frame.in_all_rounds(word.name[:-2])] if word.name.endswith(".*") else [word.name]
        operands += [Operand(name, tensor, argument.span) for name, tensor in zip(names, named, strict=True)]
    return operands


def _with_constant(cls: type[Merge], call: syntax.Call) -> tuple[Edit, ...]:
    """The edit for a merge with a number, such as `mul 0.5` or `add 1`, which other layers compute."""
    if len(call.arguments) == 1 and call.arguments[0].key is not None:
        help = needless_key_help(call.arguments[0].key.text)
        gap = Span(call.span.source, call.op.span.end, call.arguments[0].span.end)
        return (Edit(gap, "", help),) if help else ()
    if (
        len(call.arguments) != 1
        or call.bodies
        or not isinstance(call.arguments[0].value, syntax.Number | syntax.Negative)
    ):
        return ()
    value = call.arguments[0].span.text
    minus = value.removeprefix("-") if value.startswith("-") else f"-{value}"
    layers = {
        "mul": f"scale {value}",
        "add": f"normalize mean={minus} std=1",
        "sub": f"normalize mean={value} std=1",
    }
    line = layers.get(cls.keyword)
    return (rewritten(call, line),) if line else ()


def require_one_subtrahend(call: syntax.Call, operands: Sequence[Operand], current: Tensor) -> None:
    """Raises CnncError E318 if a `sub` without branches names several tensors."""
    if len(operands) < 2:
        return
    first, *others = (operand.name for operand in operands)
    edit = _labelled(call, "; ".join(f"sub {name}" for name in others))
    if operands[0].tensor.node != current.node:
        edit = f"from {first}; {edit}"
    edits = [Edit(call.span, edit, f"for {' - '.join([first, *others])}, write `{{}}`")]
    if all(operand.tensor.node != current.node for operand in operands):
        each = _labelled(call, "; ".join(f"sub {operand.name}" for operand in operands))
        edits.append(Edit(call.span, each, "to subtract each of them from the current tensor, `{}`"))
    message = f"sub subtracts one named tensor from the current one; this line names {len(operands)}"
    help = "write one `sub` line for each tensor to subtract"
    raise CnncError.of("E318", message, span=call.span, help=help, edits=tuple(edits))


def named_twice(cls: type[Merge], call: syntax.Call, operands: Sequence[Operand], current: Tensor) -> Diagnostic | None:
    """W305 if an operand of a merge without branches is the current tensor, which the merge takes anyway.

    Not for a single name: `add b` and `mul b` can only mean twice b and the square of b. But `sub b` would always be 0, and
    `maximum b` change nothing.
    """
    repeated = next((o for o in operands if o.tensor.node == current.node), None)
    if repeated is None or not current.node or (len(operands) == 1 and cls not in (Sub, Maximum)):
        return None
    words = [repeated.name, *(operand.name for operand in operands)]
    result = {Concat: ", ".join(words), Maximum: f"the maximum of {' and '.join(words)}"}.get(
        cls, f" {cls.sign} ".join(words)
    )
    message = f"{cls.keyword} also takes the current tensor, {repeated.name}, so this line is {result}"
    others = list(dict.fromkeys(operand.name for operand in operands if operand.tensor.node != current.node))
    help = "remove the line, or name another"
    edits = (Edit(call.span, _labelled(call, " ".join([cls.keyword, *others]))),) if others else ()
    return Diagnostic("W305", message, repeated.span, help=help, edits=edits)


def _labelled(call: syntax.Call, statements: str) -> str:
    """Statements, the last of them with the label of the call."""
    *before, last = statements.split("; ")
    return "; ".join([*before, f"{call.label.text}: {last}" if call.label is not None else last])
