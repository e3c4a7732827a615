"""`cnnc export --target torch`: a network as a Python file that needs only PyTorch, and its weights beside it.

    net.py                     the module, one class per block, and how to load it in the docstring
    net.weights.safetensors    its state dict

In: a network and its weights. Out: both files, and `ExportedSource`. Where PyTorch is installed, the module is run first, and
nothing is written if it computes something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from keyword import iskeyword
from pathlib import Path
from typing import NamedTuple

from cnnc.core.arrays import Weights
from cnnc.core.files import write_atomic
from cnnc.core.versions import versions
from cnnc.graph.analysis import vocabularies
from cnnc.graph.graph import Graph, subgraph
from cnnc.network import Network
from cnnc.onnx.emit.verify import Verification
from cnnc.ops.activation import LogSoftmax, Softmax
from cnnc.ops.dense import Input
from cnnc.report.summary import Size
from cnnc.report.table import format_size
from cnnc.torch.source.compare import compare_outputs, has_torch
from cnnc.torch.source.names import comment_text, docstring_text
from cnnc.torch.source.sizes import layers_that_pad_at_run_time
from cnnc.torch.source.unedited import weights_beside
from cnnc.torch.source.write import CLASS, INPUT, WrittenNetwork, write_network
from cnnc.training.checkpoint import safetensors_parts


class ExportedSource(NamedTuple):
    """The files, their sizes in bytes, the name of the class, and the comparison with NumPy; None without PyTorch."""

    path: Path
    weights_path: Path
    size: int
    weights_size: int
    class_name: str
    verification: Verification | None
    sizes: Mapping[str, int]


def export_source(
    network: Network,
    weights: Weights,
    path: Path,
    *,
    outputs: Sequence[str] = (),
    classes: Sequence[str] = (),
    vocabulary: Sequence[str] = (),
    columns: Sequence[str] = (),
    proof_weights: Weights | None = None,
) -> ExportedSource:
    """Writes the module and its weights.

    `outputs` cut the network down to these layers. `classes`, `vocabulary` and `columns` go into the metadata of the weights.
    `proof_weights` are compared instead of the weights, where these could hide a mistake, as biases of 0 do.

    Raises CnncError: E010 for an unknown output, E806 for a layer that depends on an open size, E812 if the module computes
    something else, E902 if a file cannot be written.
    """
    network = network.part(outputs)
    written = written_network(network, path)
    verification = None
    if has_torch():
        verification = compare_outputs(written, network, weights if proof_weights is None else proof_weights)
    facts = {
        "class": written.class_name,
        "file": network.source.name,
        "sha256": network.sha256,
        "settings": list(network.settings),
        "classes": list(classes),
        "vocabulary": list(vocabulary),
        "columns": list(columns),
        "text_sha256": sha256(written.text.encode()).hexdigest(),
        "version": versions()["cnnc"],
    }
    metadata = {"cnnc": json.dumps(facts, sort_keys=True), "format": "pt"}
    parts = list(safetensors_parts(written.state(weights), metadata))
    text = written.text.encode()
    write_atomic(weights_beside(path), *parts)
    write_atomic(path, text)
    return ExportedSource(
        path,
        weights_beside(path),
        len(text),
        sum(map(len, parts)),
        written.class_name,
        verification,
        network.fixed_sizes,
    )


def written_network(network: Network, path: Path) -> WrittenNetwork:
    """The text of the file. Raises CnncError E806."""
    graph = network.require_graph()
    graph = subgraph(graph, graph.outputs)
    network = network.replace(graph=graph)
    shapes = {row.name: row.shape for row in network.summary().rows}
    padded = layers_that_pad_at_run_time(network, graph)
    comments = {name: format_size(shape) for name, shape in shapes.items()}
    return write_network(graph, comments, list(_introduction(network, path, shapes)), padded)


def _introduction(network: Network, path: Path, shapes: Mapping[str, tuple[Size, ...]]) -> Iterator[str]:
    """The docstring of the file."""
    graph = network.require_graph()
    file = Path(network.source.name).name
    name, source = (docstring_text(comment_text(text)) for text in (graph.name, file))
    yield f'"""{name} in PyTorch, written by cnnc {versions()["cnnc"]} from {source}.'
    yield ""
    summary = network.summary()
    totals = f"{graph.total_parameters:,} parameters"
    totals += f" and {graph.total_buffers:,} running statistics" if graph.total_buffers else ""
    yield totals + (f", {summary.macs:,} multiply-adds per example." if summary.macs is not None else ".")
    if network.settings:
        yield f"Settings: {docstring_text(comment_text(', '.join(network.settings)))}."
    yield ""
    yield from _tensors(network, shapes)
    yield ""
    yield from _loading(path)
    yield from _loss_advice(graph)
    yield '"""'


def _loss_advice(graph: Graph) -> Iterator[str]:
    """Which loss goes with a network that ends in a softmax; PyTorch's cross entropy contains one."""
    last = graph.by_name[graph.outputs[0]]
    if len(graph.outputs) == 1 and isinstance(last.op, Softmax):
        yield ""
        yield f"The last layer, {comment_text(last.name)}, is a softmax. Leave it out to train with"
        yield "nn.CrossEntropyLoss, which applies it to the scores itself."
    elif len(graph.outputs) == 1 and isinstance(last.op, LogSoftmax):
        yield ""
        yield "The output is the logarithm of probabilities, for nn.NLLLoss."


def _tensors(network: Network, shapes: Mapping[str, tuple[Size, ...]]) -> Iterator[str]:
    """The inputs and outputs, one per line."""
    graph = network.require_graph()
    known = vocabularies(graph)
    for number, node in enumerate(graph.inputs):
        assert isinstance(node.op, Input)
        dtype = node.op.fed().dtype
        values = {"uint8": ", 0 to 255", "float32": ""}.get(dtype, "")
        if dtype == "int64" and node.name in known:
            values = f", 0 to {known[node.name] - 1:,}"
        yield f"    {INPUT.format(number)}: {dtype} {_batched(shapes[node.name])}{values}"
    for name in graph.outputs:
        label = "output" if len(graph.outputs) == 1 else f"output {comment_text(name)}"
        yield f"    {label}: {graph.by_name[name].type.dtype} {_batched(shapes[name])}"
    if network.symbolic_sizes is not None and network.symbolic_sizes.legal:
        yield f"    sizes: {docstring_text(network.symbolic_sizes.rules())}"


def _batched(shape: tuple[Size, ...]) -> str:
    return f"({', '.join(['N', *map(str, shape)])})"


def _is_module_name(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name)


def _loading(path: Path) -> Iterator[str]:
    """How to load the module, as lines that can be copied."""
    weights = docstring_text(repr(weights_beside(path).name)[1:-1].replace('"', r"\""))
    yield "To load it with its weights (pip install safetensors):"
    yield ""
    yield "    from safetensors.torch import load_file"
    if _is_module_name(path.stem):
        yield ""
        yield f"    from {path.stem} import {CLASS}"
    yield ""
    yield f"    net = {CLASS}()"
    yield f'    net.load_state_dict(load_file("{weights}"))'
    yield "    net.eval()"
    if not _is_module_name(path.stem):
        yield ""
        yield f"Rename this file before you import {CLASS}: its name is not a Python identifier."
