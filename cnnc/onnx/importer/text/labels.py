"""What a model calls its layers, as labels of the language could say it."""

from __future__ import annotations

import re

from cnnc.onnx.importer.read.model import Model, Step
from cnnc.onnx.importer.recognize.values import Layer

_CLEAN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_OF_EXPORTERS = re.compile(r"node_?\w*|n?\d+(_\d+)*|val_\d+|[A-Z]\w*?_\d+")
MAX_LENGTH = 60


def hint(step: Step, layer: Layer, model: Model) -> str:
    """The name that a step, its weights or its path give a layer; "" where they are a tool's numbers."""
    if _CLEAN.fullmatch(step.name) and not _of_a_tool(step.name, step.op):
        whole = step.name.rpartition(".")[0]  # what `whole.rows` is a part of
        return whole if whole and whole in model.makers else step.name
    for key in layer.keys[:1]:
        prefix = key.partition(".weight")[0] if ".weight" in key else key.rpartition(".")[0]
        if _CLEAN.fullmatch(prefix) and "::" not in key:
            return prefix
    parts = [p for p in step.name.split("/") if p]
    if len(parts) < 2 or not layer.keys:
        return ""
    parts = parts[:-1]
    return ".".join(p for p, after in zip(parts, [*parts[1:], ""], strict=True) if not after.startswith(f"{p}."))


def output_hint(name: str) -> str:
    """The name of an output, where a person gave it."""
    return name if _CLEAN.fullmatch(name) and not _OF_EXPORTERS.fullmatch(name) else ""


def _of_a_tool(name: str, op: str) -> bool:
    return bool(_OF_EXPORTERS.fullmatch(name)) or name.rstrip("0123456789").rstrip("_").lower() == op.lower()


def label(text: str) -> str:
    """The name as a label: letters, digits and underscores."""
    made = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")
    return made if len(made) <= MAX_LENGTH and not made[:1].isdigit() else ""
