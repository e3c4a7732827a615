"""Names of layers: what they are called, and who sees them.

In: labels, counts, the body around. Out: full names (`stage3.conv1`, `s.0`) and the tensors behind the
names that a body may use. A block call opens a `Space` of its own; branches and rounds of a repeat are
`Frame`s within one.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from cnnc.core.tensor import TensorType
from cnnc.diagnostics import Note, Span
from cnnc.language import syntax
from cnnc.language.expressions import Scope, Unknown


class Tensor(NamedTuple):
    """A tensor of the graph: the node that makes it, and its type. A poisoned one has neither."""

    node: str
    type: TensorType | None


POISON = Tensor("", None)


class LayerReference(NamedTuple):
    """A tensor handed to a block as an argument, or by `in`."""

    tensor: Tensor


class Entry(NamedTuple):
    """A name, the branch in which it was given, and where it stands."""

    tensor: Tensor
    branch: tuple[int, ...]
    place: Span


class Space:
    """The names inside one block call, or at the top of the file. `prefix` goes before each of them."""

    def __init__(
        self,
        file: syntax.File,
        prefix: str = "",
        calls: tuple[Note, ...] = (),
        share: str = "",
        path: tuple[str, ...] = (),
    ) -> None:
        self.file = file  # the one that is lowered, wherever the block stands
        self.prefix = prefix
        self.path = path
        self.calls = calls
        self.share = share  # the prefix of the call whose parameters this one uses
        self.counts: Counter[str] = Counter()
        self.entries: dict[str, Entry] = {}
        self.branches = 0

    def next_name(self, word: str) -> str:
        """`conv3`: the third conv of this space, labelled ones counted."""
        self.counts[word] += 1
        return f"{word}{self.counts[word]}"


class Frame:
    """A body as it is lowered: its space, its variables, the tensor that entered it, and the current one."""

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
        self.current = entry
        self.branch = branch
        self.rounds = rounds
        self.outer = outer
        self.top = top
        self.bare: dict[str, str] = {}  # in a round of a repeat: the labels of this round

    def inside(self, scope: Scope, branch: bool = False, round_: int | None = None) -> Frame:
        """A frame for a branch or a round of a repeat, which begins with the current tensor."""
        path = self.branch
        if branch:
            self.space.branches += 1
            path = (*path, self.space.branches)
        rounds = self.rounds if round_ is None else (*self.rounds, round_)
        return Frame(self.space, scope, self.current, path, rounds, self)

    def with_c_in(self) -> Scope:
        """The variables, knowing the channels of the current tensor."""
        type_ = self.current.type if self.current is not None else None
        self.scope.values["c_in"] = type_.channels if type_ is not None else Unknown()
        return self.scope

    def name_for(self, word: str, label: syntax.Name | None) -> str:
        """The name of a new layer or call within its space."""
        counted = self.space.next_name(word)
        if label is None:
            return counted
        return ".".join([label.text, *map(str, self.rounds)])

    def declare(self, name: str, label: syntax.Name | None, tensor: Tensor, place: Span) -> None:
        self.space.entries[name] = Entry(tensor, self.branch, place)
        if label is not None and self.rounds:
            self.bare[label.text] = name

    def adopt(self, name: str, call: syntax.Call, inner: Frame) -> None:
        """Declares a block call whose body is lowered, and as `b1.conv2` the names in it that no branch keeps."""
        self.declare(name, call.label, inner.current or POISON, call.span)
        for key, entry in inner.space.entries.items():
            if not entry.branch:
                self.space.entries[f"{name}.{key}"] = entry._replace(branch=self.branch)

    def find(self, name: str) -> Entry | None:
        """What a name means here: this round's label, else a name of the space that is visible from this branch."""
        frame: Frame | None = self
        while frame is not None:
            if name in frame.bare:
                name = frame.bare[name]
                break
            frame = frame.outer
        entry = self.space.entries.get(name)
        return entry if entry is not None and self.sees(entry) else None

    def sees(self, entry: Entry) -> bool:
        return self.branch[: len(entry.branch)] == entry.branch

    def rounds_of(self, name: str) -> list[Entry]:
        """What `s.*` means: the label's tensor in every round."""
        found = [
            e
            for key, e in self.space.entries.items()
            if key.startswith(name) and key[len(name) :].replace(".", "").isdigit() and key[len(name)] == "."
        ]
        return [e for e in found if self.sees(e)]

    def visible(self) -> list[str]:
        bare: list[str] = []
        frame: Frame | None = self
        while frame is not None:
            bare += frame.bare
            frame = frame.outer
        return [*bare, *(n for n, e in self.space.entries.items() if self.sees(e))]


def value_of(value: Any) -> Tensor | None:
    """The tensor behind a variable's value, where it is one."""
    return value.tensor if isinstance(value, LayerReference) else None
