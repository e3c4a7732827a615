"""Per-channel parameters, which the emissions of several families use."""

from __future__ import annotations

from cnnc.onnx.emit.emitter import Emitter


def per_channel(e: Emitter, name: str, rank: int) -> str:
    """The initializer of a parameter (C,) of the current layer, shaped to broadcast over the spatial axes: (C, 1, 1).

    Stored under its own name, unless a layer that shares it has another number of axes.
    """
    assert e.node is not None
    full = f"{e.node.parameter_owner}.{name}"
    shaped = e.weights[full].reshape(-1, *(1,) * rank)
    if full not in e.initializers:
        return e.constant(full, shaped)
    return full if tuple(e.initializers[full].dims) == shaped.shape else e.constant(e.inner_name(name), shaped)
