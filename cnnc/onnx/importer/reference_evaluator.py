"""Runs a model on onnx's reference evaluator, for what onnxruntime does not compute as ONNX defines it.

In: a model, as a message and as read, and its inputs. Out: its outputs. Example: a Conv with `auto_pad=SAME_UPPER` and a
dilation of 2, which onnxruntime refuses. A MaxPool with both is beyond the evaluator too (`is_right_for`): both give
outputs of other sizes than the specification.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator
from packaging.version import Version

from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import OnnxModel, OnnxNode

MAX_MACS = 200_000_000  # of one run; the evaluator takes seconds for these


def node_beyond_onnxruntime(model: OnnxModel) -> OnnxNode | None:
    """The first node that onnxruntime does not compute as ONNX defines it; None where there is none."""
    for node in model.nodes:
        dilations = node.get("dilations", ())
        if (
            str(node.get("auto_pad", "")).startswith("SAME")
            and isinstance(dilations, tuple)
            and max(dilations, default=1) > 1
        ):
            return node
    return None


def is_right_for(node: OnnxNode) -> bool:
    """Whether the installed evaluator computes a node with `auto_pad` and dilations as ONNX defines it.

    A MaxPool never; a Conv with strides gets outputs that are too small before onnx 1.23.
    """
    if node.op != "Conv":
        return False
    strides = node.get("strides", ())
    is_strided = isinstance(strides, tuple) and max(strides, default=1) > 1
    return not is_strided or Version(onnx.__version__) >= Version("1.23")


def run_reference(proto: onnx.ModelProto, model: OnnxModel, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs of a model. Raises ValueError where the evaluator fails."""
    needed = set(model.outputs)
    kept = []
    for node in reversed(proto.graph.node):  # what no output needs is not computed: it may be of any size
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            kept.append(node)
    graph = helper.make_graph(kept[::-1], "model", [], proto.graph.output)
    pruned = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    constants = {name: array for name, array in model.constants.items() if name in needed}
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outputs = ReferenceEvaluator(pruned).run(list(model.outputs), {**constants, **feeds})
    except Exception as error:  # the evaluator raises many kinds
        reason = str(error).splitlines()[0][:100] if str(error) else "it gives no reason"
        raise ValueError(f"onnx's reference evaluator failed: {reason}") from error
    return [np.asarray(a) for a in outputs]
