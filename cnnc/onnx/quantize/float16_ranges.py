"""What float16 cannot hold in a model: activations, and numbers inside operators.

Input: a float32 model and its `Magnitudes`. Output: the layers that must compute in float32 (`layers_in_float32`), and an
error for an activation out of range (`require_range`).

float16 ends at 65,504. An activation may use half of it, as other examples than these reach further. Convolutions and
matrix products are taken to add in float32, as GPUs do; pools and normalizations to add in float16. A layer whose sums,
squares, exponentials or constants float16 cannot hold computes in float32, between casts. Example: `group_norm groups=1` of
an image 64x56x56 adds 200,704 squares with a mean of about 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph, Node
from cnnc.network import Network
from cnnc.onnx.quantize.float16_conversion import rounded
from cnnc.onnx.quantize.float16_magnitudes import NORMALIZATIONS, Magnitudes
from cnnc.onnx.quantize.placement import tensor_shapes
from cnnc.ops.dense import Input
from cnnc.ops.norm import Normalize
from cnnc.ops.spectrogram import Spectrogram

LARGEST = 65504  # the largest number of float16
MARGIN = 2
LIMIT = LARGEST / MARGIN  # what an activation or a sum may reach on the examples
KEEP_FLOAT32 = "leave --fp16 out"
_LARGE_INPUT = 100  # an input beyond was probably not scaled
_SMALLEST_FACTOR = 2.0**-15  # float16 has less than 10 bits for numbers below
# Inputs of operators that multiply or divide; small ones matter, as what follows may enlarge the product.
_FACTORS = {**dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "Div"), (1,)), "Mul": (0, 1), "Gather": (0,)}


def layers_in_float32(model: onnx.ModelProto, graph: Graph, magnitudes: Magnitudes) -> tuple[str, ...]:
    """The layers that must compute in float32, in graph order: float16 cannot hold a constant or a number inside them, or
    the model's input that they read, or their result, if it is an output of the model that no other layer reads.

    So does every spectrogram: its powers differ by far more than the 11 bits of float16 hold."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    shapes = tensor_shapes(model.graph)
    inputs = {info.name for info in model.graph.input if magnitudes.largest.get(info.name, 0.0) > LIMIT}
    read = {name for node in model.graph.node for name in node.input}
    spectrograms = {node.name for node in graph.nodes if isinstance(node.op, Spectrogram)}
    kept = set()
    for node in model.graph.node:
        layer = layer_of(node.name, graph)
        inner = {name for name in node.output if name != layer or name not in read}
        if (
            layer in spectrograms
            or max((magnitudes.largest.get(name, 0.0) for name in inner), default=0.0) > LIMIT
            or not inputs.isdisjoint(node.input)
            or not _constants_fit(node, constants)
            or _inner_magnitude(node, magnitudes, constants, shapes) > LIMIT
        ):
            kept.add(layer)
    return tuple(node.name for node in graph.nodes if node.name in kept)


def layer_of(name: str, graph: Graph) -> str:
    """The layer that an ONNX node or tensor belongs to: the longest layer name that its name begins with."""
    while name and name not in graph.by_name:
        name = name.rpartition(".")[0]
    return name


def _constants_fit(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether float16 holds the constants of a node: none becomes infinite, no divisor and no eps becomes 0, and the largest
    of the factors keeps its digits."""
    if node.op_type in NORMALIZATIONS and not rounded(np.array(_attribute(node, "epsilon", 1e-5))):
        return False
    if node.op_type == "Clip":
        return True  # a bound that becomes infinite is none
    for i, name in enumerate(node.input):
        if name not in constants or constants[name].data_type != TensorProto.FLOAT:
            continue
        magnitudes = np.abs(numpy_helper.to_array(constants[name]))
        largest = float(magnitudes.max(initial=0))
        if largest > LARGEST and not np.isinf(rounded(magnitudes[np.isfinite(magnitudes)])).any():
            largest = 0.0  # the infinite border of a max pool
        is_divisor = node.op_type == "Div" and i == 1
        if largest > LARGEST or (is_divisor and not rounded(magnitudes).all()):
            return False
        if i in _FACTORS.get(node.op_type, ()) and 0 < largest < _SMALLEST_FACTOR:
            return False
    return True


def _inner_magnitude(
    node: onnx.NodeProto,
    magnitudes: Magnitudes,
    constants: Mapping[str, onnx.TensorProto],
    shapes: Mapping[str, tuple[int, ...]],
) -> float:
    """The largest number that a device may compute inside an operator: a sum, a square or an exponential."""
    x, y = (magnitudes.largest.get(name, 0.0) for name in (node.input[0] if node.input else "", node.output[0]))
    match node.op_type:
        case "AveragePool":
            return y * _elements(_attribute(node, "kernel_shape", ()))
        case "GlobalAveragePool":
            return y * _elements(shapes[node.input[0]][2:])
        case "InstanceNormalization" | "LayerNormalization":
            shape, squares = shapes[node.input[0]], magnitudes.squares[node.name]
            count = _elements(shape[2:] if node.op_type == "InstanceNormalization" else shape[-1:])
            return max(squares, math.sqrt(count * squares)) if squares else 0.0  # |Σx| is at most √(n·Σx²)
        case "LpPool" | "GlobalLpPool" | "ReduceL2":
            return math.exp(min(_attribute(node, "p", 2) * math.log(y), 100.0)) if y else 0.0
        case "LRN":
            return x * x * float(_attribute(node, "size", 1))
        case "Softplus" | "Mish":
            return math.exp(min(y, 100.0))
        case "BatchNormalization":
            return _batch_norm_magnitude(x, node, constants)
    return 0.0


def _elements(shape: Sequence[int]) -> float:
    """The number of elements; infinite where a size is symbolic."""
    return math.prod(shape) if all(shape) else math.inf


def _batch_norm_magnitude(x: float, node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> float:
    """The largest of the numbers scale·(x - mean) and (x - mean)/σ, computed in any order."""
    scale, _, mean, var = (numpy_helper.to_array(constants[name]) for name in node.input[1:])
    deviation = np.sqrt(rounded(var + np.float32(_attribute(node, "epsilon", 1e-5))).astype(np.float64))
    with np.errstate(divide="ignore"):
        return float(((x + np.abs(mean)) * np.maximum(1, np.abs(scale)) * np.maximum(1, 1 / deviation)).max(initial=0))


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


# --- activations -----------------------------------------------------------------------------------------


def require_range(model: onnx.ModelProto, network: Network, magnitudes: Magnitudes, data: str) -> None:
    """Raises CnncError E802 at the first layer whose activations exceed float16. A layer that only computes an output of the
    model may, as outputs are float32.

    `data` describes the examples.
    """
    graph = network.require_graph()
    read = {name for node in model.graph.node for name in node.input}
    for node in graph.nodes:
        largest = magnitudes.largest.get(node.name, 0.0)
        if node.name not in read or isinstance(node.op, Input) or largest <= LIMIT:
            continue
        raise CnncError(
            Diagnostic(
                "E802",
                f"{node.name} reaches {largest:,.0f} on {data}; float16 ends at {LARGEST:,}, and up to {LIMIT:,.0f} is accepted",
                node.span,
                label="float16 cannot hold these activations",
                calls=node.calls,
                help=_remedy(network, graph, node, magnitudes),
            )
        )


def _remedy(network: Network, graph: Graph, node: Node, magnitudes: Magnitudes) -> str:
    """An edit that keeps the activations of a layer in range, where the network can be trained again."""
    if network.recipe is None:
        return KEEP_FLOAT32
    otherwise = f"and train again, use --int8, or {KEEP_FLOAT32}"
    for source in graph.inputs:
        largest = magnitudes.largest.get(source.name, 0.0)
        normalized = any(isinstance(reader.op, Normalize) for reader in graph.consumers[source.name])
        if largest > _LARGE_INPUT and not normalized:
            middle = round(largest / 2)
            return f"add `normalize mean={middle} std={middle}` after {source.name} {otherwise}"
    return f"add `bn` after {node.name} {otherwise}"
