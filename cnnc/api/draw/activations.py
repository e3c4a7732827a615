"""`cnnc draw --activations`: the curves of all activation functions, or of those that a network uses.

In: `DrawOptions`. Out: the content of the file, or CnncError E010.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnc.api.draw.options import DrawOptions, require_absent
from cnnc.diagnostics import CnncError
from cnnc.view.files import picture_bytes

if TYPE_CHECKING:
    from cnnc.ops.activation import Activation


def activations_file(options: DrawOptions) -> bytes:
    """The content of the file."""
    from cnnc.view.activation_curves import OVER_CHANNELS, activation_curves

    require_absent(options, "--activations", "depth", "at", "image")
    if options.source is None:
        require_absent(options, "--activations without a network", "settings")
    functions = _all() if options.source is None else _of_network(options)
    shown = [(name, op) for name, op in functions if not isinstance(op, OVER_CHANNELS)]
    left_out = [name for name, op in functions if isinstance(op, OVER_CHANNELS)]
    notes = (
        [f"Without a curve, as they depend on all channels of a position: {', '.join(left_out)}."] if left_out else []
    )
    notes.append("f'(x) is what the backward pass multiplies by; where it jumps, the curve has a gap.")
    if not shown:
        message = f"{options.source} has no activation function of a single number"
        raise CnncError.of("E010", message, help=f"{options.command(source=None, settings=())} draws all functions")
    where = "Activation functions" + ("" if options.source is None else f" of {Path(options.source).name}")
    return picture_bytes(activation_curves(where, shown, notes), options.kind)


def _all() -> list[tuple[str, Activation]]:
    """Every activation function, with the arguments of its example."""
    from cnnc.network import check
    from cnnc.ops.activation import Activation
    from cnnc.ops.base import OPS

    result = []
    for cls in OPS.values():
        if issubclass(cls, Activation):
            op = check(f"input 1x4; {cls.example}").require_graph().nodes[-1].op
            assert isinstance(op, Activation)
            result.append((f"{cls.keyword} {op.brief()}".strip(), op))
    return result


def _of_network(options: DrawOptions) -> list[tuple[str, Activation]]:
    """Those of a network, each once, with the names of its layers where there are few."""
    from cnnc.ops.activation import Activation

    graph = options.read().require_graph()
    layers: dict[str, list[str]] = {}
    ops: dict[str, Activation] = {}
    for node in graph.nodes:
        if isinstance(node.op, Activation):
            name = f"{node.op.keyword} {node.op.brief()}".strip()
            ops[name] = node.op
            layers.setdefault(name, []).append(node.name)
    return [(f"{name}, {_count(layers[name])}", op) for name, op in ops.items()]


def _count(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} layers"
