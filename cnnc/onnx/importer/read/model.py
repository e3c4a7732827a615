"""A file of a stranger becomes a `Model`: an ONNX graph in plain Python, every part of it checked.

In: a path. Out: `Model`, whose constants are arrays and whose steps stand in an order in which each follows
what it reads. Nothing is run and nothing outside the file's folder is read. What a step means is the
affair of imports/. Raises CnncError: E901 and E903 where the file cannot be read, E624 where it is damaged or no model,
E622 for data beside it, E623 for a version of ONNX that cnnc does not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from onnx import AttributeProto, TensorProto

from cnnc.core.arrays import Array
from cnnc.core.files import read_bytes
from cnnc.diagnostics import CnncError
from cnnc.onnx.importer.read.external import Beside
from cnnc.onnx.importer.read.tensors import MAX_AXES, array_of, damaged, type_name
from cnnc.onnx.run.inspect import require_model
from cnnc.onnx.source_map import SOURCE

OLDEST_OPSET = 7
MAX_BYTES = 2**31 - 1  # of a protobuf message
MAX_STEPS = 20_000
OWN_DOMAINS = ("", "ai.onnx")
_ELEMENT: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8", TensorProto.INT64: "int64"}


class Port(NamedTuple):
    """An input or output: its element type as ONNX calls it, and its sizes, batch first; a symbol is a string.

    `shape` is None where the model does not say it.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


class Step(NamedTuple):
    """One ONNX node. `name` is never empty; an optional input that is left out is ""."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute; numbers, strings, arrays, and tuples of them."""
        return self.attributes.get(key, default)

    def input(self, place: int) -> str:
        """The name of an input, "" where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""


class Subgraph:
    """Stands for an attribute that is a graph, or anything else that no layer has."""


class Model:
    """An ONNX graph; `constants` are its initializers by name. `told` says that the model carries the text it was made of."""

    def __init__(
        self,
        name: str,
        producer: str,
        opset: int,
        inputs: tuple[Port, ...],
        outputs: tuple[str, ...],
        steps: tuple[Step, ...],
        constants: Mapping[str, Array],
        told: bool = False,
    ) -> None:
        self.name = name
        self.producer = producer
        self.opset = opset
        self.inputs = inputs
        self.outputs = outputs
        self.steps = steps
        self.constants = constants
        self.told = told

    @cached_property
    def makers(self) -> dict[str, Step]:
        return {output: step for step in self.steps for output in step.outputs if output}

    @cached_property
    def readers(self) -> Counter[str]:
        """How often each value is read; being an output counts as well."""
        return Counter([*(name for step in self.steps for name in step.inputs), *self.outputs])


def read_model(path: Path) -> Model:
    """The model of a file."""
    require_model(path, "E624")
    data = read_bytes(path, MAX_BYTES)
    return model_of(parse(data, str(path)), path.parent)


def parse(data: bytes, name: str) -> onnx.ModelProto:
    """The message in these bytes. Raises CnncError E624 where they are none."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf's own, and what deep nesting makes of it
        raise CnncError.of("E624", f"{name} is no ONNX model, or damaged", help="a .onnx file is needed") from error
    if not proto.HasField("graph") or not proto.opset_import:
        raise CnncError.of("E624", f"{name} is no ONNX model: it holds no graph", help="a .onnx file is needed")
    return proto


def model_of(proto: onnx.ModelProto, folder: Path | None) -> Model:
    """The model of a message; `folder` is where its external data may lie."""
    graph = proto.graph
    if len(graph.node) > MAX_STEPS:
        raise damaged(f"the graph has {len(graph.node):,} nodes; cnnc reads up to {MAX_STEPS:,}")
    opset = _opset(proto)
    if graph.sparse_initializer:
        raise damaged("the graph has sparse initializers, which cnnc does not read")
    beside = Beside(folder)
    constants: dict[str, Array] = {}
    for tensor in graph.initializer:
        name = _text(tensor.name)
        if name in constants:
            raise damaged(f"two initializers are named {name}")
        constants[name] = array_of(tensor, beside, f"the initializer {name}")
    ports = [_port(info) for info in graph.input]
    if len({port.name for port in ports}) < len(ports):
        raise damaged("two inputs have one name")
    inputs = tuple(port for port in ports if port.name not in constants)
    steps = _in_order(graph, {*constants, *(p.name for p in inputs)}, beside)
    made = {*constants, *(p.name for p in inputs), *(o for step in steps for o in step.outputs)}
    outputs = tuple(_text(info.name) for info in graph.output)
    for name in outputs:
        if name not in made:
            raise damaged(f"no node makes the output {name}")
    if not outputs:
        raise damaged("the graph has no output")
    producer = " ".join(part for part in map(_text, (proto.producer_name, proto.producer_version)) if part)
    told = any(prop.key == SOURCE for prop in proto.metadata_props)
    return Model(_text(graph.name), producer, opset, inputs, outputs, steps, constants, told)


def _text(value: str | bytes) -> str:
    """A string of the message: what is not UTF-8 comes out of protobuf as bytes. Raises E624."""
    if isinstance(value, bytes):
        raise damaged("a name in it is not UTF-8")
    return value


def _opset(proto: onnx.ModelProto) -> int:
    newest = onnx.defs.onnx_opset_version()
    found = [entry.version for entry in proto.opset_import if entry.domain in OWN_DOMAINS]
    if not found:
        raise CnncError.of("E623", "the model does not say which opset of ONNX it is written in")
    if len(set(found)) > 1:
        raise damaged(f"it says to be of the opsets {' and '.join(map(str, found))}")
    if proto.ir_version > onnx.IR_VERSION:
        message = f"version {proto.ir_version} of the format is not read; those up to {onnx.IR_VERSION} are"
        raise CnncError.of("E623", message, help="a newer onnx package reads newer models")
    if not OLDEST_OPSET <= found[0] <= newest:
        help = "onnx.version_converter may bring it to another"
        raise CnncError.of(
            "E623", f"opset {found[0]} is not read; those from {OLDEST_OPSET} to {newest} are", help=help
        )
    return int(found[0])


def _port(info: onnx.ValueInfoProto) -> Port:
    name = _text(info.name)
    if not info.type.HasField("tensor_type"):
        return Port(name, "no tensor", None)
    kind = info.type.tensor_type
    dtype = _ELEMENT.get(kind.elem_type)
    if dtype is None:
        dtype = type_name(kind.elem_type)
    if not kind.HasField("shape") or len(kind.shape.dim) > MAX_AXES:
        return Port(name, dtype, None)
    sizes = [d.dim_value if d.HasField("dim_value") else _text(d.dim_param) for d in kind.shape.dim]
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise damaged(f"the input {name} has a size below 0")
    batch = [s or "" for s in sizes[:1]]  # some exporters say 0 for a batch that is open
    return Port(name, dtype, (*batch, *sizes[1:]))


def _in_order(graph: onnx.GraphProto, known: set[str], beside: Beside) -> tuple[Step, ...]:
    """The nodes as steps. Raises E624 where one reads what is not made before it, or makes what is there."""
    steps, made = [], set(known)
    for number, node in enumerate(graph.node):
        reads, makes = tuple(map(_text, node.input)), tuple(map(_text, node.output))
        name = _text(node.name) or f"node {number}, which makes {next((o for o in makes if o), 'nothing')}"
        if not node.op_type:
            raise damaged(f"{name} has no operator")
        for read in reads:
            if read and read not in made:
                raise damaged(f"{name} reads {read}, which nothing before it makes")
        for output in makes:
            if output and output in made:
                raise damaged(f"{output} is made twice")
            made.add(output)
        attributes = {_text(a.name): _attribute(a, beside, name) for a in node.attribute}
        domain = "" if node.domain in OWN_DOMAINS else _text(node.domain)
        steps.append(Step(name, _text(node.op_type), domain, reads, makes, attributes))
    return tuple(steps)


def _attribute(a: onnx.AttributeProto, beside: Beside, step: str) -> Any:
    match a.type:
        case AttributeProto.FLOAT:
            return a.f
        case AttributeProto.INT:
            return a.i
        case AttributeProto.STRING:
            return a.s.decode("utf-8", "replace")
        case AttributeProto.FLOATS:
            return tuple(a.floats)
        case AttributeProto.INTS:
            return tuple(a.ints)
        case AttributeProto.STRINGS:
            return tuple(s.decode("utf-8", "replace") for s in a.strings)
        case AttributeProto.TENSOR:
            return array_of(a.t, beside, f"the attribute {a.name} of {step}")
    return Subgraph()
