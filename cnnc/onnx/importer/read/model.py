"""Reads an untrusted ONNX file as an `OnnxModel`: the graph in plain Python, every part of it checked.

In: a path. Out: an `OnnxModel`, whose constants are arrays and whose nodes are in topological order. Nothing is executed,
and nothing outside the file's folder is read. Raises CnncError: E901 or E903 if the file cannot be read, E624 if it is
damaged or not a model, E622 for its external data, E623 for a version of ONNX that cnnc does not read.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto

from cnnc.core.arrays import Array
from cnnc.core.files import open_file
from cnnc.core.limits import most_parameters
from cnnc.diagnostics import CnncError
from cnnc.onnx.external_files import ExternalData
from cnnc.onnx.importer.read.tensors import MAX_TENSOR_AXES, array_from_proto, damaged, element_type_name
from cnnc.onnx.metadata import require_own_weights
from cnnc.onnx.run import inspect
from cnnc.onnx.run.inspect import require_model
from cnnc.onnx.source_map import SOURCE
from cnnc.onnx.wire_format import read_file

OLDEST_OPSET = 7
MAX_NODES = 20_000
ONNX_DOMAINS = ("", "ai.onnx")
# the element types of raw data that NumPy has itself
_NUMPY_TYPES = frozenset(
    [
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.DOUBLE,
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
    ]
)
_ELEMENT: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8", TensorProto.INT64: "int64"}


class ModelInput(NamedTuple):
    """An input of the graph: its element type, and its sizes with the batch first; an open size is a string.

    `shape` is None where the model does not declare it.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


class OnnxNode(NamedTuple):
    """An ONNX node. `name` is never empty; an optional input that is left out is ""."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute: a number, a string, an array, or a tuple of numbers or strings."""
        return self.attributes.get(key, default)

    def input_name(self, position: int) -> str:
        """The name of the tensor at an input position, "" where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""


class Subgraph:
    """Stands for an attribute that is a graph, or of another kind that no layer has."""


class OnnxModel:
    """An ONNX graph.

    `producer` is the name and version of the tool that wrote it; `constants` are its initializers by name;
    `has_source` says that its metadata hold the .cnn source that it was exported from; `removed` are tensors that a
    rewrite of the graph removed. `message` is the file's message, of which large initializers may lack their data. `sha256`
    is that of the file, "" for a model that is not in a file.
    """

    sha256 = ""

    def __init__(
        self,
        name: str,
        producer: str,
        opset: int,
        inputs: tuple[ModelInput, ...],
        outputs: tuple[str, ...],
        nodes: tuple[OnnxNode, ...],
        constants: Mapping[str, Array],
        has_source: bool = False,
        removed: frozenset[str] = frozenset(),
        message: onnx.ModelProto | None = None,
    ) -> None:
        self.name = name
        self.producer = producer
        self.opset = opset
        self.inputs = inputs
        self.outputs = outputs
        self.nodes = nodes
        self.constants = constants
        self.has_source = has_source
        self.removed = removed
        self.message = message if message is not None else onnx.ModelProto()

    def replaced(self, **changes: Any) -> OnnxModel:
        """A model in which some of these attributes differ."""
        names = (
            "name",
            "producer",
            "opset",
            "inputs",
            "outputs",
            "nodes",
            "constants",
            "has_source",
            "removed",
            "message",
        )
        return OnnxModel(**{name: changes.get(name, getattr(self, name)) for name in names})

    @cached_property
    def node_by_output(self) -> dict[str, OnnxNode]:
        """The node that computes each tensor; inputs and initializers have none."""
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def readers(self) -> dict[str, list[OnnxNode]]:
        """The nodes that read each tensor."""
        readers: dict[str, list[OnnxNode]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return readers

    @cached_property
    def use_counts(self) -> Counter[str]:
        """How often each tensor is read; being an output of the graph counts as one read."""
        return Counter([*(name for node in self.nodes for name in node.inputs), *self.outputs])


def read_model(path: Path) -> OnnxModel:
    """Reads the model in a file. Raises CnncError E613, E622, E623, E624, E901, E903."""
    require_model(path, "E624")
    if most_parameters() is not None:
        inspect.read_model(path)  # which reads no weights, and compares their number
    message, raw_data = read_file(path)
    proto = parse(message, str(path))
    require_own_weights({prop.key: prop.value for prop in proto.metadata_props}, str(path))
    for index in [i for i in raw_data if proto.graph.initializer[i].data_type not in _NUMPY_TYPES]:
        proto.graph.initializer[index].raw_data = raw_data.pop(index).tobytes()
    model = model_from_proto(proto, path.parent, raw_data)
    with open_file(path) as file:
        model.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return model


def parse(data: bytes, name: str) -> onnx.ModelProto:
    """Decodes a serialized model; `name` names the file in errors. Raises CnncError E624 if it is not one."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as error:  # protobuf raises several kinds, and RecursionError for deep nesting
        raise CnncError.of("E624", f"{name} is not an ONNX model, or is damaged", help="name a .onnx file") from error
    if not proto.HasField("graph") or not proto.opset_import:
        raise CnncError.of("E624", f"{name} is not an ONNX model: it holds no graph", help="name a .onnx file")
    return proto


def model_from_proto(
    proto: onnx.ModelProto, folder: Path | None, raw_data: Mapping[int, NDArray[np.uint8]] | None = None
) -> OnnxModel:
    """The model of a message; `folder` is the folder of its external data. Raises CnncError E622, E623, E624.

    `raw_data` are those of initializers, by their index, that are not in the message.
    """
    graph = proto.graph
    if len(graph.node) > MAX_NODES:
        raise damaged(f"the graph has {len(graph.node):,} nodes; cnnc reads up to {MAX_NODES:,}")
    opset = _opset(proto)
    if graph.sparse_initializer:
        raise damaged("the graph has sparse initializers, which cnnc does not read")
    external = ExternalData(folder, "E622")
    constants: dict[str, Array] = {}
    for index, tensor in enumerate(graph.initializer):
        name = _text(tensor.name)
        if name in constants:
            raise damaged(f"two initializers are named {name}")
        data = raw_data.get(index) if raw_data is not None else None
        constants[name] = array_from_proto(tensor, external, f"the initializer {name}", data)
    declared_inputs = [_model_input(info) for info in graph.input]
    if len({model_input.name for model_input in declared_inputs}) < len(declared_inputs):
        raise damaged("two inputs have the same name")
    inputs = tuple(model_input for model_input in declared_inputs if model_input.name not in constants)
    nodes = _ordered_nodes(graph, {*constants, *(p.name for p in inputs)}, external)
    defined = {*constants, *(p.name for p in inputs), *(o for node in nodes for o in node.outputs)}
    outputs = tuple(_text(info.name) for info in graph.output)
    for name in outputs:
        if name not in defined:
            raise damaged(f"no node computes the output {name}")
    if not outputs:
        raise damaged("the graph has no output")
    producer = " ".join(part for part in map(_text, (proto.producer_name, proto.producer_version)) if part)
    has_source = any(prop.key == SOURCE for prop in proto.metadata_props)
    return OnnxModel(_text(graph.name), producer, opset, inputs, outputs, nodes, constants, has_source, message=proto)


def _text(value: str | bytes) -> str:
    """Checks a string of the message: protobuf gives bytes where it is not UTF-8. Raises CnncError E624."""
    if isinstance(value, bytes):
        raise damaged("a name in the model is not UTF-8")
    return value


def _opset(proto: onnx.ModelProto) -> int:
    """The opset of ONNX's own domain. Raises CnncError E623, E624."""
    newest = onnx.defs.onnx_opset_version()
    versions = [entry.version for entry in proto.opset_import if entry.domain in ONNX_DOMAINS]
    if not versions:
        raise CnncError.of("E623", "the model does not say which ONNX opset it uses")
    if len(set(versions)) > 1:
        raise damaged(f"it declares several ONNX opsets, {' and '.join(map(str, versions))}")
    if proto.ir_version > onnx.IR_VERSION:
        message = f"cannot read IR version {proto.ir_version}: the installed onnx package knows versions up to {onnx.IR_VERSION}"
        raise CnncError.of("E623", message, help="pip install --upgrade onnx")
    if not OLDEST_OPSET <= versions[0] <= newest:
        help = "onnx.version_converter.convert_version may convert the model"
        raise CnncError.of(
            "E623", f"cannot read opset {versions[0]}: cnnc reads opsets {OLDEST_OPSET} to {newest}", help=help
        )
    return int(versions[0])


def _model_input(info: onnx.ValueInfoProto) -> ModelInput:
    name = _text(info.name)
    if not info.type.HasField("tensor_type"):
        return ModelInput(name, "not a tensor", None)
    kind = info.type.tensor_type
    dtype = _ELEMENT.get(kind.elem_type)
    if dtype is None:
        dtype = element_type_name(kind.elem_type)
    if not kind.HasField("shape") or len(kind.shape.dim) > MAX_TENSOR_AXES:
        return ModelInput(name, dtype, None)
    sizes = [d.dim_value if d.HasField("dim_value") else _text(d.dim_param) for d in kind.shape.dim]
    sizes = ["" if isinstance(size, int) and size < 0 else size for size in sizes]  # -1 is an open size
    batch = [s or "" for s in sizes[:1]]  # some exporters write 0 for an open batch
    return ModelInput(name, dtype, (*batch, *sizes[1:]))


def _ordered_nodes(graph: onnx.GraphProto, known: set[str], external: ExternalData) -> tuple[OnnxNode, ...]:
    """The nodes, checked to be in topological order.

    Raises CnncError E624 where a node reads a tensor that is not computed before it, or computes one that exists.
    """
    nodes, defined = [], set(known)
    for index, proto in enumerate(graph.node):
        inputs, outputs = tuple(map(_text, proto.input)), tuple(map(_text, proto.output))
        name = _text(proto.name) or unnamed(index, next((o for o in outputs if o), "nothing"))
        if not proto.op_type:
            raise damaged(f"{name} has no operator")
        for tensor in inputs:
            if tensor and tensor not in defined:
                raise damaged(f"{name} reads {tensor}, which no node before it computes")
        for output in outputs:
            if output and output in defined:
                raise damaged(f"two nodes compute {output}")
            defined.add(output)
        attributes = {_text(a.name): _attribute(a, external, name) for a in proto.attribute}
        domain = "" if proto.domain in ONNX_DOMAINS else _text(proto.domain)
        nodes.append(OnnxNode(name, _text(proto.op_type), domain, inputs, outputs, attributes))
    return tuple(nodes)


def unnamed(index: int, output: str) -> str:
    """The name given to a node that the model does not name."""
    return f"node {index}, which computes {output}"


def described(name: str, op: str) -> str:
    """A node in words, by its name and its operator: "Conv `conv1`", or "the Conv that computes y (node 1)"."""
    generated = re.fullmatch(r"(node \d+), which computes (.*)", name, re.DOTALL)
    shown = name if len(name) <= 120 else f"{name[:117]}..."
    if generated is None:
        return f"{op} `{shown}`"
    number, output = generated.groups()
    return f"the {op} that computes {output if len(output) <= 120 else f'{output[:117]}...'} ({number})"


def _attribute(a: onnx.AttributeProto, external: ExternalData, node: str) -> Any:
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
            return array_from_proto(a.t, external, f"the attribute {a.name} of {node}")
    return Subgraph()
