"""cnnc, a compiler for convolutional networks: checks a source file, trains the network and exports it to ONNX.

    net = cnnc.load("lenet5.cnn")      # shapes, parameters, MACs, and all errors
    print(net)                         # the table of `cnnc check`; notebooks display it
    net = cnnc.check("input 4")        # source in a string; errors are in net.diagnostics
    result = cnnc.train(net)           # with NumPy; returns the run and its test score
    cnnc.export(result.run.folder, "lenet5.onnx")

Names are imported on first use, so `import cnnc` is fast, and checking loads neither NumPy nor onnx.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnc.api import export, train
    from cnnc.diagnostics import CnncError, Diagnostic, Span
    from cnnc.graph.graph import Graph, Node
    from cnnc.network import Network, check, load

__all__ = ["CnncError", "Diagnostic", "Graph", "Network", "Node", "Span", "check", "export", "load", "train"]

_MODULES = {
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
    if name not in _MODULES:
        raise AttributeError(f"module 'cnnc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
