"""Runs a model on onnx's reference evaluator, for what onnxruntime does not compute as ONNX defines it.

In: a model, as bytes and as read, and its inputs. Out: its outputs. Example: a Conv with `auto_pad=SAME_UPPER` and a
dilation of 2, which onnxruntime refuses. A MaxPool with both is beyond the evaluator too: both give outputs of other sizes
than the specification.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from onnx.reference import ReferenceEvaluator

from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import Model, OnnxNode, parse

MAX_MACS = 200_000_000  # of one run; the evaluator takes seconds for these


def node_beyond_onnxruntime(model: Model) -> OnnxNode | None:
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


def run_reference(data: bytes, model: Model, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs of a serialized model. Raises ValueError where the evaluator fails."""
    proto = parse(data, "the model")
    needed = set(model.outputs)
    kept = []
    for node in reversed(proto.graph.node):  # what no output needs is not computed: it may be of any size
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            kept.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(reversed(kept))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return [np.asarray(a) for a in ReferenceEvaluator(proto).run(list(model.outputs), dict(feeds))]
    except Exception as error:  # the evaluator raises many kinds
        raise ValueError(
            f"onnx's reference evaluator failed: {str(error).splitlines()[0][:100] if str(error) else ''}"
        ) from error
