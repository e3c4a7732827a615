"""What an ONNX graph computes from constants alone, or from sizes: done here and now, with onnx's own reference.

In: a step whose inputs are all arrays. Out: its outputs. What would grow beyond bounds is refused before it
is made.
"""

from __future__ import annotations

import warnings
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

from cnnc.core.arrays import Array
from cnnc.onnx.importer.read.model import Step
from cnnc.onnx.importer.recognize.values import Refusal

MAX_ELEMENTS = 2**24  # of what is made from less

# Operators whose output is no larger than their inputs, or their inputs broadcast.
_ELEMENTWISE = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "BitShift",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Cos",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Sin",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
        "Where",
        "Xor",
    ]
)
_REARRANGING = frozenset(
    [
        "ArgMax",
        "Concat",
        "Flatten",
        "Reshape",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "ConstantOfShape",
        "Expand",
        "Gather",
        "MatMul",
        "Range",
        "Tile",
        "Pad",
        "Conv",
        "Shape",
        "Size",
        "NonZero",
    ]
)
FOLDABLE = _ELEMENTWISE | _REARRANGING


def fold(step: Step, inputs: list[Array | None], opset: int) -> tuple[Array, ...]:
    """The outputs of a step. Raises Refusal where they would be too large, or cannot be computed."""
    given = sum(a.size for a in inputs if a is not None)
    try:
        size = _size(step, inputs)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        raise Refusal("its inputs are not those that it takes") from None
    if size > max(MAX_ELEMENTS, 2 * given):
        raise Refusal("what it makes of constants is too large")
    node = helper.make_node(step.op, list(step.inputs), list(step.outputs))
    node.attribute.extend(_attribute(key, value) for key, value in step.attributes.items())
    names = list(dict.fromkeys(name for name in step.inputs if name))
    feeds = {name: a for name, a in zip(step.inputs, inputs, strict=True) if name and a is not None}
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(feeds[n].dtype), None) for n in names]
    outs = [helper.make_empty_tensor_value_info(o) for o in step.outputs if o]
    model = helper.make_model(
        helper.make_graph([node], "fold", infos, outs), opset_imports=[helper.make_opsetid("", opset)]
    )
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:  # of the operator, on a stranger's numbers
        raise Refusal(
            f"it cannot be computed: {str(error).splitlines()[0][:100] if str(error) else 'it fails'}"
        ) from None
    return tuple(np.asarray(a) for a in made)


def _attribute(key: str, value: Any) -> onnx.AttributeProto:
    if isinstance(value, np.ndarray):
        return helper.make_attribute(key, onnx.numpy_helper.from_array(value))
    if isinstance(value, tuple) and not value:
        return helper.make_attribute(key, [], attr_type=onnx.AttributeProto.INTS)
    if not isinstance(value, int | float | str | tuple):
        raise Refusal(f"its attribute {key} is of a kind that cnnc does not read")
    return helper.make_attribute(key, value)


def _size(step: Step, inputs: list[Array | None]) -> int:
    """At least the number of elements that the step makes."""
    arrays = [a for a in inputs if a is not None]
    given = sum(a.size for a in arrays)
    shape: list[int] = []
    if step.op in _ELEMENTWISE:
        try:
            return prod(np.broadcast_shapes(*(a.shape for a in arrays))) if arrays else 0
        except ValueError:
            return 0  # it will fail by itself
    if step.op == "ConstantOfShape":
        shape = arrays[0].ravel().tolist()
    elif step.op == "Expand":
        shape = [given, *arrays[1].ravel().tolist()]
    elif step.op == "Tile":
        shape = [arrays[0].size, *arrays[1].ravel().tolist()]
    elif step.op == "Range":
        first, last, by = (float(a.ravel()[0]) for a in arrays)
        return int(abs(last - first) / abs(by)) + 1 if by and np.isfinite([first, last, by]).all() else MAX_ELEMENTS + 1
    elif step.op == "Gather":
        rows = arrays[0].shape[step.get("axis", 0)] if arrays[0].ndim else 1
        return int(arrays[0].size // max(1, rows) * arrays[1].size)
    elif step.op == "MatMul":
        a, b = arrays[0], arrays[1]
        return int(a.size * b.size // max(1, a.shape[-1] if a.ndim else 1) ** 2)
    elif step.op == "Pad":
        pads = arrays[1] if len(arrays) > 1 else np.asarray(step.get("pads", ()))
        sides = np.abs(pads.astype(np.float64)).reshape(2, -1).sum(0) if pads.size % 2 == 0 else np.zeros(1)
        return int(prod(m + p for m, p in zip(arrays[0].shape, sides.tolist(), strict=False))) if arrays[0].ndim else 0
    elif step.op == "Conv":
        return prod((arrays[0].size, arrays[1].size))  # of what is multiplied, which takes longer than what is made
    else:
        return given
    return prod(max(0, int(n)) for n in shape)
