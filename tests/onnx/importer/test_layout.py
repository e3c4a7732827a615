"""Models that are channels last (NHWC), as the exporters of TensorFlow and Keras write them, become channels first.

`imported_statements` compares the network with the model on onnxruntime; here the statements are compared too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from cnnc.diagnostics import CnncError
from tests.onnx.importer.model_builders import import_proto, imported_statements, model, node

RANDOM = np.random.default_rng(3)
LAST = {"x": ["N", 8, 10, 3]}
FIRST = (0, 3, 1, 2)
BACK = (0, 2, 3, 1)


def weights(*shape: int) -> Any:
    return (RANDOM.normal(size=shape) / 4).astype(np.float32)


def first(inputs: str, output: str, perm: tuple[int, ...] = FIRST) -> onnx.NodeProto:
    return node("Transpose", inputs, output, perm=perm)


def conv(x: str, y: str, weight: str = "w", **attributes: Any) -> list[onnx.NodeProto]:
    """A Conv between two transposes, as a converter writes it that knows one operator at a time."""
    return [
        first(x, f"{y}_1"),
        node("Conv", f"{y}_1 {weight}", f"{y}_2", **attributes),
        node("Transpose", f"{y}_2", y, perm=BACK),
    ]


def test_an_input_and_output_that_are_channels_last() -> None:
    proto = model([*conv("x", "c", pads=[1, 1, 1, 1]), node("Relu", "c")], LAST, {"w": weights(4, 3, 3, 3)})
    assert imported_statements(proto) == "x: input 3x8x10; conv 4 k=3 p=same bias=false; y: relu"
    result = import_proto(proto)
    assert result.channels_last == {"x", "y"}
    assert "# Channels last in the model, channels first here: x, y." in result.source


def test_open_sizes_keep_their_axes() -> None:
    nodes = [*conv("x", "c", strides=[2, 2], auto_pad="SAME_UPPER"), node("ReduceMean", "c", axes=[1, 2], keepdims=0)]
    proto = model(nodes, {"x": ["N", "", "", 3]}, {"w": weights(4, 3, 3, 3)})
    assert import_proto(proto).source.splitlines()[4:] == [
        "x: input 3xHxW", "", "conv 4 k=3 s=2 p=same bias=false", "global_pool avg", "y: flatten", "", "expect params=108",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "constants", "expected"),
    [
        ([node("Add", "c b")], {"b": weights(4)}, "y: conv 4 k=3"),
        ([node("Mul", "c s", "m"), node("Add", "m b")], {"s": weights(4), "b": weights(1, 1, 1, 4)}, "y: affine"),
        ([node("PRelu", "c s")], {"s": weights(1, 1, 4)}, "y: prelu"),
        ([node("Softmax", "c", axis=-1)], {}, "y: softmax"),
        ([node("Sigmoid", "c", "s"), node("Mul", "c s")], {}, "y: silu"),
        ([node("MatMul", "c m", "d"), node("Add", "d b")], {"m": weights(4, 5), "b": weights(5)}, "y: conv 5 k=1"),
        ([node("Concat", "c c", axis=3)], {}, "y: concat"),
        ([node("Concat", "c c", axis=-1)], {}, "y: concat"),
        ([node("Pad", "c p")], {"p": [0, 1, 2, 0, 0, 0, 3, 0]}, "y: pad [1, 2, 0, 3]"),
        ([node("Slice", "c s e a")], {"s": [1], "e": [3], "a": [3]}, "y: slice 1 3"),
        ([node("Slice", "c s e a")], {"s": [1, 2], "e": [4, 5], "a": [1, 2]}, "y: crop 3 offset=1x2"),
        ([node("Gather", "c i", axis=3)], {"i": [2, 0, 1, 3]}, "y: select [2, 0, 1, 3]"),
        ([node("Resize", "c - s", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
         {"s": np.array([1, 2, 3, 1], np.float32)}, "y: upsample 2x3"),
        ([node("Resize", "c - s", mode="linear")], {"s": np.array([1, 2, 2, 1], np.float32)},
         "y: upsample 2 mode=bilinear"),
        ([node("ReduceMax", "c", axes=[1, 2], keepdims=1)], {}, "y: global_pool max"),
        ([node("ReduceMean", "c", axes=[-3, -2], keepdims=0)], {}, "y: flatten"),
        ([node("ReduceMean", "c", "m", axes=[2, 1], keepdims=0), node("MatMul", "m k")], {"k": weights(4, 7)},
         "y: fc 7 bias=false"),
        ([node("ReduceMean", "c", "m", axes=[1, 2], keepdims=1), node("Squeeze", "m a")], {"a": [1, 2]}, "y: flatten"),
        ([node("ReduceMean", "c", "m", axes=[1, 2], keepdims=0), node("Reshape", "m s", "r"),
          node("Sigmoid", "r", "g"), node("Mul", "c g")], {"s": [-1, 1, 1, 4]}, "y: mul"),
        ([first("c", "t"), node("BatchNormalization", "t s b m v", "n"), node("Transpose", "n", perm=BACK)],
         {"s": weights(4), "b": weights(4), "m": weights(4), "v": weights(4) ** 2 + 1}, "y: bn"),
        ([first("c", "t"), node("DepthToSpace", "t", "d", blocksize=2), node("Transpose", "d", perm=BACK)], {},
         "y: depth_to_space 2"),
        ([first("c", "t"), node("MaxPool", "t", "p", kernel_shape=[2, 2], strides=[2, 2]), node("Transpose", "p", "q", perm=BACK),
          node("Shape", "q", "z"), node("Slice", "z i j", "hw"), node("Mul", "hw k", "big"),
          node("Slice", "z o i", "one"), node("Concat", "one big ch", "size", axis=0),
          node("Resize", "q - - size", mode="nearest", coordinate_transformation_mode="asymmetric",
               nearest_mode="floor")],
         {"i": [1], "j": [3], "k": [2, 2], "o": [0], "ch": [4]}, "y: upsample 2"),
    ],
)  # fmt: skip
def test_operators_on_a_channels_last_tensor(
    nodes: list[onnx.NodeProto], constants: dict[str, Any], expected: str
) -> None:
    nodes = [*conv("x", "c", pads=[1, 1, 1, 1]), *nodes]
    statements = imported_statements(model(nodes, LAST, {"w": weights(4, 3, 3, 3), **constants}))
    assert expected in statements
    assert "reshape" not in statements or "mul" in expected


def test_a_softmax_before_opset_13() -> None:
    nodes = [*conv("x", "c"), node("Softmax", "c", axis=3)]
    assert "y: softmax" in imported_statements(model(nodes, LAST, {"w": weights(4, 3, 3, 3)}, opset=11))


def test_a_pad_before_a_strided_conv_is_its_padding() -> None:
    nodes = [node("Pad", "x p", "a"), *conv("a", "y", strides=[2, 2])]
    proto = model(nodes, LAST, {"w": weights(4, 3, 3, 3), "p": [0, 1, 1, 0, 0, 1, 1, 0]})
    assert imported_statements(proto) == "x: input 3x8x10; y: conv 4 k=3 s=2 p=1 bias=false"
    nodes = [node("Pad", "x", "a", pads=[0, 1, 1, 0, 0, 1, 1, 0], mode="constant"), *conv("a", "y", strides=[2, 2])]
    assert "p=1" in imported_statements(model(nodes, LAST, {"w": weights(4, 3, 3, 3)}, opset=9))


def test_normalized_pixels_before_the_first_transpose() -> None:
    nodes = [node("Sub", "x m", "s"), node("Div", "s d", "n"), *conv("n", "y")]
    proto = model(
        nodes, LAST, {"w": weights(4, 3, 3, 3), "m": np.array([0.5, 0.25, 0.125], np.float32), "d": np.float32(2)}
    )
    assert "normalize mean=[0.5, 0.25, 0.125] std=2" in imported_statements(proto)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
def test_residual_blocks(groups: int, stride: int, dilation: int) -> None:
    settings = {"pads": [dilation] * 4, "dilations": [dilation] * 2}
    nodes = [*conv("x", "a", "w", strides=[stride] * 2), node("Relu", "a", "b"), *conv("b", "c", "v", group=groups, **settings),
             node("Relu", "c", "d"), *conv("d", "e", "u", **settings), node("Add", "e b", "s"), node("Relu", "s")]  # fmt: skip
    constants = {"w": weights(4, 3, 3, 3), "v": weights(4, 4 // groups, 3, 3), "u": weights(4, 4, 3, 3)}
    assert "add {" in imported_statements(model(nodes, {"x": ["N", 16, 12, 3]}, constants))


# --- flatten and reshape -------------------------------------------------------------------------------------------------


def flattened(nodes: list[onnx.NodeProto], constants: Mapping[str, Any] = {}, flatten: str = "Flatten") -> str:
    """The statements behind the first conv of a model whose channels-last feature map of 2x3x4 is flattened as f."""
    shape = {"sh": [-1, 24]} if flatten == "Reshape" else {}
    flat = node(flatten, "c sh" if shape else "c", "f")
    proto = model(
        [*conv("x", "c"), flat, *nodes], {"x": [3, 4, 5, 3]}, {"w": weights(4, 3, 3, 3), **shape, **constants}
    )
    return imported_statements(proto).partition("bias=false; ")[2]


@pytest.mark.parametrize("flatten", ["Flatten", "Reshape"])
def test_the_rows_of_a_dense_layer_follow_the_channels_first_order(flatten: str) -> None:
    assert flattened([node("MatMul", "f m")], {"m": weights(24, 5)}, flatten) == "y: fc 5 bias=false"
    constants = {"m": weights(5, 24), "b": weights(5)}
    assert flattened([node("Gemm", "f m b", transB=1)], constants, flatten) == "y: fc 5"


def test_layers_between_flatten_and_dense() -> None:
    constants = {"m": weights(24, 5), "s": weights(24), "b": weights(24), "v": weights(24) ** 2 + 1}
    nodes = [node("Relu", "f", "r"), node("Dropout", "r", "d"), node("MatMul", "d m")]
    assert flattened(nodes, constants) == "flatten; relu; dropout; y: fc 5 bias=false"
    nodes = [node("BatchNormalization", "f s b b v", "n"), node("MatMul", "n m")]
    assert flattened(nodes, constants) == "flatten; bn; y: fc 5 bias=false"
    nodes = [node("Mul", "f s", "a"), node("Add", "a b", "n"), node("MatMul", "n m")]
    assert flattened(nodes, constants) == "flatten; affine; y: fc 5 bias=false"
    nodes = [node("Sub", "f b", "a"), node("MatMul", "a m")]
    assert flattened(nodes, constants).startswith("flatten; normalize mean=[")


def test_two_branches_flattened_and_joined() -> None:
    nodes = [first("c", "t"), node("MaxPool", "t", "p", kernel_shape=[2, 2]), node("Transpose", "p", "q", perm=BACK),
             node("Flatten", "q", "g"), node("Concat", "f g", "j", axis=1), node("MatMul", "j m")]  # fmt: skip
    assert flattened(nodes, {"m": weights(32, 5)}).endswith("y: fc 5 bias=false")


def test_a_flatten_that_is_an_output_is_refused_by_its_cause() -> None:
    with pytest.raises(CnncError, match=r"channels last \(NHWC\)") as error:
        flattened([node("Relu", "f")])
    assert "--inputs-as-nchw" in (error.value.diagnostics[0].help or "")


def test_a_decoder_reshapes_a_vector_to_channels_last() -> None:
    nodes = [node("MatMul", "z m", "d"), node("Add", "d b", "e"), node("LeakyRelu", "e", "l"), node("Reshape", "l s", "r"),
             first("r", "t"), node("ConvTranspose", "t w", "u", strides=[2, 2]), node("Transpose", "u", perm=BACK)]  # fmt: skip
    constants = {"m": weights(6, 24), "b": weights(24), "s": [-1, 2, 3, 4], "w": weights(4, 3, 2, 2)}
    proto = model(nodes, {"z": ["N", 6]}, constants)
    expected = "z: input 6; fc 24; leaky_relu; reshape 4x2x3; y: conv_transpose 3 k=2 s=2 bias=false"
    assert imported_statements(proto) == expected


# --- sequences -----------------------------------------------------------------------------------------------------------


def test_a_sequence_that_is_channels_last() -> None:
    nodes = [first("x", "t", (0, 2, 1)), node("Conv", "t w", "c"), first("c", "r", (0, 2, 1)), node("Relu", "r", "s"),
             node("ReduceMax", "s", axes=[1], keepdims=0)]  # fmt: skip
    proto = model(nodes, {"x": ["N", 9, 3]}, {"w": weights(4, 3, 3)})
    assert imported_statements(proto) == "x: input 3x9; conv 4 k=3 bias=false; relu; global_pool max; y: flatten"


def test_a_sequence_that_is_an_image_of_one_row() -> None:
    """How TensorFlow computes Conv1D."""
    nodes = [node("Unsqueeze", "x one", "i"), first("i", "t"), node("Conv", "t w", "c"), node("Transpose", "c", "r", perm=BACK),
             node("Squeeze", "r one", "s"), node("Relu", "s", "a"), node("Flatten", "a", "f"), node("MatMul", "f m")]  # fmt: skip
    proto = model(nodes, {"x": ["N", 9, 3]}, {"w": weights(4, 3, 1, 3), "one": [1], "m": weights(28, 2)})
    assert imported_statements(proto) == (
        "x: input 3x9; reshape 3x1x9; conv 4 k=1x3 bias=false; reshape 4x7; relu; y: fc 2 bias=false"
    )


def test_axes_that_the_model_adds_itself() -> None:
    """A waveform or a grey image without a channel axis."""
    wave = [node("Unsqueeze", "x two", "u"), first("u", "t", (0, 2, 1)), node("Conv", "t w")]
    proto = model(wave, {"x": ["N", 9]}, {"w": weights(4, 1, 3), "two": [2]})
    assert imported_statements(proto) == "x: input 9; reshape 1x9; y: conv 4 k=3 bias=false"
    grey = [node("Unsqueeze", "x three", "u"), first("u", "t"), node("Conv", "t w")]
    proto = model(grey, {"x": ["N", 6, 7]}, {"w": weights(4, 1, 3, 3), "three": [3]})
    assert "conv 4 k=3" in imported_statements(proto)


def test_a_squeeze_and_excitation_gate() -> None:
    nodes = [node("ReduceMean", "c", "m", axes=[1, 2], keepdims=0), node("Reshape", "m s", "r"), *conv("r", "d", "v"),
             node("Relu", "d", "e"), *conv("e", "g", "u"), node("Sigmoid", "g", "h"), node("Mul", "c h")]  # fmt: skip
    constants = {"w": weights(4, 3, 3, 3), "v": weights(2, 4, 1, 1), "u": weights(4, 2, 1, 1), "s": [-1, 1, 1, 4]}
    text = imported_statements(model([*conv("x", "c"), *nodes], LAST, constants))
    assert all(layer in text for layer in ("global_pool avg", "conv 2 k=1", "mul"))


def test_a_unet() -> None:
    nodes = [*conv("x", "a", pads=[1] * 4), node("Relu", "a", "b"), first("b", "bt"),
             node("MaxPool", "bt", "p", kernel_shape=[2, 2], strides=[2, 2]), node("Transpose", "p", "pl", perm=BACK),
             *conv("pl", "d", "v", pads=[1] * 4), first("d", "dt"), node("ConvTranspose", "dt t", "u", strides=[2, 2]),
             node("Transpose", "u", "ul", perm=BACK), node("Concat", "b ul", "j", axis=3), *conv("j", "o", "k"),
             node("Softmax", "o", axis=-1)]  # fmt: skip
    constants = {"w": weights(4, 3, 3, 3), "v": weights(6, 4, 3, 3), "t": weights(6, 4, 2, 2), "k": weights(2, 8, 1, 1)}
    assert imported_statements(model(nodes, LAST, constants)).startswith("x: input 3x8x10")
    assert "x: input 3xHxW" in import_proto(model(nodes, {"x": ["N", "H", "W", 3]}, constants)).source


def test_the_colours_in_another_order() -> None:
    nodes = [node("Slice", "x m e a m", "r"), *conv("r", "y")]
    proto = model(nodes, LAST, {"w": weights(4, 3, 3, 3), "m": [-1], "e": [-9], "a": [3]})
    assert imported_statements(proto) == "x: input 3x8x10; select [2, 1, 0]; y: conv 4 k=3 bias=false"


def test_an_embedding_with_layers_before_the_transpose() -> None:
    nodes = [node("Gather", "k x", "e"), node("Relu", "e", "r"), first("r", "t", (0, 2, 1)), node("Conv", "t w")]
    proto = model(nodes, {"x": ["N", 9]}, {"k": weights(5, 3), "w": weights(4, 3, 3)}, dtype=onnx.TensorProto.INT64)
    assert imported_statements(proto) == "x: input 9 dtype=int64; embed 3 vocab=5; relu; y: conv 4 k=3 bias=false"


def test_volumes() -> None:
    nodes = [first("x", "t", (0, 4, 1, 2, 3)), node("Conv", "t w", "c"), first("c", "l", (0, 2, 3, 4, 1)), node("Flatten", "l", "f"),
             node("MatMul", "f m")]  # fmt: skip
    proto = model(nodes, {"x": ["N", 3, 4, 5, 2]}, {"w": weights(3, 2, 2, 2, 2), "m": weights(72, 4)})
    assert imported_statements(proto) == "x: input 2x3x4x5; conv 3 k=2 bias=false; y: fc 4 bias=false"


# --- what is left alone --------------------------------------------------------------------------------------------------


def test_a_channels_first_input_keeps_its_layout() -> None:
    proto = model(
        [node("Conv", "x w", "c"), node("Transpose", "c", perm=BACK)], {"x": ["N", 3, 5, 6]}, {"w": weights(4, 3, 3, 3)}
    )
    assert import_proto(proto).channels_last == {"y"}
    assert imported_statements(proto).startswith("x: input 3x5x6")


def test_other_transposes_are_refused() -> None:
    proto = model([node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("Relu", "t")], {"x": ["N", 3, 5, 6]})
    with pytest.raises(CnncError, match="moves elements from one axis to another"):
        import_proto(proto)


@pytest.mark.parametrize("perm", [[0, 3, 1], [0, 3, 1, 1], [3, 1, 2, 0], [0, 9, 1, 2]])
def test_malformed_permutations_are_one_error(perm: list[int]) -> None:
    proto = model([node("Transpose", "x", "t", perm=perm), node("Conv", "t w")], LAST, {"w": weights(4, 3, 3, 3)})
    with pytest.raises(CnncError):
        import_proto(proto)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("ReduceMean", {"axes": [9]}), ("Concat", {"axis": 7}), ("Squeeze", {"axes": [1.5]}), ("Softmax", {"axis": "a"}),
     ("Pad", {"pads": [1]}), ("Resize", {"axes": [77]}), ("Split", {"axis": [1]}), ("Unsqueeze", {"axes": [0, 12]})],
)  # fmt: skip
def test_malformed_arguments_are_one_error(op: str, attributes: dict[str, Any]) -> None:
    nodes = [*conv("x", "c"), node(op, "c", **attributes)]
    with pytest.raises(CnncError):
        import_proto(model(nodes, LAST, {"w": weights(4, 3, 3, 3)}, opset=10))


def test_an_unsqueeze_with_axes_that_are_not_numbers_is_one_error() -> None:
    nodes = [node("Unsqueeze", "x", "u", axes="a"), node("Transpose", "u", "t", perm=list(FIRST)), node("Conv", "t w")]
    with pytest.raises(CnncError):
        import_proto(model(nodes, {"x": ["N", 9, 3]}, {"w": weights(4, 3, 1, 3)}, opset=11))
