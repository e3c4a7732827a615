"""Recognition of layers in models of other exporters, in old and new opsets, also where they are several operators."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from cnnc.diagnostics import CnncError
from cnnc.network import check
from tests.onnx.importer.model_builders import (
    export_graph,
    import_proto,
    imported_statements,
    model,
    node,
)
from tests.op_cases import random_weights

RANDOM = np.random.default_rng(0)
IMAGE = {"x": ["N", 4, 6, 8]}
VECTOR = {"x": ["N", 12]}


def weights(*shape: int) -> Any:
    return RANDOM.normal(size=shape).astype(np.float32)


def after_input(proto: onnx.ModelProto) -> str:
    return imported_statements(proto).partition("; ")[2]


# --- constants and shapes ----------------------------------------------------------------------------------------


def test_a_flatten_that_is_computed_from_the_shape() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n first", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target", "flat"),
        node("Gemm", "flat w b", transB=1),
    ]
    constants = {"zero": np.int64(0), "first": [0], "rest": [-1], "w": weights(5, 192), "b": weights(5)}
    assert after_input(model(nodes, IMAGE, constants)) == "y: fc 5"


def test_a_flatten_over_a_batch_that_is_fixed() -> None:
    nodes = [node("Reshape", "x s", "flat"), node("MatMul", "flat w", "z"), node("Add", "z b")]
    constants = {"s": [2, 192], "w": weights(192, 5), "b": weights(5)}
    assert after_input(model(nodes, {"x": [2, 4, 6, 8]}, constants)) == "y: fc 5"


def test_a_reshape_with_a_fixed_batch_is_refused_for_an_open_batch() -> None:
    """3 is the number that stands for the batch in the first run."""
    nodes = [node("Reshape", "x s", "flat"), node("Relu", "flat")]
    with pytest.raises(CnncError, match="another batch size"):
        import_proto(model(nodes, IMAGE, {"s": [3, 192]}))


def test_a_layer_that_depends_on_the_batch_is_refused() -> None:
    nodes = [node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Cast", "n", "f", to=1), node("Mul", "x f")]
    with pytest.raises(CnncError, match="depends on the batch"):
        import_proto(model(nodes, IMAGE, {"zero": np.int64(0)}))


def test_open_sizes_stay_open() -> None:
    shape = ["N", 4, "height", "width"]
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("GlobalAveragePool", "c", "g"), node("Flatten", "g")]
    text = imported_statements(model(nodes, {"x": shape}, {"w": weights(6, 4, 3, 3)}))
    assert text == "x: input 4xHEIGHTxWIDTH; conv 6 k=3 p=same bias=false; global_pool avg; y: flatten"


def test_padding_that_is_computed_from_an_open_size() -> None:
    """ceil(m/2) elements of m, whatever m is: total = (ceil(m/2) - 1)·2 + 3 - m, half of it before."""
    nodes = [
        node("Shape", "x", "s", start=2),
        node("Add", "s one", "s1"),
        node("Div", "s1 two", "outs"),
        node("Mul", "outs two", "reach"),
        node("Sub", "reach s", "lacking"),
        node("Add", "lacking one", "total"),
        node("Div", "total two", "begin"),
        node("Sub", "total begin", "end"),
        node("Concat", "zeros begin zeros end", "pads", axis=0),
        node("Pad", "x pads", "around"),
        node("Conv", "around w", strides=[2, 2]),
    ]
    constants = {"one": [1, 1], "two": [2, 2], "zeros": [0, 0], "w": weights(6, 4, 3, 3)}
    text = imported_statements(model(nodes, {"x": ["N", 4, "H", "W"]}, constants))
    assert text == "x: input 4xHxW; y: conv 6 k=3 s=2 p=same bias=false"
    with pytest.raises(CnncError, match="depends on the open sizes H and W"):
        import_proto(model([*nodes[:9], node("Pad", "x pads")], {"x": ["N", 4, "H", "W"]}, constants))


def test_open_sizes_can_be_given() -> None:
    nodes = [node("Flatten", "x", "f"), node("Gemm", "f w", transB=1)]
    proto = model(nodes, {"x": ["N", 1, "h", "w_"]}, {"w": weights(5, 35)})
    with pytest.raises(CnncError):
        import_proto(proto)
    assert imported_statements(proto, at={"H": 5, "W": 7}) == "x: input 1x5x7; y: fc 5 bias=false"
    with pytest.raises(CnncError, match="no input has an open size"):
        import_proto(proto, at={"D": 5})


# --- convolutions ------------------------------------------------------------------------------------------------


def test_pad_before_conv_and_add_after_it() -> None:
    nodes = [node("Pad", "x p", "z"), node("Conv", "z w", "c"), node("Add", "c b")]
    constants = {"p": [0, 0, 1, 1, 0, 0, 1, 1], "w": weights(6, 4, 3, 3), "b": weights(6, 1, 1)}
    assert after_input(model(nodes, IMAGE, constants)) == "y: conv 6 k=3 p=same"


def test_pad_before_a_pool() -> None:
    nodes = [node("Pad", "x p v", "z"), node("MaxPool", "z", kernel_shape=[3, 3], strides=[2, 2])]
    constants = {"p": [0, 0, 1, 1, 0, 0, 1, 1], "v": np.float32(-np.inf)}
    assert after_input(model(nodes, IMAGE, constants)) == "y: pool max k=3 s=2 p=1"
    nodes = [node("Pad", "x p", "z"), node("AveragePool", "z", kernel_shape=[3, 3])]
    assert after_input(model(nodes, IMAGE, constants)) == "y: pool avg k=3 s=1 p=same count_pad=true"


def test_a_pad_that_others_read_stays() -> None:
    nodes = [node("Pad", "x p", "z"), node("Conv", "z w", "c"), node("Relu", "z", "r")]
    constants = {"p": [0, 0, 1, 1, 0, 0, 1, 1], "w": weights(6, 4, 3, 3)}
    text = imported_statements(model(nodes, IMAGE, constants, ("c", "r")))
    assert "pad 1" in text
    assert "conv 6 k=3 bias=false" in text


@pytest.mark.parametrize(
    ("attributes", "shown"),
    [
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, "s=2 p=same"),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, "s=2 p=same_lower"),
        ({"auto_pad": "VALID"}, ""),
        ({"pads": [1, 1, 1, 1]}, "p=same"),
        ({"pads": [2, 2, 2, 2]}, "p=full"),
        ({"pads": [2, 2, 2, 2], "dilations": [2, 2]}, "p=same d=2"),
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, "s=2 p=same"),
        ({"pads": [1, 0, 1, 0]}, "p=1x0"),
        ({"pads": [0, 1, 1, 0]}, "p=[0, 1, 1, 0]"),
    ],
    ids=str,
)
def test_padding_becomes_a_word_where_possible(attributes: dict[str, Any], shown: str) -> None:
    text = after_input(model([node("Conv", "x w", **attributes)], IMAGE, {"w": weights(6, 4, 3, 3)}))
    assert text == f"y: conv 6 k=3 {shown} bias=false".replace("  ", " ")


def test_causal_padding() -> None:
    proto = model([node("Conv", "x w", pads=[2, 0])], {"x": ["N", 2, 9]}, {"w": weights(3, 2, 3)})
    assert after_input(proto) == "y: conv 3 k=3 p=causal bias=false"


def test_a_depthwise_convolution_uses_c_in() -> None:
    proto = model([node("Conv", "x w", group=4, pads=[1, 1, 1, 1])], IMAGE, {"w": weights(4, 1, 3, 3)})
    assert after_input(proto) == "y: conv c_in k=3 p=same groups=c_in bias=false"


@pytest.mark.parametrize(
    "layer",
    [
        "filter scharr_y",
        "filter emboss flip=true",
        "filter sobel_x flip=true",
        "filter edge_enhance p=0",
        "filter log",
        "filter gabor",
        "filter box k=5",
        "filter gaussian k=5",
        "filter gaussian k=3x5",
    ],
)
def test_a_fixed_kernel_becomes_a_named_filter(layer: str) -> None:
    graph = check(f"input 2x9x9; y: {layer}").require_graph()
    assert after_input(export_graph(graph, {})) == f"y: {layer}"


def test_a_flipped_kernel_of_numbers_is_imported_as_it_is_applied() -> None:
    graph = check("input 2x6x6; y: filter [[1, 2], [3, 4]] p=0 flip=true").require_graph()
    assert after_input(export_graph(graph, {})) == "y: filter [[4, 3], [2, 1]] p=0"


def test_batch_normalization_stays_a_bn() -> None:
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c s b m v")]
    constants = {"w": weights(6, 4, 3, 3), "s": weights(6), "b": weights(6), "m": weights(6), "v": np.abs(weights(6))}
    assert after_input(model(nodes, IMAGE, constants)) == "conv 6 k=3 bias=false; y: bn"


def test_a_negative_variance_is_refused() -> None:
    constants = {"s": [1.0] * 4, "b": [0.0] * 4, "m": [0.0] * 4, "v": [1.0, 1.0, -1.0, 1.0]}
    with pytest.raises(CnncError, match="its variance is not positive"):
        import_proto(model([node("BatchNormalization", "x s b m v")], IMAGE, constants))


def export_of(text: str) -> onnx.ModelProto:
    graph = check(text).require_graph()
    return export_graph(graph, random_weights(graph, 0))


def test_an_unpool_that_overwrites_overlapping_windows_is_refused() -> None:
    """The language adds elements that meet at the same position."""
    proto = export_of("input 2x5x7; q: pool max k=2 s=1; scale 2; unpool q")
    assert "unpool q" in import_proto(proto).source
    (scatter,) = (n for n in proto.graph.node if n.op_type == "ScatterElements")
    del scatter.attribute[:]
    with pytest.raises(CnncError, match="unpool adds them"):
        import_proto(proto)


def test_products_along_other_axes_are_not_bilinear() -> None:
    proto = export_of("input 7; a: fc 1; from input1; b: fc 1; bilinear a b out=2")
    assert "bilinear a b out=2" in import_proto(proto).source
    (row,) = (n for n in proto.graph.node if n.op_type == "Unsqueeze")
    (axes,) = (t for t in proto.graph.initializer if t.name == row.input[1])
    axes.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 2, -1]), axes.name))
    with pytest.raises(CnncError):
        import_proto(proto)


def _other_window(indices: Any) -> Any:
    """Position 0 reads what position 1 reads."""
    return np.concatenate([indices[:, 18:36], indices[:, 18:]], axis=1)


@pytest.mark.parametrize("changed", [lambda i: i[:, ::-1], _other_window, lambda i: i - 1])
def test_a_gather_of_other_elements_is_no_local(changed: Any) -> None:
    proto = export_of("input 2x6x5; local 3 k=3 p=1")
    assert "local 3 k=3 p=same" in import_proto(proto).source
    (indices,) = (t for t in proto.graph.initializer if t.name == "local1.indices")
    array = onnx.numpy_helper.to_array(indices)
    indices.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(changed(array)), indices.name))
    with pytest.raises(CnncError, match="cannot be imported"):
        import_proto(proto)


def test_patches_that_others_read_are_no_local() -> None:
    proto = export_of("input 2x6x5; local 3 k=3")
    proto.graph.node.append(onnx.helper.make_node("Relu", ["local1.patches"], ["other"]))
    proto.graph.output.append(onnx.helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 216, "N"]))
    with pytest.raises(CnncError, match="cannot be imported"):
        import_proto(proto)


def test_layers_with_the_same_initializers_share_parameters() -> None:
    nodes = [node("Conv", "x a.weight a.bias", "c", pads=[1, 1, 1, 1]), node("Tanh", "c", "t"),
             node("Conv", "t a.weight a.bias", pads=[1, 1, 1, 1])]  # fmt: skip
    result = import_proto(model(nodes, IMAGE, {"a.weight": weights(4, 4, 3, 3), "a.bias": weights(4)}))
    assert result.network.require_graph().total_parameters == 148
    assert "share=" in result.source


# --- decomposed activations ----------------------------------------------------------------------------------------


def test_decomposed_activations() -> None:
    one, half, root = np.float32(1), np.float32(0.5), np.float32(sqrt(2))
    pieces: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
        "relu6": ([node("Clip", "x a b")], {"a": np.float32(0), "b": np.float32(6)}),
        "hard_tanh": ([node("Clip", "x a b")], {"a": np.float32(-1), "b": np.float32(1)}),
        "clip -2 1": ([node("Clip", "x a b")], {"a": np.float32(-2), "b": np.float32(1)}),
        "relu": ([node("Max", "x a")], {"a": np.float32(0)}),
        "silu": ([node("Sigmoid", "x", "s"), node("Mul", "s x")], {}),
        "hard_swish": ([node("HardSigmoid", "x", "s", alpha=1 / 6, beta=0.5), node("Mul", "x s")], {}),
        "mish": ([node("Softplus", "x", "p"), node("Tanh", "p", "t"), node("Mul", "x t")], {}),
        "gelu": (
            [node("Div", "x r", "d"), node("Erf", "d", "e"), node("Add", "e o", "a"), node("Mul", "x a", "m"),
             node("Mul", "m h")],
            {"r": root, "o": one, "h": half},
        ),
        "gelu ": (
            [node("Mul", "x h", "m"), node("Mul", "x r", "d"), node("Erf", "d", "e"), node("Add", "o e", "a"),
             node("Mul", "m a")],
            {"r": 1 / root, "o": one, "h": half},
        ),
        "hard_sigmoid": (
            [node("Add", "x t", "a"), node("Clip", "a z s", "c"), node("Div", "c s")],
            {"t": np.float32(3), "z": np.float32(0), "s": np.float32(6)},
        ),
        "softplus": (
            [node("Softplus", "x", "p"), node("Greater", "x t", "g"), node("Where", "g x p")], {"t": np.float32(20)}
        ),
    }  # fmt: skip
    for name, (nodes, constants) in pieces.items():
        assert after_input(model(nodes, IMAGE, constants)) == f"y: {name.strip()}"


def test_hard_swish_with_its_factors_in_any_order() -> None:
    constants = {"t": np.float32(3), "z": np.float32(0), "s": np.float32(6), "i": np.float32(1 / 6)}
    gate = [node("Add", "x t", "a"), node("Clip", "a z s", "c")]
    for products in (
        [node("Mul", "x c", "m"), node("Div", "m s")],
        [node("Mul", "c x", "m"), node("Mul", "m i")],
        [node("Mul", "x i", "m"), node("Mul", "m c")],
        [node("Div", "x s", "m"), node("Mul", "c m")],
        [node("Div", "c s", "m"), node("Mul", "x m")],
        [node("Mul", "i c", "m"), node("Mul", "m x")],
    ):
        assert after_input(model([*gate, *products], IMAGE, constants)) == "y: hard_swish"
    others = {**constants, "t": np.float32(2)}
    assert "hard_swish" not in after_input(model([*gate, node("Mul", "x c", "m"), node("Div", "m s")], IMAGE, others))


def test_constants_along_the_channels() -> None:
    c = weights(4, 1, 1)
    assert after_input(model([node("Mul", "x s", "m"), node("Add", "m b")], IMAGE, {"s": c, "b": c})) == "y: affine"
    assert after_input(model([node("Mul", "x s")], IMAGE, {"s": np.float32(0.5)})) == "y: scale 0.5"
    text = after_input(model([node("Sub", "x m", "c"), node("Div", "c d")], IMAGE,
                             {"m": np.array([[[0.5]], [[0.25]], [[1]], [[2]]], np.float32), "d": np.float32(2)}))  # fmt: skip
    assert text == "y: normalize mean=[0.5, 0.25, 1, 2] std=2"
    after_input(model([node("Sub", "k x", "s"), node("Div", "s d")], IMAGE, {"k": c, "d": np.float32(-3)}))


def test_a_constant_that_varies_within_a_channel_is_refused() -> None:
    with pytest.raises(CnncError, match="varies within a channel"):
        import_proto(model([node("Add", "x b")], IMAGE, {"b": weights(4, 6, 8)}))


def test_bytes_are_scaled_once() -> None:
    shape = {"x": ["N", 3, 4, 5]}
    nodes = [node("Cast", "x", "f", to=TensorProto.FLOAT), node("Div", "f d", "s"), node("Relu", "s")]
    proto = model(nodes, shape, {"d": np.float32(255)}, dtype=TensorProto.UINT8)
    assert imported_statements(proto) == "x: input 3x4x5 dtype=uint8; y: relu"
    nodes = [node("Cast", "x", "f", to=TensorProto.FLOAT), node("Sub", "f d")]
    proto = model(nodes, shape, {"d": np.float32(128)}, dtype=TensorProto.UINT8)
    assert imported_statements(proto) == "x: input 3x4x5 dtype=uint8; scale 255; y: normalize mean=128 std=1"
    with pytest.raises(CnncError, match="before they are cast"):
        import_proto(model([node("MaxPool", "x", kernel_shape=[2, 2])], shape, dtype=TensorProto.UINT8, opset=12))


# --- norms -----------------------------------------------------------------------------------------------------


def test_group_norm_as_pytorch_writes_it() -> None:
    nodes = [node("Reshape", "x g", "r"), node("InstanceNormalization", "r o z", "i"), node("Shape", "x", "s"),
             node("Reshape", "i s", "j"), node("Mul", "j w", "m"), node("Add", "m b")]  # fmt: skip
    constants = {"g": [0, 2, -1], "o": np.array([1, 1], np.float32), "z": np.array([0, 0], np.float32),
                 "w": weights(4, 1, 1), "b": weights(4, 1, 1)}  # fmt: skip
    assert after_input(model(nodes, IMAGE, constants)) == "y: group_norm groups=2"


def test_decomposed_layer_norm() -> None:
    nodes = [node("ReduceMean", "x", "m", axes=[-1]), node("Sub", "x m", "c"), node("Pow", "c two", "q"),
             node("ReduceMean", "q", "v", axes=[-1]), node("Add", "v e", "a"), node("Sqrt", "a", "r"),
             node("Div", "c r", "n"), node("Mul", "n w", "k"), node("Add", "k b")]  # fmt: skip
    constants = {"two": np.float32(2), "e": np.float32(1e-5), "w": weights(12), "b": weights(12)}
    assert after_input(model(nodes, VECTOR, constants)) == "y: layer_norm"


# --- rearranging -------------------------------------------------------------------------------------------------


def test_transposes_that_are_a_layer() -> None:
    def through(split: list[int], perm: list[int], join: list[int]) -> str:
        nodes = [node("Reshape", "x a", "r"), node("Transpose", "r", "t", perm=perm), node("Reshape", "t b")]
        return after_input(model(nodes, IMAGE, {"a": split, "b": join}))

    assert through([0, 2, 2, 6, 8], [0, 2, 1, 3, 4], [0, -1, 6, 8]) == "y: channel_shuffle 2"
    assert through([0, 2, 2, 1, 6, 8], [0, 3, 4, 1, 5, 2], [0, 1, 12, 16]) == "y: depth_to_space 2"
    assert through([0, 4, 3, 2, 4, 2], [0, 3, 5, 1, 2, 4], [0, 16, 3, 4]) == "y: space_to_depth 2"
    text = through([0, 1, 2, 2, 6, 8], [0, 1, 4, 2, 5, 3], [0, 1, 12, 16])
    assert text == "select [0, 1, 2, 3]; y: depth_to_space 2" or text == "y: depth_to_space 2"


def test_transposes_that_cancel_add_no_layer() -> None:
    nodes = [node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Transpose", "a", "b", perm=[0, 3, 1, 2]),
             node("Relu", "b")]  # fmt: skip
    assert after_input(model(nodes, IMAGE)) == "y: relu"


def test_a_transpose_that_stays_is_refused() -> None:
    nodes = [node("Transpose", "x", "a", perm=[0, 1, 3, 2]), node("Relu", "a")]
    with pytest.raises(CnncError, match="moves elements from one axis to another"):
        import_proto(model(nodes, IMAGE))


def test_embedding() -> None:
    nodes = [node("Gather", "w x", "e"), node("Transpose", "e", perm=[0, 2, 1])]
    proto = model(nodes, {"x": ["N", 7]}, {"w": weights(5, 3)}, dtype=TensorProto.INT64)
    assert imported_statements(proto) == "x: input 7 dtype=int64; y: embed 3 vocab=5"


def test_split_squeeze_and_unsqueeze() -> None:
    nodes = [node("Split", "x", "a b", axis=1), node("Mul", "a b", "m"), node("GlobalAveragePool", "m", "g"),
             node("Squeeze", "g ax", "s"), node("Unsqueeze", "s ax2", "u"), node("Relu", "u")]  # fmt: skip
    text = after_input(model(nodes, IMAGE, {"ax": [2, 3], "ax2": [2]}))
    assert text.startswith("mul { slice 0 2 } { slice 2 }; global_pool avg")


def test_resize_by_sizes_or_scales() -> None:
    for inputs, constants in (("x - s", {"s": np.array([1, 1, 2, 2], np.float32)}), ("x - - t", {"t": [3, 4, 12, 16]})):
        shape = {"x": [3, 4, 6, 8]}
        text = after_input(model([node("Resize", inputs, mode="nearest")], shape, constants))
        assert text == "y: upsample 2"
    with pytest.raises(CnncError, match="resizes 6x8 to 9x12, and upsample mode=bilinear takes whole factors"):
        import_proto(
            model([node("Resize", "x - s", mode="linear")], IMAGE, {"s": np.array([1, 1, 1.5, 1.5], np.float32)})
        )


@pytest.mark.parametrize("coordinates", ["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("size", [(9, 12), (11, 15), (7, 8), (13, 3), (4, 5), (6, 8)])
def test_nearest_at_any_fixed_size(coordinates: str, rounding: str, size: tuple[int, int]) -> None:
    """Every size is imported, as an upsample and a crop, or as a selection of rows and columns."""
    attributes = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    proto = model([node("Resize", "x - - t", **attributes)], {"x": [1, 2, 6, 8]}, {"t": [1, 2, *size]})
    text = after_input(proto)
    if (coordinates, rounding, size) == ("asymmetric", "floor", (11, 15)):
        assert text == "upsample 2; y: crop 11x15 offset=0"


def test_a_resize_to_the_size_of_another_tensor() -> None:
    """As in feature pyramids: at fixed sizes it is imported, at open ones the sizes that remain are listed."""
    nodes = [node("MaxPool", "x", "p", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]), node("Shape", "x", "s"),
             node("Resize", "p - - s", "u", mode="nearest", coordinate_transformation_mode="asymmetric",
                  nearest_mode="floor"), node("Add", "u x")]  # fmt: skip
    assert "upsample 2; crop 9 offset=0" in imported_statements(model(nodes, {"x": ["N", 2, 9, 9]}))
    open_sizes = import_proto(model(nodes, {"x": ["N", 2, "H", "W"]}))
    assert "Resize `node_u` has no layer at every size: it resizes 113x113 to 225x226" in open_sizes.limits
    assert "H ≥ 2, a multiple of 2" in open_sizes.limits
    assert import_proto(model(nodes[:1], {"x": ["N", 2, "H", "W"]}, outputs=["p"])).limits == ""


def test_a_resize_that_fixes_the_batch() -> None:
    proto = model([node("Resize", "x - - t", mode="nearest")], IMAGE, {"t": [1, 4, 12, 16]})
    with pytest.raises(CnncError, match="its size fixes the batch size") as error:
        import_proto(proto)
    assert "fixed batch size of 1" in (error.value.diagnostics[0].help or "")
    text = after_input(model([node("Resize", "x - - t", mode="nearest")], {"x": [1, 4, 6, 8]}, {"t": [1, 4, 12, 16]}))
    assert text == "y: upsample 2"


# --- old opsets ----------------------------------------------------------------------------------------------------


def test_opset_7_and_its_neighbours() -> None:
    old = [node("Upsample", "x", "u", mode="nearest", scales=[1.0, 1.0, 2.0, 2.0]), node("Clip", "u", "c", min=0.0, max=6.0),
           node("Slice", "c", "s", starts=[1], ends=[3], axes=[1]), node("Dropout", "s", "d", ratio=0.25),
           node("Softmax", "d", axis=1)]  # fmt: skip
    assert (
        after_input(model(old, IMAGE, opset=7))
        == "upsample 2; relu6; slice 1 3; dropout 0.25; flatten; softmax; y: reshape 2x12x16"
    )
    pads = [node("Pad", "x", "p", pads=[0, 0, 1, 1, 0, 0, 1, 1]), node("Unsqueeze", "p", "u", axes=[2]),
            node("Squeeze", "u", "s", axes=[2]), node("ReduceMean", "s", axes=[2, 3], keepdims=0)]  # fmt: skip
    assert after_input(model(pads, IMAGE, opset=9)).startswith("pad 1; ")


# --- refusals ------------------------------------------------------------------------------------------------------


def test_every_unsupported_node_is_listed() -> None:
    nodes = [
        node("Sin", "x", "a"),
        node("Relu", "a", "b"),
        node("Cos", "b", "c"),
        node("Add", "c x", "d"),
        node("Relu", "x", "e"),
    ]
    with pytest.raises(CnncError) as caught:
        import_proto(model(nodes, IMAGE, outputs=("d", "e")))
    messages = [d.message for d in caught.value.diagnostics]
    assert messages == [
        "Sin `node_a` cannot be imported: the language has no layer for it",
        "Cos `node_c` cannot be imported: the language has no layer for it",
    ]
    assert {d.code for d in caught.value.diagnostics} == {"E621"}


def test_unused_nodes_may_be_unsupported() -> None:
    nodes = [node("Sin", "x", "a"), node("Softmax", "a", "b", axis=2), node("Relu", "x")]
    assert after_input(model(nodes, IMAGE)) == "y: relu"


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "reason"),
    [
        ("LSTM", "x w r", {"hidden_size": 3}, "no layer for it"),
        ("Conv", "x x", {}, "weight is not a constant"),
        ("Softmax", "x", {"axis": 2}, "along axis 2"),
        ("Concat", "x x", {"axis": 0}, "along axis 0"),
        ("Pad", "x p", {"mode": "reflect"}, "pads by reflect"),
        ("ReduceMean", "x", {"axes": [1]}, "reduces the axes 1"),
        ("Cast", "x", {"to": TensorProto.FLOAT16}, "changes the element type"),
        ("Pow", "x w", {}, "no power other than the square"),
        ("Conv", "x k", {"kernel_shape": [1]}, "does not fit its kernel_shape"),
        ("MaxPool", "x", {}, "not one number from 1 to 65,536 per axis"),
        ("Reshape", "x p", {}, "as many elements"),
    ],
    ids=str,
)
def test_reasons_of_refusals(op: str, inputs: str, attributes: dict[str, Any], reason: str) -> None:
    constants = {"w": np.float32(3), "r": weights(1), "p": [0, 0, 1, 1, 0, 0, 1, 1], "k": weights(4, 4, 3, 3)}
    used = {name: value for name, value in constants.items() if name in inputs.split()}
    with pytest.raises(CnncError, match=reason):
        import_proto(model([node(op, inputs, **attributes)], IMAGE, used))


@pytest.mark.parametrize("shape", [["N"], [], ["N", 1, 2, 3, 4, 5], ["N", 0, 4]], ids=str)
def test_input_shapes_that_the_language_does_not_have(shape: list[Any]) -> None:
    with pytest.raises(CnncError) as caught:
        import_proto(model([node("Relu", "x")], {"x": shape}))
    assert caught.value.diagnostics[0].code == "E621"
