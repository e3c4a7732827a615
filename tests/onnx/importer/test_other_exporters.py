"""Forms that exporters write and that mean a layer of the language, and refusals that name their cause and a way out.

`imported_statements` compares the network with the model on onnxruntime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from packaging.version import Version

from cnnc.diagnostics import CnncError
from cnnc.onnx.importer.importer import import_model
from cnnc.onnx.importer.verify import verify_import
from tests.onnx.importer.model_builders import import_proto, imported_statements, model, node

RANDOM = np.random.default_rng(5)


def weights(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


def error_of(proto: onnx.ModelProto) -> tuple[str, str]:
    """The message and the help of the only error of an import."""
    with pytest.raises(CnncError) as caught:
        import_proto(proto)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.message, diagnostic.help


# --- sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([-1, 3, 8, 8], "x: input 3x8x8; "),
        ([-1, 3, -1, -1], "x: input 3xHxW; "),
        ([-1, 3, -2, 8], "x: input 3xHx8; "),
        (["N", 3, -1, "width"], "x: input 3xHxWIDTH; "),
        ([2, 3, 8, -100], "x: input 3x8xW; "),
    ],
)
def test_a_negative_size_is_open(shape: list[Any], expected: str) -> None:
    proto = model([node("Conv", "x w", pads=[1, 1, 1, 1])], {"x": shape}, {"w": weights(4, 3, 3, 3)})
    text = import_proto(proto).source
    assert expected.strip("; ") in text
    assert "y: conv 4 k=3 p=same bias=false" in text


def test_a_negative_channel_count_is_not_a_conv() -> None:
    proto = model([node("Conv", "x w")], {"x": [-1, -1, 8, 8]}, {"w": weights(4, 3, 3, 3)})
    with pytest.raises(CnncError):
        import_proto(proto)


def test_an_open_length_that_becomes_an_axis_of_its_own() -> None:
    """A waveform N x T whose channel axis the model adds itself: reshape has fixed sizes."""
    nodes = [node("Unsqueeze", "x one", "u"), node("Conv", "u w", strides=[160])]
    proto = model(nodes, {"x": ["N", "samples"]}, {"w": weights(4, 1, 512), "one": [1]})
    message, help = error_of(proto)
    assert message == "Unsqueeze `node_u` cannot be imported: its reshape depends on the open size SAMPLES"
    assert help == "fix the size with --at, for example --at SAMPLES=512"
    assert "reshape 1x512" in import_proto(proto, at={"SAMPLES": 512}).source


def test_a_dense_layer_that_fixes_open_sizes() -> None:
    nodes = [node("Conv", "x w", "c"), node("Flatten", "c", "f"), node("MatMul", "f m")]
    proto = model(nodes, {"x": ["N", 3, "H", "W"]}, {"w": weights(4, 3, 3, 3), "m": weights(144, 2)})
    message, help = error_of(proto)
    assert message.endswith("its matrix does not fit its input (at another size of H and W)")
    assert help == "fix the size with --at, for example --at H=8,W=8"
    assert "fc 2" in import_proto(proto, at={"H": 8, "W": 8}).source


def test_a_reshape_that_fixes_an_open_batch() -> None:
    proto = model([node("Reshape", "x s", "r"), node("Relu", "r")], {"x": ["N", 4]}, {"s": [3, 2, 2]})
    message, help = error_of(proto)
    assert "with another batch size" in message
    assert "fixed batch size" in help
    fixed = model([node("Reshape", "x s", "r"), node("Relu", "r")], {"x": [3, 4]}, {"s": [3, 2, 2]})
    assert imported_statements(fixed) == "x: input 4; reshape 2x2; y: relu"


@pytest.mark.parametrize("batch", ["N", 1])
def test_a_recurrent_state_is_named_as_the_input_without_a_batch(batch: Any) -> None:
    proto = model([node("Conv", "x w")], {"x": [batch, 1, 8], "h": [2, batch, 4]}, {"w": weights(2, 1, 3)})
    message, help = error_of(proto)
    assert message.startswith("the input h cannot be imported: its first axis is not the batch: it has the size 2")
    assert ("which is axis 1 here" in message) == (batch == "N")
    assert "export the model without it" in help


# --- names in messages ---------------------------------------------------------------------------------------------------


def test_a_node_without_a_name_is_named_by_what_it_computes() -> None:
    nodes = [onnx.helper.make_node("Relu", ["x"], ["r"]), onnx.helper.make_node("Sin", ["r"], ["y"])]
    message, _ = error_of(model(nodes, {"x": ["N", 4]}))
    assert message == "the Sin that computes y (node 1) cannot be imported: the language has no layer for it"


# --- parameters that the graph computes ----------------------------------------------------------------------------------


def weight_norm(reduction: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    return [*reduction, node("Div", "v n", "d"), node("Mul", "d g", "w"), node("Conv", "x w b")]


@pytest.mark.parametrize(
    "nodes",
    [
        weight_norm([node("ReduceL2", "v", "n", axes=[1, 2, 3])]),
        weight_norm([node("Mul", "v v", "q"), node("ReduceSum", "q a", "s"), node("Sqrt", "s", "n")]),
        weight_norm([node("ReduceSumSquare", "v", "s", axes=[1, 2, 3]), node("Sqrt", "s", "n")]),
        [node("LpNormalization", "v", "w", axis=1), node("Conv", "x w b")],
        [node("Softmax", "v", "w", axis=-1), node("Conv", "x w b")],
        [node("Reshape", "v flat", "r"), node("Gemm", "r r", "gram", transB=1), node("ReduceL1", "gram", "n", keepdims=0),
         node("Div", "v n", "w"), node("Conv", "x w b")],
        [node("ReduceMean", "v", "m", axes=[1, 2, 3]), node("Sub", "v m", "c"), node("Mul", "c c", "q"),
         node("ReduceMean", "q", "s", axes=[1, 2, 3]), node("Sqrt", "s", "n"), node("Div", "c n", "w"),
         node("Conv", "x w b")],
    ],
)  # fmt: skip
def test_weights_that_the_graph_computes_from_constants(nodes: list[onnx.NodeProto]) -> None:
    """Weight norm, spectral norm, weight standardization and others."""
    constants = {"v": weights(4, 3, 3, 3), "g": weights(4, 1, 1, 1), "b": weights(4), "a": [1, 2, 3], "flat": [4, 27]}
    assert imported_statements(model(nodes, {"x": ["N", 3, 9, 9]}, constants)) == "x: input 3x9x9; y: conv 4 k=3"


# --- pools written as reductions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceL2"])
def test_reductions_one_axis_after_the_other(op: str) -> None:
    """The mean of a mean is a global pool, in any order of the axes, with them kept or not."""
    kind = {"ReduceMean": "avg", "ReduceMax": "max", "ReduceL2": "l2"}[op]
    shape = {"x": ["N", 3, 4, 5]}
    for first, second, keep in ((3, 2, 0), (-1, -1, 0), (2, 2, 0), (-2, 2, 0), (2, 3, 1), (-1, -2, 1)):
        nodes = [node(op, "x", "a", axes=[first], keepdims=keep), node(op, "a", axes=[second], keepdims=keep)]
        end = f"y: global_pool {kind}" if keep else f"global_pool {kind}; y: flatten"
        assert imported_statements(model(nodes, shape)) == f"x: input 3x4x5; {end}"
    nodes = [node(op, "x", "a", axes=[2], keepdims=1), node(op, "a", axes=[-1], keepdims=0)]
    assert f"global_pool {kind}" in imported_statements(model(nodes, shape))
    volume = [
        node(op, "x", "a", axes=[4], keepdims=0),
        node(op, "a", "b", axes=[3], keepdims=0),
        node(op, "b", axes=[2]),
    ]
    assert f"global_pool {kind}" in imported_statements(model(volume, {"x": ["N", 3, 2, 3, 4]}))


def test_axes_are_kept_only_for_1_as_in_onnxruntime() -> None:
    for keep in (0, 2, -1):
        text = imported_statements(model([node("ReduceMax", "x", axes=[2, 3], keepdims=keep)], {"x": ["N", 3, 4, 5]}))
        assert text == "x: input 3x4x5; global_pool max; y: flatten"


@pytest.mark.parametrize(("op", "kind"), [("ReduceMean", "avg"), ("ReduceMax", "max")])
def test_a_reduction_of_one_spatial_axis_is_a_pool(op: str, kind: str) -> None:
    text = imported_statements(model([node(op, "x", axes=[2], keepdims=0)], {"x": ["N", 3, 4, 5]}))
    assert text == f"x: input 3x4x5; pool {kind} k=4x1; y: reshape 3x5"
    both = [node(op, "x", "a", axes=[3], keepdims=1), node("Relu", "a", "r"), node(op, "r", axes=[2], keepdims=0)]
    assert f"pool {kind} k=1x5" in imported_statements(model(both, {"x": ["N", 3, 4, 5]}))
    message, help = error_of(model([node(op, "x", axes=[3])], {"x": ["N", 3, "H", "W"]}))
    assert "depends on the open sizes H and W" in message
    assert "--at H=" in help


@pytest.mark.parametrize("axes", [[0], [1], [1, 2, 3], [0, 2, 3]])
def test_reductions_of_batch_or_channels_are_refused(axes: list[int]) -> None:
    message, _ = error_of(model([node("ReduceMax", "x", axes=axes)], {"x": ["N", 3, 4, 5]}))
    assert f"it reduces the axes {', '.join(map(str, axes))}; layers reduce spatial axes" in message


def test_layer_normalization_over_the_channels_is_named() -> None:
    decomposed = [node("ReduceMean", "x", "u", axes=[1]), node("Sub", "x u", "d"), node("Pow", "d two", "q"),
                  node("ReduceMean", "q", "v", axes=[1]), node("Add", "v e", "ve"), node("Sqrt", "ve", "sd"),
                  node("Div", "d sd")]  # fmt: skip
    operator = [node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("LayerNormalization", "t s", "n", axis=-1),
                node("Transpose", "n", perm=[0, 3, 1, 2])]  # fmt: skip
    constants = {"two": np.float32(2), "e": np.float32(1e-6), "s": weights(3)}
    for nodes in (decomposed, operator):
        message, help = error_of(model(nodes, {"x": ["N", 3, 4, 4]}, constants))
        assert "it normalizes the channels at each position" in message
        assert help.startswith("no layer computes it")


# --- convolutions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    "attributes",
    [
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER"},
        {"auto_pad": "SAME_UPPER", "group": 2},
        {"auto_pad": "SAME_UPPER", "dilations": [2, 2]},
        {"auto_pad": "VALID"},
        {"output_shape": [9, 9]},
        {"output_shape": [8, 7], "auto_pad": "SAME_UPPER"},
        {"output_shape": [7, 8], "auto_pad": "SAME_LOWER"},
    ],
)
def test_transposed_convolutions_of_any_kernel_and_stride(kernel: int, stride: int, attributes: dict[str, Any]) -> None:
    """onnxruntime crops what exceeds input·stride, and does not enlarge an output that is smaller."""
    if "output_shape" in attributes and stride < 3:
        return  # onnxruntime refuses to enlarge by the stride or more
    proto = model(
        [node("ConvTranspose", "x w", strides=[stride] * 2, **attributes)],
        {"x": ["N", 2, 3, 3]},
        {"w": weights(2, 2, kernel, kernel)},
    )
    assert "conv_transpose" in imported_statements(proto) or kernel == 1


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("kernel", [2, 3])
def test_same_padding_with_dilation_is_compared_on_the_reference_evaluator(
    tmp_path: Path, kernel: int, auto_pad: str, stride: int
) -> None:
    """onnxruntime refuses it."""
    settings: dict[str, Any] = {"dilations": [2, 2], "strides": [stride] * 2, "auto_pad": auto_pad}
    proto = model([node("Conv", "x w", **settings)], {"x": ["N", 1, 9, 9]}, {"w": weights(2, 1, kernel, kernel)})
    path = tmp_path / "same.onnx"
    onnx.save(proto, path)
    agreement = verify_import(import_model(path), path)
    assert agreement.compared == (stride == 1 or Version(onnx.__version__) >= Version("1.23")), agreement.reason
    assert agreement.difference < 1e-4


def test_what_nothing_computes_as_onnx_defines_it_is_not_compared_and_says_so(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"dilations": [2, 2], "auto_pad": "SAME_UPPER"}
    large = model([node("Conv", "x w", **settings)], {"x": ["N", 16, 512, 512]}, {"w": weights(16, 16, 3, 3)})
    pool = model([node("MaxPool", "x", kernel_shape=[3, 3], **settings)], {"x": ["N", 1, 9, 9]})
    path = tmp_path / "same.onnx"
    for proto in (large, pool):
        onnx.save(proto, path)
        agreement = verify_import(import_model(path), path)
        assert not agreement.compared
        assert "export the model with pads instead of auto_pad" in agreement.reason
