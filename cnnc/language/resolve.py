"""What the words of a text stand for, and which words may be given as names.

In: a word or a call, and the frame it stands in. Out: the tensor or op that is meant, a new layer's full name; or a
CnncError that says the nearest word there is. It infers no shape and adds nothing to the graph; a new name is entered by
`Frame.declare`, when its layer is made.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, nearest
from cnnc.language import syntax
from cnnc.language.expressions import RESERVED_VALUES, Scope, kind
from cnnc.language.scope import POISON, Frame, Tensor, value_of
from cnnc.language.synonyms import known_elsewhere, of_the_train_section
from cnnc.ops import OPS, Op

STATEMENTS = ("net", "let", "from", "output", "block", "repeat", "include", "expect", "budget", "train")


# --- layers --------------------------------------------------------------------------------------------------


def current_tensor(call: syntax.Call, frame: Frame) -> Tensor:
    """The tensor that a layer is put upon. Raises CnncError E112 where there is none, and leaves a poisoned one."""
    if frame.current is None:
        frame.current = POISON
        help = "begin with an input line, e.g. `input 1x28x28`"
        raise CnncError.of("E112", f"{call.op.text} has no input", span=call.span, help=help)
    return frame.current


def tensors(word: syntax.Word, frame: Frame) -> list[Tensor]:
    """The tensors behind a name: `in`, a parameter, a layer, or every round of one (`s.*`). Raises CnncError."""
    if word.name == "in":
        if frame.entry is None or frame.top:
            help = "`in` is what entered a block, branch or round; here label a layer above, `x: ...`, and name `x`"
            raise CnncError.of("E117", "`in` outside a body", span=word.span, help=help)
        return [frame.entry]
    if word.name.endswith(".*"):
        found = frame.rounds_of(word.name[:-2])
        if not found:
            raise _no_layer(word, frame)
        return [entry.tensor for entry in found]
    entry = frame.find(word.name)
    if entry is not None:
        return [entry.tensor]
    try:
        value = frame.scope.look_up(word.name)
    except KeyError:
        raise _no_layer(word, frame) from None
    tensor = value_of(value)
    if tensor is None:
        raise CnncError.of("E203", f"`{word.name}` is {kind(value)}, not a layer", span=word.span)
    return [tensor]


def one_tensor(name: str, span: Span, frame: Frame) -> Tensor:
    """The tensor behind a name that stands for one. Raises CnncError."""
    found = tensors(syntax.Word(name, span), frame)
    if len(found) != 1:
        raise CnncError.of("E203", "one layer is needed here, not several", span=span)
    return found[0]


def _no_layer(word: syntax.Word, frame: Frame) -> CnncError:
    """E114, saying where a layer of that name is, or which name is near."""
    entry = frame.space.entries.get(word.name)
    if entry is not None:
        note = Note(entry.place, "a branch keeps its labels to itself")
        help = "move that layer out, before the branches"
        message = f"`{word.name}` is inside another branch"
        return CnncError(Diagnostic("E114", message, word.span, notes=(note,), help=help))
    if frame.rounds_of(word.name):
        help = f"`{word.name}.0` is that of the first round, `{word.name}.*` those of all"
        return CnncError.of("E114", f"`{word.name}` is in a repeat: there is one a round", span=word.span, help=help)
    below = _labelled(frame.space.file, word.name)
    if below is not None and below.source is word.span.source and below.start > word.span.start:
        help = "a layer reads what stands above it; move one of the two"
        notes = (Note(below, "here"),)
        return CnncError(Diagnostic("E114", f"`{word.name}` stands further down", word.span, notes=notes, help=help))
    visible = frame.visible()
    inside = next((v for v in visible if v.endswith(f".{word.name}")), None)
    near = inside or nearest(word.name, visible)
    help = f"did you mean `{near}`?" if near else f"label a layer above: `{word.name}: ...`"
    return CnncError.of("E114", f"no layer is named `{word.name}`", span=word.span, help=help)


def _labelled(file: syntax.File, name: str) -> Span | None:
    """Where a file labels a layer with this name, outside bodies."""
    labels = (s.label for s in file.statements if isinstance(s, syntax.Call) and s.label is not None)
    return next((label.span for label in labels if label.text == name), None)


# --- ops and symbols -----------------------------------------------------------------------------------------


def op_class(call: syntax.Call, blocks: Iterable[str]) -> tuple[type[Op] | None, tuple[Diagnostic, ...]]:
    """The op of a call, which is none of the file's blocks; for a misspelt one the nearest, and what to say of it."""
    cls = OPS.get(call.op.text)
    if cls is not None:
        return cls, ()
    meant = known_elsewhere(call.op.text)
    bodiless = [word for word in STATEMENTS if call.bodies or word not in ("block", "repeat", "train")]
    near = meant.partition(" ")[0] or nearest(call.op.text, [*OPS, *bodiless, *blocks])
    help = f"did you mean `{meant or near}`?" if near else "`cnnc ops` lists the layers"
    if of_the_train_section(call.op.text):
        near, help = None, f"`{call.op.text}` stands inside `train {{ ... }}`"
    unknown = Diagnostic("E111", f"unknown layer `{call.op.text}`", call.op.span, help=help)
    return OPS.get(near or ""), (unknown,)


def symbols_of(call: syntax.Call, known: Container[str], root: Scope) -> tuple[str, ...]:
    """The symbol of each size of an input ("" for a number or a `let` in capitals); empty where it has none."""
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
        require_own(call.label)
    name = frame.name_for(word, call.label)
    require_free(name, call, frame)
    return name


def require_own(name: syntax.Name) -> None:
    """Raises CnncError E105 where the name is a word of the language, or has a dot."""
    if name.text in RESERVED_VALUES or name.text in STATEMENTS or name.text in OPS:
        raise CnncError.of(
            "E105", f"`{name.text}` is a word of the language", span=name.span, help=f"say `my_{name.text}`"
        )
    if "." in name.text:
        help = f"say `{name.text.replace('.', '_').replace('*', 'all')}`"
        raise CnncError.of("E105", f"`{name.text}`: a name of your own has no dot", span=name.span, help=help)


def require_free(name: str, call: syntax.Call, frame: Frame) -> None:
    """Raises CnncError E106 where a layer of this space has the name."""
    entry = frame.space.entries.get(name)
    if entry is None:
        return
    if call.label is not None:
        raise twice(call.label, entry.place)
    notes = (Note(entry.place, "a label took its name"),)
    help = f"label one of them, e.g. `my_{name}:`"
    raise CnncError(Diagnostic("E106", f"two layers are named `{name}`", call.span, notes=notes, help=help))


def twice(name: syntax.Name, first: Span) -> CnncError:
    """E106, at the second of two definitions."""
    note = Note(first, "first defined here")
    help = f"call one of them something else, e.g. `{name.text}_2`"
    return CnncError(Diagnostic("E106", f"`{name.text}` is defined twice", name.span, notes=(note,), help=help))
