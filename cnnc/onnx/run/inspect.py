"""What an ONNX model is, without running it.

In: a model's file, of cnnc or of anyone. Out: `describe`, plain data for a program; cnnc/report/model.py says it to
people. Weights are counted by their declared sizes, and those in files beside the model are not opened.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from cnnc.core.files import read_bytes
from cnnc.diagnostics import CnncError
from cnnc.onnx.metadata import PRECISION, VERSION, Facts, read_facts

MAX_BYTES = 1 << 31  # what protobuf itself can hold


def require_model(path: Path, code: str = "E604") -> None:
    """Raises CnncError of this code for what a model can be made of: a run folder, a checkpoint, a network's text."""
    what = {".cnn": "a network's text", ".safetensors": "a checkpoint"}.get(path.suffix) if path.is_file() else None
    if any((path / name).is_file() for name in ("best.safetensors", "last.safetensors")):
        what = "a run folder"
    if what is not None:
        raise CnncError.of(code, f"{path} is {what}, no model", help=f"`cnnc export {path}` makes a model of it")


def missing_weights(path: Path) -> list[str]:
    """The files beside a model that it has weights in and that are not there; none where it cannot be read."""
    try:
        return [name for name, size in _external_files(read_model(path), path).items() if size is None]
    except CnncError:
        return []


def read_model(path: Path) -> onnx.ModelProto:
    """The model of a file, weights beside it left there. Raises CnncError E901, E604."""
    require_model(path)
    data = read_bytes(path, MAX_BYTES)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf raises several kinds for a stranger's bytes
        raise CnncError.of("E604", f"{path} is no ONNX model") from error
    if not model.ir_version or not model.graph.node:
        raise CnncError.of(
            "E604", f"{path} is no ONNX model: it has no {'graph' if model.ir_version else 'IR version'}"
        )
    return model


def properties(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata properties."""
    return {prop.key: prop.value for prop in model.metadata_props}


def describe(path: Path) -> dict[str, Any]:
    """The model as plain data; what cnnc did not write is null or empty. docs/deploy.md says the keys. Raises CnncError."""
    model = read_model(path)
    graph, props = model.graph, properties(model)
    facts = read_facts(props)
    weights = {tensor.name for tensor in graph.initializer}
    beside = _external_files(model, path)
    return {
        "file": str(path),
        "bytes": path.stat().st_size + sum(size or 0 for size in beside.values()),
        "external": [{"file": name, "bytes": size} for name, size in beside.items()],
        "name": facts.name or graph.name,
        "producer": " ".join(part for part in (model.producer_name, model.producer_version) if part),
        "ir": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "nodes": len(graph.node),
        "operators": dict(sorted(Counter(node.op_type for node in graph.node).items(), key=lambda kind: -kind[1])),
        "weights": {
            "tensors": len(graph.initializer),
            "numbers": sum(math.prod(tensor.dims) for tensor in graph.initializer),
            "types": sorted({_element(tensor.data_type) for tensor in graph.initializer}),
        },
        "inputs": [_value(info, facts.inputs) for info in graph.input if info.name not in weights],
        "outputs": [_value(info, facts.outputs) for info in graph.output],
        **_told(facts, props),
    }


def _told(facts: Facts, props: dict[str, str]) -> dict[str, Any]:
    """What cnnc wrote of the network."""
    source = None
    if facts.source:
        found = hashlib.sha256(facts.source.encode()).hexdigest()
        source = {
            "file": facts.file,
            "lines": len(facts.source.splitlines()),
            "sha256": facts.sha256 or found,
            "matches": found == facts.sha256,
            "includes": list(facts.includes),
            "settings": list(facts.settings),
            "at": dict(facts.at),
        }
    return {
        "cnnc": props.get(VERSION),
        "source": source,
        "classes": list(facts.classes),
        "vocabulary": len(facts.vocabulary) or None,
        "data": dict(facts.data) or None,
        "trained": dict(facts.trained) or None,
        "at": dict(facts.at),
        "precision": props.get(PRECISION),
        "sizes": [rule.as_dict() for rule in facts.sizes.values()],
        "parameters": facts.parameters,
        "macs": facts.macs,
        "whole": facts.whole,
        "versions": dict(facts.versions),
        "metadata": {key: value for key, value in props.items() if not key.startswith("cnnc.")},
    }


def _value(info: onnx.ValueInfoProto, told: Any) -> dict[str, Any]:
    """An input or output: its name, type, shape with the batch (null: unknown), and what the metadata say of it."""
    found: dict[str, Any] = {"name": info.name, "dtype": None, "shape": None}
    if info.type.WhichOneof("value") == "tensor_type":
        tensor = info.type.tensor_type
        found["dtype"] = _element(tensor.elem_type)
        if tensor.HasField("shape"):
            found["shape"] = [_size(dimension) for dimension in tensor.shape.dim]
    more = told.get(info.name, {})
    return {**found, **{key: value for key, value in more.items() if key not in found}}


def _size(dimension: Any) -> int | str | None:
    kind = dimension.WhichOneof("value")
    return None if kind is None else getattr(dimension, kind)


def _element(number: int) -> str:
    """An element type by the name that NumPy gives it."""
    if number not in TensorProto.DataType.values():
        return f"type {number}"
    name = str(TensorProto.DataType.Name(number)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _external_files(model: onnx.ModelProto, path: Path) -> dict[str, int | None]:
    """The files of weights beside the model, and their sizes; None for one that is not there, or not beside it."""
    names = {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    found: dict[str, int | None] = {}
    for name in sorted(names):
        place = path.parent / name
        inside = place.resolve().is_relative_to(path.parent.resolve())
        found[name] = place.stat().st_size if inside and place.is_file() else None
    return found
