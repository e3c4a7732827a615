"""One class for each block: calls that compute the same, but for numbers, share a class, and the numbers are its arguments.

In: the tree of a network. Out: `ModuleClass`es, each after those it uses, the network's last. Calls of one block share a
class where their layers, names and connections are equal; where one has another layer or another kind of pooling, it gets a
class of its own.

An argument of a layer becomes text in three ways: as the source has it (`w//2`), as the number of channels that reach the
layer, or, if it is the same in every call, as the number. What none of them explains becomes an argument of its own.

Example: `unit 64 k=1` on 64 channels and `unit 192 k=3 p=1` on 64 become `Unit(64, 64, 1)` and `Unit(64, 192, 3, p=1)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cnnc.core.tensor import TensorType
from cnnc.graph.graph import Graph, Node
from cnnc.ops.merge import Concat
from cnnc.torch.source.expressions import evaluate, names_in, python_text, substitute, tidy
from cnnc.torch.source.hints import SourceHints
from cnnc.torch.source.layers import (
    CHANNELS,
    CallArgument,
    Merged,
    Pieces,
    Raw,
    SourcePiece,
    WrittenCall,
    argument_text,
    short,
)
from cnnc.torch.source.names import attribute_name, class_name, variable_name
from cnnc.torch.source.tree import CallScope, CallTree, relative_name


class Ref(NamedTuple):
    """A tensor in a scope: output `output` of item `item`, or input `output` of the scope if `item` is -1."""

    item: int
    output: int = 0


class LayerItem(NamedTuple):
    """A layer of a class. `owner` is the path of the attribute whose parameters it uses, "" for its own; `is_same` says
    that this module computes the layer as it stands."""

    name: str
    node: Node
    pieces: tuple[SourcePiece, ...]
    merged: str
    inputs: tuple[Ref, ...]
    owner: str = ""
    is_same: bool = False
    with_indices: str = ""


class CallItem(NamedTuple):
    """A call of another class. `twin` is the path of the attribute that it uses instead of a module of its own."""

    name: str
    scope: CallScope
    inputs: tuple[Ref, ...]
    twin: str = ""


Item = LayerItem | CallItem


class ClassArgument(NamedTuple):
    """An argument of a class, its value for each call, and its default as text ("" for none)."""

    name: str
    values: Mapping[str, Any]
    default: str = ""


class ArgumentText(NamedTuple):
    """An argument as it is written, and whether it is the same number in every call."""

    text: str
    is_constant: bool


class ModuleClass:
    """A class: the items of its first call, which stand for those of all `scopes`; `texts` are their arguments as written.

    `channels` are the channels of each output as an expression of the arguments, None if there is none.
    """

    def __init__(self, name: str, scopes: list[CallScope], bodies: list[list[Item]]) -> None:
        self.name = name
        self.scopes = scopes
        self.items = bodies[0]
        self.bodies = bodies
        self.inputs: list[str] = []
        self.outputs: list[Ref] = []
        self.parameters: list[ClassArgument] = []
        self.texts: dict[tuple[int, int, int], ArgumentText] = {}
        self.calls: dict[int, list[str]] = {}
        self.channels: list[str | None] = []

    @property
    def block(self) -> str:
        """The block of the source, "" for the network."""
        call = self.scopes[0].call
        return call.block if call is not None else ""


def build_classes(
    graph: Graph, tree: CallTree, taken: Iterable[str]
) -> tuple[list[ModuleClass], dict[str, ModuleClass]]:
    """The classes of a network in the order of their definition, and the class of each scope by name."""
    builder = _Builder(graph, tree, taken)
    builder.collect(tree.root)
    return builder.classes, builder.class_of


class _Builder:
    def __init__(self, graph: Graph, tree: CallTree, taken: Iterable[str]) -> None:
        self.graph = graph
        self.tree = tree
        self.hints = SourceHints(graph)
        self.taken = {*taken, class_name(graph.name, set(taken))}
        self.network_name = class_name(graph.name, set(taken))
        self.classes: list[ModuleClass] = []
        self.class_of: dict[str, ModuleClass] = {}
        self.places: dict[str, dict[str, Ref]] = {}

    # --- which scopes share a class --------------------------------------------------------------------------

    def collect(self, root: CallScope) -> None:
        groups: dict[Any, ModuleClass] = {}
        for scope in _inner_first(root):
            if scope.twin:
                continue
            names = _attribute_names(scope)
            body = [self._item(item, names, scope) for item in scope.items]
            outputs = [self._ref(name, scope) for name in scope.read]
            key = self._key(scope, body, outputs)
            if key in groups:
                groups[key].scopes.append(scope)
                groups[key].bodies.append(body)
            else:
                name = self.network_name if scope.call is None else class_name(scope.call.block, self.taken)
                self.taken.add(name)
                group = groups[key] = ModuleClass(name, [scope], [body])
                group.outputs = outputs
                group.inputs = _input_names(scope)
                self.classes.append(group)
            self.class_of[scope.name] = groups[key]
        for scope in self.tree.scopes.values():
            if scope.twin:
                self.class_of[scope.name] = self.class_of[scope.twin]
        for group in self.classes:
            _Arguments(self.graph, group, self.hints, self.class_of).write()

    def _item(self, item: Node | CallScope, names: Mapping[str, str], scope: CallScope) -> Item:
        if isinstance(item, CallScope):
            inputs = tuple(self._ref(name, scope) for name in item.reads)
            return CallItem(names[item.name], item, inputs, self._path(item.twin, scope) if item.twin else "")
        written = self.tree.pieces[item.name]
        inputs = tuple(self._ref(name, scope) for name in item.inputs)
        if not item.inputs:
            inputs = (Ref(-1, scope.reads.index(item.name)),)
        owner, is_same = "", False
        if item.owner and self.graph.parameters(item):
            owner = self._path(item.owner, scope)
            main, other = _main_piece(written), _main_piece(self.tree.pieces[item.owner])
            is_same = (other.module, other.turned) == (main.module, main.turned)
            if other.turned != main.turned and not isinstance(written, Merged):
                written = tuple(_turned(piece) if piece is main else piece for piece in written)
        if isinstance(written, Merged):
            pieces = (written.piece,) if written.piece is not None else ()
            return LayerItem(names[item.name], item, pieces, written.text, inputs, owner, is_same, written.with_indices)
        return LayerItem(names[item.name], item, written, "", inputs, owner, is_same)

    def _ref(self, name: str, scope: CallScope) -> Ref:
        """Where a node's output is found in a scope."""
        if scope.name not in self.places:
            self.places[scope.name] = _places_in(scope)
        return self.places[scope.name][name]

    def _path(self, name: str, scope: CallScope) -> str:
        """The attribute of a layer or call below a scope: `left.conv1`."""
        steps: list[str] = []
        around = scope
        while True:
            names = _attribute_names(around)
            if name in names:
                return ".".join([*steps, names[name]])
            inner = next(
                item for item in around.items if isinstance(item, CallScope) and name.startswith(f"{item.name}.")
            )
            steps.append(names[inner.name])
            around = inner

    def _key(self, scope: CallScope, body: Sequence[Item], outputs: Sequence[Ref]) -> Any:
        items: list[Any] = []
        for item in body:
            if isinstance(item, CallItem):
                items.append((item.name, id(self.class_of.get(item.scope.name)), item.inputs, item.twin))
            else:
                pieces = tuple(map(_outline_of, item.pieces))
                shared = tuple(piece.shared for piece in item.pieces) if item.owner and not item.is_same else ()
                texts = (item.merged, item.with_indices, shared)
                items.append((item.name, pieces, texts, item.inputs, item.owner, item.is_same))
        return (scope.call.block if scope.call is not None else None, len(scope.reads), tuple(items), tuple(outputs))


def _places_in(scope: CallScope) -> dict[str, Ref]:
    places = {name: Ref(-1, number) for number, name in enumerate(scope.reads)}
    for number, item in enumerate(scope.items):
        if isinstance(item, CallScope):
            places |= {name: Ref(number, output) for output, name in enumerate(item.read)}
        else:
            places[item.name] = Ref(number)
    return places


def _inner_first(scope: CallScope) -> Iterator[CallScope]:
    for item in scope.items:
        if isinstance(item, CallScope) and not item.twin:
            yield from _inner_first(item)
    yield scope


def _attribute_names(scope: CallScope) -> dict[str, str]:
    """The attribute of each layer and call of a scope, by full name."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for item in scope.items:
        names[item.name] = attribute_name(relative_name(item.name, scope.name), taken)
        taken.add(names[item.name])
    return names


def _input_names(scope: CallScope) -> list[str]:
    """The arguments of `forward`: `x` for the tensor that enters, the block's own names for layers, the inputs' names."""
    names: list[str] = []
    given = {layer: key for key, layer in reversed(scope.call.layers)} if scope.call is not None else {}
    for name in scope.reads:
        if len(scope.reads) == 1 or (scope.call is not None and name == scope.call.input):
            names.append(variable_name("x", names))
        else:
            names.append(variable_name(given.get(name, name.rpartition(".")[2]), names))
    return names


def _main_piece(pieces: Pieces) -> SourcePiece:
    """The piece that holds the parameters of a layer."""
    if isinstance(pieces, Merged):
        assert pieces.piece is not None
        return pieces.piece
    return next(piece for piece in pieces if piece.parameters)


def _turned(piece: SourcePiece) -> SourcePiece:
    """The piece with the weight of another module reversed on its spatial axes."""
    assert piece.shared is not None
    weight, *rest = piece.shared.arguments
    axes = ", ".join(str(axis) for axis in range(2, 2 + int(piece.shared.name[-2])))
    weight = weight._replace(value=Raw(f"{weight.value}.flip({axes})"))
    return piece._replace(shared=piece.shared._replace(arguments=(weight, *rest)))


def is_numeric(value: object) -> bool:
    """Whether a value is a number, or one whole number per axis."""
    if isinstance(value, tuple):
        return all(isinstance(n, int) for n in value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _outline_of(piece: SourcePiece) -> Any:
    """What of a piece must be equal in all calls that share a class."""
    written = piece.module or piece.function
    assert written is not None
    arguments = tuple((a.key, None if is_numeric(a.value) else a.value) for a in written.arguments)
    return (
        written.name,
        arguments,
        piece.suffix,
        piece.parameters,
        piece.frozen,
        piece.function and piece.function.name,
    )


# --- the arguments of one class --------------------------------------------------------------------------------------


class _Arguments:
    """Writes the arguments of the layers and calls in one class as expressions, and collects the class's own."""

    def __init__(
        self, graph: Graph, group: ModuleClass, hints: SourceHints, class_of: Mapping[str, ModuleClass]
    ) -> None:
        self.graph = graph
        self.group = group
        self.hints = hints
        self.class_of = class_of
        self.scopes = [scope.name for scope in group.scopes]
        self.values: dict[str, list[Any]] = {}  # of each name, for each call
        self.used: set[str] = set()
        self.names: dict[str, str] = {}  # of the block's parameters
        self.defaults: dict[str, str] = {}
        self.channels: dict[Ref, str] = {}

    def write(self) -> None:
        self._declare()
        for number, item in enumerate(self.group.items):
            if isinstance(item, CallItem):
                self._call(number, item)
            else:
                self._layer(number, item)
        order = [name for name in self.values if name in self.used]
        plain = [name for name in order if not self.defaults.get(name)]
        for name in [*plain, *(name for name in order if name not in plain)]:
            values = dict(zip(self.scopes, self.values[name], strict=True))
            self.group.parameters.append(ClassArgument(name, values, self.defaults.get(name, "")))
        self.group.channels = [self.channels.get(ref) for ref in self.group.outputs]

    def _declare(self) -> None:
        """The names that expressions may use: channels of the inputs, numbers given for the block's parameters."""
        if self.group.scopes[0].call is None:
            return
        single = len(self.group.inputs) == 1
        for number, name in enumerate(self.group.inputs):
            types = [self.graph.by_name[scope.reads[number]].type for scope in self.group.scopes]
            text = variable_name("in_channels" if single or name == "x" else f"{name}_channels", self.values)
            self.values[text] = [type_.channels for type_ in types]
            self.channels[Ref(-1, number)] = text
        calls = [scope.call for scope in self.group.scopes if scope.call is not None]
        for number, (key, value) in enumerate(calls[0].arguments):
            if is_numeric(value):
                text = variable_name(key, self.values)
                self.names[key] = text
                self.values[text] = [call.arguments[number][1] for call in calls]
                self.defaults[text] = self.hints.default(calls[0], key)

    def _call(self, number: int, item: CallItem) -> None:
        other = self.class_of[item.scope.name]
        inner = [body[number] for body in self.group.bodies]
        texts = {}
        for parameter in other.parameters:
            if item.twin:
                break
            values = [parameter.values[i.scope.name] for i in inner if isinstance(i, CallItem)]
            hint = self._call_hint(item, other, parameter.name)
            texts[parameter.name] = self._text(values, hint, parameter.name)
        self.group.calls[number] = _call_arguments(other, texts)
        plain = {name: text.text for name, text in texts.items()}
        for output, channels in enumerate(other.channels):
            if channels is not None and set(names_in(channels)) <= plain.keys():
                self._set_channels(Ref(number, output), substitute(channels, plain))

    def _call_hint(self, item: CallItem, other: ModuleClass, name: str) -> str | None:
        call = item.scope.call
        assert call is not None
        for index, argument in enumerate(_channel_names(other)):
            if argument == name:
                return self.channels.get(item.inputs[index])
        key = next((key for key, text in _parameter_names(other) if text == name), None)
        expression = self.hints.of_call(call, key) if key is not None else None
        return self._python(expression, item.inputs[0] if item.inputs else None)

    def _layer(self, number: int, item: LayerItem) -> None:
        for index, piece in enumerate(item.pieces):
            written = piece.module or piece.function
            assert written is not None
            nodes = [body[number] for body in self.group.bodies]
            for place, argument in enumerate(written.arguments):
                if not is_numeric(argument.value):
                    self.group.texts[number, index, place] = ArgumentText(argument_text(argument.value), True)
                    continue
                values = [_argument(node, index, place) for node in nodes]
                hint = self._hint(item, argument)
                key = argument.key or argument.hint or "size"
                self.group.texts[number, index, place] = self._text(
                    values, hint, _argument_name(item, written, place, key)
                )
        self._set_channels(Ref(number), self._output_channels(number, item))

    def _hint(self, item: LayerItem, argument: CallArgument) -> str | None:
        if argument.hint == CHANNELS:
            return self.channels.get(item.inputs[0])
        expression = self.hints.of_layer(item.node, argument.hint) if argument.hint else None
        return self._python(expression, item.inputs[0])

    def _python(self, expression: Any, source: Ref | None) -> str | None:
        if expression is None:
            return None
        channels = self.channels.get(source) if source is not None else None
        names = {**self.names, **({"c_in": channels} if channels else {})}
        text = python_text(expression, names)
        return tidy(text) if text is not None else None

    def _text(self, values: list[Any], hint: str | None, name: str) -> ArgumentText:
        """One argument for all calls, from its value in each."""
        constant = all(value == values[0] for value in values)
        if hint is not None and names_in(hint) and self._gives(hint, values):
            self.used.update(names_in(hint))
            return ArgumentText(hint, False)
        if constant:
            return ArgumentText(argument_text(values[0]), True)
        for candidate in self._candidates(values):
            if self._gives(candidate, values):
                self.used.update(names_in(candidate))
                return ArgumentText(candidate, False)
        name = variable_name(name, self.values)
        self.values[name] = values
        self.used.add(name)
        return ArgumentText(name, False)

    def _candidates(self, values: list[Any]) -> Iterator[str]:
        """Simple expressions of the names that may explain numbers."""
        yield from self.values
        first = values[0]
        for name, of_name in self.values.items():
            if not isinstance(first, int) or not all(isinstance(n, int) and n > 0 for n in of_name):
                continue
            yield f"{name} // 2"  # as in a padding that keeps the size
            if first and of_name[0] % first == 0:
                yield f"{name} // {of_name[0] // first}"
            if first % of_name[0] == 0:
                yield f"{first // of_name[0]} * {name}"

    def _gives(self, text: str, values: list[Any]) -> bool:
        return all(
            short(evaluate(text, {name: of_name[i] for name, of_name in self.values.items()})) == short(value)
            for i, value in enumerate(values)
        )

    def _output_channels(self, number: int, item: LayerItem) -> str | None:
        operands = [self.channels.get(ref) for ref in item.inputs]
        if isinstance(item.node.op, Concat):
            parts = [
                text or str(t.channels) for text, t in zip(operands, self.graph.input_types(item.node), strict=True)
            ]
            return " + ".join(parts)
        return next((text for text in self._out_texts(number, item) if text is not None), operands[0])

    def _out_texts(self, number: int, item: LayerItem) -> Iterator[str | None]:
        """The text of the argument that sets the number of channels, where a layer has one."""
        for index, piece in enumerate(item.pieces):
            for place, argument in enumerate(piece.module.arguments if piece.module is not None else ()):
                if argument.hint in ("out", "dim"):
                    yield self.group.texts[number, index, place].text

    def _set_channels(self, ref: Ref, text: str | None) -> None:
        """Remembers the channels of a tensor, if the text gives them in every call."""
        sizes = [type_.channels for type_ in self._types(ref)]
        if text is not None and self._gives(text, sizes):
            self.channels[ref] = text if names_in(text) else str(sizes[0])
        elif all(size == sizes[0] for size in sizes):
            self.channels[ref] = str(sizes[0])

    def _types(self, ref: Ref) -> list[TensorType]:
        types = []
        for body in self.group.bodies:
            item = body[ref.item]
            name = item.scope.read[ref.output] if isinstance(item, CallItem) else item.node.name
            types.append(self.graph.by_name[name].type)
        return types


def _argument(item: Item, piece: int, place: int) -> Any:
    assert isinstance(item, LayerItem)
    written = item.pieces[piece].module or item.pieces[piece].function
    assert written is not None
    return written.arguments[place].value


def _argument_name(item: LayerItem, written: WrittenCall, place: int, key: str) -> str:
    """The name of a class's argument for a number that nothing explains."""
    return "in_features" if (written.name, place) == ("nn.Linear", 0) else f"{item.name}_{key}"


def _channel_names(group: ModuleClass) -> list[str]:
    """The names of the channels of each input, whether the class has them as arguments or not."""
    names: list[str] = []
    for name in group.inputs:
        names.append(
            variable_name("in_channels" if len(group.inputs) == 1 or name == "x" else f"{name}_channels", names)
        )
    return names


def _parameter_names(group: ModuleClass) -> Iterator[tuple[str, str]]:
    """The block's parameters with their names in the class."""
    taken = dict.fromkeys(_channel_names(group))
    call = group.scopes[0].call
    assert call is not None
    for key, value in call.arguments:
        if is_numeric(value):
            text = variable_name(key, taken)
            taken[text] = None
            yield key, text


def _call_arguments(other: ModuleClass, texts: Mapping[str, ArgumentText]) -> list[str]:
    """The arguments with which a class is called: by key where they have a default, left out where they equal it."""
    shown = []
    for parameter in other.parameters:
        text = texts.get(parameter.name)
        if text is None or text.text == parameter.default:
            continue
        shown.append(f"{parameter.name}={text.text}" if parameter.default else text.text)
    return shown


def written_arguments(written: WrittenCall, texts: Sequence[ArgumentText]) -> list[str]:
    """The arguments of a call as they are written, without those that are everywhere the default."""
    shown = []
    for argument, text in zip(written.arguments, texts, strict=True):
        is_default = argument.default is not None and text.is_constant and text.text == argument_text(argument.default)
        if not is_default:
            shown.append(f"{argument.key}={text.text}" if argument.key else text.text)
    return shown
