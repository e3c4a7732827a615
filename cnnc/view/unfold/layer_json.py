"""The numbers of an unfolded output or gradient for JSON: every term, in the order of the table, with all digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cnnc.core.arguments import Axes
from cnnc.view.unfold.elementwise import output_formula
from cnnc.view.unfold.gradient import GradientSum
from cnnc.view.unfold.layer import LayerRun, output_sum
from cnnc.view.unfold.terms import TERMS


def layer_json(run: LayerRun, output: Axes) -> dict[str, Any]:
    """One output: the layer, its terms, and the engine's number. Numbers that are not finite are null."""
    head = _head(run) | {"output": list(output)}
    if type(run.op) not in TERMS:
        formula = output_formula(run, output)
        return head | {
            "formula": formula.text,
            "value": _finite(formula.total),
            "engine": _finite(formula.engine),
            "difference": _finite(formula.difference),
        }
    result = output_sum(run, output)
    terms = [
        {
            "input": None if term.element is None else list(term.element),
            "weight": None if term.weight is None else list(term.weight),
            "x": _finite(term.x),
            "factor": _finite(term.factor),
            "product": _finite(term.value),
        }
        for term in result.terms
    ]
    return head | {
        "kind": result.indices.kind,
        "number": result.indices.number,
        "terms": terms,
        "bias": None if result.bias is None else _finite(result.bias),
        "value": _finite(result.total),
        "engine": _finite(result.engine),
        "difference": _finite(result.difference),
        "rounding": _finite(result.rounding),
    }


def gradient_json(run: LayerRun, scalar: str, gradients: Sequence[GradientSum]) -> dict[str, Any]:
    """Some gradients of a layer, each with its terms."""
    return _head(run) | {
        "scalar": scalar,
        "gradients": [
            {
                "of": gradient.of,
                "index": list(gradient.at),
                "terms": [
                    {
                        "output": list(term.output),
                        "gradient": _finite(term.gradient),
                        "factor": _finite(term.factor),
                        "input": None if term.element is None else list(term.element),
                        "weight": None if term.weight is None else list(term.weight),
                        "product": _finite(term.value),
                    }
                    for term in gradient.terms
                ],
                "value": _finite(gradient.total),
                "engine": _finite(gradient.engine),
                "difference": _finite(gradient.difference),
                "rounding": _finite(gradient.rounding),
            }
            for gradient in gradients
        ],
    }


def _head(run: LayerRun) -> dict[str, Any]:
    return {
        "layer": run.node.name,
        "op": f"{run.op.keyword} {run.op.brief()}".rstrip(),
        "inputs": list(run.node.inputs),
        "input_shapes": [list(array.shape) for array in run.inputs],
        "output_shape": list(run.output.shape),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
