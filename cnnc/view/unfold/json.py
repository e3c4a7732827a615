"""Worked arithmetic as JSON: numbers, indices and formulas. Sums and gradients look alike for typed matrices and layers of a network.

In: `LayerNumbers`, sums and their terms. Out: dictionaries that `json.dumps` takes. Tensors are nested lists, channels first; a
number that JSON cannot hold exactly, and a term with letters, is text; one that is not finite is null.

    forward_json(layer, (0, 0, 1))["sums"][0]["value"]     # 5
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.ops.base import Op
from cnnc.view.unfold.combine import added
from cnnc.view.unfold.exact import json_of
from cnnc.view.unfold.gradient_sums import GradientTerm, gradient_array, gradient_of, layer_gradients
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.matrices import im2col, toeplitz
from cnnc.view.unfold.terms import Sum


def forward_json(layer: LayerNumbers, at: Axes | None) -> dict[str, Any]:
    """The layer with its input, kernel and output, and the sum of output `at`, or of all outputs."""
    y = layer.outputs()
    positions = [at] if at is not None else list(layer.positions())
    return {
        **_operands(layer),
        "output": nested(y),
        "sums": [_sum(layer, position, y[position]) for position in positions],
    }


def _operands(layer: LayerNumbers) -> dict[str, Any]:
    result: dict[str, Any] = {"op": op_text(layer.op), "input": nested(layer.x)}
    if layer.weight is not None:
        result["weight"] = nested(layer.weight)
    if layer.bias is not None:
        result["bias"] = nested(layer.bias)
    if layer.circular:
        result["circular"] = True
    return result


def _sum(layer: LayerNumbers, output: Axes, value: Any) -> dict[str, Any]:
    total = layer.sum_at(output)
    numbers = sum_json(total, layer.elements(total), layer.factors(total), layer.bias_of(total), value)
    return {**numbers, "formula": layer.formula(total)}


def sum_json(total: Sum, elements: Sequence[Any], factors: Sequence[Any], bias: Any, value: Any) -> dict[str, Any]:
    """A sum: where a mean, maximum or norm is taken, its terms have no factors. The element of padding is null."""
    terms: list[dict[str, Any]] = [
        {"element": term.element, "input": json_of(x)} for term, x in zip(total.terms, elements, strict=True)
    ]
    if total.kind == "sum":
        for entry, term, x, factor in zip(terms, total.terms, elements, factors, strict=True):
            entry |= {"weight": term.weight, "factor": json_of(factor), "product": json_of(x * factor)}
    return {
        "index": total.output,
        "kind": total.kind,
        "terms": terms,
        **({"divisor": total.number} if total.kind == "mean" else {}),
        **({"exponent": total.number} if total.kind == "norm" else {}),
        "bias": None if bias is None else json_of(bias),
        "value": json_of(value),
    }


def matrices_json(layer: LayerNumbers, with_im2col: bool, with_toeplitz: bool) -> dict[str, Any]:
    """The matrices that were asked for; an element of -1 is padding."""
    result: dict[str, Any] = {}
    if with_im2col:
        matrices = im2col(layer)
        result["im2col"] = {
            "kernel": nested(matrices.kernel),
            "elements": matrices.elements.tolist(),
            "values": nested(matrices.values),
        }
    if with_toeplitz:
        result["toeplitz"] = nested(toeplitz(layer).entries)
    return result


def backward_json(
    layer: LayerNumbers, gradient: Array, weight_at: Axes | None, element_at: Axes | None
) -> dict[str, Any]:
    """The gradients, and their sums: those asked for, or all."""
    sums = layer_gradients(layer, gradient)
    everything = weight_at is None and element_at is None
    result = {**_operands(layer), "output": nested(layer.outputs()), "gradient": nested(gradient)}
    if layer.weight is not None:
        result["weight_gradient"] = nested(gradient_array(layer.weight.shape, sums.of_weights))
    result["input_gradient"] = nested(gradient_array(layer.x.shape, sums.of_elements))
    if sums.of_biases:
        result["bias_gradient"] = [json_of(added(gradients)) for gradients in sums.of_biases.values()]
    result["gradients"] = [
        *(gradient_json("weight", i, s) for i, s in sums.of_weights.items() if everything or i == weight_at),
        *(gradient_json("input", i, s) for i, s in sums.of_elements.items() if everything or i == element_at),
    ]
    return result


def gradient_json(of: str, index: Axes, terms: Sequence[GradientTerm]) -> dict[str, Any]:
    """The gradient of a weight or an input element."""
    entries = [
        {
            "output": term.output,
            "gradient": json_of(term.gradient),
            "factor": json_of(term.factor),
            "element": term.element,
            "weight": term.weight,
            "product": json_of(term.value),
        }
        for term in terms
    ]
    return {"of": of, "index": index, "terms": entries, "value": json_of(gradient_of(terms))}


def op_text(op: Op) -> str:
    """A layer as in the source: `conv 6 k=3`."""
    return f"{op.keyword} {op.brief()}".rstrip()


def nested(values: Array) -> Any:
    """An array as nested lists of JSON values."""
    return [nested(part) for part in values] if isinstance(values, np.ndarray) else json_of(values)
