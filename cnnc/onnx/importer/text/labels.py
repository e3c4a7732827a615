"""Names of layers: what a model calls its layers, as labels of the language.

Example: the node `/layer1/layer1.0/conv1/Conv` with the weight `layer1.0.conv1.weight` suggests `layer1.0.conv1`, which
becomes the label `layer1_0_conv1`. Names that an exporter numbered, such as `Conv_12`, suggest nothing.
"""

from __future__ import annotations

import re

from cnnc.onnx.importer.read.model import OnnxModel, OnnxNode
from cnnc.onnx.importer.recognize.values import Layer

_DOTTED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_GENERATED = re.compile(r"node_?\w*|n?\d+(_\d+)*|val_\d+|[A-Z]\w*?_\d+")
MAX_LENGTH = 60


def suggested_name(node: OnnxNode, layer: Layer, model: OnnxModel) -> str:
    """The name that a node, its weights or its path suggest for a layer; "" where an exporter generated them."""
    if _DOTTED_NAME.fullmatch(node.name) and not _is_generated(node.name, node.op):
        prefix = node.name.rpartition(".")[0]  # `norm.mul` belongs to the layer `norm`, if a tensor is called that
        return prefix if prefix in model.node_by_output or prefix in model.removed else node.name
    for initializer in layer.initializers[:1]:
        prefix = initializer.partition(".weight")[0] if ".weight" in initializer else initializer.rpartition(".")[0]
        if _DOTTED_NAME.fullmatch(prefix) and "::" not in initializer:
            return prefix
    path = [part for part in node.name.split("/") if part]
    if len(path) < 2 or not layer.initializers:
        return ""
    path = path[:-1]
    following = [*path[1:], ""]
    return ".".join(p for p, after in zip(path, following, strict=True) if not after.startswith(f"{p}."))


def suggested_output_name(name: str) -> str:
    """The name of an output of the graph; "" where an exporter generated it."""
    return name if _DOTTED_NAME.fullmatch(name) and not _GENERATED.fullmatch(name) else ""


def _is_generated(name: str, op: str) -> bool:
    return bool(_GENERATED.fullmatch(name)) or name.rstrip("0123456789").rstrip("_").lower() == op.lower()


def to_label(name: str) -> str:
    """The name as a label of the language (letters, digits, underscores); "" where it is too long or starts with a
    digit."""
    cleaned = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return cleaned if len(cleaned) <= MAX_LENGTH and not cleaned[:1].isdigit() else ""
