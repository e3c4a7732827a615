"""The way from an ONNX model back to the text: which line each layer stands in, and the calls that led there.

In: a graph whose nodes remember their spans, or a model's metadata. Out: what emission writes into each ONNX node
(`stamp`), the map that the model carries as a whole (`source_map`), and that map read again (`read_map`).

The map is JSON in the model's metadata, by layer: it holds at every IR version, outlives optimizers that rename or
drop nodes, and knows layers that were folded into others. ONNX names begin with their layer's (`head.flat` is of
`head`), so it answers for every node and tensor. For tools that show nodes, each carries `file:line` in its doc_string,
and from IR 10 on (opset 21) layer, place and calls in its metadata_props.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import onnx

from cnnc.diagnostics import Note, Source, Span
from cnnc.graph import Graph, Node

MAP, SOURCE, INCLUDES = "cnnc.map", "cnnc.source", "cnnc.includes"
_PROPS_SINCE = 21  # the opset that came with IR 10, the first whose nodes have metadata_props


def stamp(made: onnx.NodeProto, node: Node, opset: int) -> None:
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


def source_map(graph: Graph) -> str:
    """JSON: `files`, the names of the texts, and `layers`: for each its file, start, end, and its calls as [text, file, start, end]."""
    files: dict[str, int] = {}

    def place(span: Span) -> list[int]:
        return [files.setdefault(span.source.name, len(files)), span.start, span.end]

    layers = {
        node.name: [*place(node.span), [[call.text, *place(call.span)] for call in node.calls]]
        for node in graph.nodes
        if node.span is not None
    }
    return json.dumps({"files": list(files), "layers": layers}, ensure_ascii=False, separators=(",", ":"))


class Place(NamedTuple):
    """Where a layer stands, and the block calls that led there, outermost first."""

    layer: str
    span: Span
    calls: tuple[Note, ...]


class SourceMap(NamedTuple):
    """The places of all layers, in the order of the graph."""

    places: Mapping[str, Place]

    def of(self, name: str) -> Place | None:
        """The place of a layer, an ONNX node or a tensor: of the longest layer's name that it begins with."""
        while name:
            if name in self.places:
                return self.places[name]
            name = name.rpartition(".")[0]
        return None


def read_map(metadata: Mapping[str, str], file: str) -> SourceMap:
    """The map of a model; empty where it has none, or nonsense in its place. `file` is the name of the model's own text."""
    try:
        return SourceMap(_places(json.loads(metadata.get(MAP, "{}")), texts(metadata, file)))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):  # a stranger's JSON
        return SourceMap({})


def texts(metadata: Mapping[str, str], file: str) -> dict[str, str]:
    """The network's text and those it includes, by name."""
    found = {file: metadata[SOURCE]} if SOURCE in metadata else {}
    included = json.loads(metadata.get(INCLUDES, "{}"))
    return {**found, **{str(name): str(text) for name, text in included.items()}}


def _places(found: Any, known: Mapping[str, str]) -> dict[str, Place]:
    sources = [Source(str(name), known.get(str(name), "")) for name in found.get("files", [])]

    def span(file: int, start: int, end: int) -> Span:
        size = len(sources[file].text)
        return Span(sources[file], min(max(0, int(start)), size), min(max(0, int(end)), size))

    return {
        str(name): Place(str(name), span(*place), tuple(Note(span(*where), str(text)) for text, *where in calls))
        for name, (*place, calls) in found.get("layers", {}).items()
    }
