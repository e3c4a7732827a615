"""cnnc, a compiler for convolutional networks: a text is checked, trained and exported to ONNX.

    net = cnnc.load("lenet5.cnn")      # shapes, parameters, MACs; every error of the text
    print(net)                         # the table of `cnnc check`; a notebook shows it by itself
    found = cnnc.check("input 4")      # a text; .diagnostics is data
    result = cnnc.train(net)           # NumPy; returns the run and its test score
    cnnc.export(result.run.folder, "lenet5.onnx")

Names are loaded when they are first used: `import cnnc` is quick, and checking loads neither NumPy nor onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnc.api import export, train
    from cnnc.diagnostics import CnncError, Diagnostic, Span
    from cnnc.graph.graph import Graph, Node
    from cnnc.network import Network, check, load

__all__ = ["CnncError", "Diagnostic", "Graph", "Network", "Node", "Span", "check", "export", "load", "train"]

_HOMES = {
    "CnncError": "cnnc.diagnostics",
    "Diagnostic": "cnnc.diagnostics",
    "Graph": "cnnc.graph.graph",
    "Network": "cnnc.network",
    "Node": "cnnc.graph.graph",
    "Span": "cnnc.diagnostics",
    "check": "cnnc.network",
    "export": "cnnc.api",
    "load": "cnnc.network",
    "train": "cnnc.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cnnc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
