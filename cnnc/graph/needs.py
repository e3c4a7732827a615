"""What a network needs, compared with the limits of the caller (cnnc.core.limits) before anything is allocated.

In: a graph, and what is to be done with it. Out: E913, which names the need, the limit, and what would fit.
"""

from __future__ import annotations

from cnnc.core.limits import most_memory, require_memory_limit, require_parameter_limit
from cnnc.graph.analysis import peak_memory, training_memory
from cnnc.graph.graph import Graph, Node


def require_parameters(graph: Graph, name: str) -> None:
    """Raises CnncError E913 where a network has more parameters than the limit."""
    if not graph.nodes:
        return
    node = _largest(graph)
    help = f"make {node.name} smaller, which has {_weights(graph, node):,} of them"
    require_parameter_limit(graph.total_parameters, name, help, node.span)


def require_weights(graph: Graph, name: str, copies: int = 1) -> None:
    """Raises CnncError E913 where a network has more parameters, or this number of copies of its weights takes more memory, than the limits."""
    require_parameters(graph, name)
    need = copies * _weight_bytes(graph)
    if need:
        node = _largest(graph)
        help = f"make {node.name} smaller, which has the most weights"
        require_memory_limit(need, f"{name}, with its weights in memory,", help, node.span)


def require_inference(graph: Graph, name: str, batch: int, copies: int = 1) -> None:
    """Raises CnncError E913 where computing the outputs of a batch takes more memory than the limit."""
    require_weights(graph, name, copies)
    need = copies * _weight_bytes(graph) + batch * peak_memory(graph).bytes
    help = f"the activations at {peak_memory(graph).at} take most; smaller sizes of the input need less"
    require_memory_limit(need, f"{name} at batch {batch}", help)


def require_training(
    graph: Graph, name: str, batch: int, slots: int, option: str = "--set train.batch", more: int = 0
) -> None:
    """Raises CnncError E913 where training needs more memory than the limit; `more` are bytes that the data take beside it.

    The help names the largest batch that fits, as a value of `option`.
    """
    require_parameters(graph, name)
    limit = most_memory()
    need = training_memory(graph, batch, slots) + more
    if limit is None or need <= limit.value:
        return
    fits = _largest_batch(graph, batch, slots, limit.value - more)
    help = f"a batch of {fits:,} fits: {option}={fits}" if fits else "no batch fits: not even one example"
    data = " with its data" if more else ""
    require_memory_limit(need, f"training {name} at batch {batch:,}{data}", help)


def _largest_batch(graph: Graph, batch: int, slots: int, limit: int) -> int:
    """The largest batch below `batch` whose training fits into `limit` bytes; 0 if none does."""
    fits, too_large = 0, batch
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if training_memory(graph, middle, slots) <= limit:
            fits = middle
        else:
            too_large = middle
    return fits


def _largest(graph: Graph) -> Node:
    return max(graph.nodes, key=lambda node: _weights(graph, node))


def _weights(graph: Graph, node: Node) -> int:
    return sum(p.size for p in graph.parameters(node))


def _weight_bytes(graph: Graph) -> int:
    return 4 * sum(p.size for p in graph.weights.values())
