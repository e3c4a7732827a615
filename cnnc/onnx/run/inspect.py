"""Inspection of an ONNX model without running it.

Input: a model file, written by cnnc or not. Output: `describe`, plain data; cnnc/report/model.py formats it for people.
Weights are counted by their declared shapes; external weight files are not opened.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from cnnc.core.files import reason
from cnnc.diagnostics import CnncError
from cnnc.onnx.external_files import open_external
from cnnc.onnx.metadata import PRECISION, VERSION, Facts, read_facts, read_quality
from cnnc.onnx.run.complete_model import external_tensors
from cnnc.onnx.run.needs import require_weights_within_limits
from cnnc.onnx.wire_format import read_file


def require_model(path: Path, code: str = "E604") -> None:
    """Raises CnncError with `code` for a run folder, checkpoint or source file, from which a model can be exported."""
    what = {".cnn": "a source file", ".safetensors": "a checkpoint"}.get(path.suffix) if path.is_file() else None
    if any((path / name).is_file() for name in ("best.safetensors", "last.safetensors")):
        what = "a run folder"
    if what is not None:
        raise CnncError.of(code, f"{path} is {what}, not a model", help=f"`cnnc export {path}` exports a model from it")


def require_weights(model: onnx.ModelProto, path: Path) -> None:
    """Raises CnncError E604 if an external file of weights is missing, or one that the model may not read."""
    missing = next((name for name, size in _external_files(model, path).items() if size is None), None)
    if missing is not None:
        message = f"{path} has its weights in {missing}, which is missing"
        raise CnncError.of("E604", message, help="keep both files in one folder under their original names")


def read_model(path: Path) -> onnx.ModelProto:
    """The model in a file, without the data of its large weights.

    Raises CnncError E901 if it cannot be read, E903 if it is larger than protobuf allows, E604 if it is not a model, E913 if it
    has more weights than the caller allows.
    """
    require_model(path)
    model = parse_model(read_file(path, weights=False).message, path)
    require_weights_within_limits(model, str(path))
    return model


def parse_model(message: bytes, path: Path) -> onnx.ModelProto:
    """The model of a serialized message; `path` is for errors. Raises CnncError E604 if it is not one."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(message)
    except Exception as error:  # protobuf raises several types for untrusted bytes
        raise CnncError.of("E604", f"{path} is not an ONNX model") from error
    if not model.ir_version or not model.graph.node:
        raise CnncError.of(
            "E604", f"{path} is not an ONNX model: it has no {'graph' if model.ir_version else 'IR version'}"
        )
    if any(isinstance(text, bytes) for text in _texts(model)):  # protobuf's form of a string that is not UTF-8
        raise CnncError.of("E604", f"{path} is damaged: a name in it is not UTF-8")
    return model


def _texts(model: onnx.ModelProto) -> Iterator[str]:
    """Every name and metadata property of a model and its graph."""
    graph = model.graph
    yield from (model.producer_name, model.producer_version, model.domain, graph.name)
    for entry in model.opset_import:
        yield entry.domain
    for prop in model.metadata_props:
        yield from (prop.key, prop.value)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield info.name
        yield from (dimension.dim_param for dimension in info.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))


def properties(model: onnx.ModelProto) -> dict[str, str]:
    """The model's metadata properties."""
    return {prop.key: prop.value for prop in model.metadata_props}


def describe(path: Path) -> dict[str, Any]:
    """The model as plain data; keys that only cnnc writes are null or empty for other models (see docs/deploy.md).

    Raises CnncError E901, E903, E604.
    """
    model = read_model(path)
    graph, props = model.graph, properties(model)
    facts = read_facts(props)
    weights = {tensor.name for tensor in graph.initializer}
    external = _external_files(model, path)
    return {
        "file": str(path),
        "bytes": path.stat().st_size + sum(size or 0 for size in external.values()),
        "external": [{"file": name, "bytes": size} for name, size in external.items()],
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
        "inputs": [_signature(info, facts.inputs) for info in graph.input if info.name not in weights],
        "outputs": [_signature(info, facts.outputs) for info in graph.output],
        **_cnnc_facts(facts, props),
    }


def _cnnc_facts(facts: Facts, props: dict[str, str]) -> dict[str, Any]:
    """The keys of `describe` that come from cnnc's metadata."""
    source = None
    if facts.source:
        digest = hashlib.sha256(facts.source.encode()).hexdigest()
        source = {
            "file": facts.file,
            "lines": len(facts.source.splitlines()),
            "sha256": facts.sha256 or digest,
            "matches": digest == facts.sha256,
            "includes": list(facts.includes),
            "settings": list(facts.settings),
            "at": dict(facts.at),
        }
    return {
        "cnnc": props.get(VERSION),
        "source": source,
        "classes": list(facts.classes),
        "vocabulary": len(facts.vocabulary) or None,
        "columns": list(facts.columns),
        "data": dict(facts.data) or None,
        "trained": dict(facts.trained) or None,
        "origin": dict(facts.origin) or None,
        "at": dict(facts.at),
        "precision": props.get(PRECISION),
        "quality": read_quality(props),
        "sizes": [rule.as_dict() for rule in facts.sizes.values()],
        "parameters": facts.parameters,
        "macs": facts.macs,
        "whole": facts.whole,
        "random": facts.random,
        "versions": dict(facts.versions),
        "metadata": {key: value for key, value in props.items() if not key.startswith("cnnc.")},
    }


def _signature(info: onnx.ValueInfoProto, facts: Any) -> dict[str, Any]:
    """An input or output: name, type, shape with the batch (null: unknown), and what the metadata say about it."""
    signature: dict[str, Any] = {"name": info.name, "dtype": None, "shape": None}
    if info.type.WhichOneof("value") == "tensor_type":
        tensor = info.type.tensor_type
        signature["dtype"] = _element(tensor.elem_type)
        if tensor.HasField("shape"):
            signature["shape"] = [_size(dimension) for dimension in tensor.shape.dim]
    more = facts.get(info.name, {})
    return {**signature, **{key: value for key, value in more.items() if key not in signature}}


def _size(dimension: Any) -> int | str | None:
    kind = dimension.WhichOneof("value")
    return None if kind is None else getattr(dimension, kind)


def _element(number: int) -> str:
    """The NumPy name of an ONNX element type."""
    if number not in TensorProto.DataType.values():
        return f"type {number}"
    name = str(TensorProto.DataType.Name(number)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _external_files(model: onnx.ModelProto, path: Path) -> dict[str, int | None]:
    """The external weight files and their sizes in bytes; None for one that is missing.

    Raises CnncError E604 for one that a model may not read (see `open_external`).
    """
    names = {entry.value for t in external_tensors(model) for entry in t.external_data if entry.key == "location"}
    sizes: dict[str, int | None] = {}
    for name in sorted(names):
        try:
            with open_external(path.parent, name) as file:
                sizes[name] = os.fstat(file.fileno()).st_size
        except (FileNotFoundError, NotADirectoryError):
            sizes[name] = None
        except OSError as error:
            help = "copy the model and its files of weights into one folder"
            raise CnncError.of("E604", f"{path} has its weights in {name}: {reason(error)}", help=help) from error
    return sizes
