"""The error for a device that ran out of memory: which layers take most, and a batch that fits.

In: the exception that PyTorch raised, a run, the size of a batch, and the memory of the device. Out: CnncError E904.
"""

from __future__ import annotations

import torch

from cnnc.diagnostics import CnncError, Diagnostic, Note
from cnnc.graph.analysis import training_memory
from cnnc.graph.graph import Graph, Node
from cnnc.training.run import Run

NAMED = 3
"""The layers that the error names."""
FREE = 0.1
"""The part of the memory that PyTorch's kernels and allocator need beside tensors."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch raised this because it could not get memory; on a CPU and on mps it is a plain RuntimeError."""
    texts = ("can't allocate memory", "out of memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error).lower() for text in texts)
    )


def out_of_memory(run: Run, device: torch.device, batch: int, memory: int) -> CnncError:
    """E904; `memory` is that of the device in bytes, 0 where it is not known."""
    slots = run.recipe.slots
    needed = training_memory(run.graph, batch, slots)
    largest = sorted(run.graph.nodes, key=lambda node: _bytes(run.graph, node, batch, slots), reverse=True)[:NAMED]
    notes = tuple(
        Note(node.span, f"{node.name}: {_bytes(run.graph, node, batch, slots) / 1e6:,.0f} MB")
        for node in largest
        if node.span is not None
    )
    of_memory = f" of {memory / 1e9:,.1f} GB" if memory else ""
    names = ", ".join(node.name for node in largest)
    message = (
        f"{device} ran out of memory{of_memory}: a step with a batch of {batch:,} needs about {needed / 1e6:,.0f} MB, "
        f"most of it for {names}"
    )
    fitting = fitting_batch(run.graph, batch, slots, memory * (1 - FREE))
    help = (
        f"write `--set train.batch={fitting}`" if fitting else "make these layers smaller; a batch of 1 needs too much"
    )
    return CnncError(Diagnostic("E904", message, run.recipe.spans.get("batch"), notes=notes, help=help))


def fitting_batch(graph: Graph, batch: int, slots: int, memory: float) -> int:
    """The largest power of two that is at most half the batch, and fits the memory where that is known; 0 for none."""
    fitting = 1 << max(0, (batch // 2).bit_length() - 1) if batch > 1 else 0
    while fitting and memory and training_memory(graph, fitting, slots) > memory:
        fitting //= 2
    return fitting


def _bytes(graph: Graph, node: Node, batch: int, slots: int) -> int:
    """What a layer takes in training: its output and the gradient of it, and its weights with gradient and slots."""
    return 2 * batch * node.type.bytes + 4 * (2 + slots) * sum(p.size for p in graph.parameters(node))
