"""The way from an ONNX model back to the text: which line each layer stands in, and the calls that led there.

In: a graph whose nodes remember their spans, or a model's metadata. Out: what emission writes into each ONNX node
(`stamp`), the map that the model carries as a whole (`source_map`), and that map read again (`read_map`). Texts are
named from the folder of the main one (`at_home`): a model is the same wherever it was made.

The map is JSON in the model's metadata, by layer: it holds at every IR version, outlives optimizers that rename or
drop nodes, and knows layers that were folded into others. ONNX names begin with their layer's (`head.flat` is of
`head`), so it answers for every node and tensor. For tools that show nodes, each carries `file:line` in its doc_string,
and from IR 10 on (opset 21) layer, place and calls in its metadata_props.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from cnnc.diagnostics import CnncError, Note, Source, Span
from cnnc.graph.graph import Graph, Node
from cnnc.network import Network

MAP, SOURCE, INCLUDES = "cnnc.map", "cnnc.source", "cnnc.includes"
_PROPS_SINCE = 21  # the opset that came with IR 10, the first whose nodes have metadata_props


def with_relative_sources(network: Network, graph: Graph) -> Graph:
    """A graph of a network with the names of its texts as `home_names` has them."""
    names = relative_source_names(network)
    sources: dict[str, Source] = {}

    def moved(span: Span) -> Span:
        old = span.source
        return span._replace(source=sources.setdefault(old.name, Source(names.get(old.name, old.name), old.text)))

    nodes = [
        node.replace(span=moved(node.span), calls=tuple(call._replace(span=moved(call.span)) for call in node.calls))
        if node.span is not None
        else node
        for node in graph.nodes
    ]
    return graph.replace(nodes=tuple(nodes))


def relative_source_names(network: Network) -> dict[str, str]:
    """For the name of each text its path from the main one's folder; as it is where a text names another by a whole path."""
    main = network.source.name
    texts = {main: network.source.text, **network.includes}
    if any(f'"{name}"' in text and Path(name).is_absolute() for name in texts for text in texts.values()):
        return {name: name for name in texts}
    folder = Path(main).parent
    return {name: str(Path(name).relative_to(folder)) if Path(name).is_relative_to(folder) else name for name in texts}


def annotate(made: onnx.NodeProto, node: Node, opset: int) -> None:
    """Writes into an ONNX node which layer it is of, and where that stands."""
    if node.span is None:
        return
    made.doc_string = str(node.span)
    if opset < _PROPS_SINCE:
        return
    facts = {"cnnc.layer": node.name, "cnnc.place": f"{node.span}:{node.span.column}"}
    if node.calls:
        facts["cnnc.calls"] = "; ".join(f"{call.text} at {call.span}" for call in node.calls)
    for key, value in facts.items():
        made.metadata_props.add(key=key, value=value)


def source_map(graph: Graph, main: str) -> str:
    """JSON: `files`, the names of all texts that layers stand in, the main one first; `calls` of blocks; and `layers`.

    A call is [text, file, start, end]; a layer [file, start, end, call, ...], from the outermost call on. Files and
    calls are given by their place in their list, starts and ends in characters.
    """
    files: dict[str, int] = {main: 0}
    calls: dict[tuple[str | int, ...], int] = {}

    def place(span: Span) -> tuple[int, int, int]:
        return files.setdefault(span.source.name, len(files)), span.start, span.end

    def number(call: Note) -> int:
        return calls.setdefault((call.text, *place(call.span)), len(calls))

    layers = {n.name: [*place(n.span), *map(number, n.calls)] for n in graph.nodes if n.span is not None}
    found = {"files": list(files), "calls": list(calls), "layers": layers}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


class SourcePosition(NamedTuple):
    """Where a layer stands, and the block calls that led there, outermost first."""

    layer: str
    span: Span
    calls: tuple[Note, ...]


class SourceMap(NamedTuple):
    """The places of all layers, in the order of the graph."""

    positions: Mapping[str, SourcePosition]

    def of(self, name: str) -> SourcePosition | None:
        """The place of a layer, an ONNX node or a tensor: of the longest layer's name that it begins with."""
        while name:
            if name in self.positions:
                return self.positions[name]
            name = name.rpartition(".")[0]
        return None


class LocatedPart(NamedTuple):
    """A part of a model and its place: `what` it is in words, its `operator` where it is a node."""

    name: str
    what: str
    operator: str
    position: SourcePosition


def locate(model: onnx.ModelProto, name: str, file: str) -> LocatedPart:
    """The place of a node, tensor or layer; of one that is none of these by its name, that of the layer it leads to.

    Raises CnncError E010 where there is none of the name, E611 where it has no place.
    """
    known = _map_of(model, file)
    parts = _parts(model, known)
    if name not in parts:
        near = " or ".join(f"`{n}`" for n in get_close_matches(name, parts, n=3))
        help = f"did you mean {near}?" if near else f"`cnnc where {file}` lists the nodes"
        raise CnncError.of("E010", f"{file} has no node, tensor or layer `{name}`", help=help)
    what, operator, others = parts[name]
    place = _position_of(known, [name, *others], _readers(model.graph))
    if place is None:
        raise CnncError.of("E611", f"{file} does not say where {name} comes from")
    return LocatedPart(name, what, operator, place)


def locate_nodes(model: onnx.ModelProto, file: str) -> list[LocatedPart]:
    """The places of all nodes, in order. Raises CnncError E611 where no place is known."""
    known, readers = _map_of(model, file), _readers(model.graph)
    found = []
    for node in model.graph.node:
        place = _position_of(known, [node.name, *node.output], readers)
        if place is not None:
            found.append(LocatedPart(node.name or node.output[0], f"{node.op_type} node", node.op_type, place))
    return found


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _position_of(
    known: SourceMap, names: list[str], readers: Mapping[str, list[onnx.NodeProto]]
) -> SourcePosition | None:
    """The place of a part by one of its names, or else that of the nearest layer that its values go to."""
    seen, names = set(names), list(names)
    for name in names:  # grows
        place = known.of(name)
        if place is not None:
            return place
        new = [other for node in readers.get(name, ()) for other in (node.name, *node.output) if other not in seen]
        seen.update(new)
        names += new
    return None


def _map_of(model: onnx.ModelProto, file: str) -> SourceMap:
    properties = {prop.key: prop.value for prop in model.metadata_props}
    found = read_map(properties)
    if not found.positions:
        raise CnncError.of("E611", f"{file} does not carry where its layers stand in a text")
    return found


def _parts(model: onnx.ModelProto, known: SourceMap) -> dict[str, tuple[str, str, list[str]]]:
    """What each name of the model stands for: in words, its operator, and other names of the same thing."""
    graph = model.graph
    made: dict[str, tuple[str, str, list[str]]] = {}
    for tensor in graph.initializer:
        made[tensor.name] = ("weights" if tensor.data_type == onnx.TensorProto.FLOAT else "a constant", "", [])
    for entry in graph.input:
        made.setdefault(entry.name, ("an input", "", []))
    for node in graph.node:
        for name in filter(None, node.output):
            made[name] = (f"value of a {node.op_type} node", node.op_type, [node.name])
        if node.name:
            made[node.name] = (f"{node.op_type} node", node.op_type, list(node.output))
    for layer in known.positions:
        made.setdefault(layer, ("folded into another layer, or not needed", "", []))
    return made


def read_map(metadata: Mapping[str, str]) -> SourceMap:
    """The map of a model; empty where it has none, or nonsense in its place."""
    try:
        found = json.loads(metadata.get(MAP, "{}"))
        return SourceMap(_places(found, embedded_sources(metadata, str(found["files"][0]))))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):  # a stranger's JSON
        return SourceMap({})


def embedded_sources(metadata: Mapping[str, str], file: str) -> dict[str, str]:
    """The network's text and those it includes, by name."""
    found = {file: metadata[SOURCE]} if SOURCE in metadata else {}
    included = json.loads(metadata.get(INCLUDES, "{}"))
    return {**found, **{name: text for name, text in included.items() if isinstance(text, str)}}


def _places(found: Any, known: Mapping[str, str]) -> dict[str, SourcePosition]:
    sources = [Source(str(name), known.get(str(name), "")) for name in found["files"]]

    def span(file: int, start: int, end: int) -> Span:
        size = len(sources[file].text)
        return Span(sources[file], min(max(0, int(start)), size), min(max(0, int(end)), size))

    calls = [Note(span(*where), str(text)) for text, *where in found["calls"]]
    return {
        str(name): SourcePosition(str(name), span(file, start, end), tuple(calls[number] for number in numbers))
        for name, (file, start, end, *numbers) in found["layers"].items()
    }
