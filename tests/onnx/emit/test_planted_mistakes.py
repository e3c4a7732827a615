"""A battery of planted mistakes: verification has to reject each model.

Most rows are a network with one place written `<right|wrong>`: the model is emitted for the wrong reading and compared with
the right one, under the same weights. The others change the emitted model or the weights it is emitted from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.verify import verify_model
from tests.op_cases import Case, graph_of, random_feeds, random_weights

pytestmark = pytest.mark.long

ARGUMENTS = {
    # windows
    "conv padding at the other side": "input 2x8x8; conv 3 k=3 s=2 p=<[0,0,1,1]|[1,1,0,0]>",
    "conv padding of one axis at the other side": "input 2x8x8; conv 3 k=2 p=<[0,0,1,1]|[0,1,1,0]>",
    "conv same_lower for same": "input 2x8x8; conv 3 k=4 p=<same|same_lower>",
    "conv causal for same": "input 2x9; conv 3 k=3 p=<causal|same>",
    "conv stride of the other axis": "input 2x9x9; conv 3 k=3 p=1 s=<1x3|3x1>; fc 4",
    "conv dilation": "input 2x9x9; conv 3 k=3 <d=2 p=2|d=1 p=1>",
    "conv_transpose padding": "input 2x5x5; conv_transpose 3 k=3 s=2 p=<[0,0,1,1]|[1,1,0,0]>",
    "conv flipped": "input 2x7x7; conv 3 k=3 <flip=false|flip=true>",
    # pools
    "pool average for max": "input 2x8x8; q: pool <max|avg> k=2",
    "pool weighted for average": "input 2x8x8; q: pool <avg|weighted> k=3",
    "pool l2 for average": "input 2x8x8; q: pool <avg|l2> k=2",
    "pool lp order": "input 2x8x8; pool lp k=2 norm=<3|2>",
    "pool counts padding": "input 2x8x8; pool avg k=3 s=2 p=1 count_pad=<false|true>",
    "pool does not count padding": "input 2x8x8; pool avg k=3 s=2 p=1 count_pad=<true|false>",
    "pool ceil": "input 2x8x8; pool avg k=3 s=2 <ceil=true|p=[0,0,1,1] count_pad=true>",
    "pool max padding": "input 2x8x8; pool max k=3 s=2 p=<[0,0,1,1]|[1,1,0,0]>",
    "pool dilation": "input 2x9x9; pool max k=3 s=1 <d=2 p=2|d=1 p=1>",
    "global pool": "input 2x8x8; g: global_pool <avg|max>",
    "pool sigma": "input 2x8x8; pool weighted k=3 sigma=<0.7|0.75>",
    "upsample mode": "input 2x4x4; upsample 2 mode=<bilinear|nearest>",
    # activations
    "relu dropped": "input 2x6x6; conv 3 k=3; r: <relu|identity>; conv 2 k=3",
    "relu for abs": "input 6; fc 5; r: <abs|relu>",
    "leaky slope": "input 6; fc 5; leaky_relu <0.01|0.012>",
    "relu for leaky": "input 6; fc 5; r: <leaky_relu|relu>",
    "elu alpha": "input 6; fc 5; elu <1|1.05>",
    "elu for selu": "input 6; fc 5; r: <selu|elu>",
    "clip bound": "input 6; fc 5; clip <-0.1|-0.11> 0.2",
    "hard_tanh bound": "input 6; fc 5; hard_tanh -0.2 <0.1|0.11>",
    "relu for relu6": "input 6; fc 5; scale 20; r: <relu6|relu>",
    "hard_sigmoid for sigmoid": "input 6; fc 5; r: <sigmoid|hard_sigmoid>",
    "hard_swish for silu": "input 6; fc 5; r: <silu|hard_swish>",
    "softplus for relu": "input 6; fc 5; r: <relu|softplus>",
    "mish for silu": "input 6; fc 5; r: <mish|silu>",
    "tanh for sigmoid": "input 6; fc 5; r: <tanh|sigmoid>",
    "log_softmax for softmax": "input 6; fc 5; r: <softmax|log_softmax>",
    "scale factor": "input 6; fc 5; scale <0.5|0.5005>",
    # normalization
    "normalize mean": "input 3x6x6; normalize mean=[0.1, 0.2, 0.3] std=<[1,2,4]|[1,2,3.99]>; relu",
    "normalize channels swapped": "input 3x6x6; normalize mean=<[0.1,0.2,0.3]|[0.2,0.1,0.3]> std=1; conv 2 k=3",
    "bn eps": "input 3x6x6; conv 3 k=3; bn eps=<0.00001|0.001>",
    "bn eps, not folded": "input 3x6x6; bn eps=<0.00001|0.001>; relu",
    "group_norm groups": "input 4x6x6; group_norm groups=<2|1>",
    "group_norm eps": "input 4x6x6; scale 0.1; group_norm groups=2 eps=<0.00001|0.0001>",
    "instance_norm for group_norm": "input 4x6x6; n: <group_norm groups=2|instance_norm>",
    "instance_norm eps": "input 3x6x6; scale 0.1; instance_norm eps=<0.00001|0.0001>",
    "layer_norm eps": "input 12; scale 0.1; layer_norm eps=<0.00001|0.0001>",
    "lrn size": "input 6x5x5; lrn size=<5|3> alpha=0.5",
    "lrn alpha": "input 6x5x5; lrn size=5 alpha=<0.5|0.49>",
    "lrn beta": "input 6x5x5; lrn size=5 alpha=0.5 beta=<0.75|0.76>",
    "lrn bias": "input 6x5x5; lrn size=5 alpha=0.5 bias=<2|2.01>",
    # structure
    "sub operands swapped": "input 3x5x5; a: conv 2 k=1; from input1; b: conv 2 k=1; from <a|b>; s: sub <b|a>",
    "concat operands swapped": "input 3x5x5; a: conv 2 k=1; from input1; b: conv 2 k=1; s: concat <a b|b a>",
    "add for maximum": "input 3x5x5; a: conv 2 k=1; from input1; b: conv 2 k=1; s: <maximum|add> a b",
    "mul for add": "input 3x5x5; a: conv 2 k=1; from input1; b: conv 2 k=1; s: <add|mul> a b",
    "skip connection from a layer later": "input 3x5x5; a: conv 3 k=1; b: relu; conv 3 k=1; s: add <a|b>",
    "slice off by one": "input 6x5x5; slice <1 4|2 5>",
    "select order": "input 4x5x5; select <[0,2,1]|[0,1,2]>",
    "crop off by one": "input 2x8x8; crop 4x4 offset=<1x2|2x2>",
    "channel_shuffle groups": "input 6x4x4; channel_shuffle <2|3>",
    "pad value": "input 2x5x5; pad 1 value=<0|0.01>; conv 2 k=3",
    "pad at the other side": "input 2x5x5; pad <[1,0,0,1]|[0,1,1,0]>; conv 2 k=3",
    "maxout": "input 6x4x4; m: <maxout 2|slice 0 3>",
    "filter": "input 2x6x6; filter <sobel_x|sobel_y>",
}  # fmt: skip


ARGUMENTS_OF_SMALL_TENSORS = {
    "elu alpha on a tiny tensor": "input 4; scale -0.0001; elu <1|1.05>",
    "sigmoid of another scale, far from 0": "input 4; normalize mean=8 std=1; scale <1|1.01>; sigmoid",
    "silu shifted, far from 0": "input 4; normalize mean=<12|11.9> std=1; silu",
    "scale of a dead sigmoid": "input 4; normalize mean=17 std=1; sigmoid; scale <1|1.0001>",
    "slope behind a dead silu": "input 4x6x6; normalize mean=18 std=1; silu; conv 3 k=3 bias=false; leaky_relu <0.1|0.101>",
    "eps behind a dead sigmoid": "input 3x6x6; normalize mean=17 std=1; sigmoid; instance_norm eps=<0.00001|0.00002>",
}
"""Mistakes in networks of which the right model was refused before layers were judged on their own."""

Model = onnx.ModelProto


def attribute(op_type: str, **values: Any) -> Callable[[Model], None]:
    """Sets attributes of the first node of this operator."""

    def change(model: Model) -> None:
        node = next(node for node in model.graph.node if node.op_type == op_type)
        kept = [a for a in node.attribute if a.name not in values]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])

    return change


def array(name: str, change: Callable[[Array], Array]) -> Callable[[Model], None]:
    """Replaces an initializer by change(its content)."""

    def apply(model: Model) -> None:
        (stored,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        stored.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(stored))), name))

    return apply


def element(name: str, factor: float) -> Callable[[Model], None]:
    """Multiplies the largest element of an initializer."""

    def change(values: Array) -> Array:
        wrong = values.copy()
        wrong.flat[np.abs(values).argmax()] *= np.float32(factor)
        return wrong

    return array(name, change)


def operands_swapped(op_type: str) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        node = next(node for node in model.graph.node if node.op_type == op_type)
        node.input[0], node.input[1] = node.input[1], node.input[0]

    return change


def operator(op_type: str, new: str) -> Callable[[Model], None]:
    def change(model: Model) -> None:
        next(node for node in model.graph.node if node.op_type == op_type).op_type = new

    return change


def fc_in_channels_last_order(name: str, shape: tuple[int, ...]) -> Callable[[Model], None]:
    """The columns of an fc as if its input had been flattened channels last."""
    return array(name, lambda w: np.moveaxis(w.reshape(-1, *shape), 1, -1).reshape(len(w), -1))


CHAIN = "input 3x9x9; conv 8 k=3 p=1; relu; conv 8 k=3; bn; relu; pool max k=2; conv 6 k=2; tanh; fc 12; silu; fc 5; softmax"
MODELS: dict[str, tuple[str, Callable[[Model], None]]] = {
    "uint8 divided by 256": ("input 3x5x5 dtype=uint8; conv 2 k=3", array("input1.range", lambda n: n + 1)),
    "one weight of 576 off by 1 %": (CHAIN, element("conv2.weight", 1.01)),
    "one weight of 576 off by 0.1 %": (CHAIN, element("conv2.weight", 1.001)),
    "one weight of 216 off by 0.1 %": (CHAIN, element("conv1.weight", 1.001)),
    "one weight of an fc off by 0.1 %": (CHAIN, element("fc1.weight", 1.001)),
    "all weights off by 0.1 %": (CHAIN, array("conv3.weight", lambda w: w * np.float32(1.001))),
    "bias missing": (CHAIN, array("fc1.bias", np.zeros_like)),
    "bias of the neighbour channel": (CHAIN, array("conv2.bias", lambda b: np.roll(b, 1))),
    "one bias off by 1 %": (CHAIN, element("conv1.bias", 1.01)),
    "kernel transposed": (CHAIN, array("conv2.weight", lambda w: w.swapaxes(2, 3))),
    "kernel rotated": (CHAIN, array("conv1.weight", lambda w: w[:, :, ::-1, ::-1])),
    "input and output channels swapped": (CHAIN, array("conv2.weight", lambda w: w.swapaxes(0, 1))),
    "input channels reversed (BGR for RGB)": (CHAIN, array("conv1.weight", lambda w: w[:, ::-1])),
    "filters of neighbour channels swapped": (CHAIN, array("conv1.weight", lambda w: w[[1, 0, *range(2, 8)]])),
    "fc in channels-last order": ("input 3x4x4; relu; fc 5", fc_in_channels_last_order("fc1.weight", (3, 4, 4))),
    "fc transposed": ("input 5; fc 5", array("fc1.weight", np.transpose)),
    "fc not transposed": ("input 5; fc 5", attribute("Gemm", transB=0)),
    "Gemm alpha": ("input 5; fc 5", attribute("Gemm", transB=1, alpha=1.001)),
    "order of the groups": ("input 4x6x6; conv 6 k=3 groups=2", array("conv1.weight", lambda w: np.roll(w, 3, 0))),
    "conv_transpose channels": ("input 3x4x4; conv_transpose 3 k=2 s=2", array("conv_transpose1.weight", lambda w: w.swapaxes(0, 1))),
    "softmax over an image axis": ("input 3x4x4; softmax", attribute("Softmax", axis=2)),
    "softmax over the batch": ("input 6; fc 4; softmax", attribute("Softmax", axis=0)),
    "MaxPool ceil_mode": ("input 2x9x9; pool max k=2 s=2 p=[0,0,1,1]; fc 3", attribute("MaxPool", pads=[1, 1, 0, 0], ceil_mode=1)),
    "AveragePool count_include_pad": ("input 2x8x8; pool avg k=3 p=1", attribute("AveragePool", count_include_pad=1)),
    "Conv pads": ("input 2x8x8; conv 2 k=3 p=1", attribute("Conv", pads=[0, 1, 2, 1])),
    "Conv dilation": ("input 2x8x8; conv 2 k=3 d=2 p=2", attribute("Conv", dilations=[1, 1], pads=[1, 1, 1, 1])),
    "Conv strides": ("input 2x9x9; conv 2 k=3 s=2 p=1; fc 3", attribute("Conv", dilations=[2, 1], pads=[2, 1, 2, 1])),
    "Resize coordinates": ("input 2x4x4; upsample 2 mode=bilinear", attribute("Resize", coordinate_transformation_mode="asymmetric")),
    "Resize rounding": ("input 2x4x4; upsample 2", attribute("Resize", nearest_mode="ceil")),
    "HardSigmoid alpha": ("input 6; fc 5; hard_sigmoid", attribute("HardSigmoid", alpha=0.2)),
    "Selu gamma": ("input 6; fc 5; selu", attribute("Selu", gamma=1.06)),
    "Elu alpha": ("input 6; fc 5; elu 0.5", attribute("Elu", alpha=0.51)),
    "LeakyRelu alpha": ("input 6; fc 5; leaky_relu 0.2", attribute("LeakyRelu", alpha=0.201)),
    "prelu of the neighbour channel": ("input 4x5x5; prelu", array("prelu1.slope", lambda s: np.roll(s, 1, 0))),
    "LRN beta": ("input 4x5x5; lrn size=3 alpha=1", attribute("LRN", beta=0.7)),
    "DepthToSpace mode": ("input 8x3x3; depth_to_space 2", attribute("DepthToSpace", mode="CRD")),
    "Sub operands": ("input 2x4x4; conv 2 k=1; sub { conv 2 k=1 } { }", operands_swapped("Sub")),
    "Concat operands": ("input 2x4x4; concat { conv 2 k=1 } { }; conv 2 k=1", operands_swapped("Concat")),
    "Add for Max": ("input 2x4x4; maximum { conv 2 k=1 } { }", operator("Max", "Sum")),
    "relu dropped before the end": ("input 6; fc 5; relu; fc 4", operator("Relu", "Identity")),
    "instance_norm eps": ("input 3x6x6; scale 0.1; instance_norm", attribute("InstanceNormalization", epsilon=1e-4)),
    "bn variance for its root": ("input 3x6x6; bn", array("bn1.var", np.sqrt)),
    "bn mean missing": ("input 3x6x6; bn", array("bn1.mean", np.zeros_like)),
    "bn scale of the neighbour channel": ("input 3x6x6; bn", array("bn1.scale", lambda s: np.roll(s, 1))),
    "embedding shifted by one": ("input 5 dtype=int64; embed 4 vocab=9", array("embed1.weight", lambda w: np.roll(w, 1, 0))),
    "bilinear transposed": ("a: input 4; b: input 4; bilinear a b", array("bilinear1.weight", np.transpose)),
    "a small channel off by 1 %": ("input 3x8x8; conv 4 k=3; affine; relu", element("conv1.bias", 1.01)),
    "a small error before a norm": ("input 3x8x8; conv 4 k=3; scale 0.001; conv 4 k=3; instance_norm", element("conv2.weight", 1.01)),
    "a small error in a residual branch": (
        "input 3x8x8; conv 4 k=3; add { scale 0.01; c: conv 4 k=3 p=1 } { }; conv 2 k=3", element("c.weight", 1.01),
    ),
}  # fmt: skip

DEAD = "input 6; normalize mean=17 std=1; sigmoid; g: fc 4 bias=false; relu"
MODELS_OF_SMALL_TENSORS: dict[str, tuple[str, Callable[[Model], None]]] = {
    "one weight behind a dead sigmoid off by 0.1 %": (DEAD, element("g.weight", 1.001)),
    "weights behind a dead sigmoid of the neighbour channel": (DEAD, array("g.weight", lambda w: np.roll(w, 1, 0))),
}


def feeds_of(text: str) -> tuple[Any, Weights, Any]:
    case = Case(text, text, ranges={"input1": (0, 5)} if "int64" in text else {})
    graph = graph_of(case)
    return graph, random_weights(graph, 0), random_feeds(case, graph, 3, 0)


def read(text: str, reading: int) -> str:
    return re.sub("<([^|>]*)[|]([^>]*)>", rf"\{reading}", text)


@pytest.mark.parametrize(
    "text", [*ARGUMENTS.values(), *ARGUMENTS_OF_SMALL_TENSORS.values()], ids=[*ARGUMENTS, *ARGUMENTS_OF_SMALL_TENSORS]
)
def test_a_wrong_argument_fails(text: str) -> None:
    right, wrong = read(text, 1), read(text, 2)
    assert right != wrong
    graph, weights, feeds = feeds_of(right)
    other = graph_of(Case(wrong, wrong))
    verify_model(emit(*run_passes(graph, weights), {}), graph, weights, feeds).require_within_tolerance(graph)
    model = emit(*run_passes(other, {name: weights[name] for name in other.weights}), {})
    with pytest.raises(CnncError, match="E801"):
        verify_model(model, graph, weights, feeds).require_within_tolerance(graph)


@pytest.mark.parametrize(
    ("text", "mistake"), [*MODELS.values(), *MODELS_OF_SMALL_TENSORS.values()], ids=[*MODELS, *MODELS_OF_SMALL_TENSORS]
)
def test_a_wrong_model_fails(text: str, mistake: Callable[[Model], None]) -> None:
    graph, weights, feeds = feeds_of(text)
    model = emit(*run_passes(graph, weights), {})
    verify_model(model, graph, weights, feeds).require_within_tolerance(graph)
    mistake(model)
    with pytest.raises(CnncError) as caught:
        verify_model(model, graph, weights, feeds).require_within_tolerance(graph)
    assert caught.value.diagnostics[0].code == "E801"
