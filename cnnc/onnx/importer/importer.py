"""`import_model`: an ONNX file becomes a text of the language and its weights.

In: a path. Out: `Imported`, whose text was checked, whose layers were held against those the model gave, and
whose weights lie under the names that the language gives them. Nothing is written; `save` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnc.core.arrays import Weights
from cnnc.core.files import write_atomic
from cnnc.core.versions import versions
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.network import Network, check
from cnnc.onnx.importer.read.model import Model, read_model
from cnnc.onnx.importer.recognize.layers import Net, NotImported, net_of
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.onnx.importer.text.write import Written, write
from cnnc.ops.base import Op
from cnnc.ops.dense import Input
from cnnc.reference.parallel.threads import thread_count
from cnnc.training.checkpoint import Checkpoint, Progress
from cnnc.training.checkpoint import save as save_checkpoint

_WHOLE = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger")


class Imported(NamedTuple):
    """A network that was an ONNX model. `names` are its layers' names by the nodes they were; `model` is as it was read."""

    network: Network
    weights: Weights
    names: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    repeats: int
    blocks: int
    model: Model

    @property
    def text(self) -> str:
        return self.network.source.text


def import_model(
    path: Path, out: Path | None = None, *, at: Mapping[str, int] | None = None, flat: bool = False
) -> Imported:
    """The network of an ONNX file.

    `out` is the name that the text will have, `at` gives sizes that the model leaves open, `flat` writes a layer
    a line, without repeats and blocks. Raises CnncError: E621 to E624, E901.
    """
    model = read_model(path)
    try:
        return of_model(model, path.name, (out or path.with_suffix(".cnn")).name, at=at, flat=flat)
    except NotImported as error:
        precision = _lower(model)
        if not precision:
            raise
        raise _of_lower(error, precision, model, path) from error


def _lower(model: Model) -> str:
    """The lower precision that a model computes in, "" for none that would keep it from an import."""
    if any(step.op in _WHOLE for step in model.steps):
        return "int8"
    return "float16" if any(array.dtype == np.float16 for array in model.constants.values()) else ""


def _of_lower(error: NotImported, precision: str, model: Model, path: Path) -> NotImported:
    """One error in place of one for each node that only the precision brought."""
    help = "import the model in float32 that it was made of"
    if model.told:
        help += f"; `cnnc info {path} --source` prints the text of the network, which has no weights"
    one = NotImported(Diagnostic("E621", f"{path} computes in {precision}, which no layer does", help=help))
    one.causes = error.causes
    return one


def of_model(
    model: Model, origin: str, name: str, *, at: Mapping[str, int] | None = None, flat: bool = False
) -> Imported:
    """The network of a model that was read; `origin` and `name` are the files' names."""
    net = net_of(model, model.name if _says_something(model.name) else Path(origin).stem, at)
    written, network = _checked(net, _head(model, origin), name, flat)
    graph = network.require_graph()
    names = {id(layer): node.name for node, layer in zip(graph.nodes, written.layers, strict=True)}
    weights: Weights = {}
    for node, layer in zip(graph.nodes, written.layers, strict=True):
        for short, array in layer.weights.items():
            weights.setdefault(f"{node.parameter_owner}.{short}", np.ascontiguousarray(array))
    return Imported(
        network,
        weights,
        {layer.step: names[id(layer)] for layer in net.layers},
        {layer.step: names[id(layer)] for layer in net.inputs},
        tuple(names[id(layer)] for layer in net.outputs),
        written.repeats,
        written.blocks,
        model,
    )


def _checked(net: Net, head: str, name: str, flat: bool) -> tuple[Written, Network]:
    """The text of a network with its totals as claims, and what the language makes of it."""
    for plain in dict.fromkeys((flat, True)):  # in one line of descent where repeats and blocks did not come out right
        written = write(net, head, flat=plain)
        network = check(written.text, name)
        if network.graph is None or not _agrees(network, written, net):
            continue
        claims = f"expect params={network.graph.total_parameters}"
        claims += f" macs={network.graph.total_macs}" if network.survey is None else ""
        return written, check(f"{written.text}\n{claims}\n", name)
    raise CnncError(*network.diagnostics) if network.graph is None else ValueError("the text is another network")


def _says_something(name: str) -> bool:
    return name.strip().lower() not in ("", "graph", "main_graph", "torch-jit-export", "torch_jit", "net", "model")


def _head(model: Model, origin: str) -> str:
    def shown(text: str) -> str:
        return "".join(c if c.isprintable() else " " for c in text)[:60]

    producer = f", made by {shown(model.producer)}" if model.producer.strip() else ""
    return f"# Imported from {shown(origin)}: ONNX opset {model.opset}{producer}."


def _agrees(network: Network, written: Written, net: Net) -> bool:
    """Whether a text means the layers that it was written for."""
    graph = network.graph
    if graph is None or len(graph.nodes) != len(written.layers):
        return False
    made = {id(layer): node.name for node, layer in zip(graph.nodes, written.layers, strict=True)}
    for node, layer in zip(graph.nodes, written.layers, strict=True):
        owner = net.owner(layer)
        owned = made[id(owner)] if owner is not None else node.name
        if tuple(made[id(r)] for r in layer.inputs) != node.inputs or node.parameter_owner != owned:
            return False
        if isinstance(layer.op, Input):
            if layer.op.symbols != getattr(node.op, "symbols", ()) or (not layer.op.symbols and layer.op != node.op):
                return False
        elif not _same_op(layer, node.op) or (network.survey is None and node.type != layer.type):
            return False
    return tuple(made[id(o)] for o in net.outputs) == graph.outputs


def _same_op(layer: Layer, op: Op) -> bool:
    """Whether two ops are one, but for the names of layers in their arguments."""
    names = {spec.name: getattr(op, spec.name) for spec in op.arguments if spec.name in ("share", "of", "a", "b")}
    return type(op) is type(layer.op) and layer.op.replace(**names) == op


def save(imported: Imported, text: Path) -> Path:
    """Writes the text, and beside it a checkpoint of the weights. Returns the latter. Raises CnncError E902."""
    weights = text.with_suffix(".safetensors")
    progress = Progress(best_rank=0.0)
    saved = Checkpoint(text.name, imported.text, (), (), (), imported.weights, {}, progress, versions(), thread_count())
    save_checkpoint(weights, saved)
    write_atomic(text, imported.text.encode())
    return weights
