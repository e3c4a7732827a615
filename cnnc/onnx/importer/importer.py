"""Imports an ONNX file as a network and its weights: `import_model`.

In: the path of a model. Out: an `ImportedNetwork`: its source has been checked, its layers have been compared with those
recognized in the model, and its weights have the names that the language gives them. `save` writes both to files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

import cnnc.onnx.importer.rewrite.layout_rules  # noqa: F401  fills the table
from cnnc.core.arrays import Weights
from cnnc.core.files import atomic_replacements
from cnnc.core.versions import versions
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.network import Network, check
from cnnc.onnx.importer.read.model import OnnxModel, described, read_model
from cnnc.onnx.importer.recognize.layers import LayerGraph, NotImported, layer_graph_of
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.onnx.importer.rewrite.layout import channels_first
from cnnc.onnx.importer.text.write import GeneratedSource, write_source
from cnnc.ops.base import Op
from cnnc.ops.dense import Input
from cnnc.reference.parallel.threads import thread_count
from cnnc.training.checkpoint import Checkpoint, Progress, content

_INT8_OPERATORS = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
)


class ImportedNetwork(NamedTuple):
    """A network that comes from an ONNX model, and its weights.

    `names` maps ONNX nodes to layers, `inputs` the model's inputs to those of the network; `outputs` are the names of the
    network's outputs in the model's order. `channels_last` are those of the model's inputs and outputs that are channels
    last in the model and channels first in the network; `limits` says why the network lacks sizes at which the model runs,
    "" where it does not. `repeats` and `blocks` count those in the source; `model` is the model as read, and `file` the
    name of its file.
    """

    network: Network
    weights: Weights
    names: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    repeats: int
    blocks: int
    model: OnnxModel
    file: str
    channels_last: frozenset[str]
    limits: str = ""

    @property
    def source(self) -> str:
        """The text of the .cnn file."""
        return self.network.source.text

    @property
    def origin(self) -> dict[str, str]:
        """Where the weights come from: the model's file, its sha256, and the program that produced it, if known."""
        facts = {"file": self.file, "sha256": self.model.sha256, "producer": self.model.producer.strip()}
        return {key: value for key, value in facts.items() if value}


def import_model(
    path: Path, out: Path | None = None, *, at: Mapping[str, int] | None = None, flat: bool = False
) -> ImportedNetwork:
    """Imports an ONNX file.

    `out` is the .cnn file that errors name (default: beside the model), `at` fixes open sizes by name, `flat` writes one
    layer per line, without repeats and blocks. Raises CnncError E010, E621, E622, E623, E624, E901, E903.
    """
    model = read_model(path)
    try:
        return convert_model(model, path.name, (out or path.with_suffix(".cnn")).name, at=at, flat=flat)
    except NotImported as error:
        precision = _low_precision(model)
        if not precision:
            raise
        raise _precision_error(error, precision, model, path) from error


def _low_precision(model: OnnxModel) -> str:
    """The precision below float32 that a model computes in; "" for float32."""
    if any(node.op in _INT8_OPERATORS for node in model.nodes):
        return "int8"
    return "float16" if any(array.dtype == np.float16 for array in model.constants.values()) else ""


def _precision_error(error: NotImported, precision: str, model: OnnxModel, path: Path) -> NotImported:
    """One error for the precision, in place of one for each node that it makes unsupported."""
    help = "import the float32 model that it was made from"
    if model.has_source:
        help += f"; `cnnc info {path} --source` prints its source, without the weights"
    replacement = NotImported(
        Diagnostic("E621", f"{path} computes in {precision}; layers compute in float32", help=help)
    )
    replacement.causes = error.causes
    return replacement


def convert_model(
    model: OnnxModel, origin: str, name: str, *, at: Mapping[str, int] | None = None, flat: bool = False
) -> ImportedNetwork:
    """Converts a model; `origin` and `name` are the names of the .onnx and the .cnn file. Raises CnncError E010, E621."""
    rewritten, channels_last = channels_first(model)
    layer_graph = layer_graph_of(rewritten, model.name if _is_descriptive(model.name) else Path(origin).stem, at)
    generated, network = _checked_source(layer_graph, _header(model, origin, channels_last), name, flat)
    graph = network.require_graph()
    names = {id(layer): node.name for node, layer in zip(graph.nodes, generated.layers, strict=True)}
    weights: Weights = {}
    for node, layer in zip(graph.nodes, generated.layers, strict=True):
        for short, array in layer.weights.items():
            weights.setdefault(f"{node.parameter_owner}.{short}", np.ascontiguousarray(array))
    return ImportedNetwork(
        network,
        weights,
        {layer.node_name: names[id(layer)] for layer in layer_graph.layers},
        {layer.node_name: names[id(layer)] for layer in layer_graph.inputs},
        tuple(names[id(layer)] for layer in layer_graph.outputs),
        generated.repeats,
        generated.blocks,
        model,
        origin,
        channels_last,
        _limits(layer_graph, network),
    )


def _limits(layer_graph: LayerGraph, network: Network) -> str:
    """Why the network lacks sizes at which the model runs, and which it has; "" where it lacks none."""
    if not layer_graph.limits or network.survey is None:
        return ""
    cause = layer_graph.limits[0]
    return f"{described(cause.name, cause.op)} has no layer at every size: {cause.reason}; the network takes {network.survey.rules()}"


def _checked_source(layer_graph: LayerGraph, header: str, name: str, flat: bool) -> tuple[GeneratedSource, Network]:
    """The source of a network with its totals as assertions, and the network that the language reads from it."""
    for without_repetition in dict.fromkeys((flat, True)):  # flat source if repeats and blocks change the network
        generated = write_source(layer_graph, header, flat=without_repetition)
        network = check(generated.text, name)
        if network.graph is None or not _has_same_layers(network, generated, layer_graph):
            continue
        assertions = f"expect params={network.graph.total_parameters}"
        assertions += f" macs={network.graph.total_macs}" if network.survey is None else ""
        return generated, check(f"{generated.text}\n{assertions}\n", name)
    raise (
        CnncError(*network.diagnostics) if network.graph is None else ValueError("the source describes another network")
    )


def _is_descriptive(name: str) -> bool:
    """Whether the name of a graph is more than an exporter's default."""
    return name.strip().lower() not in ("", "graph", "main_graph", "torch-jit-export", "torch_jit", "net", "model")


def _header(model: OnnxModel, origin: str, channels_last: Collection[str]) -> str:
    """The comments at the beginning of the source."""

    def printable(text: str) -> str:
        return "".join(c if c.isprintable() else " " for c in text)[:60]

    producer = f", produced by {printable(model.producer)}" if model.producer.strip() else ""
    header = f"# Imported from {printable(origin)}: ONNX opset {model.opset}{producer}."
    if channels_last:
        names = [n for n in dict.fromkeys((*(p.name for p in model.inputs), *model.outputs)) if n in channels_last]
        header += f"\n# Channels last in the model, channels first here: {', '.join(map(printable, names[:10]))}."
    return header


def _has_same_layers(network: Network, generated: GeneratedSource, layer_graph: LayerGraph) -> bool:
    """Whether a network has exactly the layers that its source was generated from."""
    graph = network.graph
    if graph is None or len(graph.nodes) != len(generated.layers):
        return False
    names = {id(layer): node.name for node, layer in zip(graph.nodes, generated.layers, strict=True)}
    for node, layer in zip(graph.nodes, generated.layers, strict=True):
        owner = layer_graph.parameter_owner(layer)
        expected_owner = names[id(owner)] if owner is not None else node.name
        if tuple(names[id(i)] for i in layer.inputs) != node.inputs or node.parameter_owner != expected_owner:
            return False
        if isinstance(layer.op, Input):
            if layer.op.symbols != getattr(node.op, "symbols", ()) or (not layer.op.symbols and layer.op != node.op):
                return False
        elif not _same_op(layer, node.op) or (network.survey is None and node.type != layer.type):
            return False
    return tuple(names[id(o)] for o in layer_graph.outputs) == graph.outputs


def _same_op(layer: Layer, op: Op) -> bool:
    """Whether the op of a layer equals another, apart from arguments that name layers."""
    names = {spec.name: getattr(op, spec.name) for spec in op.arguments if spec.name in ("share", "of", "a", "b")}
    return type(op) is type(layer.op) and layer.op.replace(**names) == op


def save(imported: ImportedNetwork, path: Path) -> Path:
    """Writes the source to `path` and a checkpoint of the weights next to it, both or neither; returns the checkpoint's path.

    Raises CnncError E902.
    """
    weights = path.with_suffix(".safetensors")
    progress = Progress(best_rank=0.0)
    checkpoint = Checkpoint(
        path.name,
        imported.source,
        (),
        (),
        (),
        imported.weights,
        {},
        progress,
        versions(),
        thread_count(),
        origin=imported.origin,
    )
    with atomic_replacements(path, weights) as (source_file, weight_file):
        source_file.write_bytes(imported.source.encode())
        with weight_file.open("wb") as file:
            file.writelines(content(checkpoint))
    return weights
