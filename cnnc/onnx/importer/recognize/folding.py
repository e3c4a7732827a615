"""Constant folding: computes nodes whose inputs are constants, or sizes, with onnx's reference evaluator.

In: a node and its input arrays. Out: its output arrays. An output that would be too large is refused before it is
allocated. Example: Shape, Gather, Unsqueeze and Concat fold into the target shape of a Reshape.
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
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.values import Unsupported

MAX_FOLDED_ELEMENTS = 2**24  # of an output that is more than twice as large as its inputs

# Operators whose output is no larger than their inputs, or their inputs broadcast.
_ELEMENTWISE = frozenset(
    [
        "Abs",
        "Acos",
        "Add",
        "And",
        "Asin",
        "Atan",
        "BitShift",
        "Cast",
        "CastLike",
        "Ceil",
        "Celu",
        "Clip",
        "Cos",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Sub",
        "Sum",
        "Tan",
        "Tanh",
        "Where",
        "Xor",
    ]
)
_OTHERS = frozenset(
    [
        "ArgMax",
        "ArgMin",
        "BatchNormalization",
        "Concat",
        "ConstantOfShape",
        "Conv",
        "CumSum",
        "Expand",
        "EyeLike",
        "Flatten",
        "Gather",
        "GatherElements",
        "Gemm",
        "InstanceNormalization",
        "LayerNormalization",
        "LogSoftmax",
        "LpNormalization",
        "MatMul",
        "NonZero",
        "Pad",
        "Range",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Reshape",
        "ScatterElements",
        "ScatterND",
        "Shape",
        "Size",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
    ]
)
FOLDABLE = _ELEMENTWISE | _OTHERS


def fold(node: OnnxNode, inputs: list[Array | None], opset: int) -> tuple[Array, ...]:
    """The outputs of a node. Raises Unsupported where they would be too large, or cannot be computed."""
    input_size = sum(a.size for a in inputs if a is not None)
    try:
        size = _output_size(node, inputs)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        raise Unsupported("its inputs do not fit the operator") from None
    if size > max(MAX_FOLDED_ELEMENTS, 2 * input_size):
        raise Unsupported("its constant output is too large")
    proto = helper.make_node(node.op, list(node.inputs), list(node.outputs))
    proto.attribute.extend(_attribute(key, value) for key, value in node.attributes.items())
    names = list(dict.fromkeys(name for name in node.inputs if name))
    feeds = {name: a for name, a in zip(node.inputs, inputs, strict=True) if name and a is not None}
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(feeds[n].dtype), None) for n in names]
    outs = [helper.make_empty_tensor_value_info(o) for o in node.outputs if o]
    model = helper.make_model(
        helper.make_graph([proto], "fold", infos, outs), opset_imports=[helper.make_opsetid("", opset)]
    )
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outputs = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:  # the evaluator raises many kinds for untrusted values
        raise Unsupported(
            f"it cannot be computed: {str(error).splitlines()[0][:100] if str(error) else 'it fails'}"
        ) from None
    return tuple(np.asarray(a) for a in outputs)


def _attribute(key: str, value: Any) -> onnx.AttributeProto:
    """An attribute as ONNX stores it. Raises Unsupported for a type that cnnc does not read."""
    if isinstance(value, np.ndarray):
        return helper.make_attribute(key, onnx.numpy_helper.from_array(value))
    if isinstance(value, tuple) and not value:
        return helper.make_attribute(key, [], attr_type=onnx.AttributeProto.INTS)
    if not isinstance(value, int | float | str | tuple):
        raise Unsupported(f"its attribute {key} has a type that cnnc does not read")
    return helper.make_attribute(key, value)


def _output_size(node: OnnxNode, inputs: list[Array | None]) -> int:
    """An upper bound of the number of elements of the output; of a Conv, a measure of its multiplications."""
    arrays = [a for a in inputs if a is not None]
    input_size = sum(a.size for a in arrays)
    shape: list[int] = []
    if node.op in _ELEMENTWISE:
        try:
            return prod(np.broadcast_shapes(*(a.shape for a in arrays))) if arrays else 0
        except ValueError:
            return 0  # the evaluator raises the error
    if node.op == "ConstantOfShape":
        shape = arrays[0].ravel().tolist()
    elif node.op == "Expand":
        shape = [input_size, *arrays[1].ravel().tolist()]
    elif node.op == "Tile":
        shape = [arrays[0].size, *arrays[1].ravel().tolist()]
    elif node.op == "Range":
        first, last, by = (float(a.ravel()[0]) for a in arrays)
        if not by or not np.isfinite([first, last, by]).all():
            return MAX_FOLDED_ELEMENTS + 1
        return int(abs(last - first) / abs(by)) + 1
    elif node.op == "Gather":
        rows = arrays[0].shape[node.get("axis", 0)] if arrays[0].ndim else 1
        return int(arrays[0].size // max(1, rows) * arrays[1].size)
    elif node.op == "MatMul":
        a, b = arrays[0], arrays[1]
        return int(a.size * b.size // max(1, a.shape[-1] if a.ndim else 1) ** 2)
    elif node.op == "Gemm":
        rows, columns = arrays[0].shape[bool(node.get("transA", 0))], arrays[1].shape[not node.get("transB", 0)]
        return int(rows * columns)
    elif node.op == "Pad":
        pads = arrays[1] if len(arrays) > 1 else np.asarray(node.get("pads", ()))
        sides = np.abs(pads.astype(np.float64)).reshape(2, -1).sum(0) if pads.size % 2 == 0 else np.zeros(1)
        return int(prod(m + p for m, p in zip(arrays[0].shape, sides.tolist(), strict=False))) if arrays[0].ndim else 0
    elif node.op == "Conv":
        return prod((arrays[0].size, arrays[1].size))  # the time to multiply matters more than the size of the output
    else:
        return input_size
    return prod(max(0, int(n)) for n in shape)
