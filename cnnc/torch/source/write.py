"""A network as the text of a Python file: one class per block, and one for the network.

In: a graph, and what the docstring says of it. Out: `WrittenNetwork`: the text, and for each parameter of the network its
key in the state dict. A class whose layers form a chain is an nn.Sequential; every other one has a `forward` in which layers
without parameters are functions.

Example: a chain `conv 8 k=3; relu` on 1x28x28 becomes

    self.conv1 = nn.Conv2d(1, 8, 3)  # 8x26x26
    self.relu1 = nn.ReLU()  # 8x26x26
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Array
from cnnc.graph.graph import Graph, subgraph
from cnnc.ops.norm import BatchNorm
from cnnc.torch.source.classes import CallItem, Item, LayerItem, ModuleClass, build_classes, written_arguments
from cnnc.torch.source.forward import ForwardWriter
from cnnc.torch.source.helpers import definitions, helper_source
from cnnc.torch.source.layers import SourcePiece
from cnnc.torch.source.layout import INDENT, call_lines
from cnnc.torch.source.names import attribute_name
from cnnc.torch.source.tree import build_tree

CLASS, INPUT = "\0class\0", "\0input{}\0"
"""What stands in the introduction for the name of the class, and for the arguments of its `forward` by number."""


class WrittenNetwork(NamedTuple):
    """The text of the file, the name of its class, the arguments of its `forward` with the inputs of the network, and the
    keys of the state dict by parameter (`bn1.scale` is `bn1.weight`). `counters` are the keys that count batches, `turned`
    the axes on which an array is reversed, by key. `modules` are the paths of the modules that compute a layer by themselves."""

    text: str
    class_name: str
    inputs: Mapping[str, str]
    keys: Mapping[str, str]
    counters: tuple[str, ...]
    turned: Mapping[str, tuple[int, ...]]
    modules: Mapping[str, str]

    def state(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays of the state dict by key, in the order of the keys."""
        arrays = {key: weights[name] for name, key in self.keys.items()}
        turned = {key: np.ascontiguousarray(np.flip(arrays[key], axes)) for key, axes in self.turned.items()}
        return arrays | turned | {key: np.zeros((), np.int64) for key in self.counters}


def write_network(
    graph: Graph, shapes: Mapping[str, str], introduction: Iterable[str], padded: Collection[str] = ()
) -> WrittenNetwork:
    """Writes a network. `shapes` are the output shapes of layers as comments show them, by layer name.

    Each line of `introduction` may hold `CLASS` and `INPUT`, which stand for names of the class.
    The layers `padded` compute their padding from the size of their input.
    """
    graph, owners = _with_needed_owners(subgraph(graph, graph.outputs))
    tree = build_tree(graph, padded)
    classes, class_of = build_classes(graph, tree, definitions())
    writers = [ClassWriter(group, class_of, shapes) for group in classes]
    bodies = [writer.text() for writer in writers]
    network = writers[-1]
    keys, counters, turned, modules = _state_keys({id(w.group): w for w in writers}, classes)
    keys = {_renamed(name, owners): key for name, key in keys.items()}
    inputs = dict(zip(network.group.scopes[0].reads, network.group.inputs, strict=True))
    words = {CLASS: network.group.name} | {INPUT.format(i): name for i, name in enumerate(network.group.inputs)}
    head = [_filled(line, words) for line in introduction]
    helpers = helper_source(_helpers_in(bodies))
    parts = [part for part in (helpers, *bodies) if part]
    gap = "\n\n\n" if parts[0].startswith(("class", "def")) else "\n\n"  # as isort has it
    text = "\n".join(head) + "\n\n" + _imports(parts) + gap + "\n\n\n".join(parts) + "\n"
    return WrittenNetwork(text, network.group.name, inputs, keys, counters, turned, modules)


def _filled(line: str, words: Mapping[str, str]) -> str:
    for placeholder, word in words.items():
        line = line.replace(placeholder, word)
    return line


def _helpers_in(texts: Iterable[str]) -> list[str]:
    words = {word for text in texts for word in re.findall(r"(?<![.\w])[A-Za-z_]\w*(?=\()", text)}
    return [name for name in definitions() if name in words]


def _imports(texts: Sequence[str]) -> str:
    """The imports that the text uses, in isort's order."""
    uses = {
        word
        for text in texts
        for line in text.splitlines()
        for word in re.findall(r"(?<![.\w])(?:torch(?=\.)|F(?=\.)|nn(?=\.)|Tensor\b|Sequence\b)", line)
    }
    blocks = []
    if "Sequence" in uses:
        blocks.append("from collections.abc import Sequence\n")
    lines = ["import torch"] if "torch" in uses else []
    lines += ["import torch.nn.functional as F"] if "F" in uses else []
    names = [name for name in ("Tensor", "nn") if name in uses]
    blocks.append("\n".join([*lines, f"from torch import {', '.join(names)}"]))
    return "\n".join(blocks)


class ClassWriter:
    """Writes one class."""

    def __init__(self, group: ModuleClass, class_of: Mapping[str, ModuleClass], shapes: Mapping[str, str]) -> None:
        self.group = group
        self.class_of = class_of
        self.shapes = shapes
        self.is_chain = _is_chain(group)
        self.modules: dict[tuple[int, int], str] = {}  # the attribute of each piece that is a module
        self.numbers: dict[tuple[int, int, int], str] = {}  # the attribute of each number of a function that differs
        self._name_modules()

    def _name_modules(self) -> None:
        taken = {item.name for item in self.group.items}
        for number, item in enumerate(self.group.items):
            for index, piece in enumerate(item.pieces if isinstance(item, LayerItem) else ()):
                if not self.is_module(number, index, piece):
                    self._name_numbers(number, index, item.name, piece, taken)
                    continue
                name = item.name
                if piece.suffix:
                    plain = attribute_name(piece.suffix, ())
                    name = attribute_name(f"{item.name}_{piece.suffix}", taken) if plain in taken else plain
                    taken.add(name)
                self.modules[number, index] = name

    def _name_numbers(self, number: int, index: int, name: str, piece: SourcePiece, taken: set[str]) -> None:
        for place, argument in enumerate(piece.function.arguments if piece.module is None and piece.function else ()):
            if not self.group.texts[number, index, place].is_constant:
                attribute = attribute_name(f"{name}_{argument.key or argument.hint or 'size'}", taken)
                taken.add(attribute)
                self.numbers[number, index, place] = attribute

    def is_module(self, number: int, index: int, piece: SourcePiece) -> bool:
        """Whether a piece is a module of this class: it has state, stands in a chain, or its numbers differ between calls."""
        item = self.group.items[number]
        if isinstance(item, LayerItem) and item.owner and piece.parameters:
            return False
        if piece.module is None:
            return False
        if piece.parameters or piece.has_state or self.is_chain or piece.function is None:
            return True
        texts = [self.group.texts[number, index, place] for place in range(len(piece.module.arguments))]
        return not all(text.is_constant for text in texts)

    # --- the text --------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The class."""
        base = "nn.Sequential" if self.is_chain else "nn.Module"
        lines = [f"class {self.group.name}({base}):", *self._docstring()]
        init = list(self._init())
        if len(init) > 2:  # more than the call of the base class
            lines += ["", *init]
        if not self.is_chain:
            lines += ["", *ForwardWriter(self.group, self.modules, self.numbers, self.shape_of).lines()]
        return "\n".join(lines)

    def _docstring(self) -> Iterator[str]:
        call = self.group.scopes[0].call
        if call is None:
            text = "The whole network."
        else:
            count = len(self.group.scopes)
            text = f"Block {call.block}" + (f", used {count} times." if count > 1 else ".")
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        yield f'{INDENT}"""{text}"""'

    def _init(self) -> Iterator[str]:
        parameters = [
            f"{p.name}: {_annotation(p.values.values())}" + (f" = {p.default}" if p.default else "")
            for p in self.group.parameters
        ]
        yield from call_lines(INDENT, "def __init__(", ["self", *parameters], ") -> None:")
        yield f"{INDENT * 2}super().__init__()"
        for number, item in enumerate(self.group.items):
            yield from self._init_of(number, item)

    def _init_of(self, number: int, item: Item) -> Iterator[str]:
        if isinstance(item, CallItem):
            if not item.twin:
                head = f"self.{item.name} = {self.class_of[item.scope.name].name}("
                comment = self.shape_of(number) if self.is_chain else ""
                yield from call_lines(INDENT * 2, head, self.group.calls[number], ")", comment)
            return
        for index, piece in enumerate(item.pieces):
            for place in range(len(piece.function.arguments) if piece.function is not None else 0):
                if (number, index, place) in self.numbers:
                    text = self.group.texts[number, index, place].text
                    yield f"{INDENT * 2}self.{self.numbers[number, index, place]} = {text}"
            name = self.modules.get((number, index))
            if name is None:
                continue
            written = piece.module
            assert written is not None
            texts = [self.group.texts[number, index, place] for place in range(len(written.arguments))]
            tail = ").requires_grad_(False)" if piece.frozen else ")"
            comment = self.shape_of(number) if self.is_chain and index == len(item.pieces) - 1 else ""
            head = f"self.{name} = {written.name}("
            yield from call_lines(INDENT * 2, head, written_arguments(written, texts), tail, comment)

    def shape_of(self, number: int) -> str:
        """The shape of an item's first output, if it is the same in every call of this class; else ""."""
        shapes = set()
        for body in self.group.bodies:
            item = body[number]
            name = item.scope.read[0] if isinstance(item, CallItem) else item.node.name
            shapes.add(self.shapes[name])
        return shapes.pop() if len(shapes) == 1 else ""


def _is_chain(group: ModuleClass) -> bool:
    """Whether each item reads only the one before it, and all are modules of one input and one output."""
    if len(group.inputs) != 1 or len(group.outputs) != 1 or not group.items:
        return False
    for number, item in enumerate(group.items):
        if len(item.inputs) != 1 or item.inputs[0] != (number - 1, 0):
            return False
        if isinstance(item, CallItem):
            if item.twin or len(item.scope.read) != 1:
                return False
        elif item.owner or item.merged or not all(piece.module for piece in item.pieces):
            return False
    return group.outputs[0] == (len(group.items) - 1, 0)


def _annotation(values: Iterable[object]) -> str:
    """The type of an argument that has these values."""
    types = set()
    for value in values:
        if isinstance(value, tuple):
            types.add(f"tuple[{', '.join(['int'] * len(value))}]")
        else:
            types.add("int" if isinstance(value, int) else "float")
    if types == {"int", "float"}:
        return "float"
    return " | ".join(sorted(types))


# --- keys of the state dict ------------------------------------------------------------------------------------------


def _with_needed_owners(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """Parameters whose owner the outputs do not need belong to the first layer that uses them; and the old owner by new."""
    owners: dict[str, str] = {}  # the new by old
    nodes = []
    for node in graph.nodes:
        if node.owner and node.owner not in graph.by_name:
            first = owners.setdefault(node.owner, node.name)
            node = node.replace(owner="" if first == node.name else first)
        nodes.append(node)
    return graph.replace(nodes=tuple(nodes)), {new: old for old, new in owners.items()}


def _renamed(parameter: str, owners: Mapping[str, str]) -> str:
    owner, _, name = parameter.rpartition(".")
    return f"{owners.get(owner, owner)}.{name}"


def _state_keys(
    writers: Mapping[int, ClassWriter], classes: Sequence[ModuleClass]
) -> tuple[dict[str, str], tuple[str, ...], dict[str, tuple[int, ...]], dict[str, str]]:
    """The key of each parameter and buffer, the keys of the counters of batch norms, which cnnc does not have, the axes
    of weights that are reversed, and the path of the module of each layer that ends with one."""
    keys: dict[str, str] = {}
    counters: list[str] = []
    turned: dict[str, tuple[int, ...]] = {}
    modules: dict[str, str] = {}
    bodies = {
        scope.name: (group, body) for group in classes for scope, body in zip(group.scopes, group.bodies, strict=True)
    }

    def walk(scope: str, prefix: str) -> None:
        group, body = bodies[scope]
        writer = writers[id(group)]
        for number, item in enumerate(body):
            if isinstance(item, CallItem):
                if not item.twin:
                    walk(item.scope.name, f"{prefix}{item.name}.")
                continue
            last = (number, len(item.pieces) - 1)
            if last in writer.modules:
                modules[item.node.name] = f"{prefix}{writer.modules[last]}"
            for index, piece in enumerate(item.pieces):
                if not piece.parameters or (number, index) not in writer.modules:
                    continue
                module = f"{prefix}{writer.modules[number, index]}"
                for torch_name, name in piece.parameters:
                    keys[f"{item.node.parameter_owner}.{name}"] = f"{module}.{torch_name}"
                if piece.turned:
                    turned[f"{module}.weight"] = piece.turned
                if isinstance(item.node.op, BatchNorm):
                    counters.append(f"{module}.num_batches_tracked")

    walk("", "")
    return keys, tuple(counters), turned, modules
