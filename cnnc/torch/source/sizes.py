"""Networks with symbolic sizes as PyTorch source, which must compute the same for every legal size.

In: a network. Out: the layers whose padding the written network computes from its input. A layer whose numbers change with a
size in any other way is refused.

Example: `input 1xHxW; conv 8 k=3 s=2 p=same` needs one more element on odd sizes, so it is written with `SamePadding`.
"""

from __future__ import annotations

from cnnc.graph.graph import Graph
from cnnc.network import Network
from cnnc.onnx.emit.size_family import SizeFamily, build_size_family, size_dependence_error
from cnnc.torch.source.layers import pieces_of


def layers_that_pad_at_run_time(network: Network, graph: Graph) -> frozenset[str]:
    """The layers of a network whose padding depends on an open size. Raises CnncError E806."""
    family = build_size_family(network, graph, lambda other: other)
    if family is None:
        return frozenset()
    varying = {node.name for node in graph.nodes if _varies(node.name, family, False)}
    for node in graph.nodes:
        if node.name in varying and _varies(node.name, family, True):
            raise size_dependence_error(node, family)
    return frozenset(varying)


def _varies(name: str, family: SizeFamily, pads_at_run_time: bool) -> bool:
    written = {
        repr(pieces_of(node.op, graph.input_types(node), node.type, pads_at_run_time=pads_at_run_time))
        for graph, node in family.nodes(name)
    }
    return len(written) > 1
