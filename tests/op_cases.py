"""The table that drives the gradient, parity and round-trip tests: one row for each configuration of a layer.

A row is plain data: an id and a small network in the language, such as `Case("conv1d-stride", "input 2x9; conv 3 k=3 s=2")`.
A new layer needs rows here to be tested by all drivers; one whose derivative jumps also needs an entry
in `MARGINS` in reference/kinks.py, others one in `SMOOTH` in ops/test_op_lists.py. Sizes are small, odd and different on each axis, so that a swapped axis shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest

from cnnc.core.arguments import ArgumentSpec
from cnnc.core.arrays import Array, Weights
from cnnc.graph.graph import Graph
from cnnc.network import Network, check
from cnnc.ops import OPS
from cnnc.ops.dense import Input
from cnnc.reference.initializers import initialize

Driver = Literal["gradient", "parity"]


class Case(NamedTuple):
    """One configuration of a layer.

    `ranges` gives the range [low, high) of the random numbers of an input, by the input's name; the default is -1 to 1
    for float32 and 0 to 256 for uint8, and int64 has none. `atol` is the difference that a gradient may have beyond
    rounding, for layers that approximate. `skip` names the drivers that leave the row out, each with its reason.
    """

    id: str
    text: str
    ranges: Mapping[str, tuple[float, float]] = {}
    atol: float = 0.0
    skip: Mapping[Driver, str] = {}


TIED: Mapping[Driver, str] = {"gradient": "the padding gives a window several equal maxima, which have no derivative"}

CASES: tuple[Case, ...] = (
    # conv, one axis
    Case("conv1d", "input 2x9; conv 3 k=3"),
    Case("conv1d-stride", "input 2x9; conv 3 k=3 s=2"),
    Case("conv1d-pad-list", "input 2x8; conv 3 k=4 p=[3,1]"),
    Case("conv1d-dilated", "input 2x9; conv 3 k=3 d=2 p=1"),
    Case("conv1d-causal", "input 2x7; conv 3 k=3 p=causal"),
    Case("conv1d-causal-dilated", "input 2x9; conv 3 k=2 d=3 p=causal"),
    Case("conv1d-same-stride", "input 2x8; conv 3 k=3 s=3 p=same"),
    Case("conv1d-depthwise", "input 3x8; conv 3 k=3 p=1 groups=c_in"),
    Case("conv1d-groups", "input 4x8; conv 6 k=3 p=1 groups=2"),
    # conv, two axes
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
    # conv, three axes
    Case("conv3d", "input 2x4x5x6; conv 3 k=2x3x3"),
    Case("conv3d-stride-pad", "input 2x5x4x6; conv 3 k=3 s=2x1x2 p=1"),
    Case("conv3d-pad-sides", "input 2x3x4x5; conv 2 k=2 p=[0,1,0,1,0,2]"),
    Case("conv3d-dilated-groups", "input 4x5x4x5; conv 4 k=2 d=2 groups=2 p=same"),
    Case("conv3d-depthwise", "input 3x4x3x4; conv 3 k=3 p=1 groups=c_in"),
    Case("conv3d-full", "input 2x3x2x4; conv 2 k=2 p=full"),
    # spectrogram
    Case("spectrogram", "input 1x60; spectrogram window=16 hop=7"),
    Case("spectrogram-power", "input 1x50; spectrogram k=12 s=5 log=false"),
    Case("spectrogram-channels-pads", "input 2x41; spectrogram window=11 hop=6 pad=[4, 3] fft=16 eps=0.01"),
    Case("spectrogram-same", "input 1x45; spectrogram window=8 hop=4 p=same"),
    Case("spectrogram-mels", "input 1x90; spectrogram window=32 hop=20 mels=5 low=200 high=7000"),
    Case("spectrogram-slaney", "input 2x90; spectrogram window=32 hop=19 mels=4 rate=8000 scale=slaney eps=0.001"),
    Case("spectrogram-mel-power", "input 1x80; spectrogram window=24 hop=15 fft=32 mels=4 log=false; conv 2 k=3"),
    Case("spectrogram-after-conv", "input 1x50; conv 2 k=3 p=1; spectrogram window=12 hop=8 log=false"),
    # local
    Case("local1d", "input 2x9; local 3 k=3"),
    Case("local1d-stride-causal", "input 2x8; local 3 k=3 s=2 p=causal"),
    Case("local1d-dilated", "input 3x9; local 2 k=3 d=2 p=1 bias=false"),
    Case("local", "input 3x7x6; local 4 k=3"),
    Case("local-no-bias", "input 3x7x6; local 4 k=3 bias=false"),
    Case("local-one-channel", "input 1x6x5; local 1 k=2"),
    Case("local-pointwise", "input 3x4x5; local 4 k=1"),
    Case("local-pointwise-stride", "input 3x5x6; local 4 k=1 s=2"),
    Case("local-whole-image", "input 2x4x5; local 3 k=4x5"),
    Case("local-one-column", "input 2x6x3; local 3 k=2x3 s=1x2"),
    Case("local-long-names", "input 2x7x6; local 3 kernel=3 stride=2 pad=1 dilation=1"),
    Case("local-extents", "input 2x7x8; local 3 k=2x3 s=1x2 p=1x0 d=2x1"),
    Case("local-pad-sides", "input 3x7x6; local 4 k=3 s=2 p=[0,1,1,0]"),
    Case("local-same", "input 2x6x5; local 3 k=4 p=same"),
    Case("local-same-stride", "input 2x7x6; local 3 k=3 s=2 p=same"),
    Case("local-same-lower", "input 2x6x8; local 3 k=3 s=2 p=same_lower"),
    Case("local-full", "input 2x4x5; local 3 k=3 p=full"),
    Case("local-stride-over-kernel", "input 2x9x8; local 3 k=2 s=3"),
    Case("local-unread-rows", "input 2x8x8; local 3 k=3 s=2"),
    Case("local-frozen", "input 2x5x6; local 3 k=3 frozen=true init=lecun; tanh; fc 3"),
    Case("local-shared", "input 2x5x4; a: local 2 k=3 p=same; tanh; local 2 k=3 p=same share=a"),
    Case("local-twice", "input 2x7x6; local 3 k=3 p=1; relu; local 4 k=3 s=2; fc 3"),
    Case("local-bn", "input 2x5x4; local 3 k=2; bn"),
    Case("local-norms", "input 4x6x7; local 8 k=2 s=2; group_norm groups=2; local 4 k=2; layer_norm"),
    Case("local-two-readers", "input 2x5x4; a: local 3 k=2; t: tanh; from a; f: fc 3; output a t f"),
    Case("local3d", "input 2x4x5x6; local 3 k=2x3x3"),
    Case("local3d-stride-pad", "input 2x5x4x6; local 3 k=3 s=2x1x2 p=1"),
    # pool, one axis
    Case("pool1d-max", "input 2x9; pool max k=3"),
    Case("pool1d-avg", "input 2x9; pool avg k=2"),
    Case("pool1d-max-causal", "input 2x8; pool max k=3 s=1 p=causal"),
    Case("pool1d-avg-causal-dilated", "input 2x9; pool avg k=3 s=2 d=2 p=causal"),
    Case("pool1d-max-ceil", "input 2x8; pool max k=3 s=2 ceil=true"),
    Case("pool1d-avg-ceil-counted", "input 2x8; pool avg k=3 s=3 p=1 ceil=true count_pad=true"),
    # pool max, two axes
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
    # pool avg, two axes
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
    # pool, three axes
    Case("pool3d-max", "input 2x4x5x6; pool max k=2"),
    Case("pool3d-max-pad-ceil", "input 2x4x5x6; pool max k=3 s=2 p=1 ceil=true"),
    Case("pool3d-max-dilated", "input 2x5x4x5; pool max k=2 s=1 d=2x1x2"),
    Case("pool3d-avg", "input 2x4x5x6; pool avg k=2x1x3 s=1x2x2"),
    Case("pool3d-avg-pad", "input 2x3x4x5; pool avg k=3 s=2 p=1"),
    Case("pool3d-avg-dilated", "input 2x5x4x5; pool avg k=2 s=1 d=2 p=1"),
    Case("pool3d-avg-ceil-counted", "input 2x4x3x4; pool avg k=3 s=2 p=1 ceil=true count_pad=true"),
    # fc
    Case("fc", "input 7; fc 5"),
    Case("fc-no-bias", "input 7; fc 5 bias=false"),
    Case("fc-one-output", "input 7; fc 1"),
    Case("fc-sequence", "input 3x4; fc 5"),
    Case("fc-image", "input 2x3x4; fc 5"),
    Case("fc-image-one-channel", "input 1x3x4; fc 5"),
    Case("fc-volume", "input 2x2x3x2; fc 4"),
    Case("fc-after-conv", "input 2x5x4; conv 3 k=2; fc 4"),
    Case("fc-twice", "input 6; fc 5; tanh; fc 3"),
    # relu, sigmoid, tanh, softmax
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
    # flatten and reshape
    Case("flatten", "input 2x3x4; flatten; fc 3"),
    Case("flatten-output", "input 2x3x4; conv 3 k=2; flatten"),
    Case("flatten-vector", "input 5; flatten; fc 3"),
    Case("reshape-to-vector", "input 2x3x4; reshape 24; fc 3"),
    Case("reshape-to-image", "input 24; reshape 2x3x4; conv 2 k=2"),
    Case("reshape-to-volume", "input 24; reshape [2, 3, 2, 2]; conv 2 k=2"),
    Case("reshape-image", "input 2x3x4; reshape 4x6; conv 2 k=3"),
    Case("reshape-after-fc", "input 5; fc 12; reshape 3x2x2; conv 2 k=2; reshape 2"),
    # bn and normalize
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
    # other activations, scale, identity, drop_path
    Case("leaky_relu", "input 2x4x5; conv 3 k=2; leaky_relu"),
    Case("leaky_relu-steep", "input 7; leaky_relu slope=1.5"),
    Case("leaky_relu-turned", "input 3x6; leaky_relu -0.25"),
    Case("elu", "input 2x4x5; conv 3 k=2; elu"),
    Case("elu-alpha", "input 3x2x3x4; elu alpha=0.3"),
    Case("elu-zero", "input 7; elu 0"),
    Case("elu-wide", "input 9; elu 2.5", ranges={"input1": (-30, 30)}),
    Case("selu", "input 2x4x5; conv 3 k=2; selu"),
    Case("selu-wide", "input 9; selu", ranges={"input1": (-30, 30)}),
    Case("prelu", "input 2x4x5; conv 3 k=2; prelu"),
    Case("prelu-vector", "input 7; prelu"),
    Case("prelu-sequence", "input 3x6; prelu"),
    Case("prelu-volume", "input 3x2x3x4; prelu; fc 4"),
    Case("softplus", "input 2x4x5; conv 3 k=2; softplus"),
    Case("softplus-wide", "input 9; softplus", ranges={"input1": (-50, 50)}),
    Case("gelu", "input 2x4x5; conv 3 k=2; gelu"),
    Case("gelu-wide", "input 9; gelu", ranges={"input1": (-9, 9)}),
    Case("gelu-volume", "input 2x2x3x4; gelu"),
    Case("silu", "input 2x4x5; conv 3 k=2; silu"),
    Case("silu-wide", "input 9; silu", ranges={"input1": (-30, 30)}),
    Case("relu6", "input 3x4x5; relu6", ranges={"input1": (-4, 10)}),
    Case("relu6-vector", "input 7; fc 6; relu6"),
    Case("clip", "input 3x4x5; clip -0.25 0.5"),
    Case("clip-wide", "input 7; clip -1e30 1e30"),
    Case("clip-positive", "input 3x6; clip lo=1 hi=3", ranges={"input1": (0, 5)}),
    Case("hard_tanh", "input 2x4x5; conv 3 k=2; hard_tanh", ranges={"input1": (-3, 3)}),
    Case("hard_tanh-bounds", "input 3x4x5; hard_tanh -0.25 0.5"),
    Case("hard_tanh-high", "input 7; hard_tanh hi=6", ranges={"input1": (-4, 10)}),
    Case("hard_tanh-relu6", "input 3x6; hard_tanh lo=0 hi=6", ranges={"input1": (-4, 10)}),
    Case("hard_sigmoid", "input 2x4x5; conv 3 k=2; hard_sigmoid"),
    Case("hard_sigmoid-wide", "input 3x4x5; hard_sigmoid", ranges={"input1": (-6, 6)}),
    Case("hard_swish", "input 2x4x5; conv 3 k=2; hard_swish"),
    Case("hard_swish-wide", "input 3x4x5; hard_swish", ranges={"input1": (-6, 6)}),
    Case("mish", "input 2x4x5; conv 3 k=2; mish"),
    Case("mish-wide", "input 9; mish", ranges={"input1": (-30, 30)}),
    Case("log_softmax", "input 7; fc 6; log_softmax"),
    Case("log_softmax-wide", "input 6; log_softmax", ranges={"input1": (-50, 50)}),
    Case("log_softmax-image", "input 3x4x5; log_softmax"),
    Case("log_softmax-volume", "input 3x2x3x4; log_softmax"),
    Case("abs", "input 2x4x5; conv 3 k=2; tanh; abs"),
    Case("abs-vector", "input 7; abs"),
    Case("scale", "input 3x4x5; scale -0.3"),
    Case("scale-vector", "input 7; fc 5; scale 1000"),
    Case("identity", "input 3x4x5; identity"),
    Case("identity-between", "input 2x4x5; i: identity; conv 3 k=2; j: identity; fc 4; output j fc1"),
    Case("drop_path", "input 3x4x5; drop_path 0.3"),
    Case("drop_path-vector", "input 9; drop_path 0.5; fc 4"),
    Case("drop_path-none", "input 9; drop_path 0"),
    Case("drop_path-residual", "input 3x4x5; add { } { conv 3 k=3 p=1; drop_path 0.4 }"),
    # other normalizations, affine
    Case("lrn", "input 7x3x4; lrn", ranges={"input1": (-3, 3)}),
    Case("lrn-strong", "input 6x3x4; lrn size=3 alpha=2 beta=0.6 bias=0.5"),
    Case("lrn-even", "input 6x3x4; lrn size=4 alpha=2"),
    Case("lrn-one", "input 4x3x4; lrn size=1 alpha=1 bias=2"),
    Case("lrn-wider-than-channels", "input 3x4x5; lrn size=9 alpha=3"),
    Case("lrn-wider-even", "input 3x4x5; lrn size=8 alpha=3"),
    Case("lrn-one-channel", "input 1x4x5; lrn alpha=1"),
    Case("lrn-vector", "input 7; lrn alpha=1"),
    Case("lrn-sequence", "input 6x5; lrn size=3 alpha=1"),
    Case("lrn-volume", "input 5x2x3x4; lrn size=3 alpha=1"),
    Case("lrn-volume-even", "input 5x2x3x4; lrn size=2 alpha=1 beta=2"),
    Case("group_norm", "input 6x3x4; group_norm groups=2"),
    Case("group_norm-one", "input 4x3x4; group_norm groups=1 eps=0.1"),
    Case("group_norm-each", "input 4x3x4; group_norm groups=4"),
    Case("group_norm-vector", "input 8; group_norm groups=2"),
    Case("group_norm-sequence", "input 6x5; group_norm groups=3"),
    Case("group_norm-volume", "input 4x2x3x4; group_norm groups=2"),
    Case("group_norm-conv", "input 2x5x4; conv 6 k=2; group_norm groups=3; relu; fc 3"),
    Case("instance_norm", "input 3x4x5; instance_norm"),
    Case("instance_norm-eps", "input 3x4x5; instance_norm eps=0.5"),
    Case("instance_norm-sequence", "input 3x7; instance_norm"),
    Case("instance_norm-volume", "input 3x2x3x4; instance_norm"),
    Case("layer_norm", "input 3x4x5; layer_norm"),
    Case("layer_norm-vector", "input 7; layer_norm eps=0.01"),
    Case("layer_norm-sequence", "input 3x6; layer_norm"),
    Case("layer_norm-volume", "input 3x2x3x4; layer_norm"),
    Case("layer_norm-one-channel", "input 1x4x5; layer_norm"),
    Case("affine", "input 3x4x5; affine"),
    Case("affine-vector", "input 7; affine"),
    Case("affine-sequence", "input 3x6; conv 4 k=2; affine"),
    Case("affine-volume", "input 3x2x3x4; affine"),
    # other pools, global pools
    Case("pool-l2", "input 2x6x8; pool l2 k=2"),
    Case("pool-l2-pad", "input 2x6x5; pool l2 k=3 s=2 p=1"),
    Case("pool-l2-pad-sides", "input 2x6x5; pool l2 k=3 s=2 p=[0,1,2,1]"),
    Case("pool-l2-same", "input 2x7x6; pool l2 k=4 s=2 p=same"),
    Case("pool-l2-ceil", "input 2x6x7; pool l2 k=3 s=2 p=1 ceil=true"),
    Case("pool-l2-dilated", "input 2x8x7; pool l2 k=3 s=2 d=2 p=2"),
    Case("pool-l2-full", "input 2x4x5; pool l2 k=2x3 s=1 p=full"),
    Case("pool-lp", "input 2x6x8; pool lp k=2x3 s=2"),
    Case("pool-lp-one", "input 2x6x5; pool lp k=3 s=2 p=1 norm=1"),
    Case("pool-lp-three", "input 2x6x5; pool lp k=2 s=1 norm=3"),
    Case("pool-lp-four", "input 2x5x6; pool lp k=3 s=2 norm=4 p=1 ceil=true"),
    Case("pool-lp-dilated", "input 2x7x8; pool lp k=2 s=2 d=3 norm=3 p=1"),
    Case("pool1d-l2", "input 2x9; pool l2 k=3 s=2 p=1"),
    Case("pool1d-lp-causal", "input 2x9; pool lp k=3 s=1 norm=3 p=causal"),
    Case("pool3d-l2", "input 2x4x3x4; pool l2 k=2 s=1x1x2 p=1"),
    Case("pool3d-lp-dilated", "input 2x4x3x5; pool lp k=2 s=1 d=2 norm=3"),
    Case("pool-weighted", "input 2x6x8; pool weighted k=3 s=2"),
    Case("pool-weighted-even", "input 2x6x8; pool weighted k=4x2 s=2x1"),
    Case("pool-weighted-sigma", "input 2x6x8; pool weighted k=3 s=1 p=1 sigma=0.5"),
    Case("pool-weighted-pad-sides", "input 2x6x5; pool weighted k=3 s=2 p=[0,1,2,1] sigma=2"),
    Case("pool-weighted-counted", "input 2x6x5; pool weighted k=3 s=1 p=1 count_pad=true"),
    Case("pool-weighted-ceil", "input 2x6x8; pool weighted k=3 s=2 p=1 ceil=true"),
    Case("pool-weighted-ceil-counted", "input 2x6x8; pool weighted k=3 s=2 p=1 ceil=true count_pad=true"),
    Case("pool-weighted-dilated", "input 2x8x7; pool weighted k=3 s=2 d=2 p=2"),
    Case("pool-weighted-same", "input 2x7x6; pool weighted k=4 s=2 p=same"),
    Case("pool-weighted-narrow", "input 2x6x8; pool weighted k=4 s=2 sigma=0.001"),
    Case("pool-weighted-one-channel", "input 1x6x5; pool weighted k=3 s=2 p=1"),
    Case("pool1d-weighted", "input 2x9; pool weighted k=5 s=2 p=2"),
    Case("pool3d-weighted", "input 2x4x3x5; pool weighted k=3x2x3 s=2x1x2 p=1x0x1"),
    Case("global_pool-max", "input 3x4x5; global_pool max"),
    Case("global_pool-avg", "input 3x4x5; global_pool avg; fc 4"),
    Case("global_pool-l2", "input 3x4x5; global_pool l2"),
    Case("global_pool-max-sequence", "input 3x7; global_pool max"),
    Case("global_pool-avg-sequence", "input 3x7; global_pool avg"),
    Case("global_pool-l2-sequence", "input 3x7; global_pool l2"),
    Case("global_pool-max-volume", "input 3x2x3x4; global_pool max"),
    Case("global_pool-avg-volume", "input 3x2x3x4; global_pool avg"),
    Case("global_pool-l2-volume", "input 3x2x3x4; global_pool l2"),
    Case("global_pool-squeeze", "input 4x4x5; mul { } { global_pool avg; conv 2 k=1; relu; conv 4 k=1; hard_sigmoid }"),
    # unpool, upsample, maxout
    Case("unpool", "input 2x4x6; q: pool max k=2; tanh; unpool q"),
    Case("unpool-conv", "input 2x4x6; conv 3 k=3 p=1; q: pool max k=2; conv 3 k=1; unpool q; conv 2 k=3 p=1"),
    Case("unpool-overlapping", "input 2x5x7; q: pool max k=3 s=2; scale 2; unpool q"),
    Case("unpool-overlapping-pad", "input 2x5x6; q: pool max k=3 s=2 p=1; scale 2; unpool q"),
    Case("unpool-unread", "input 2x5x7; q: pool max k=2; scale 2; unpool q"),
    Case("unpool-ceil", "input 2x5x7; q: pool max k=2 ceil=true; scale 2; unpool q"),
    Case("unpool-gaps", "input 2x7x8; q: pool max k=2 s=3; scale 2; unpool q"),
    Case("unpool-dilated", "input 2x7x8; q: pool max k=2 s=1 d=3 p=1; scale 2; unpool q"),
    Case("unpool-dilated-pad", "input 2x8x7; q: pool max k=2 s=1 d=3 p=[3,2,0,1]; scale 2; unpool q"),
    Case("unpool-two", "input 2x8x8; a: pool max k=2; b: pool max k=2; tanh; unpool b; tanh; unpool a"),
    Case("unpool-sequence", "input 2x6; q: pool max k=3; scale 2; unpool q"),
    Case("unpool-sequence-overlapping", "input 2x7; q: pool max k=3 s=1 p=1; scale 2; unpool q"),
    Case("unpool-volume", "input 2x4x2x6; q: pool max k=2; scale 2; unpool q"),
    Case("unpool-volume-overlapping", "input 2x4x3x4; q: pool max k=2 s=1; scale 2; unpool q"),
    Case("unpool-elsewhere", "input 2x4x6; q: pool max k=2; from input1; conv 2 k=2 s=2; unpool q"),
    Case("upsample", "input 2x3x4; upsample 2"),
    Case("upsample-extent", "input 2x3x4; upsample 3x2"),
    Case("upsample-one-axis", "input 2x3x4; upsample 1x5"),
    Case("upsample-none", "input 2x3x4; upsample 1"),
    Case("upsample-seven", "input 2x3x2; upsample 7"),
    Case("upsample-sequence", "input 2x5; upsample 3"),
    Case("upsample-volume", "input 2x2x3x2; upsample 2x1x3"),
    Case("upsample-bilinear", "input 2x3x4; upsample 2 mode=bilinear"),
    Case("upsample-bilinear-extent", "input 2x3x4; upsample 3x4 mode=bilinear"),
    Case("upsample-bilinear-one-axis", "input 2x3x4; upsample 5x1 mode=bilinear"),
    Case("upsample-bilinear-none", "input 2x3x4; upsample 1 mode=bilinear"),
    Case("upsample-bilinear-pixel", "input 2x1x2; upsample 3 mode=bilinear"),
    Case("upsample-bilinear-sequence", "input 2x5; upsample 3 mode=bilinear"),
    Case("upsample-bilinear-volume", "input 2x2x3x2; upsample 2x3x4 mode=bilinear"),
    Case("upsample-bilinear-conv", "input 2x3x4; conv 3 k=2; upsample 2 mode=bilinear; conv 2 k=3 p=1"),
    Case("maxout", "input 6x3x4; maxout 2"),
    Case("maxout-all", "input 5x3x4; maxout 5"),
    Case("maxout-one", "input 3x4x5; maxout 1"),
    Case("maxout-vector", "input 5; fc 12; maxout 4"),
    Case("maxout-sequence", "input 6x5; maxout 3"),
    Case("maxout-volume", "input 4x2x3x4; maxout 2"),
    # filter: fixed kernels
    *(
        Case(f"filter-{name}", f"input 2x5x6; filter {name}")
        for name in (
            *("sobel_x", "sobel_y", "prewitt_x", "prewitt_y", "scharr_x", "scharr_y", "laplacian", "log"),
            *("sharpen", "edge_enhance", "emboss", "box", "gaussian", "gabor", "identity"),
        )
    ),
    Case("filter-box-size", "input 2x7x6; filter box k=3x5"),
    Case("filter-gaussian-size", "input 2x7x6; filter gaussian k=5"),
    Case("filter-gaussian-sigma", "input 2x7x6; filter gaussian sigma=0.8 k=5 s=2"),
    Case("filter-log-sigma", "input 2x9x8; filter log sigma=0.7 p=valid"),
    Case(
        "filter-gabor-settings", "input 2x7x6; filter gabor angle=30 wavelength=3.5 sigma=1.2 phase=40 aspect=0.6 k=7"
    ),
    Case("filter-large", "input 2x7x6; filter gabor angle=30 wavelength=9 k=21x23"),
    Case("filter-large-stride", "input 2x30x25; filter gaussian k=21 s=2x3 p=[1,0,2,4]"),
    Case("filter-flip", "input 2x5x6; filter emboss flip=true"),
    Case("filter-flip-odd", "input 2x5x6; filter sobel_x flip=true s=2 p=valid"),
    Case("filter-flip-numbers", "input 2x5x6; filter [[1, 2, 3], [4, 5, 6]] flip=true p=[1,0,0,1]"),
    Case("filter-flip-sequence", "input 3x7; filter [1, 2, -3] flip=true"),
    Case("filter-flip-volume", "input 1x3x4x3; filter [[[1, -1], [2, 0]], [[0, 3], [-2, 1]]] flip=true p=1"),
    Case("filter-numbers", "input 3x5x6; filter [[1, 0.5, -2], [0, -1, 3]]"),
    Case("filter-stride", "input 2x7x6; filter gaussian s=2"),
    Case("filter-valid", "input 2x5x6; filter box p=valid"),
    Case("filter-pad-sides", "input 2x5x6; filter sobel_x s=1x2 p=[0,2,1,3]"),
    Case("filter-full", "input 2x4x5; filter [[1, 2], [3, 4]] p=full"),
    Case("filter-sequence", "input 3x7; filter [-1, 0, 2] s=2"),
    Case("filter-causal", "input 2x7; filter [0.2, 0.3, 0.5] p=causal"),
    Case("filter-volume", "input 2x3x4x3; filter [[[1, -1], [2, 0]], [[0, 3], [-2, 1]]] p=1"),
    Case("filter-one-channel", "input 1x5x6; filter sharpen; conv 2 k=2"),
    # uint8 inputs
    Case("input-uint8", "input 3x5x4 dtype=uint8; conv 2 k=2"),
    Case("input-uint8-normalized", "input 3x4x4 dtype=uint8; normalize mean=[0.4, 0.5, 0.6] std=0.2; fc 3"),
    Case("input-uint8-vector", "input 6 dtype=uint8; fc 3"),
    # networks of several layers and outputs
    Case("two-outputs", "input 2x4x5; a: conv 3 k=2; b: tanh; from a; c: sigmoid; output b c"),
    Case("unused-layer", "input 2x4x5; a: conv 3 k=2; b: fc 4; from a; c: tanh"),
    Case(
        "small-net",
        "input 1x8x8; conv 4 k=3 p=1 bias=false; bn; tanh; pool max k=2; conv 6 k=3 groups=2; sigmoid; "
        "pool avg k=2; dropout 0.25; fc 8; bn; relu; fc 3; softmax",
    ),
    # flip: convolution with a flipped kernel
    Case("flip", "input 3x7x6; conv 4 k=3x2 flip=true"),
    Case("flip-1d-causal", "input 2x8; conv 3 k=3 p=causal flip=true"),
    Case("flip-3d", "input 2x4x5x4; conv 2 k=2x3x2 s=1x2x1 p=1 flip=true"),
    Case("flip-stride-dilated", "input 2x9x8; conv 3 k=3x2 s=2 d=2x1 p=1 flip=true"),
    Case("flip-groups", "input 4x6x5; conv 6 k=3x2 groups=2 flip=true bias=false"),
    Case("flip-depthwise", "input 3x6x5; conv 3 k=3x2 p=1 groups=c_in flip=true"),
    Case("flip-same-even", "input 2x6x5; conv 3 k=4x2 p=same flip=true"),
    Case("flip-bn", "input 2x6x5; conv 3 k=3x2 flip=true; bn"),
    Case("flip-shared", "input 2x6x6; a: conv 2 k=3 p=1 flip=true; tanh; conv 2 k=3 flip=true share=a"),
    Case(
        "flip-shared-unturned",
        "input 2x6x6; a: conv 2 k=3 p=1; tanh; conv 2 k=3 p=1 flip=true share=a; conv 2 k=3 share=a",
    ),
    Case("flip-shared-turned-first", "input 2x6x6; a: conv 2 k=3 p=1 flip=true; tanh; conv 2 k=3 p=1 share=a"),
    # conv_transpose, one axis
    Case("transposed1d", "input 2x5; conv_transpose 3 k=3"),
    Case("transposed1d-stride", "input 2x5; conv_transpose 3 k=4 s=2 p=1"),
    Case("transposed1d-output-pad", "input 2x5; conv_transpose 3 k=3 s=3 p=[0,2] output_pad=2"),
    Case("transposed1d-dilated", "input 2x5; conv_transpose 3 k=3 s=2 d=3"),
    Case("transposed1d-groups", "input 4x5; conv_transpose 6 k=3 s=2 groups=2 bias=false"),
    # conv_transpose, two axes
    Case("transposed", "input 3x4x5; conv_transpose 4 k=3x2"),
    Case("transposed-no-bias", "input 3x4x5; conv_transpose 4 k=2 bias=false"),
    Case("transposed-pointwise", "input 3x4x5; conv_transpose 4 k=1"),
    Case("transposed-pointwise-stride", "input 2x3x4; conv_transpose 3 k=1 s=2 output_pad=1"),
    Case("transposed-one-pixel", "input 5x1x1; conv_transpose 3 k=4x3"),
    Case("transposed-doubling", "input 3x4x3; conv_transpose 2 k=2 s=2"),
    Case("transposed-gaps", "input 2x3x4; conv_transpose 3 k=2 s=3x4"),
    Case("transposed-pad", "input 2x5x4; conv_transpose 3 k=3 p=1"),
    Case("transposed-pad-sides", "input 2x5x4; conv_transpose 3 k=3 s=2x1 p=[0,1,2,0]"),
    Case("transposed-pad-wide", "input 2x5x6; conv_transpose 3 k=2x1 p=2"),
    Case("transposed-pad-wide-stride", "input 2x5x6; conv_transpose 3 k=2x1 s=2 p=3x4"),
    Case("transposed-output-pad", "input 2x4x5; conv_transpose 3 k=3 s=2x3 p=1 output_pad=1x2"),
    Case("transposed-output-pad-over-pad", "input 2x4x5; conv_transpose 3 k=2 s=3 output_pad=2x1"),
    Case("transposed-valid", "input 2x4x5; conv_transpose 3 k=3 s=2 p=valid"),
    Case("transposed-same", "input 2x4x5; conv_transpose 3 k=3x4 s=2 p=same"),
    Case("transposed-same-stride-one", "input 2x4x5; conv_transpose 3 k=3x4 p=same"),
    Case("transposed-same-output-pad", "input 2x4x3; conv_transpose 3 k=2 s=3 p=same output_pad=1x2"),
    Case("transposed-dilated", "input 2x4x5; conv_transpose 3 k=3x2 d=2x3"),
    Case("transposed-dilated-stride-pad", "input 2x4x5; conv_transpose 3 k=2x3 s=3x2 d=2 p=2"),
    Case("transposed-extents", "input 2x3x4; conv_transpose 3 kernel=2x3 stride=1x2 pad=1x0 dilation=2x1"),
    Case("transposed-groups", "input 4x4x3; conv_transpose 6 k=3x2 s=2 groups=2 p=1"),
    Case("transposed-groups-stride-one", "input 6x4x3; conv_transpose 4 k=3x2 groups=2"),
    Case("transposed-depthwise", "input 3x4x3; conv_transpose c_in k=4 s=2 p=1 groups=c_in"),
    Case("transposed-depthwise-no-bias", "input 3x4x3; conv_transpose c_in k=3x2 groups=c_in bias=false"),
    Case("transposed-depthwise-multiplier", "input 3x4x3; conv_transpose 6 k=2 s=2 groups=c_in"),
    Case("transposed-after-conv", "input 2x6x5; conv 4 k=3 s=2 p=1; tanh; conv_transpose 2 k=3 s=2 p=1 output_pad=1x0"),
    Case("transposed-bn", "input 3x4x3; conv_transpose 2 k=3 s=2; bn"),
    Case("transposed-bn-no-bias", "input 3x4x3; conv_transpose 2 k=3 bias=false; bn affine=false"),
    Case("transposed-bn-groups", "input 4x4x3; conv_transpose 6 k=2 s=2 groups=2; bn"),
    Case("transposed-bn-depthwise", "input 3x6; conv_transpose 3 k=3 groups=c_in bias=false; bn"),
    Case("transposed-many-channels", "input 2x3x4; conv_transpose 18 k=3x2 s=2x3 p=1x0"),
    Case("transposed-many-channels-gaps", "input 2x3x4; conv_transpose 17 k=2x1 s=3x2 p=[1,0,0,1] output_pad=2x1"),
    Case("transposed-many-channels-dilated", "input 2x4x3; conv_transpose 17 k=3x4 s=2x3 d=3x2 p=[4,1,0,3]"),
    Case("transposed-many-channels-crop", "input 2x5x6; conv_transpose 17 k=2x1 s=2x3 p=[3,4,0,5]"),
    Case("transposed1d-many-channels", "input 2x5; conv_transpose 17 k=5 s=3 d=2 p=2"),
    Case("transposed3d-many-channels", "input 2x2x3x2; conv_transpose 17 k=2x3x1 s=2x1x3"),
    Case("conv-many-channels-stride", "input 17x6x7; conv 2 k=3x2 s=2x3 p=[1,0,0,2]"),
    Case("conv-many-channels-unread", "input 17x8x6; conv 2 k=2 s=3x4 d=2x1"),
    Case("conv-many-channels-pad-wide", "input 17x4x5; conv 2 k=2 s=2x3 p=[3,0,0,4]"),
    # conv_transpose, three axes
    Case("transposed3d", "input 2x2x3x2; conv_transpose 3 k=2x1x3"),
    Case("transposed3d-stride-pad", "input 2x2x3x4; conv_transpose 2 k=3 s=2x1x3 p=1 output_pad=1x0x2"),
    Case("transposed3d-dilated-groups", "input 4x2x3x2; conv_transpose 4 k=2 s=2 d=2x1x3 groups=2"),
    Case("transposed3d-bn", "input 2x2x3x2; conv_transpose 3 k=2; bn"),
    # add
    Case("add", "input 3x4x5; add { conv 3 k=3 p=1 } { }"),
    Case("add-names", "input 2x4x5; a: conv 3 k=1; b: conv 3 k=3 p=1; from a; add b"),
    Case("add-three", "input 2x4x5; add { conv 3 k=1 } { conv 3 k=3 p=1 } { conv 3 k=1; tanh }"),
    Case("add-five", "input 2x3x4; add { } { tanh } { conv 2 k=1 } { sigmoid } { conv 2 k=3 p=1 }"),
    Case("add-itself", "input 2x3x4; a: tanh; add a"),
    Case("add-vectors", "input 5; add { fc 4 } { fc 4; tanh }"),
    Case("add-channel-bias", "input 2x4x5; add { conv 3 k=1 } { fc 3; reshape 3x1x1 }"),
    Case("add-map", "input 2x4x5; add { conv 1 k=1 } { conv 3 k=1 }"),
    Case("add-crosswise", "input 2x4x5; add { conv 3 k=4x1 } { conv 1 k=1x5 }"),
    Case("add-three-broadcast", "input 2x4x5; add { conv 1 k=1x5 } { conv 3 k=1 } { conv 3 k=4x1 }"),
    Case("add-scalar", "input 4; add { fc 1 } { }"),
    Case("add-sequences", "input 3x6; add { conv 3 k=3 p=causal } { conv 1 k=1 }"),
    Case("add-volumes", "input 2x2x3x4; add { conv 2 k=1 } { conv 1 k=2x3x4 }"),
    # sub
    Case("sub", "input 3x4x5; sub { conv 2 k=1 } { conv 2 k=3 p=1 }"),
    Case("sub-broadcast", "input 3x4x5; sub { conv 1 k=4x1 } { conv 2 k=1x5 }"),
    Case("sub-pool", "input 2x4x5; sub { } { pool avg k=3 s=1 p=1 }"),
    Case("sub-vectors", "input 5; sub { fc 4 } { fc 1 }"),
    # mul
    Case("mul", "input 3x4x5; mul { conv 2 k=1 } { conv 2 k=3 p=1; sigmoid }"),
    Case("mul-three", "input 3x4x5; mul { conv 2 k=1 } { conv 2 k=3 p=1 } { conv 2 k=1; tanh }"),
    Case(
        "mul-five-broadcast",
        "input 2x3x4; mul { conv 2 k=1 } { conv 1 k=1 } { conv 2 k=3x4 } { conv 1 k=3x1 } { tanh }",
    ),
    Case("mul-itself", "input 2x3x4; a: tanh; mul a"),
    Case("mul-zeros", "input 2x3x4; mul { conv 2 k=1 } { relu } { relu }"),
    Case("mul-gate", "input 4x4x5; mul { } { pool avg k=4x5; conv 2 k=1; tanh; conv 4 k=1; sigmoid }"),
    Case("mul-spatial-gate", "input 3x4x5; mul { } { conv 1 k=3 p=1; sigmoid }"),
    Case("mul-vectors", "input 5; mul { fc 4 } { fc 1; sigmoid }"),
    # maximum
    Case("maximum", "input 3x3x4; maximum { conv 2 k=1 } { conv 2 k=3 p=1 }"),
    Case("maximum-three", "input 2x2x3; maximum { conv 2 k=1 } { conv 2 k=3 p=1 } { tanh }"),
    Case("maximum-broadcast", "input 2x2x3; maximum { conv 2 k=1x3 } { conv 1 k=1 } { conv 1 k=2x1 }"),
    Case("maximum-vectors", "input 5; maximum { fc 4 } { fc 4 }"),
    # concat
    Case("concat", "input 2x4x5; concat { conv 3 k=1 } { conv 1 k=3 p=1; tanh }"),
    Case("concat-four", "input 2x4x5; concat { conv 1 k=1 } { } { conv 3 k=3 p=1 } { tanh }; conv 2 k=2"),
    Case("concat-itself", "input 2x4x5; a: tanh; concat a a"),
    Case("concat-vectors", "input 5; concat { fc 4 } { } { fc 1 }; fc 3"),
    Case("concat-sequences", "input 2x6; concat { conv 3 k=3 p=1 } { }"),
    Case("concat-volumes", "input 2x2x3x2; concat { conv 1 k=1 } { }"),
    # bilinear
    Case("bilinear", "input 7; a: fc 4; from input1; b: fc 3; bilinear a b"),
    Case("bilinear-outputs", "input 7; a: fc 4; from input1; b: fc 3; bilinear a b out=5"),
    Case("bilinear-one-by-one", "input 7; a: fc 1; from input1; b: fc 1; bilinear a b out=2"),
    Case("bilinear-images", "input 2x3x2; a: conv 3 k=1x2; from input1; b: conv 2 k=2; bilinear a b out=3; tanh"),
    Case("bilinear-itself", "input 5; a: tanh; bilinear a a"),
    Case("bilinear-two-inputs", "a: input 4; b: input 2x3; bilinear a b out=2"),
    # int64 inputs and embed
    Case("embed", "input 6 dtype=int64; embed 4 vocab=9", ranges={"input1": (0, 9)}),
    Case("embed-one-word", "input 1 dtype=int64; embed 3 vocab=2", ranges={"input1": (0, 2)}),
    Case("embed-one-dimension", "input 5 dtype=int64; embed 1 vocab=4", ranges={"input1": (0, 4)}),
    Case("embed-repeated", "input 12 dtype=int64; embed 3 vocab=9; conv 2 k=3", ranges={"input1": (2, 5)}),
    Case(
        "embed-conv-fc", "input 7 dtype=int64; embed 4 vocab=9; conv 3 k=3 p=1; tanh; fc 2", ranges={"input1": (0, 9)}
    ),
    Case(
        "embed-rearranged",
        "input 2x5 dtype=int64; select [1, 0, 1]; slice 1 4 axis=1; flatten; embed 3 vocab=6",
        ranges={"input1": (0, 6)},
    ),
    Case(
        "embed-joined",
        "a: input 3 dtype=int64; b: input 4 dtype=int64; concat a b; crop_: slice 1; embed 3 vocab=6",
        ranges={"a": (0, 6), "b": (0, 6)},
    ),
    Case(
        "embed-shared",
        "q: input 4 dtype=int64; e: embed 3 vocab=6; d: input 4 dtype=int64; embed 3 vocab=6 share=e; sub e",
        ranges={"q": (0, 6), "d": (0, 6)},
    ),
    Case(
        "embed-twice-read",
        "i: input 5 dtype=int64; a: embed 3 vocab=6; from i; b: embed 2 vocab=8; concat a b",
        ranges={"i": (0, 6)},
    ),
    Case(
        "integers-out",
        "i: input 5 dtype=int64; a: embed 3 vocab=6; from i; b: slice 1 4; output a b",
        ranges={"i": (1, 6)},
        skip={"gradient": "integers have none"},
    ),
    # pad
    Case("pad", "input 2x3x4; pad 2"),
    Case("pad-value", "input 2x3x4; conv 2 k=1; pad 1x2 value=-0.5; conv 3 k=3"),
    Case("pad-sides", "input 2x3x4; pad [0, 1, 2, 0] value=3"),
    Case("pad-none", "input 2x3x4; tanh; pad 0"),
    Case("pad-1d", "input 2x5; pad [3, 1]"),
    Case("pad-3d", "input 2x2x3x2; pad 1x0x2 value=1"),
    # pad before a pool, which has padding itself
    Case("pad-pool-max", "input 2x5x6; pad 1; pool max k=2", skip=TIED),
    Case("pad-pool-max-wide", "input 2x3x4; pad 1x3; pool max k=2 s=1x2", skip=TIED),
    Case("pad-pool-max-pad", "input 2x4x5; pad 2; pool max k=3 s=2 p=1", skip=TIED),
    Case("pad-pool-max-1d", "input 2x7; pad 2; pool max k=2", skip=TIED),
    Case("pad-pool-avg-wide", "input 2x3x4; pad 1x3; pool avg k=2"),
    Case("pad-pool-avg-pad", "input 2x3x4; pad 2; pool avg k=2 p=1"),
    Case("pad-pool-avg-counted", "input 2x3x4; pad 2; pool avg k=2 p=1 count_pad=true"),
    Case("pad-pool-unpool", "input 2x4x5; pad 1; q: pool max k=2 p=[1,0,0,1]; scale 2; unpool q", skip=TIED),
    # crop, slice, select
    Case("crop", "input 2x7x6; crop 4x3"),
    Case("crop-offset", "input 2x7x6; crop 4x3 offset=0x3"),
    Case("crop-all", "input 2x4x5; tanh; crop 4x5"),
    Case("crop-1d", "input 3x8; conv 2 k=3; crop 3"),
    Case("crop-3d", "input 2x4x3x5; crop 2x3x2 offset=1x0x2"),
    Case("slice-channels", "input 5x3x4; slice 1 4"),
    Case("slice-negative", "input 5x3x4; slice -3 -1; conv 2 k=2"),
    Case("slice-to-end", "input 5x3x4; conv 4 k=2; slice 1"),
    Case("slice-last", "input 5x3x4; slice -1"),
    Case("slice-rows", "input 2x6x4; slice 1 5 axis=1"),
    Case("slice-columns", "input 2x3x6; slice -4 axis=2"),
    Case("slice-depth", "input 2x3x2x5; slice 1 -1 axis=3"),
    Case("slice-vector", "input 7; slice 2 5"),
    Case("slice-halves", "input 6x3x4; x: tanh; a: slice 0 3; from x; b: slice 3; sigmoid; mul a"),
    Case("select", "input 4x3x5; select [2, 0]"),
    Case("select-repeated", "input 4x3x5; conv 3 k=1; select [2, 0, 2, -1, 2]"),
    Case("select-one", "input 4x3x5; select 1"),
    Case("select-rows", "input 2x5x3; select [-1, 0, 0] axis=1"),
    Case("select-columns", "input 2x3x5; select [4, 1] axis=2"),
    Case("select-depth", "input 2x3x2x4; select [3, -4] axis=3"),
    Case("select-vector", "input 6; select [5, 5, 0]; fc 2"),
    # channel_shuffle, depth_to_space, space_to_depth
    Case("channel-shuffle", "input 6x3x4; channel_shuffle 2"),
    Case("channel-shuffle-three", "input 6x3x4; conv 12 k=1 groups=3; channel_shuffle 3; conv 6 k=1 groups=3"),
    Case("channel-shuffle-one", "input 4x3x2; tanh; channel_shuffle 1"),
    Case("channel-shuffle-all", "input 4x3x2; channel_shuffle 4"),
    Case("channel-shuffle-vector", "input 6; channel_shuffle 3; fc 2"),
    Case("channel-shuffle-1d", "input 6x5; channel_shuffle 2"),
    Case("channel-shuffle-3d", "input 6x2x3x2; channel_shuffle 3"),
    Case("depth-to-space", "input 8x3x2; depth_to_space 2"),
    Case("depth-to-space-three", "input 9x2x3; depth_to_space 3"),
    Case("depth-to-space-upscaling", "input 2x3x4; conv 12 k=3 p=1; depth_to_space 2; tanh"),
    Case("depth-to-space-one", "input 3x2x4; tanh; depth_to_space 1"),
    Case("space-to-depth", "input 3x4x6; space_to_depth 2"),
    Case("space-to-depth-three", "input 2x3x6; space_to_depth 3"),
    Case("space-to-depth-conv", "input 1x4x6; space_to_depth 2; conv 3 k=2"),
    Case("space-to-depth-and-back", "input 3x4x6; space_to_depth 2; tanh; depth_to_space 2"),
    # share: shared weights
    Case("share-conv", "input 2x6x6; a: conv 2 k=3 p=1; tanh; conv 2 k=3 p=1 share=a; tanh; conv 2 k=3 share=a"),
    Case(
        "share-conv-other-stride", "input 2x7x6; a: conv 2 k=3; from input1; b: conv 2 k=3 s=2 p=1 share=a; output a b"
    ),
    Case("share-conv-bn", "input 2x6x6; a: conv 2 k=3 p=1; bn; conv 2 k=3 p=1 share=a; bn"),
    Case("share-conv-transpose", "input 2x3x4; a: conv_transpose 2 k=2; tanh; conv_transpose 2 k=2 s=2 share=a"),
    Case("share-fc", "input 5; a: fc 5; tanh; fc 5 share=a; sigmoid; fc 5 share=a"),
    Case("share-fc-bn", "input 5; a: fc 5; bn; fc 5 share=a; bn"),
    Case("share-bn", "input 3x4x4; a: bn; tanh; bn share=a; sigmoid; bn share=a"),
    Case("share-bn-plain", "input 3x4x4; a: bn affine=false; tanh; bn affine=false share=a"),
    Case("share-group-norm", "input 4x4x3; a: group_norm groups=2; tanh; group_norm groups=2 share=a"),
    Case("share-instance-norm", "input 3x4x3; a: instance_norm; tanh; instance_norm share=a"),
    Case("share-layer-norm", "input 3x4x3; a: layer_norm; tanh; layer_norm share=a"),
    Case("share-layer-norm-vector", "input 5; a: layer_norm; tanh; layer_norm share=a"),
    Case("share-affine", "input 3x4x3; a: affine; tanh; affine share=a"),
    Case("share-prelu", "input 3x4x3; a: prelu; conv 3 k=2; prelu share=a"),
    Case("share-bilinear", "q: input 4; d: input 4; a: bilinear q d; b: bilinear d q share=a; concat a b"),
    Case("share-bilinear-out", "q: input 4; d: input 4; a: bilinear q d out=3; bilinear d q out=3 share=a; sub a"),
    Case("share-unused-owner", "input 2x5x5; a: conv 2 k=3; from input1; b: conv 2 k=3 share=a; bn; output bn1"),
    Case(
        "share-tower",
        "block tower { conv 3 k=3; bn; tanh; fc 4 }; q: input 1x5x5; left: tower; "
        "d: input 1x5x5; right: tower share=left; bilinear left right",
    ),
    Case(
        "share-tower-of-words",
        "block tower { embed 3 vocab=7; conv 4 k=3 p=1; tanh; pool max k=5; fc 3 }; "
        "q: input 5 dtype=int64; left: tower; d: input 5 dtype=int64; right: tower share=left; "
        "s: bilinear left right; concat left s right; fc 2; softmax",
        ranges={"q": (0, 7), "d": (0, 7)},
    ),
    # init: only shows that every layer accepts it, as the drivers draw their own weights
    Case("init-conv", "input 2x5x4; conv 3 k=2 init=lecun"),
    Case("init-conv-transpose", "input 2x3x4; conv_transpose 3 k=2 init=xavier"),
    Case("init-fc", "input 6; fc 4 init=he"),
    Case("init-embed", "input 5 dtype=int64; embed 3 vocab=7 init=normal", ranges={"input1": (0, 7)}),
    # frozen weights
    Case("frozen-first", "input 2x6x6; conv 3 k=3 frozen=true; tanh; fc 2"),
    Case("frozen-middle", "input 2x6x6; conv 3 k=3; tanh; conv 2 k=2 frozen=true flip=true; tanh; fc 2"),
    Case("frozen-last", "input 2x6x6; conv 3 k=3; tanh; fc 2 frozen=true"),
    Case(
        "frozen-all", "input 2x5x5; conv 3 k=3 frozen=true groups=1; conv_transpose 2 k=2 frozen=true; fc 2 frozen=true"
    ),
    Case("frozen-shared", "input 2x6x6; a: conv 2 k=3 p=1 frozen=true; tanh; conv 2 k=3 share=a; fc 2"),
    Case("frozen-embed", "input 5 dtype=int64; embed 3 vocab=6 frozen=true; conv 2 k=2", ranges={"input1": (0, 6)}),
    Case("frozen-bn", "input 2x6x6; conv 3 k=3 frozen=true; bn; conv_transpose 2 k=2 s=2 frozen=true; bn"),
    # weights and biases given in the source; the drivers keep them
    Case("given-conv", "input 1x5x6; conv 1 k=3 weights=[[0, 1, 0], [1, -4, 1], [0, 1, 0]]"),
    Case("given-conv-bias", "input 1x5x6; conv 2 k=1x2 weights=[[[[1, -1]]], [[[0.5, 1e-3]]]] biases=[1, -2]"),
    Case("given-conv-one-bias", "input 2x3x4; conv 2 k=1 biases=0.25; relu; bn"),
    Case("given-conv-same-numbers", "input 1x4x5; conv 1 k=2 weights=[[1, 1], [1, 1]] biases=1; bn"),
    Case("given-conv-flip", "input 1x5x6; conv 1 k=2x3 weights=[[1, 2, 3], [4, 5, 6]] flip=true bias=false"),
    Case("given-conv-groups", "input 2x4x5; conv 2 k=2 groups=2 weights=[[[[1, 2], [3, 4]]], [[[-1, 0], [0.5, 2]]]]"),
    Case("given-conv1d", "input 1x7; conv 1 k=3 weights=[1, 0, -1] p=causal"),
    Case("given-conv3d", "input 1x3x4x3; conv 1 k=2 weights=[[[1, -1], [2, 0]], [[0, 3], [-2, 1]]] biases=[0.5]"),
    Case(
        "given-conv-transpose",
        "input 2x3x4; conv_transpose 1 k=2 s=2 weights=[[[[1, 2], [3, 4]]], [[[0, 1], [-1, 0.5]]]] biases=-1",
    ),
    Case(
        "given-conv-transpose-groups",
        "input 2x4; conv_transpose 4 k=2 groups=2 weights=[[[1, 2], [3, 4]], [[0, 1], [-1, 0.5]]] biases=[1, 2, 3, 4]",
    ),
    Case("given-local1d", "input 1x4; local 1 k=2 s=2 weights=[[1, -1], [2, 0.5]]"),
    Case(
        "given-local",
        "input 1x3x2; local 2 k=2 weights=[[[[[[1, 2], [3, 4]]], [[[0, 1], [-1, 0.5]]]]], "
        "[[[[[5, 6], [7, 8]]], [[[2, 1], [1, -2]]]]]] biases=[[[1], [2]], [[3], [-4]]]",
    ),
    Case("given-fc", "input 3; fc 2 weights=[[1, -2, 3], [0.5, 0, -1]] biases=[0.1, -0.1]; tanh; fc 1 weights=[2, -1]"),
    Case("given-bilinear", "a: input 2; b: input 3; bilinear a b weights=[[1, 2, 3], [-1, 0, 0.5]]"),
    Case("given-bilinear-outputs", "a: input 1; b: input 2; bilinear a b out=2 weights=[[[1, 2]], [[3, -4]]]"),
    Case(
        "given-embed",
        "input 4 dtype=int64; embed 2 vocab=3 weights=[[0, 1], [1, 0], [-1, 0.5]]",
        ranges={"input1": (0, 3)},
    ),
    Case(
        "given-frozen",
        "input 1x5x5; conv 1 k=3 weights=[[0, 1, 0], [1, -4, 1], [0, 1, 0]] frozen=true; a: fc 2; "
        "b: fc 2 weights=[[1, 2], [3, 4]] biases=0 frozen=true; bilinear a b weights=[[1, 2], [3, 4]] frozen=true",
    ),
    Case(
        "given-shared", "input 1x6x6; a: conv 1 k=3 p=1 weights=[[0, 1, 0], [1, -4, 1], [0, 1, 0]]; conv 1 k=3 share=a"
    ),
    # networks with branches, skips, several inputs and outputs
    Case(
        "residual",
        "input 2x5x6; conv 3 k=3 p=1; tanh; add { conv 3 k=3 p=1 bias=false; bn; tanh; conv 3 k=3 p=1 bias=false; bn } { }; "
        "tanh; add { conv 4 k=3 s=2 p=1; bn } { conv 4 k=1 s=2; bn }; fc 3",
    ),
    Case(
        "inception",
        "input 2x4x5; concat { conv 2 k=1 } { conv 1 k=1; tanh; conv 2 k=3 p=1 } { pool max k=3 s=1 p=1; conv 1 k=1 }; fc 3",
    ),
    Case(
        "dense-block",
        "input 2x4x5; concat { } { conv 2 k=3 p=1 }; concat { } { conv 2 k=3 p=1 }; concat { } { conv 1 k=1 }",
    ),
    Case(
        "u-net",
        "input 2x8x4; e: conv 3 k=3 p=1; tanh; pool max k=2; conv 4 k=3 p=1; tanh; "
        "conv_transpose 3 k=2 s=2; concat e; conv 2 k=3 p=1",
    ),
    Case("skip-in-a-branch", "input 2x4x5; x: tanh; add { conv 2 k=1; s: tanh; mul x } { concat { } { }; conv 2 k=1 }"),
    Case("two-inputs", "a: input 2x4x5; conv 3 k=2; f: fc 4; b: input 6; fc 4; tanh; mul f"),
    Case("two-inputs-one-learned", "a: input 2x4x5; c: conv 2 k=1; b: input 2x4x5; add c; mul b"),
    Case("uint8-beside-float", "a: input 2x3x4 dtype=uint8; b: input 2x3x4; c: conv 2 k=1; add a b c"),
    Case("three-outputs", "input 2x4x5; a: conv 3 k=2; b: tanh; c: fc 4; from b; d: slice 0 2; output a d c"),
    Case("output-in-the-middle", "input 2x4x5; a: conv 3 k=2; b: tanh; c: fc 4; output a b c"),
)


def cases_for(driver: Driver) -> list[Any]:
    """The rows as parameters of a test; those that the driver skips carry a skip mark with the reason."""
    return [
        pytest.param(
            case, id=case.id, marks=[pytest.mark.skip(reason=case.skip[driver])] if driver in case.skip else []
        )
        for case in CASES
    ]


def all_attributes() -> set[tuple[str, str]]:
    """Every (layer keyword, argument name) of the language."""
    return {(keyword, spec.name) for keyword, op in OPS.items() for spec in op.arguments}


DEFAULT = "the default"


def default_of(spec: ArgumentSpec, rank: int) -> Any:
    """The default as the op holds it: 1.0 for 1, (1, 1) for 1 per axis."""
    return None if spec.default is None else spec.kind.take(spec.default, rank)


def varied_attributes(cases: Iterable[Case] = CASES) -> frozenset[tuple[str, str]]:
    """The pairs that some row sets to a value other than the default; for a required argument, that two rows set differently."""
    values: dict[tuple[str, str], set[str]] = {}
    for case in cases:
        graph = graph_of(case)
        for node in graph.nodes:
            rank = next((type_.rank for type_ in graph.input_types(node)), node.type.rank)
            for spec in node.op.arguments:
                seen = values.setdefault((node.op.keyword, spec.name), set() if spec.required else {DEFAULT})
                value = getattr(node.op, spec.name)
                seen.add(DEFAULT if not spec.required and value == default_of(spec, rank) else repr(value))
    return frozenset(pair for pair, seen in values.items() if len(seen) > 1)


def graph_of(case: Case) -> Graph:
    """The row's graph, made once: no test can change it."""
    return network_of(case).require_graph()


def network_of(case: Case) -> Network:
    """The row's network, checked once."""
    return _network(case.id, case.text)


@cache
def _network(name: str, text: str) -> Network:
    return check(text, name=name)


def random_weights(graph: Graph, seed: int, dtype: Any = np.float32) -> Weights:
    """Random weights in which no mistake can hide: no array is all 0 or all 1, and variances are positive and not 1.

    Numbers that the source gives stay as they are.
    """
    given = initialize(graph, seed, dtype)
    weights = {}
    for name, parameter in graph.weights.items():
        if parameter.is_given:
            weights[name] = given[name]
            continue
        random = np.random.default_rng([seed, *name.encode()])
        if parameter.name in ("scale", "var"):
            values = random.uniform(0.5, 2, parameter.shape)
        else:
            values = random.normal(0, max(parameter.fan_in, 4) ** -0.5, parameter.shape)
        weights[name] = values.astype(dtype)
    return weights


def random_feeds(case: Case, graph: Graph, batch: int, seed: int, dtype: Any = np.float32) -> dict[str, Array]:
    """A random batch for each input, from the row's ranges: arrays of shape (batch, C, H, W)."""
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
