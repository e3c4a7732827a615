"""One row for each configuration of a layer: the table that drives the gradient, parity and cross-check tests.

A row is plain data: an id, and a small network in the language. A new layer adds rows here and nothing
else to be tested by all drivers; one whose derivative jumps also enters `MARGINS` in reference/kinks.py.
Sizes are small, uneven and different on each axis, so that a swapped axis cannot go unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest

from cnnc.graph import Graph
from cnnc.network import check
from cnnc.ops.dense import Input
from cnnc.reference.engine import Array, Weights

Driver = Literal["gradient", "parity"]


class Case(NamedTuple):
    """One configuration.

    `ranges` says from where an input's values come, by the input's name: [low, high) for numbers and for
    integers (default: -1 to 1, and 0 to 255 for uint8; int64 has no default). `atol` is what gradients may
    differ by beyond rounding, for layers that approximate. `skip` names the drivers that leave the row out,
    each with its reason.
    """

    id: str
    text: str
    ranges: Mapping[str, tuple[float, float]] = {}
    atol: float = 0.0
    skip: Mapping[Driver, str] = {}


CASES: tuple[Case, ...] = (
    # convolution, one axis
    Case("conv1d", "input 2x9; conv 3 k=3"),
    Case("conv1d-stride", "input 2x9; conv 3 k=3 s=2"),
    Case("conv1d-pad-list", "input 2x8; conv 3 k=4 p=[3,1]"),
    Case("conv1d-dilated", "input 2x9; conv 3 k=3 d=2 p=1"),
    Case("conv1d-causal", "input 2x7; conv 3 k=3 p=causal"),
    Case("conv1d-causal-dilated", "input 2x9; conv 3 k=2 d=3 p=causal"),
    Case("conv1d-same-stride", "input 2x8; conv 3 k=3 s=3 p=same"),
    Case("conv1d-depthwise", "input 3x8; conv 3 k=3 p=1 groups=c_in"),
    Case("conv1d-groups", "input 4x8; conv 6 k=3 p=1 groups=2"),
    # two axes
    Case("conv", "input 3x7x6; conv 4 k=3"),
    Case("conv-no-bias", "input 3x7x6; conv 4 k=3 bias=false"),
    Case("conv-one-channel", "input 1x6x5; conv 2 k=3 p=1"),
    Case("conv-one-output", "input 2x6x5; conv 1 k=3 p=1"),
    Case("conv-long-names", "input 2x7x6; conv 3 kernel=3 stride=2 pad=1 dilation=1"),
    Case("conv-pointwise", "input 3x4x5; conv 4 k=1"),
    Case("conv-pointwise-stride", "input 3x5x6; conv 4 k=1 s=2"),
    Case("conv-pointwise-pad", "input 3x4x5; conv 4 k=1 p=1"),
    Case("conv-pointwise-groups", "input 4x4x5; conv 6 k=1 groups=2"),
    Case("conv-whole-image", "input 2x4x5; conv 3 k=4x5"),
    Case("conv-extents", "input 2x7x8; conv 3 k=2x3 s=1x2 p=1x0 d=2x1"),
    Case("conv-lists", "let n = 3; input 2x7x8; conv 3 k=[1, n] s=[n-1, 1] p=[0, 1] d=[1, 2]"),
    Case("conv-pad-sides", "input 3x7x6; conv 4 k=3 s=2 p=[0,1,1,0]"),
    Case("conv-pad-wide", "input 2x4x5; conv 3 k=2 p=3"),
    Case("conv-pad-wide-sides", "input 2x5x4; conv 3 k=2x3 p=[3,0,0,4]"),
    Case("conv-valid", "input 2x6x5; conv 3 k=3 p=valid"),
    Case("conv-half", "input 2x6x5; conv 3 k=4 p=half"),
    Case("conv-same", "input 2x6x5; conv 3 k=4 p=same"),
    Case("conv-same-stride", "input 2x7x6; conv 3 k=3 s=2 p=same"),
    Case("conv-same-dilated", "input 2x7x6; conv 3 k=2 d=3 p=same"),
    Case("conv-same-lower", "input 2x6x5; conv 3 k=4 p=same_lower"),
    Case("conv-same-lower-stride", "input 2x6x8; conv 3 k=3 s=2 p=same_lower"),
    Case("conv-full", "input 2x4x5; conv 3 k=3 p=full"),
    Case("conv-full-dilated-stride", "input 2x5x4; conv 3 k=2 d=2 s=2 p=full"),
    Case("conv-stride-over-kernel", "input 2x9x8; conv 3 k=2 s=3"),
    Case("conv-unread-rows", "input 2x8x8; conv 3 k=3 s=2"),
    Case("conv-dilated", "input 2x8x7; conv 3 k=3 d=2"),
    Case("conv-dilated-stride-pad", "input 2x9x8; conv 3 k=3 d=2 s=2 p=2"),
    Case("conv-groups", "input 4x6x5; conv 6 k=3 groups=2 p=1"),
    Case("conv-groups-stride", "input 4x7x6; conv 6 k=3 groups=2 s=2 p=[0,1,1,0]"),
    Case("conv-groups-no-bias", "input 4x6x5; conv 4 k=2 groups=2 bias=false"),
    Case("conv-depthwise", "input 3x6x5; conv c_in k=3 p=1 groups=c_in"),
    Case("conv-depthwise-stride", "input 3x7x6; conv c_in k=3 s=2 p=1 groups=c_in"),
    Case("conv-depthwise-dilated", "input 3x7x8; conv c_in k=2x3 d=2 groups=c_in bias=false"),
    Case("conv-depthwise-multiplier", "input 3x6x5; conv 6 k=3 p=1 groups=c_in"),
    Case("conv-twice", "input 2x7x6; conv 3 k=3 p=1; conv 4 k=3 s=2"),
    # three axes
    Case("conv3d", "input 2x4x5x6; conv 3 k=2x3x3"),
    Case("conv3d-stride-pad", "input 2x5x4x6; conv 3 k=3 s=2x1x2 p=1"),
    Case("conv3d-pad-sides", "input 2x3x4x5; conv 2 k=2 p=[0,1,0,1,0,2]"),
    Case("conv3d-dilated-groups", "input 4x5x4x5; conv 4 k=2 d=2 groups=2 p=same"),
    Case("conv3d-depthwise", "input 3x4x3x4; conv 3 k=3 p=1 groups=c_in"),
    Case("conv3d-full", "input 2x3x2x4; conv 2 k=2 p=full"),
    # pooling, one axis
    Case("pool1d-max", "input 2x9; pool max k=3"),
    Case("pool1d-avg", "input 2x9; pool avg k=2"),
    Case("pool1d-max-causal", "input 2x8; pool max k=3 s=1 p=causal"),
    Case("pool1d-avg-causal-dilated", "input 2x9; pool avg k=3 s=2 d=2 p=causal"),
    Case("pool1d-max-ceil", "input 2x8; pool max k=3 s=2 ceil=true"),
    Case("pool1d-avg-ceil-counted", "input 2x8; pool avg k=3 s=3 p=1 ceil=true count_pad=true"),
    # two axes, max
    Case("pool-max", "input 2x6x8; pool max k=2"),
    Case("pool-max-overlapping", "input 2x7x9; pool max k=3 s=2"),
    Case("pool-max-stride-one", "input 2x5x6; pool max k=3 s=1 p=1"),
    Case("pool-max-gaps", "input 2x8x7; pool max k=2 s=3"),
    Case("pool-max-k1", "input 2x5x6; pool max k=1 s=2"),
    Case("pool-max-extents", "input 2x6x9; pool max k=2x3 s=1x2 p=1x0"),
    Case("pool-max-pad-sides", "input 2x6x5; pool max k=3 s=2 p=[0,1,2,1]"),
    Case("pool-max-same", "input 2x7x6; pool max k=3 s=2 p=same"),
    Case("pool-max-same-lower", "input 2x6x7; pool max k=2 s=1 p=same_lower"),
    Case("pool-max-full", "input 2x4x5; pool max k=2 s=1 p=full"),
    Case("pool-max-half", "input 2x5x6; pool max k=3 s=2 p=half"),
    Case("pool-max-valid", "input 2x5x6; pool max k=2 p=valid"),
    Case("pool-max-dilated", "input 2x8x7; pool max k=2 s=1 d=3"),
    Case("pool-max-dilated-pad", "input 2x8x7; pool max k=3 s=2 d=2 p=2"),
    Case("pool-max-dilated-same", "input 2x8x7; pool max k=2 s=1 d=3 p=same"),
    Case("pool-max-dilated-full", "input 2x7x8; pool max k=3x2 s=2x1 d=2 p=full"),
    Case("pool-max-ceil", "input 2x6x8; pool max k=3 s=2 ceil=true"),
    Case("pool-max-ceil-pad", "input 2x6x7; pool max k=2 s=3 p=1 ceil=true"),
    Case("pool-max-ceil-dilated", "input 2x8x9; pool max k=2 s=3 d=2 ceil=true"),
    # two axes, mean
    Case("pool-avg", "input 2x6x8; pool avg k=2"),
    Case("pool-avg-overlapping", "input 2x7x9; pool avg k=3 s=2"),
    Case("pool-avg-pad", "input 2x6x5; pool avg k=3 s=1 p=1"),
    Case("pool-avg-counted", "input 2x6x5; pool avg k=3 s=1 p=1 count_pad=true"),
    Case("pool-avg-pad-sides", "input 2x6x5; pool avg k=3 s=2 p=[0,1,2,1]"),
    Case("pool-avg-pad-sides-counted", "input 2x6x5; pool avg k=3 s=2 p=[0,1,2,1] count_pad=true"),
    Case("pool-avg-same", "input 2x7x6; pool avg k=4 s=2 p=same"),
    Case("pool-avg-same-lower", "input 2x7x6; pool avg k=4 s=2 p=same_lower"),
    Case("pool-avg-full", "input 2x4x5; pool avg k=2x3 s=1 p=full"),
    Case("pool-avg-half-counted", "input 2x5x6; pool avg k=3 s=2 p=half count_pad=true"),
    Case("pool-avg-dilated", "input 2x8x7; pool avg k=2 s=1 d=3"),
    Case("pool-avg-dilated-pad", "input 2x8x7; pool avg k=3 s=2 d=2 p=1"),
    Case("pool-avg-dilated-counted", "input 2x8x7; pool avg k=3 s=2 d=2 p=1 count_pad=true"),
    Case("pool-avg-dilated-full", "input 2x7x8; pool avg k=3x2 s=2x1 d=2 p=full"),
    Case("pool-avg-ceil", "input 2x6x8; pool avg k=3 s=2 ceil=true"),
    Case("pool-avg-ceil-pad", "input 2x6x7; pool avg k=3 s=2 p=1 ceil=true"),
    Case("pool-avg-ceil-counted", "input 2x6x8; pool avg k=3 s=2 p=1 ceil=true count_pad=true"),
    Case("pool-avg-ceil-dilated", "input 2x8x9; pool avg k=2 s=3 d=2 ceil=true"),
    Case("pool-avg-whole-image", "input 3x4x5; pool avg k=4x5"),
    # three axes
    Case("pool3d-max", "input 2x4x5x6; pool max k=2"),
    Case("pool3d-max-pad-ceil", "input 2x4x5x6; pool max k=3 s=2 p=1 ceil=true"),
    Case("pool3d-max-dilated", "input 2x5x4x5; pool max k=2 s=1 d=2x1x2"),
    Case("pool3d-avg", "input 2x4x5x6; pool avg k=2x1x3 s=1x2x2"),
    Case("pool3d-avg-pad", "input 2x3x4x5; pool avg k=3 s=2 p=1"),
    Case("pool3d-avg-dilated", "input 2x5x4x5; pool avg k=2 s=1 d=2 p=1"),
    Case("pool3d-avg-ceil-counted", "input 2x4x3x4; pool avg k=3 s=2 p=1 ceil=true count_pad=true"),
    # fully connected
    Case("fc", "input 7; fc 5"),
    Case("fc-no-bias", "input 7; fc 5 bias=false"),
    Case("fc-one-output", "input 7; fc 1"),
    Case("fc-sequence", "input 3x4; fc 5"),
    Case("fc-image", "input 2x3x4; fc 5"),
    Case("fc-image-one-channel", "input 1x3x4; fc 5"),
    Case("fc-volume", "input 2x2x3x2; fc 4"),
    Case("fc-after-conv", "input 2x5x4; conv 3 k=2; fc 4"),
    Case("fc-twice", "input 6; fc 5; tanh; fc 3"),
    # activations
    Case("relu", "input 2x4x5; conv 3 k=2; relu"),
    Case("relu-input", "input 3x4x5; relu"),
    Case("relu-vector", "input 7; fc 6; relu"),
    Case("sigmoid", "input 2x4x5; conv 3 k=2; sigmoid"),
    Case("sigmoid-wide", "input 9; sigmoid", ranges={"input1": (-30, 30)}),
    Case("tanh", "input 2x4x5; conv 3 k=2; tanh"),
    Case("tanh-vector", "input 7; fc 6; tanh"),
    Case("softmax", "input 7; fc 6; softmax"),
    Case("softmax-wide", "input 6; softmax", ranges={"input1": (-20, 20)}),
    Case("softmax-sequence", "input 4x5; softmax"),
    Case("softmax-image", "input 3x4x5; softmax"),
    Case("softmax-volume", "input 3x2x3x4; softmax"),
    # dropout
    Case("dropout", "input 3x4x5; dropout"),
    Case("dropout-share", "input 20; dropout 0.2"),
    Case("dropout-none", "input 9; dropout 0"),
    Case("dropout-between", "input 2x4x5; conv 3 k=2; dropout 0.3; fc 4"),
    Case("dropout-before-bn", "input 2x4x5; conv 3 k=2; dropout 0.3; bn"),
    # rearrangement
    Case("flatten", "input 2x3x4; flatten; fc 3"),
    Case("flatten-output", "input 2x3x4; conv 3 k=2; flatten"),
    Case("flatten-vector", "input 5; flatten; fc 3"),
    Case("reshape-to-vector", "input 2x3x4; reshape 24; fc 3"),
    Case("reshape-to-image", "input 24; reshape 2x3x4; conv 2 k=2"),
    Case("reshape-to-volume", "input 24; reshape [2, 3, 2, 2]; conv 2 k=2"),
    Case("reshape-image", "input 2x3x4; reshape 4x6; conv 2 k=3"),
    Case("reshape-after-fc", "input 5; fc 12; reshape 3x2x2; conv 2 k=2; reshape 2"),
    # normalization
    Case("bn", "input 3x4x5; bn"),
    Case("bn-plain", "input 3x4x5; bn affine=false"),
    Case("bn-vector", "input 7; bn"),
    Case("bn-sequence", "input 3x6; bn eps=0.001 momentum=0.5"),
    Case("bn-volume", "input 2x3x2x4; bn"),
    Case("bn-conv", "input 2x5x4; conv 3 k=2; bn"),
    Case("bn-conv-no-bias", "input 2x5x4; conv 3 k=3 p=1 bias=false; bn"),
    Case("bn-conv-plain", "input 2x5x4; conv 3 k=2; bn affine=false eps=0.1"),
    Case("bn-conv-depthwise", "input 3x5x4; conv 3 k=3 p=1 groups=c_in bias=false; bn"),
    Case("bn-conv-groups", "input 4x5x4; conv 6 k=2 groups=2; bn"),
    Case("bn-conv1d", "input 2x8; conv 3 k=3; bn"),
    Case("bn-conv3d", "input 2x3x4x3; conv 3 k=2 bias=false; bn"),
    Case("bn-fc", "input 6; fc 5; bn"),
    Case("bn-fc-plain", "input 2x3x2; fc 5 bias=false; bn affine=false"),
    Case("bn-twice", "input 2x5x4; conv 3 k=2; bn; bn"),
    Case("bn-after-relu", "input 2x5x4; conv 3 k=2; relu; bn; fc 3"),
    Case("bn-two-readers", "input 2x5x4; c: conv 3 k=2; b: bn; from c; t: tanh; output b t"),
    Case("bn-conv-is-output", "input 2x5x4; c: conv 3 k=2; b: bn; output c b"),
    Case("normalize", "input 3x4x5; normalize mean=0.5 std=0.25"),
    Case("normalize-channels", "input 3x4x5; normalize mean=[0.1, -0.2, 0.3] std=[0.5, 2, 0.1]; conv 2 k=2"),
    Case("normalize-vector", "input 4; normalize mean=[1, 2, 3, 4] std=2; fc 3"),
    Case("normalize-volume", "input 2x3x2x3; normalize mean=[0.1, 0.2] std=1.5"),
    # inputs
    Case("input-uint8", "input 3x5x4 dtype=uint8; conv 2 k=2"),
    Case("input-uint8-normalized", "input 3x4x4 dtype=uint8; normalize mean=[0.4, 0.5, 0.6] std=0.2; fc 3"),
    Case("input-uint8-vector", "input 6 dtype=uint8; fc 3"),
    # whole nets: several outputs, a forked line, all kinds of layers in one
    Case("two-outputs", "input 2x4x5; a: conv 3 k=2; b: tanh; from a; c: sigmoid; output b c"),
    Case("unused-layer", "input 2x4x5; a: conv 3 k=2; b: fc 4; from a; c: tanh"),
    Case(
        "small-net",
        "input 1x8x8; conv 4 k=3 p=1 bias=false; bn; tanh; pool max k=2; conv 6 k=3 groups=2; sigmoid; "
        "pool avg k=2; dropout 0.25; fc 8; bn; relu; fc 3; softmax",
    ),
)


def cases_for(driver: Driver) -> list[Any]:
    """The rows as parameters of a test, those that the driver skips marked with their reason."""
    return [
        pytest.param(
            case, id=case.id, marks=[pytest.mark.skip(reason=case.skip[driver])] if driver in case.skip else []
        )
        for case in CASES
    ]


def graph_of(case: Case) -> Graph:
    return check(case.text, name=case.id).require_graph()


def random_weights(graph: Graph, seed: int, dtype: Any = np.float32) -> Weights:
    """Weights at which no mistake can hide: none is 0 or 1 throughout, variances are positive and not 1."""
    weights = {}
    for name, parameter in graph.weights.items():
        random = np.random.default_rng([seed, *name.encode()])
        if parameter.name in ("scale", "var"):
            values = random.uniform(0.5, 2, parameter.shape)
        else:
            values = random.normal(0, max(parameter.fan_in, 4) ** -0.5, parameter.shape)
        weights[name] = values.astype(dtype)
    return weights


def random_feeds(case: Case, graph: Graph, batch: int, seed: int, dtype: Any = np.float32) -> dict[str, Array]:
    """A batch for each input, from the row's ranges."""
    feeds: dict[str, Array] = {}
    for node in graph.inputs:
        assert isinstance(node.op, Input)
        fed = node.op.fed()
        random = np.random.default_rng([seed, *node.name.encode()])
        shape = (batch, *fed.shape)
        if fed.dtype == "float32":
            feeds[node.name] = random.uniform(*case.ranges.get(node.name, (-1, 1)), shape).astype(dtype)
        else:
            low, high = (0, 256) if fed.dtype == "uint8" else case.ranges[node.name]
            feeds[node.name] = random.integers(int(low), int(high), shape, fed.dtype)
    return feeds
