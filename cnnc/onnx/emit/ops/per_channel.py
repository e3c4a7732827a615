"""Per-channel parameters, which the emissions of several families use."""

from __future__ import annotations

from cnnc.onnx.emit.emitter import Emitter


def per_channel(e: Emitter, name: str, rank: int) -> str:
    """The initializer of a parameter (C,) of the current layer, shaped to broadcast over the spatial axes: (C, 1, 1)."""
    assert e.node is not None
    return e.arranged(name, (e.node.type.channels, *(1,) * rank))
