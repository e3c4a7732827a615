"""cnnc, a compiler for convolutional networks: checks a source file, trains the network and exports it to ONNX.

    net = cnnc.load("lenet5.cnn")      # shapes, parameters, MACs, and all errors
    print(net)                         # the table of `cnnc check`; notebooks display it with a drawing
    result = cnnc.train(net)           # the finished run: result.test, result.metrics, result.curves
    result.model(images)["softmax1"]   # outputs of arrays (N, *shape), channels first; model.layers, model.gradients
    cnnc.export(result, "lenet5.onnx") # verified tensor by tensor
    cnnc.predict("lenet5.onnx", "seven.png")

`check` takes source in a string, `Builder` builds a network in Python. `resume`, `evaluate`, `bench`, `draw`, `unfold`, `inspect`,
`data` and `import_model` do what the commands of these names do. Bad input raises CnncError, whose `diagnostics` have a
code, a position and a help; a wrong kind of argument raises TypeError, which names the right call. docs/python.md has more.

Names are imported on first use, so `import cnnc` is fast, and checking loads neither NumPy nor onnx.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnnc.api.builder import Builder
    from cnnc.api.drawing import draw
    from cnnc.api.evaluation import Evaluation, evaluate
    from cnnc.api.exporting import export
    from cnnc.api.importing import import_model
    from cnnc.api.inspection import inspect
    from cnnc.api.limits import limits
    from cnnc.api.model import LossGradients, Model
    from cnnc.api.prediction import Predictions, bench, predict
    from cnnc.api.result import Result
    from cnnc.api.survey import data
    from cnnc.api.training import resume, train
    from cnnc.api.unfolding import unfold
    from cnnc.diagnostics import CnncError, Diagnostic, Span
    from cnnc.graph.graph import Graph, Node
    from cnnc.network import Network, check, load
    from cnnc.training.run import Callback

    __version__: str

__all__ = [
    "Builder",
    "Callback",
    "CnncError",
    "Diagnostic",
    "Evaluation",
    "Graph",
    "LossGradients",
    "Model",
    "Network",
    "Node",
    "Predictions",
    "Result",
    "Span",
    "bench",
    "check",
    "data",
    "draw",
    "evaluate",
    "export",
    "import_model",
    "inspect",
    "limits",
    "load",
    "predict",
    "resume",
    "train",
    "unfold",
]

_MODULES = {
    "Builder": "cnnc.api.builder",
    "Callback": "cnnc.training.run",
    "CnncError": "cnnc.diagnostics",
    "Diagnostic": "cnnc.diagnostics",
    "Evaluation": "cnnc.api.evaluation",
    "LossGradients": "cnnc.api.model",
    "Graph": "cnnc.graph.graph",
    "Model": "cnnc.api.model",
    "Network": "cnnc.network",
    "Node": "cnnc.graph.graph",
    "Predictions": "cnnc.api.prediction",
    "Result": "cnnc.api.result",
    "Span": "cnnc.diagnostics",
    "bench": "cnnc.api.prediction",
    "check": "cnnc.network",
    "draw": "cnnc.api.drawing",
    "evaluate": "cnnc.api.evaluation",
    "export": "cnnc.api.exporting",
    "import_model": "cnnc.api.importing",
    "inspect": "cnnc.api.inspection",
    "limits": "cnnc.api.limits",
    "load": "cnnc.network",
    "predict": "cnnc.api.prediction",
    "resume": "cnnc.api.training",
    "train": "cnnc.api.training",
    "unfold": "cnnc.api.unfolding",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version("cnnc")
    if name == "data":
        return import_module("cnnc.data")
    if name == "load_ipython_extension":  # `%load_ext cnnc`
        from cnnc.api.notebook import load_ipython_extension

        return load_ipython_extension
    if name not in _MODULES:
        raise AttributeError(f"module 'cnnc' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _DataPackage(ModuleType):
    # The package cnnc.data, which is the public function `data` as well, whichever is imported first. `help`, `inspect` and
    # notebooks show the signature and the text of the function.

    @property
    def __wrapped__(self) -> Any:
        from cnnc.api.survey import data

        return data

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        text: str = self.__wrapped__.__doc__
        return text

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)


class _Package(ModuleType):
    """This package. The import of a subpackage sets it as an attribute, whatever the order of imports."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "data" and isinstance(value, ModuleType):
            value.__class__ = _DataPackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
