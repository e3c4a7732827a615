"""From a network and its weights to a file that was proven: passes, emission, proof, write.

In: a `Network`, weights, a path; the names of layers, where only what these need is wanted. Out: the file, whole, and
`Exported`. A model that fails its proof is never written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnc.diagnostics import CnncError
from cnnc.export.emit import DEFAULT_OPSET, emit
from cnnc.export.metadata import metadata
from cnnc.export.passes import run_passes
from cnnc.export.verify import Deviation, Proof, prove, sample_feeds
from cnnc.files import write_atomic
from cnnc.network import Network
from cnnc.provenance import versions
from cnnc.reference.engine import Weights
from cnnc.reference.parallel import one_blas_thread


class Exported(NamedTuple):
    """What was written, and how it was proven."""

    path: Path
    proof: Proof
    size: int
    opset: int
    ir: int


def export(
    network: Network,
    weights: Weights,
    path: Path,
    *,
    outputs: Sequence[str] = (),
    classes: Sequence[str] = (),
    vocabulary: Sequence[str] = (),
    trained: Mapping[str, Any] | None = None,
    opset: int = DEFAULT_OPSET,
) -> Exported:
    """Writes the model of a network, or of the part of it that the layers `outputs` need.

    Raises CnncError: E010 for outputs that are no layers, E801 where the proof fails, E902 where it cannot be written.
    """
    whole, network = network, network.part(outputs)
    graph = network.require_graph()
    facts = metadata(whole, graph, versions(), classes=classes, vocabulary=vocabulary, trained=trained)
    smaller, folded = run_passes(graph, weights)
    model = emit(smaller, folded, facts, opset)
    found: list[Deviation] = []
    with one_blas_thread():
        for batch, seed in ((1, 0), (5, 1)):
            proof = prove(model, graph, weights, sample_feeds(graph, batch, seed))
            proof.require(graph)
            found += proof.deviations
    data = model.SerializeToString()
    if path.is_dir():
        raise CnncError.of("E902", f"cannot write {path}: it is a folder", help=f"name a file: {path / 'model.onnx'}")
    write_atomic(path, data)
    return Exported(path, Proof(tuple(found)), len(data), opset, model.ir_version)
