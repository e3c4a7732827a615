"""ONNX's own backend node tests, put to the importer: each case becomes passed, refused (with the reasons), or an error.

The cases are generated in process by the installed onnx. They feed everything, weights and shapes included,
as inputs; what the language keeps as a layer's own numbers is made an initializer here, with the case's
values, where the model is refused without that.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError
from cnnc.onnx.importer.importer import convert_model
from cnnc.onnx.importer.read.model import model_from_proto
from cnnc.onnx.importer.recognize.interpreter import HANDLERS
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first


class Result(NamedTuple):
    """What became of a case; `reasons` are those of its refusal, `error` what is wrong."""

    name: str
    outcome: str
    reasons: tuple[str, ...] = ()
    error: str = ""


@cache
def every_case() -> list[Any]:
    """The node cases of the installed onnx."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found: list[Any] = collect_testcases(None)
    return found


def covered() -> list[Any]:
    """The cases whose operator the importer has a function for, and those of such operators in pieces (`_expanded`)."""
    alone = {case.name: case for case in every_case() if len(case.model.graph.node) == 1}
    found = []
    for case in every_case():
        nodes = alone.get(case.name.partition("_expanded")[0], case).model.graph.node
        if len(nodes) == 1 and not nodes[0].domain and nodes[0].op_type in HANDLERS:
            found.append(case)
    return found


def run(case: Any) -> Result:
    """Imports and runs a case: as it is, then with all inputs but the first as constants."""
    inputs = [np.asarray(a) if isinstance(a, np.ndarray | np.generic) else None for a in case.data_sets[0][0]]
    reasons: list[str] = []  # those of the last try that is not refused for its inputs alone
    for pinned in ((), (0,), tuple(range(1, len(inputs))))[: 3 if len(inputs) > 1 else 1]:
        try:
            return _run(case, inputs, pinned)
        except CnncError as error:
            reasons = [*(d.message for d in error.diagnostics), *reasons]
        except Exception as error:
            return Result(case.name, "crashed", error=f"{type(error).__name__}: {error}")
    return Result(case.name, "refused", tuple(dict.fromkeys(reasons)))


def _run(case: Any, inputs: list[Array | None], pinned: tuple[int, ...]) -> Result:
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    fed = {}
    for place, info in enumerate(case.model.graph.input):
        array = inputs[place]
        if place in pinned and array is not None:
            proto.graph.initializer.append(numpy_helper.from_array(array, info.name))
        else:
            fed[info.name] = array
    imported = convert_model(model_from_proto(proto, None), f"{case.name}.onnx", f"{case.name}.cnn")
    graph = imported.network.require_graph()
    feeds = {imported.inputs[name]: a for name, a in fed.items() if a is not None}
    with np.errstate(all="ignore"):
        trace = forward(graph, imported.weights, feeds)
    for name, expected in zip(imported.outputs, case.data_sets[0][1], strict=True):
        found = to_channels_first(trace.values[name])
        if found.shape != expected.shape or found.dtype != expected.dtype:
            return Result(
                case.name, "failed", error=f"{found.dtype} {found.shape}, not {expected.dtype} {expected.shape}"
            )
        if not np.allclose(found, expected, rtol=case.rtol, atol=case.atol, equal_nan=True):
            worst = float(np.abs(found - expected).max())
            return Result(case.name, "failed", error=f"differs by {worst:.3g}: {imported.source}")
    return Result(case.name, "passed")
