"""The source map: from an ONNX model back to the source line of each layer, and the block calls that led there.

Input: a graph whose nodes have spans, or a model's metadata. Output: the annotation of each ONNX node (`annotate`), the
map that the model carries (`source_map`), and that map read back (`read_map`). Source files are named relative to the
folder of the main file (`with_relative_sources`), so that a model does not depend on where it was built.

The map is JSON in the model's metadata, by layer. It works at every IR version, survives optimizers that rename or drop
nodes, and has the layers that were folded into others. The name of every node and tensor begins with its layer's name
(`head.flat` belongs to `head`), so the map locates all of them. For tools that display nodes, each also carries
`file:line` in its doc_string, and from IR 10 on (opset 21) layer, position and calls in its metadata_props.

Example: `locate(model, "stage.last.conv1", "net.onnx")` gives the position of that convolution inside its block, and the
calls `block outer` and `block inner` that lead to it.
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
_PROPS_SINCE = 21  # the opset of IR 10, the first in which nodes have metadata_props


def with_relative_sources(network: Network, graph: Graph) -> Graph:
    """The graph with its source files renamed by `relative_source_names`."""
    names = relative_source_names(network)
    sources: dict[str, Source] = {}

    def renamed(span: Span) -> Span:
        old = span.source
        return span._replace(source=sources.setdefault(old.name, Source(names.get(old.name, old.name), old.text)))

    nodes = [
        node.replace(
            span=renamed(node.span), calls=tuple(call._replace(span=renamed(call.span)) for call in node.calls)
        )
        if node.span is not None
        else node
        for node in graph.nodes
    ]
    return graph.replace(nodes=tuple(nodes))


def relative_source_names(network: Network) -> dict[str, str]:
    """The path of each source file relative to the folder of the main one, by name.

    The names stay unchanged if a file includes another by its absolute path.
    """
    main = network.source.name
    sources = {main: network.source.text, **network.includes}
    if any(f'"{name}"' in text and Path(name).is_absolute() for name in sources for text in sources.values()):
        return {name: name for name in sources}
    folder = Path(main).parent
    return {
        name: str(Path(name).relative_to(folder)) if Path(name).is_relative_to(folder) else name for name in sources
    }


def annotate(onnx_node: onnx.NodeProto, node: Node, opset: int) -> None:
    """Writes the layer and its source position into an ONNX node."""
    if node.span is None:
        return
    onnx_node.doc_string = str(node.span)
    if opset < _PROPS_SINCE:
        return
    facts = {"cnnc.layer": node.name, "cnnc.place": f"{node.span}:{node.span.column}"}
    if node.calls:
        facts["cnnc.calls"] = "; ".join(f"{call.text} at {call.span}" for call in node.calls)
    for key, value in facts.items():
        onnx_node.metadata_props.add(key=key, value=value)


def source_map(graph: Graph, main: str) -> str:
    """The map as JSON: `files`, the source files of the layers, the main one first; `calls` of blocks; and `layers`.

    A call is [text, file, start, end]; a layer is [file, start, end, call, ...], the outermost call first. Files and calls
    are indices into their lists; start and end are character offsets.
    """
    files: dict[str, int] = {main: 0}
    calls: dict[tuple[str | int, ...], int] = {}

    def position(span: Span) -> tuple[int, int, int]:
        return files.setdefault(span.source.name, len(files)), span.start, span.end

    def number(call: Note) -> int:
        return calls.setdefault((call.text, *position(call.span)), len(calls))

    layers = {n.name: [*position(n.span), *map(number, n.calls)] for n in graph.nodes if n.span is not None}
    content = {"files": list(files), "calls": list(calls), "layers": layers}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


class SourcePosition(NamedTuple):
    """The source position of a layer, and the block calls that led there, outermost first."""

    layer: str
    span: Span
    calls: tuple[Note, ...]


class SourceMap(NamedTuple):
    """The source positions of all layers, in graph order."""

    positions: Mapping[str, SourcePosition]

    def find(self, name: str) -> SourcePosition | None:
        """The position of a layer, ONNX node or tensor: that of the longest layer name that its name begins with."""
        while name:
            if name in self.positions:
                return self.positions[name]
            name = name.rpartition(".")[0]
        return None


class LocatedPart(NamedTuple):
    """A node, tensor or layer of a model and its source position.

    `what` describes it in words; `operator` is the ONNX operator of the node, or of the node that computes the tensor.
    """

    name: str
    what: str
    operator: str
    position: SourcePosition


def locate(model: onnx.ModelProto, name: str, file: str) -> LocatedPart:
    """The source position of a node, tensor or layer. One whose name belongs to no layer gets the position of the nearest
    layer that its output leads to.

    Raises CnncError E010 for an unknown name, E611 if the position is not known.
    """
    known = _map_of(model, file)
    parts = _parts(model, known)
    if name not in parts:
        near = " or ".join(f"`{n}`" for n in get_close_matches(name, parts, n=3))
        help = f"did you mean {near}?" if near else f"`cnnc where {file}` lists the nodes"
        raise CnncError.of("E010", f"{file} has no node, tensor or layer `{name}`", help=help)
    what, operator, others = parts[name]
    position = _position_of(known, [name, *others], _readers(model.graph))
    if position is None:
        raise CnncError.of("E611", f"the source map of {file} has no position for {name}")
    return LocatedPart(name, what, operator, position)


def locate_nodes(model: onnx.ModelProto, file: str) -> list[LocatedPart]:
    """The source positions of all nodes, in order. Raises CnncError E611 for a model without a source map."""
    known, readers = _map_of(model, file), _readers(model.graph)
    located = []
    for node in model.graph.node:
        position = _position_of(known, [node.name, *node.output], readers)
        if position is not None:
            located.append(LocatedPart(node.name or node.output[0], f"{node.op_type} node", node.op_type, position))
    return located


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each tensor, by its name."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _position_of(
    known: SourceMap, names: list[str], readers: Mapping[str, list[onnx.NodeProto]]
) -> SourcePosition | None:
    """The position by one of these names, or else that of the nearest layer that reads the tensors, breadth first."""
    visited, names = set(names), list(names)
    for name in names:  # the list grows
        position = known.find(name)
        if position is not None:
            return position
        new = [other for node in readers.get(name, ()) for other in (node.name, *node.output) if other not in visited]
        visited.update(new)
        names += new
    return None


def _map_of(model: onnx.ModelProto, file: str) -> SourceMap:
    """The source map of a model. Raises CnncError E611 where it has none."""
    properties = {prop.key: prop.value for prop in model.metadata_props}
    known = read_map(properties)
    if not known.positions:
        raise CnncError.of("E611", f"{file} has no source map")
    return known


def _parts(model: onnx.ModelProto, known: SourceMap) -> dict[str, tuple[str, str, list[str]]]:
    """For each name in the model: a description, its operator, and other names of the same node."""
    graph = model.graph
    parts: dict[str, tuple[str, str, list[str]]] = {}
    for tensor in graph.initializer:
        parts[tensor.name] = ("weights" if tensor.data_type == onnx.TensorProto.FLOAT else "a constant", "", [])
    for entry in graph.input:
        parts.setdefault(entry.name, ("an input", "", []))
    for node in graph.node:
        for name in filter(None, node.output):
            parts[name] = (f"output of a {node.op_type} node", node.op_type, [node.name])
        if node.name:
            parts[node.name] = (f"{node.op_type} node", node.op_type, list(node.output))
    for layer in known.positions:
        parts.setdefault(layer, ("folded into another layer, or not needed", "", []))
    return parts


def read_map(metadata: Mapping[str, str]) -> SourceMap:
    """The source map of a model; empty if it has none or a malformed one."""
    try:
        content = json.loads(metadata.get(MAP, "{}"))
        return SourceMap(_positions(content, embedded_sources(metadata, str(content["files"][0]))))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):  # JSON of an untrusted file
        return SourceMap({})


def embedded_sources(metadata: Mapping[str, str], file: str) -> dict[str, str]:
    """The source and the included files that a model carries, by name."""
    sources = {file: metadata[SOURCE]} if SOURCE in metadata else {}
    included = json.loads(metadata.get(INCLUDES, "{}"))
    return {**sources, **{name: text for name, text in included.items() if isinstance(text, str)}}


def _positions(content: Any, known: Mapping[str, str]) -> dict[str, SourcePosition]:
    sources = [Source(str(name), known.get(str(name), "")) for name in content["files"]]

    def span(file: int, start: int, end: int) -> Span:
        size = len(sources[file].text)
        return Span(sources[file], min(max(0, int(start)), size), min(max(0, int(end)), size))

    calls = [Note(span(*where), str(text)) for text, *where in content["calls"]]
    return {
        str(name): SourcePosition(str(name), span(file, start, end), tuple(calls[number] for number in numbers))
        for name, (file, start, end, *numbers) in content["layers"].items()
    }
