"""Runs ONNX's own backend node tests through the importer: each case passes, fails, crashes, or is refused with reasons.

The installed onnx generates the cases. They feed everything as inputs, weights and shapes too. Where a model is refused
for that, it is tried again with all inputs but the first as initializers, which hold the values of the case.
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
from tests.onnx.importer.model_builders import in_model_layout


class CaseResult(NamedTuple):
    """The outcome of a case: passed, failed, crashed, or refused for `reasons`; `error` describes a failure or crash."""

    name: str
    outcome: str
    reasons: tuple[str, ...] = ()
    error: str = ""


@cache
def all_cases() -> list[Any]:
    """All node cases of the installed onnx."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases: list[Any] = collect_testcases(None)
    return cases


def covered_cases() -> list[Any]:
    """The cases whose operator the importer handles, and those in which it is expanded into a function (`_expanded`)."""
    alone = {case.name: case for case in all_cases() if len(case.model.graph.node) == 1}
    cases = []
    for case in all_cases():
        nodes = alone.get(case.name.partition("_expanded")[0], case).model.graph.node
        if len(nodes) == 1 and not nodes[0].domain and nodes[0].op_type in HANDLERS:
            cases.append(case)
    return cases


def run_case(case: Any) -> CaseResult:
    """Imports and runs a case: as it is, then with the first input as a constant, then with all others as constants."""
    inputs = [np.asarray(a) if isinstance(a, np.ndarray | np.generic) else None for a in case.data_sets[0][0]]
    reasons: list[str] = []  # those of the last try come first
    for constant_inputs in ((), (0,), tuple(range(1, len(inputs))))[: 3 if len(inputs) > 1 else 1]:
        try:
            return _run(case, inputs, constant_inputs)
        except CnncError as error:
            reasons = [*(d.message for d in error.diagnostics), *reasons]
        except Exception as error:
            return CaseResult(case.name, "crashed", error=f"{type(error).__name__}: {error}")
    return CaseResult(case.name, "refused", tuple(dict.fromkeys(reasons)))


def _run(case: Any, inputs: list[Array | None], constant_inputs: tuple[int, ...]) -> CaseResult:
    proto = onnx.ModelProto()
    proto.CopyFrom(case.model)
    inputs_fed = {}
    for position, info in enumerate(case.model.graph.input):
        array = inputs[position]
        if position in constant_inputs and array is not None:
            proto.graph.initializer.append(numpy_helper.from_array(array, info.name))
        else:
            inputs_fed[info.name] = array
    import_proto = convert_model(model_from_proto(proto, None), f"{case.name}.onnx", f"{case.name}.cnn")
    graph = import_proto.network.require_graph()
    feeds = {
        import_proto.inputs[name]: np.moveaxis(a, -1, 1) if name in import_proto.channels_last else a
        for name, a in inputs_fed.items()
        if a is not None
    }
    with np.errstate(all="ignore"):
        trace = forward(graph, import_proto.weights, feeds)
    for name, info, expected in zip(import_proto.outputs, proto.graph.output, case.data_sets[0][1], strict=True):
        output = in_model_layout(to_channels_first(trace.values[name]), info.name, import_proto)
        if output.shape != expected.shape or output.dtype != expected.dtype:
            return CaseResult(
                case.name, "failed", error=f"{output.dtype} {output.shape}, not {expected.dtype} {expected.shape}"
            )
        if not np.allclose(output, expected, rtol=case.rtol, atol=case.atol, equal_nan=True):
            worst = float(np.abs(output - expected).max())
            return CaseResult(case.name, "failed", error=f"differs by {worst:.3g}: {import_proto.source}")
    return CaseResult(case.name, "passed")
