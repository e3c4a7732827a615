"""The numbers of an output or gradient of a layer of a network as JSON: every term, with all digits, beside the engine's number.

In: a `LayerRun`, and the index of an output or the sums of gradients. Out: dictionaries that `json.dumps` takes.

    layer_json(run, (3, 14, 20))["engine"]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cnnc.core.arguments import Axes
from cnnc.view.unfold.elementwise import Formula, output_formula
from cnnc.view.unfold.exact import json_of
from cnnc.view.unfold.json import gradient_json, op_text, sum_json
from cnnc.view.unfold.layer_gradient import GradientSum
from cnnc.view.unfold.layer_run import LayerRun, OutputSum, output_sum
from cnnc.view.unfold.terms import TERMS


def layer_json(run: LayerRun, output: Axes) -> dict[str, Any]:
    """One output: the layer, its terms, and the engine's number."""
    if type(run.op) not in TERMS:
        formula = output_formula(run, output)
        numbers = {"index": output, "formula": formula.text, "value": json_of(formula.total)}
        return _head(run) | numbers | _engine(formula)
    result = output_sum(run, output)
    x, factors = zip(*((term.x, term.factor) for term in result.terms), strict=True) if result.terms else ((), ())
    numbers = sum_json(result.indices, x, factors, result.bias, result.total)
    return _head(run) | numbers | _engine(result) | {"rounding": json_of(result.rounding)}


def gradients_json(run: LayerRun, scalar: str, gradients: Sequence[GradientSum]) -> dict[str, Any]:
    """Some gradients of a layer, each with its terms."""
    sums = [
        gradient_json(gradient.of, gradient.at, gradient.terms)
        | _engine(gradient)
        | {"rounding": json_of(gradient.rounding)}
        for gradient in gradients
    ]
    return _head(run) | {"scalar": scalar, "gradients": sums}


def _engine(computed: Formula | OutputSum | GradientSum) -> dict[str, Any]:
    return {"engine": json_of(computed.engine), "difference": json_of(computed.difference)}


def _head(run: LayerRun) -> dict[str, Any]:
    return {
        "layer": run.node.name,
        "op": op_text(run.op),
        "inputs": run.node.inputs,
        "input_shapes": [array.shape for array in run.inputs],
        "output_shape": run.output.shape,
    }
