"""Names of layers, and which of them a statement can see.

In: labels, the counts of layers so far, and the body that a statement is in. Out: full names (`stage3.conv1`, `s.0`) and
the tensors behind names. Each block call has a separate `Space`; branches and rounds of a repeat are `Frame`s within
one space.

Example: in `b: block_name ...`, the body's second conv is `conv2` in the space of the call and `b.conv2` outside.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from cnnc.core.tensor import TensorType
from cnnc.diagnostics import Note, Span
from cnnc.language import syntax
from cnnc.language.expressions import Scope, Unknown
from cnnc.language.uses import Use


class Tensor(NamedTuple):
    """A layer output: the name of its node, and its type. A poisoned one, whose layer failed, has neither."""

    node: str
    type: TensorType | None


POISON = Tensor("", None)


class LayerReference(NamedTuple):
    """The value of a block parameter that was given a layer, or `in`."""

    tensor: Tensor


class Declaration(NamedTuple):
    """What a name refers to: the tensor, the branch it was declared in, and the spans of its statement and label."""

    tensor: Tensor
    branch: tuple[int, ...]
    span: Span
    label: Span | None = None


class Space:
    """The names inside one block call, or at the top level of the file. `prefix` precedes each of them in full names."""

    def __init__(
        self,
        file: syntax.File,
        prefix: str = "",
        calls: tuple[Note, ...] = (),
        share: str = "",
        path: tuple[str, ...] = (),
    ) -> None:
        self.file = file  # the file being checked, even if the block is in an included file
        self.prefix = prefix
        self.path = path
        self.calls = calls
        self.share = share  # the prefix of the block call whose parameters this call uses
        self.counts: Counter[str] = Counter()
        self.declarations: dict[str, Declaration] = {}
        self.branches = 0  # entered so far, to number them


class Frame:
    """A body while it is lowered: its space, its variables, and the tensor that entered it (`in`).

    The current tensor is not part of the frame: lowering passes it from statement to statement.
    """

    def __init__(
        self,
        space: Space,
        scope: Scope,
        entry: Tensor | None,
        branch: tuple[int, ...] = (),
        rounds: tuple[int, ...] = (),
        outer: Frame | None = None,
        top: bool = False,
    ) -> None:
        self.space = space
        self.scope = scope
        self.entry = entry
        self.branch = branch
        self.rounds = rounds
        self.outer = outer
        self.top = top
        self.statements: tuple[syntax.Statement, ...] = ()
        self.round_labels: dict[str, str] = {}  # the full names of this round's labels: `s.2` for `s`

    def enter(self, scope: Scope, entry: Tensor | None, branch: bool = False, round_: int | None = None) -> Frame:
        """The frame of a branch or of one round of a repeat, which the tensor `entry` enters."""
        path = self.branch
        if branch:
            self.space.branches += 1
            path = (*path, self.space.branches)
        rounds = self.rounds if round_ is None else (*self.rounds, round_)
        return Frame(self.space, scope, entry, path, rounds, self)

    def next_name(self, word: str, label: syntax.Name | None) -> str:
        """The name of a new layer or block call within its space: its label, or the word and a count (`conv3`).

        Labelled layers are counted too.
        """
        self.space.counts[word] += 1
        if label is None:
            return f"{word}{self.space.counts[word]}"
        return ".".join([label.text, *map(str, self.rounds)])

    def declare(self, name: str, label: syntax.Name | None, tensor: Tensor, span: Span) -> None:
        """Enters a layer or block call under its name, and its label among those of this round."""
        self.space.declarations[name] = Declaration(
            tensor, self.branch, span, label.span if label is not None else None
        )
        if label is not None and self.rounds:
            self.round_labels[label.text] = name

    def declare_call(self, name: str, call: syntax.Call, inner: Space, output: Tensor | None) -> None:
        """Declares a lowered block call, and the names in it that are outside branches, as `b1.conv2`."""
        self.declare(name, call.label, output or POISON, call.span)
        for key, declaration in inner.declarations.items():
            if not declaration.branch:
                self.space.declarations[f"{name}.{key}"] = declaration._replace(branch=self.branch)

    def find(self, name: str) -> Declaration | None:
        """What a name refers to here: a label of this round, or else a name of the space that this branch can see."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.round_labels:
                name = frame.round_labels[name]
                break
            frame = frame.outer
        declaration = self.space.declarations.get(name)
        return declaration if declaration is not None and self.sees(declaration) else None

    def record_names(self, word: syntax.Word) -> None:
        """Records the names in a reference to a layer: `b1` and `skip` in `b1.skip`, `s` in `s.*`."""
        uses = self.scope.uses
        if uses is None or not word.span.text.endswith(word.name):
            return  # what is not written there comes from a setting
        parts = word.name.split(".")
        start = word.span.end - len(word.name)  # the span of an argument also covers its key
        for index, part in enumerate(parts):
            span = Span(word.span.source, start, start + len(part))
            start = span.end + 1
            if part == "*" or part.isdigit():
                continue
            name = ".".join(parts[: index + 1])
            rounds = [p for p in parts[index + 1 :] if p.isdigit()]
            declaration = self.find(name) or self.find(".".join([name, *rounds]))
            declaration = declaration or next(iter(self.in_all_rounds(name).values()), None)
            if declaration is not None:
                uses.by_span[span] = Use(declaration.label or declaration.span, "layer")

    def sees(self, declaration: Declaration) -> bool:
        """Whether the declaration is in this branch or in one around it."""
        return self.branch[: len(declaration.branch)] == declaration.branch

    def in_all_rounds(self, label: str) -> dict[str, Declaration]:
        """What `s.*` refers to: the declaration of the label in every round, by name (`s.0`)."""
        return {
            name: declaration
            for name, declaration in self.space.declarations.items()
            if name.startswith(f"{label}.") and name[len(label) :].replace(".", "").isdigit() and self.sees(declaration)
        }

    def visible_names(self) -> list[str]:
        """All names that `find` knows here."""
        names: list[str] = []
        frame: Frame | None = self
        while frame is not None:
            names += frame.round_labels
            frame = frame.outer
        return [*names, *(name for name, d in self.space.declarations.items() if self.sees(d))]


def with_c_in(scope: Scope, current: Tensor | None) -> Scope:
    """A scope inside `scope` in which `c_in` is the number of channels of the current tensor; undefined if there is none."""
    inner = Scope(scope)
    if current is not None:
        inner.values["c_in"] = current.type.channels if current.type is not None else Unknown()
    return inner


def tensor_of(value: Any) -> Tensor | None:
    """The tensor that a variable's value refers to; None if the value is not a layer."""
    return value.tensor if isinstance(value, LayerReference) else None
