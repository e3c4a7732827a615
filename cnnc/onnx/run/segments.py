"""Runs a model in segments, so that only the activations that later nodes read are in memory.

Input: a model, the content of its large initializers, and batches of its inputs. Output: tensors, one by one, in node order.

A segment is a run of consecutive nodes. It becomes a model of its own, which onnxruntime runs without optimizations on what
the segments before it computed, so each node runs once per batch, and computes what it computes in the whole model. Large
initializers are inputs of a segment: onnxruntime reads the arrays where they are, and would copy initializers.

Worked case: conv1, relu1, conv2 and relu2, all of which are wanted, with activations of 30 MB, are four segments. Before
conv2 runs, conv1's output is freed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from cnnc.core.arrays import Array
from cnnc.onnx.run.provider import Provider
from cnnc.onnx.run.session import Session

SEGMENT_BYTES = 2**25  # of activations, where those of one node are smaller
_PASSED_ON = frozenset(
    [
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.DOUBLE,
        TensorProto.UINT8,
        TensorProto.INT8,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.BOOL,
    ]
)
"""The element types of tensors that one segment may pass on to the next."""


class RunnableModel(NamedTuple):
    """A model to run in segments.

    `content` holds arrays of initializers by name, which need not be in the message; `name` is for error messages.
    """

    message: ModelProto
    content: Mapping[str, Array]
    name: str
    provider: Provider = "cpu"


def run_in_segments(
    model: RunnableModel,
    batches: Sequence[Mapping[str, Array]],
    names: Collection[str],
    sizes: Mapping[str, int] | None = None,
) -> Iterator[tuple[str, list[Array]]]:
    """Yields each tensor of `names` that a node computes, with its value for each of the batches.

    `sizes` are the bytes of tensors for all batches, as far as they are known. Raises CnncError E604.
    """
    types = _types(model.message.graph)
    segments = _split(model, sizes or {}, types, SEGMENT_BYTES)
    last_reader = {name: i for i, segment in enumerate(segments) for name in segment.reads}
    computed: list[dict[str, Array]] = [dict(batch) for batch in batches]
    for i, segment in enumerate(segments):
        outputs = [n for n in segment.computes if n in names or last_reader.get(n, i) > i]
        inputs = [n for n in segment.reads if n in computed[0]]
        if outputs:
            weights = {n: model.content[n] for n in segment.reads if n in model.content}
            session = _session(model, segment, inputs, outputs, types)
            for values in computed:
                feeds = {n: values[n] for n in inputs} | weights
                values |= zip(outputs, session.run(feeds, outputs), strict=True)
            del session
        for name in outputs:
            if name in names:
                yield name, [values[name] for values in computed]
        for values in computed:
            for name in (*inputs, *outputs):
                if last_reader.get(name, i) <= i:
                    values.pop(name, None)


class _Segment(NamedTuple):
    """Consecutive nodes, the tensors that they read and do not compute, and those that they compute."""

    nodes: list[NodeProto]
    reads: list[str]
    computes: list[str]


def _split(model: RunnableModel, sizes: Mapping[str, int], types: Mapping[str, int], limit: int) -> list[_Segment]:
    """The nodes in segments of at most `limit` bytes, or one node, where that is possible."""
    graph = model.message.graph
    last_reader = {name: i for i, node in enumerate(graph.node) for name in node.input if name}
    whole = any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for node in graph.node for a in node.attribute)
    groups: list[list[NodeProto]] = []
    held, unknown = 0, set[str]()  # bytes of the last segment; tensors that cannot be passed on to another
    for i, node in enumerate(graph.node):
        size = sum(sizes.get(n, 0) for n in node.output)
        if not groups or (held and held + size > limit and not unknown and not whole):
            groups.append([])
            held = 0
        groups[-1].append(node)
        held += size
        unknown.update(n for n in node.output if n and n not in types)
        unknown = {n for n in unknown if last_reader.get(n, -1) > i}
    return [_segment(nodes) for nodes in groups]


def _segment(nodes: list[NodeProto]) -> _Segment:
    computes = list(dict.fromkeys(name for node in nodes for name in node.output if name))
    reads = dict.fromkeys(name for node in nodes for name in node.input if name)
    return _Segment(nodes, [name for name in reads if name not in set(computes)], computes)


def _session(
    model: RunnableModel, segment: _Segment, inputs: list[str], outputs: list[str], types: Mapping[str, int]
) -> Session:
    """A session for a segment, of which large initializers are inputs."""
    whole = model.message
    declared = {info.name: info for info in whole.graph.input}
    initializers = {tensor.name: tensor for tensor in whole.graph.initializer}
    weights = [initializers[n] for n in segment.reads if n in model.content]
    graph = GraphProto(
        name=whole.graph.name or "segment",
        node=segment.nodes,
        input=[declared[n] if n in declared else _typed(n, types) for n in inputs],
        output=[_typed(n, types) for n in outputs],
        initializer=[initializers[n] for n in segment.reads if n in initializers and n not in model.content],
    )
    graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in weights)
    part = ModelProto(
        ir_version=whole.ir_version, opset_import=whole.opset_import, functions=whole.functions, graph=graph
    )
    return Session(part.SerializeToString(), model.name, model.provider, optimize=False, runs_once=True)


def _typed(name: str, types: Mapping[str, int]) -> ValueInfoProto:
    """A tensor of any shape, with its element type if that is known."""
    return helper.make_tensor_value_info(name, types[name], None) if name in types else ValueInfoProto(name=name)


def _types(graph: GraphProto) -> dict[str, int]:
    """The element types of the tensors that one segment may pass on to another."""
    infos = (*graph.input, *graph.value_info, *graph.output)
    return {i.name: i.type.tensor_type.elem_type for i in infos if i.type.tensor_type.elem_type in _PASSED_ON}
