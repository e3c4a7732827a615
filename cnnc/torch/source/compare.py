"""The proof of a written network: its outputs, computed with PyTorch, against the network in NumPy.

In: the text of the file, a network with weights. Out: `Verification`, as of an ONNX model, or None where PyTorch is not
installed. The tolerances are those of cnnc.onnx.emit.tolerance; the float32 of PyTorch is judged like that of onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
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
from cnnc.ops.activation import LogSoftmax, Softmax
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
    names = [*graph.outputs, *_scores(written, graph)]
    batches = [{name: feeds[name][:samples] for name in written.inputs} for samples in sorted({1, count})]
    runs = [_outputs(module, written, names, batch) for batch in batches]
    deviations = []
    with np.errstate(all="ignore"):  # a network may overflow float32
        expected = NetworkOutputs(graph, weights, feeds, names)
        for name in [node.name for node in graph.nodes if node.name in names]:
            double, single = expected.pop(name)
            reference = Reference.of(double.copy(), single.copy())
            deviations += [reference.network_deviation(name, run[name]) for run in runs]
    return deviations


def _scores(written: WrittenNetwork, graph: Graph) -> list[str]:
    """The last layers before a final softmax that modules compute: where it saturates, its output hides what they do."""
    found = []
    for output in graph.outputs:
        node = graph.by_name[output]
        if not isinstance(node.op, Softmax | LogSoftmax):
            continue
        while node.inputs and (node.name == output or node.name not in written.modules):
            node = graph.by_name[node.inputs[0]]
        if node.inputs and node.name not in graph.outputs and not node.owner:
            found.append(node.name)
    return list(dict.fromkeys(found))


def _outputs(
    module: Any, written: WrittenNetwork, names: Sequence[str], feeds: Mapping[str, Array]
) -> dict[str, Array]:
    """The outputs of the module by name, and those of the layers `names` that are modules in it."""
    import torch

    seen: dict[str, Any] = {}
    hooks = []
    for name in names:
        if name in written.modules:
            hook = partial(_keep, seen, name)
            hooks.append(module.get_submodule(written.modules[name]).register_forward_hook(hook))
    with torch.inference_mode():
        outputs = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in feeds.values()))
    for hook in hooks:
        hook.remove()
    results = outputs if isinstance(outputs, tuple) else (outputs,)
    seen.update(zip(names[: len(results)], results, strict=True))
    return {name: output.numpy() for name, output in seen.items()}


def _keep(seen: dict[str, Any], name: str, module: Any, inputs: Any, output: Any) -> None:
    """Keeps the first output of a module: that of the layer itself, not of one that shares its parameters."""
    seen.setdefault(name, output)


def _e812(d: Deviation, graph: Graph) -> CnncError:
    import torch

    message = (
        f"{d.name} of the written module deviates from the network: by {d.difference:.3g} at a value of {d.value:.3g}, "
        f"where {d.allowed:.3g} is allowed"
    )
    help = f"no file was written; please report it with the source and this version of PyTorch, {torch.__version__}"
    return CnncError(Diagnostic("E812", message, graph.by_name[d.name].span, help=help))
