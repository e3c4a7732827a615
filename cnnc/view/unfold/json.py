"""Worked arithmetic as JSON: exact numbers, indices and formulas.

In: `LayerNumbers`. Out: dictionaries that `json.dumps` takes. Tensors are nested lists, channels first; a number that JSON cannot
hold exactly, and a term with letters, is text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.view.unfold.backward import Share, backward, value_of
from cnnc.view.unfold.combine import added
from cnnc.view.unfold.exact import json_of
from cnnc.view.unfold.layer_numbers import LayerNumbers
from cnnc.view.unfold.matrices import im2col, toeplitz


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
    found: dict[str, Any] = {"layer": f"{layer.op.keyword} {layer.op.brief()}", "input": nested(layer.x)}
    if layer.weight is not None:
        found["weight"] = nested(layer.weight)
    if layer.bias is not None:
        found["bias"] = nested(layer.bias)
    if layer.circular:
        found["circular"] = True
    return found


def _sum(layer: LayerNumbers, output: Axes, value: Any) -> dict[str, Any]:
    total = layer.sum_at(output)
    terms = []
    for term in total.terms:
        entry: dict[str, Any] = {"element": term.element, "input": json_of(layer.element(term))}
        if total.kind == "sum":
            entry |= {"weight": term.weight, "factor": json_of(layer.weight_of(term))}
        terms.append(entry)
    bias = layer.bias_of(total)
    return {
        "index": output,
        "kind": total.kind,
        "terms": terms,
        **({"divisor": total.number} if total.kind == "mean" else {}),
        **({"exponent": total.number} if total.kind == "norm" else {}),
        **({"bias": json_of(bias)} if bias is not None else {}),
        "formula": layer.formula(total),
        "value": json_of(value),
    }


def matrices_json(layer: LayerNumbers, with_im2col: bool, with_toeplitz: bool) -> dict[str, Any]:
    """The matrices that were asked for; an element of -1 is padding."""
    found: dict[str, Any] = {}
    if with_im2col:
        matrices = im2col(layer)
        found["im2col"] = {
            "kernel": nested(matrices.kernel),
            "elements": matrices.elements.tolist(),
            "values": nested(matrices.values),
        }
    if with_toeplitz:
        found["toeplitz"] = nested(toeplitz(layer).entries)
    return found


def backward_json(
    layer: LayerNumbers, gradient: Array, weight_at: Axes | None, element_at: Axes | None
) -> dict[str, Any]:
    """The gradients, and their sums: those asked for, or all."""
    sums = backward(layer, gradient)
    everything = weight_at is None and element_at is None
    found = {**_operands(layer), "output": nested(layer.outputs()), "gradient": nested(gradient)}
    if layer.weight is not None:
        found["weight_gradient"] = _gradient(layer.weight.shape, sums.of_weights)
    found["input_gradient"] = _gradient(layer.x.shape, sums.of_elements)
    if sums.of_biases:
        found["bias_gradient"] = [json_of(added(gradients)) for gradients in sums.of_biases.values()]
    found["weight_sums"] = [_shares(i, s) for i, s in sums.of_weights.items() if everything or i == weight_at]
    found["input_sums"] = [_shares(i, s) for i, s in sums.of_elements.items() if everything or i == element_at]
    return found


def _gradient(shape: Axes, sums: Any) -> Any:
    values = np.empty(shape, object)
    for index, shares in sums.items():
        values[index] = value_of(shares)
    return nested(values)


def _shares(index: Axes, shares: list[Share]) -> dict[str, Any]:
    terms = [
        {"output": share.output, "gradient": json_of(share.gradient), "factor": json_of(share.other)}
        for share in shares
    ]
    return {"index": index, "terms": terms, "value": json_of(value_of(shares))}


def nested(values: Array) -> Any:
    """An array as nested lists of JSON values."""
    return [nested(part) for part in values] if isinstance(values, np.ndarray) else json_of(values)
