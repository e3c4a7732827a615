"""What a name refers to, and which names a layer may have.

In: a word or a call, and the frame that it is in. Out: the tensor or op that it refers to, or the name of a new layer; or
a CnncError, whose help suggests the nearest name. It infers no shapes and adds nothing to the graph: `Frame.declare`
enters a new name once its layer exists.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Any

from cnnc.diagnostics import CnncError, Diagnostic, Edit, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.edits import before, did_you_mean, first_that_works, moved_before
from cnnc.language.expressions import RESERVED_VALUES, AlreadyReported, Scope, describe
from cnnc.language.meant import unknown_layer
from cnnc.language.scope import POISON, Frame, Tensor, tensor_of
from cnnc.language.synonyms import is_train_statement, layer_sentence, layer_synonym, train_setting
from cnnc.ops import OPS, Op

LANGUAGE_STATEMENTS = ("net", "let", "from", "output", "block", "repeat", "include", "expect", "budget", "train")


# --- layers --------------------------------------------------------------------------------------------------


def require_input(call: syntax.Call, current: Tensor | None, file: syntax.File) -> Tensor:
    """The layer's input, which is the current tensor. Raises CnncError E112 if there is none yet."""
    if current is None:
        raise no_input(f"{call.op.text} has no input", call.span, file)
    return current


def no_input(message: str, span: Span, file: syntax.File) -> CnncError:
    """E112, with the input below moved above, or a new one."""
    below = next((s for s in file.statements if isinstance(s, syntax.Call) and s.op.text == "input"), None)
    if below is None or below.span.source is not span.source or below.span.start < span.start:
        edit = before(span, "input 1x28x28", "begin with an input line, e.g. `{}`")
    else:
        edit = moved_before(below.span, span, f"begin with the input: move `{below.span.text}` above it")
    return CnncError.of("E112", message, span=span, help="begin with an input line", edits=(edit,))


def tensors(word: syntax.Word, frame: Frame) -> list[Tensor]:
    """The tensors that a name refers to: `in`, a block parameter, a layer, or a layer in every round (`s.*`).

    Raises CnncError E114, E117, E203.
    """
    if frame.scope.uses is not None:
        frame.record_names(word)
    if word.name == "in":
        if frame.entry is None or frame.top:
            help = "`in` is the tensor that enters a block, branch or round; here, name a layer above"
            names = [n for n, d in frame.space.declarations.items() if d.tensor.type is not None and not d.branch]
            edits = tuple(Edit(word.span, name, f"{help}, e.g. `{{}}`") for name in names)
            raise CnncError.of("E117", "`in` outside a body", span=word.span, help=help, edits=first_that_works(edits))
        return [frame.entry]
    if word.name.endswith(".*"):
        declarations = frame.in_all_rounds(word.name[:-2])
        if not declarations:
            raise _no_layer(word, frame)
        return [declaration.tensor for declaration in declarations.values()]
    declaration = frame.find(word.name)
    if declaration is not None:
        return [declaration.tensor]
    return _variable_layer(word, frame)


def _variable_layer(word: syntax.Word, frame: Frame) -> list[Tensor]:
    """The tensor of a block parameter that was given a layer. Raises as `tensors` does."""
    outer = frame.find(word.name.partition(".")[0])
    if outer is not None and outer.tensor == POISON:
        raise AlreadyReported  # a layer inside a block call that failed
    try:
        value = frame.scope.read_at(word.span, word.name)
    except KeyError:
        raise _no_layer(word, frame) from None
    tensor = tensor_of(value)
    if tensor is None:
        raise CnncError.of("E203", f"`{word.name}` is {describe(value)}, not a layer", span=word.span)
    return [tensor]


def one_tensor(name: str, span: Span, frame: Frame) -> Tensor:
    """The one tensor that a name refers to. Raises CnncError as `tensors` does, and E203 if there are several."""
    named = tensors(syntax.Word(name, span), frame)
    if len(named) != 1:
        raise CnncError.of("E203", f"expected one layer here, found {len(named)}", span=span)
    return named[0]


def _no_layer(word: syntax.Word, frame: Frame) -> CnncError:
    """E114, saying where a layer of that name is, or which name is similar."""
    declaration = frame.space.declarations.get(word.name)
    if declaration is not None:
        note = Note(declaration.span, "only this branch can use its labels")
        help = "move that layer out of the branch, before the merge"
        message = f"`{word.name}` is inside another branch"
        return CnncError(Diagnostic("E114", message, word.span, notes=(note,), help=help))
    if frame.in_all_rounds(word.name):
        edits = (
            Edit(word.span, f"{word.name}.0", "write `{}` for that of the first round"),
            Edit(word.span, f"{word.name}.*", "`{}` for those of all rounds"),
        )
        message = f"`{word.name}` is in a repeat, so there is one in each round"
        return CnncError.of("E114", message, span=word.span, edits=edits)
    below = _labelled(frame.space.file, word.name)
    if below is not None and below.source is word.span.source and below.start > word.span.start:
        help = "a layer can read only layers above it; move one of the two"
        notes = (Note(below, "defined here"),)
        return CnncError(Diagnostic("E114", f"`{word.name}` is defined below", word.span, notes=notes, help=help))
    visible = frame.visible_names()
    inside = next((v for v in visible if v.endswith(f".{word.name}")), None)
    numbered = next((v for v in reversed(visible) if re.fullmatch(rf"{re.escape(word.name)}\d+", v)), None)
    near = inside or numbered or nearest(word.name, visible)
    help = "label the layer that is meant with this name"
    return CnncError.of(
        "E114", f"no layer is named `{word.name}`", span=word.span, help=help, edits=did_you_mean(word.span, near)
    )


def _labelled(file: syntax.File, name: str) -> Span | None:
    """The span of this label at the top level of a file."""
    labels = (s.label for s in file.statements if isinstance(s, syntax.Call) and s.label is not None)
    return next((label.span for label in labels if label.text == name), None)


# --- ops and symbols -----------------------------------------------------------------------------------------


def op_class(call: syntax.Call, blocks: Iterable[str]) -> tuple[type[Op] | None, tuple[Diagnostic, ...]]:
    """The op of a call that is not one of the file's `blocks`.

    For an unknown word: the op with the nearest name (None if there is none), and E111.
    """
    cls = OPS.get(call.op.text)
    if cls is not None:
        return cls, ()
    translated = layer_synonym(call.op.text)
    statements = [word for word in LANGUAGE_STATEMENTS if call.bodies or word not in ("block", "repeat", "train")]
    near = translated.partition(" ")[0] or nearest(call.op.text, [*OPS, *statements, *blocks])
    if (is_train_statement(call.op.text) or train_setting(call.op.text)) and not call.bodies:
        help = f"`{call.op.text}` belongs inside `train {{ ... }}`"
        return None, (Diagnostic("E111", f"unknown layer `{call.op.text}`", call.op.span, help=help),)
    unknown = unknown_layer(call, near)
    guess = OPS.get(near or "") if unknown.edits else None
    return guess, (unknown,)


def unreadable_block(statement: syntax.Statement) -> str:
    """The block that a statement was meant to define, but does not: `block a(w` or `blok a(w) { ... }`; "" for any other."""
    if isinstance(statement, syntax.Malformed):
        return statement.name if statement.op == "block" else ""
    if isinstance(statement, syntax.Call) and statement.bodies and statement.arguments and statement.op.text not in OPS:
        name = statement.arguments[0].value
        defines = "`block NAME" in layer_sentence(statement.op.text)
        defines = defines or nearest(statement.op.text, LANGUAGE_STATEMENTS) == "block"
        if isinstance(name, syntax.Word) and defines and statement.op.text not in LANGUAGE_STATEMENTS:
            return name.name
    return ""


def symbols_of(call: syntax.Call, known: Container[str], root: Scope) -> tuple[str, ...]:
    """The symbol of each size of an input's shape ("" for a number or a `let` in capitals); () if there are no symbols."""
    value = next((a.value for a in call.arguments if a.key is None or a.key.text == "shape"), None)
    parts: tuple[Any, ...] = ()
    if isinstance(value, syntax.Extent):
        parts = value.parts
    elif isinstance(value, syntax.List):
        parts = tuple(i.name if isinstance(i, syntax.Word) else 0 for i in value.items)
    elif isinstance(value, syntax.Word):
        parts = (value.name,)
    names = []
    for part in parts:
        name = part if isinstance(part, str) and part[:1].isupper() and part.isupper() else ""
        names.append(name if name in known or root.holder(name) is None else "")
    return tuple(names) if any(names) else ()


# --- new names -----------------------------------------------------------------------------------------------


def new_name(word: str, call: syntax.Call, frame: Frame) -> str:
    """The name of a new layer within its space. Raises CnncError E105, E106."""
    if call.label is not None:
        require_not_reserved(call.label)
    name = frame.next_name(word, call.label)
    require_free(name, call, frame)
    return name


def require_not_reserved(name: syntax.Name) -> None:
    """Raises CnncError E105 if the name is a word of the language or contains a dot."""
    if name.text in RESERVED_VALUES or name.text in LANGUAGE_STATEMENTS or name.text in OPS:
        edit = Edit(name.span, f"my_{name.text}", "choose another name, e.g. `{}`")
        raise CnncError.of("E105", f"`{name.text}` is a reserved word", span=name.span, edits=(edit,))
    if "." in name.text:
        edit = Edit(name.span, name.text.replace(".", "_").replace("*", "all"))
        message = f"`{name.text}`: a new name cannot contain a dot"
        raise CnncError.of("E105", message, span=name.span, edits=(edit,))


def require_free(name: str, call: syntax.Call, frame: Frame) -> None:
    """Raises CnncError E106 if a layer of this space already has the name."""
    declaration = frame.space.declarations.get(name)
    if declaration is None:
        return
    if call.label is not None:
        raise defined_twice(call.label, declaration.span)
    notes = (Note(declaration.span, "this label is the automatic name of the other layer"),)
    edit = Edit(call.span.source.span(call.span.start, call.span.start), f"my_{name}: ", "label one of them, e.g. `{}`")
    raise CnncError(Diagnostic("E106", f"two layers are named `{name}`", call.span, notes=notes, edits=(edit,)))


def defined_twice(name: syntax.Name, first: Span) -> CnncError:
    """E106, at the second of two definitions."""
    note = Note(first, "first defined here")
    edits = [Edit(name.span, f"{name.text}_{n}", "rename one of them, e.g. `{}`") for n in (2, 3, 4)]
    message = f"`{name.text}` is defined twice"
    return CnncError(Diagnostic("E106", message, name.span, notes=(note,), edits=first_that_works(edits)))
