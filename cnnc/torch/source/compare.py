"""The proof of a written network: its outputs, computed with PyTorch, against the network in NumPy.

In: the text of the file, a network with weights. Out: `Verification`, as of an ONNX model, or None where PyTorch is not
installed. The tolerances are those of cnnc.onnx.emit.tolerance; the float32 of PyTorch is judged like that of onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np

from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph
from cnnc.network import Network
from cnnc.onnx.emit.network_outputs import NetworkOutputs
from cnnc.onnx.emit.size_family import verification_sizes
from cnnc.onnx.emit.tolerance import Deviation, Reference
from cnnc.onnx.emit.verify import Verification, sample_count, sample_feeds
from cnnc.torch.source.write import WrittenNetwork


def has_torch() -> bool:
    """Whether PyTorch is installed and can be loaded."""
    if find_spec("torch") is None:
        return False
    try:
        import torch  # noqa: F401
    except (ImportError, OSError):  # an installation without its libraries
        return False
    return True


def load_module(written: WrittenNetwork, weights: Mapping[str, Array]) -> Any:
    """The written network as an nn.Module with these weights, in inference."""
    import torch

    namespace: dict[str, Any] = {"__name__": "network"}
    exec(compile(written.text, f"<{written.class_name}>", "exec"), namespace)
    module = namespace[written.class_name]()
    module.load_state_dict({key: torch.from_numpy(array) for key, array in written.state(weights).items()})
    return module.eval()


def compare_outputs(written: WrittenNetwork, network: Network, weights: Weights) -> Verification:
    """Compares every output for one sample and for several, at two sizes where sizes are symbols. Raises CnncError E812."""
    module = load_module(written, weights)
    deviations: list[Deviation] = []
    graph = network.require_graph()
    for seed, sizes in enumerate(verification_sizes(network)):
        sized = network.graph_at(sizes) if sizes else graph
        feeds = sample_feeds(sized, sample_count(sized), seed)
        deviations += _deviations(module, written, sized, weights, feeds)
    for d in deviations:
        if not d.passes:
            raise _e812(d, graph)
    return Verification(tuple(deviations))


def _deviations(
    module: Any, written: WrittenNetwork, graph: Graph, weights: Weights, feeds: Mapping[str, Array]
) -> list[Deviation]:
    count = len(next(iter(feeds.values())))
    batches = [{name: feeds[name][:samples] for name in written.inputs} for samples in sorted({1, count})]
    runs = [_outputs(module, batch) for batch in batches]
    needed = {name: feeds[name] for name in feeds}
    deviations = []
    with np.errstate(all="ignore"):  # a network may overflow float32
        expected = NetworkOutputs(graph, weights, needed, graph.outputs)
        order = [node.name for node in graph.nodes if node.name in set(graph.outputs)]
        for name in order:
            double, single = expected.pop(name)
            reference = Reference.of(double.copy(), single.copy())
            place = graph.outputs.index(name)
            deviations += [reference.network_deviation(name, run[place]) for run in runs]
    return deviations


def _outputs(module: Any, feeds: Mapping[str, Array]) -> list[Array]:
    import torch

    with torch.inference_mode():
        outputs = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in feeds.values()))
    return [output.numpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _e812(d: Deviation, graph: Graph) -> CnncError:
    import torch

    message = (
        f"{d.name} of the written module deviates from the network: by {d.difference:.3g} at a value of {d.value:.3g}, "
        f"where {d.allowed:.3g} is allowed"
    )
    help = f"no file was written; please report it with the source and this version of PyTorch, {torch.__version__}"
    return CnncError(Diagnostic("E812", message, graph.by_name[d.name].span, help=help))
