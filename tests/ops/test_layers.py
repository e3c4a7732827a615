"""Layers as data: output type, parameters, MACs, windows and errors, against numbers worked out by hand."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from cnnc.core.arguments import BadValue, Extents, WordValue
from cnnc.core.tensor import Parameter, TensorType, format_shape
from cnnc.network import check
from cnnc.ops import OPS, Op, ShapeError, Window
from cnnc.ops.activation import Activation, Clip, HardTanh, Prelu
from cnnc.ops.base import INITS, trainable_count
from cnnc.ops.conv import Conv, ConvTranspose
from cnnc.ops.dense import Bilinear, Fc
from cnnc.ops.filter import Filter
from cnnc.ops.kernels import NAMED
from cnnc.ops.local import Local
from cnnc.ops.merge import Add, Concat, Maximum, Merge, Mul, Sub
from cnnc.ops.norm import GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnc.ops.pool import GlobalPool, Maxout, Pool, Unpool, Upsample
from cnnc.ops.reshape import ChannelShuffle, Crop, DepthToSpace, Pad, Select, Slice, SpaceToDepth
from cnnc.ops.sequence import Embed
from cnnc.ops.spectrogram import Spectrogram
from cnnc.reference.initializers import initialize


def tensor(text: str) -> TensorType:
    """`3x32x32`, or `20:int64`."""
    shape, _, dtype = text.partition(":")
    return TensorType(tuple(int(n) for n in shape.split("x")), "int64" if dtype == "int64" else "float32")


def make(keyword: str, rank: int = 2, **values: Any) -> Op:
    """A layer from values of the language; strings stand for bare words."""
    return OPS[keyword].make(rank=rank, **{k: WordValue(v) if isinstance(v, str) else v for k, v in values.items()})


def failure(op: Op, *inputs: str) -> ShapeError:
    with pytest.raises(ShapeError) as caught:
        op.output(*map(tensor, inputs))
    return caught.value


# --- every layer: output type, parameters, MACs, texts -------------------------------------------------------


class Row(NamedTuple):
    keyword: str
    values: dict[str, Any]
    inputs: str
    output: str
    parameters: int = 0
    macs: int = 0

    @property
    def types(self) -> tuple[TensorType, ...]:
        return tuple(map(tensor, self.inputs.split()))

    @property
    def op(self) -> Op:
        return make(self.keyword, self.types[0].rank if self.types else 0, **self.values)


ROWS = (
    Row("input", {"shape": Extents((3, 32, 32))}, "", "3x32x32"),
    Row("input", {"shape": 20, "dtype": "int64"}, "", "20:int64"),
    # 16·(3·3·3) + 16; each of 16·30·30 outputs 27
    Row("conv", {"out": 16, "k": 3}, "3x32x32", "16x30x30", 448, 388800),
    Row("conv", {"out": 16, "k": 3, "p": "same", "bias": False, "flip": True}, "3x32x32", "16x32x32", 432, 442368),
    Row("conv", {"out": 6, "k": 3, "groups": 3}, "3x32x32", "6x30x30", 60, 48600),
    Row("conv", {"out": 4, "k": 5, "s": 2}, "2x21", "4x9", 44, 360),
    Row("conv", {"out": 4, "k": 3, "init": "lecun", "frozen": True}, "2x5x5x5", "4x3x3x3", 220, 5832),
    # 3·16·2·2 + 16; each of 3·8·8 inputs writes 16·2·2
    Row("conv_transpose", {"out": 16, "k": 2, "s": 2}, "3x8x8", "16x16x16", 208, 12288),
    Row("conv_transpose", {"out": 4, "k": 3, "s": 2, "p": "same", "groups": 2}, "4x7x7", "4x14x14", 76, 3528),
    Row("conv_transpose", {"out": 4, "k": 3, "s": 2, "p": 1, "output_pad": 1}, "2x7x7", "4x14x14", 76, 3528),
    Row("conv_transpose", {"out": 1, "k": 4, "p": "valid", "bias": False}, "2x5", "1x8", 8, 40),
    # 30·30·16·(3·3·3) + 16·30·30; each of 16·30·30 outputs 27
    Row("local", {"out": 16, "k": 3}, "3x32x32", "16x30x30", 403200, 388800),
    Row("local", {"out": 16, "k": 3, "p": "same", "bias": False}, "3x32x32", "16x32x32", 442368, 442368),
    Row("local", {"out": 4, "k": 5, "s": 2}, "2x21", "4x9", 396, 360),
    Row("local", {"out": 4, "k": 3, "d": 2, "init": "lecun", "frozen": True}, "2x5x6x5", "4x1x2x1", 440, 432),
    Row("fc", {"out": 10}, "3x4x4", "10", 490, 480),
    Row("fc", {"out": 10, "bias": False, "share": "fc1"}, "48", "10", 480, 480),
    Row("bilinear", {"a": "q", "b": "d", "out": 3}, "5 7", "3", 105, 105),
    Row("bilinear", {"a": "q", "b": "d"}, "2x3 4x5x6", "1", 720, 720),
    Row("filter", {"numbers": "sobel_x"}, "3x32x32", "3x32x32", 0, 27648),
    Row("filter", {"numbers": ((1, 2), (3, 4)), "s": 2, "p": 0}, "3x32x32", "3x16x16", 0, 3072),
    Row("filter", {"numbers": (1, 0, -1), "p": "valid"}, "3x10", "3x8", 0, 72),
    Row("filter", {"numbers": (((1, 2), (3, 4)), ((5, 6), (7, 8))), "p": 0}, "1x3x3x3", "1x2x2x2", 0, 64),
    *(Row("pool", {"kind": kind, "k": 3, "s": 2, "p": 1}, "3x32x32", "3x16x16") for kind in ("max", "avg", "l2", "lp")),
    Row("pool", {"kind": "weighted", "k": 3, "s": 2, "p": 1}, "3x32x32", "3x16x16", 0, 6912),
    Row("pool", {"kind": "lp", "k": 2, "norm": 3}, "3x9", "3x4"),
    Row("pool", {"kind": "weighted", "k": 2, "sigma": 1.5, "count_pad": True}, "3x8x8x8", "3x4x4x4", 0, 1536),
    *(Row("global_pool", {"kind": kind}, "512x7x7", "512x1x1") for kind in ("max", "avg", "l2")),
    Row("global_pool", {"kind": "avg"}, "5x9", "5x1"),
    Row("global_pool", {"kind": "max"}, "5x9x8x7", "5x1x1x1"),
    Row("unpool", {"of": "pool1"}, "3x16x16 3x32x32", "3x32x32"),
    Row("upsample", {"n": 2}, "3x5x7", "3x10x14"),
    Row("upsample", {"n": Extents((2, 3)), "mode": "bilinear"}, "3x5x7", "3x10x21"),
    Row("upsample", {"n": 4}, "3x5", "3x20"),
    Row("maxout", {"n": 4}, "32x5x5", "8x5x5"),
    Row("maxout", {"n": 5}, "20", "4"),
    *(
        Row(word, {}, shape, shape)
        for word in [
            "abs",
            "relu",
            "elu",
            "leaky_relu",
            "selu",
            "sigmoid",
            "tanh",
            "softplus",
            "gelu",
            "silu",
            "relu6",
            "hard_sigmoid",
            "hard_swish",
            "hard_tanh",
            "mish",
            "softmax",
            "log_softmax",
            "identity",
            "dropout",
            "lrn",
        ]
        for shape in ("3x4x5", "7", "3x9", "2x3x4x5")
    ),
    Row("elu", {"alpha": 0.5}, "7", "7"),
    Row("leaky_relu", {"slope": 0.2}, "7", "7"),
    Row("clip", {"lo": 0, "hi": 1}, "3x4x5", "3x4x5"),
    Row("hard_tanh", {"lo": -2, "hi": 0.5}, "7", "7"),
    Row("scale", {"factor": 0.5}, "3x4x5", "3x4x5"),
    Row("drop_path", {"p": 0.1}, "3x4x5", "3x4x5"),
    Row("prelu", {}, "3x4x5", "3x4x5", 3),
    Row("bn", {}, "3x4x5", "3x4x5", 6),
    Row("bn", {"affine": False}, "7", "7", 0),
    Row("group_norm", {"groups": 3}, "12x4x5", "12x4x5", 24),
    Row("group_norm", {"groups": 3}, "12", "12", 24),
    Row("instance_norm", {}, "12x4x5", "12x4x5", 24),
    Row("layer_norm", {}, "12x4x5", "12x4x5", 24),
    Row("layer_norm", {}, "12", "12", 24),
    Row("affine", {}, "12x4x5", "12x4x5", 24),
    Row("normalize", {"mean": (0.1, 0.2, 0.3), "std": 2}, "3x4x5", "3x4x5"),
    Row("flatten", {}, "3x4x5", "60"),
    Row("flatten", {}, "3x4:int64", "12:int64"),
    Row("reshape", {"shape": Extents((6, 10))}, "3x4x5", "6x10"),
    Row("pad", {"n": 2}, "3x4x5", "3x8x9"),
    Row("pad", {"n": Extents((1, 2)), "value": -1}, "3x4x5", "3x6x9"),
    Row("pad", {"n": (1, 2, 3, 4)}, "3x4x5", "3x8x11"),
    Row("crop", {"size": 3}, "3x4x5", "3x3x3"),
    Row("crop", {"size": Extents((2, 5)), "offset": (2, 0)}, "3x4x5:int64", "3x2x5:int64"),
    Row("slice", {"begin": 1, "end": 3}, "5x4x5", "2x4x5"),
    Row("slice", {"begin": -2}, "5x4x6", "2x4x6"),
    Row("slice", {"begin": 1, "end": -1, "axis": 2}, "5x4x6", "5x4x4"),
    Row("slice", {"begin": 0, "end": 3}, "8:int64", "3:int64"),
    Row("select", {"indices": (2, 0, 2, 2)}, "3x4x5", "4x4x5"),
    Row("select", {"indices": 1, "axis": 1}, "3x4x5", "3x1x5"),
    Row("channel_shuffle", {"groups": 4}, "12x4x5", "12x4x5"),
    Row("depth_to_space", {"n": 2}, "12x4x5", "3x8x10"),
    Row("space_to_depth", {"n": 2}, "3x8x10", "12x4x5"),
    Row("spectrogram", {"k": 400, "s": 160}, "1x16000", "1x201x98", 0, 98 * 201 * 800),
    Row("spectrogram", {"k": 400, "s": 160, "mels": 40}, "1x16000", "1x40x98", 0, 98 * 199 * (800 + 40)),
    Row("spectrogram", {"k": 8, "s": 4, "fft": 12, "p": (4,)}, "2x20", "2x7x6", 0, 6 * 2 * 7 * 16),
    Row("embed", {"dim": 8, "vocab": 100}, "20:int64", "8x20", 800),
    Row("add", {}, "3x4x5 3x4x5", "3x4x5"),
    Row("add", {}, "3x4x5", "3x4x5"),
    Row("add", {}, "3x4x5 3x1x1 1x4x5 1x1x1", "3x4x5"),
    Row("sub", {}, "1x4x5 3x1x5", "3x4x5"),
    Row("mul", {}, "3x1x1 3x4x5", "3x4x5"),
    Row("mul", {}, "5 1", "5"),
    Row("maximum", {}, "3x4 3x4 3x4", "3x4"),
    Row("concat", {}, "3x4x5 8x4x5 1x4x5", "12x4x5"),
    Row("concat", {}, "3 4", "7"),
    Row("concat", {}, "3:int64 4:int64", "7:int64"),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.keyword}-{row.inputs.replace(' ', '-')}")
def test_output_type_parameters_and_macs_of_a_layer(row: Row) -> None:
    op, types = row.op, row.types
    assert op.output(*types) == tensor(row.output)
    assert trainable_count(op.parameters(*types)) == row.parameters
    assert op.macs(*types) == row.macs
    assert all(t.dtype in op.takes for t in types)
    if types and row.keyword != "embed":
        assert [len(op.reads(i, *types)) for i in range(len(types))] == [t.rank for t in types]
        assert op.windows(*types) == op.reads(0, *types)
    for line in op.explain(*types):
        if line.startswith("params") and row.keyword != "bn":
            assert f"{row.parameters:,}" in line
        if line.startswith("MACs"):
            assert line.endswith(f"= {row.macs:,}")
    assert op.brief() == op.brief().strip()


FORMULA = re.compile(r"(?<![\dx])((?:floor\(|ceil\(|\(|\d)[\d +\-·/().²]*) = ([\d,]+(?:\.\d+)?)(?![\dx])")


def test_the_formulas_of_a_layer_multiply_out() -> None:
    """`16·(3·3·3) + 16 = 448`: the left side is the right one, in every line that `--explain` prints."""
    lines = [line for row in ROWS for line in row.op.explain(*row.types)]
    assert [line for line in lines if "params = " in line and not FORMULA.search(line)] == [
        "params = 3 (one slope per channel)"
    ]
    formulas = [(line, *match) for line in lines for match in FORMULA.findall(line)]
    assert len(formulas) > 100
    for line, left, right in formulas:
        expression = left.replace("·", "*").replace("²", "**2")
        value = eval(expression, {"floor": math.floor, "ceil": math.ceil})
        assert f"{value:.2f}" == f"{float(right.strip(',').replace(',', '')):.2f}", line


def test_what_a_table_shows_of_a_layer_is_what_the_language_reads() -> None:
    """Except for a named filter, of which it shows the numbers too."""
    rows = [
        row for row in ROWS if len(row.types) == 1 and row.keyword != "add" and row.values.get("numbers") != "sobel_x"
    ]
    assert len(rows) > 140
    for row in rows:
        (x,) = row.types
        shared = "fc1: fc 10 bias=false; from input1; " if "share" in row.values else ""
        source = f"input {x} dtype={x.dtype}; {shared}{row.keyword} {row.op.brief()}"
        assert check(source).require_graph().nodes[-1].op == row.op, source


def test_every_layer_has_a_row() -> None:
    assert sorted(set(OPS) - {row.keyword for row in ROWS}) == []


@pytest.mark.parametrize("keyword", sorted(OPS))
def test_every_layer_is_documented(keyword: str) -> None:
    op = OPS[keyword]
    assert op.keyword == keyword
    assert op.__doc__ is not None
    first = op.__doc__.splitlines()[0]
    assert first.endswith((".", ":")) or ")" in first
    assert len(first) < 130
    assert op.example.split()[0] == keyword
    for spec in op.arguments:
        assert spec.help
        assert spec.kind.describe()
        if (
            spec.required
        ):  # for the message `conv needs the number of output channels`, `conv needs `k`, the window size`
            assert spec.help.startswith("the ") == spec.positional, (spec.name, spec.help)
        if not spec.required and spec.default is not None:
            spec.kind.take(spec.default, 2)


SYMBOLS = {
    "C": "channels", "H": "height", "W": "width, or the weight matrix of fc", "T": "length of a sequence",
    "M": "the matrix of bilinear", "A": "the article",
    "ONNX": "", "LRN": "an operator of ONNX", "DCR": "its mode", "CRD": "its mode", "SAME_UPPER": "its padding",
}  # fmt: skip
"""Words in capitals that a layer's docstring may use although they are not arguments, and their meanings."""


@pytest.mark.parametrize("keyword", sorted(OPS))
def test_capital_words_in_the_help_of_a_layer_are_its_arguments(keyword: str) -> None:
    """`cnnc ops` shows positional arguments in capitals: `slice BEGIN [END]`."""
    op = OPS[keyword]
    arguments = {spec.name.upper() for spec in op.arguments if spec.positional}
    texts = [op.__doc__ or "", *(spec.help for spec in op.arguments)]
    words = {word for text in texts for word in re.findall(r"\b[A-Z][A-Z0-9_]*\b", text)}
    assert sorted(words - arguments - set(SYMBOLS)) == [], "neither a positional argument nor listed in SYMBOLS"


def test_every_symbol_is_used() -> None:
    texts = " ".join(text for op in OPS.values() for text in (op.__doc__ or "", *(spec.help for spec in op.arguments)))
    assert sorted(set(SYMBOLS) - set(re.findall(r"\b[A-Z][A-Z0-9_]*\b", texts))) == []


ONE_LINE = sorted(k for k, op in OPS.items() if op.arity == 1 and k not in ("embed", "spectrogram"))


@pytest.mark.parametrize("keyword", ONE_LINE)
def test_the_example_of_a_layer_works(keyword: str) -> None:
    found = check(f"input 16x32x32; {OPS[keyword].example}", name=keyword)
    assert [d for d in found.diagnostics if d.severity == "error"] == []


def test_the_example_of_embed_works() -> None:
    assert check(f"input 20 dtype=int64; {Embed.example}", name="embed").require_graph().nodes[-1].type.shape == (
        64,
        20,
    )


def test_the_example_of_spectrogram_works() -> None:
    found = check(f"input 1x16000; {Spectrogram.example}", name="spectrogram")
    assert not found.diagnostics
    assert found.require_graph().nodes[-1].type.shape == (1, 40, 98)


@pytest.mark.parametrize(
    "keyword", ["conv", "conv_transpose", "local", "pool", "global_pool", "unpool", "upsample", "pad", "crop", "filter"]
)
def test_a_vector_has_no_window(keyword: str) -> None:
    values: dict[str, dict[str, Any]] = {
        **{word: {"out": 3, "k": 3} for word in ("conv", "conv_transpose", "local")},
        "pool": {"kind": "max", "k": 2},
        "global_pool": {"kind": "avg"},
        "unpool": {"of": "pool1"},
        "upsample": {"n": 2},
        "pad": {"n": 1},
        "crop": {"size": 3},
        "filter": {"numbers": "box"},
    }
    if keyword == "unpool":
        op: Op = Unpool.make(rank=0, of=WordValue("p")).replace(pool=Pool.make(rank=0, kind=WordValue("max"), k=2))
        assert failure(op, "7", "7").code == "E303"
        return
    error = failure(make(keyword, 0, **values[keyword]), "7")
    assert error.code == "E303"
    assert "`reshape 7x1x1`" in error.help


# --- weights: init, share, frozen ------------------------------------------------------------------------------

LEARNERS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("conv", {"out": 4, "k": 3}, "2x5x5"),
    ("conv_transpose", {"out": 4, "k": 3}, "2x5x5"),
    ("local", {"out": 4, "k": 3}, "2x5x5"),
    ("fc", {"out": 4}, "2x5x5"),
    ("embed", {"dim": 4, "vocab": 9}, "5:int64"),
)


@pytest.mark.parametrize(("keyword", "values", "shape"), LEARNERS, ids=[row[0] for row in LEARNERS])
def test_weights_are_drawn_frozen_and_shared_as_told(keyword: str, values: dict[str, Any], shape: str) -> None:
    x = tensor(shape)
    plain = make(keyword, x.rank, **values).parameters(x)
    assert plain[0].init == ("xavier" if keyword == "embed" else "auto")
    assert not any(p.frozen for p in plain)
    for init in INITS:
        weight, *bias = make(keyword, x.rank, init=init, **values).parameters(x)
        assert weight.init == init
        assert [b.init for b in bias] == ["zeros"] * len(bias)
    frozen = make(keyword, x.rank, frozen=True, **values)
    assert all(p.frozen and p.trainable for p in frozen.parameters(x))
    assert trainable_count(frozen.parameters(x)) == trainable_count(plain)
    assert frozen.brief().endswith("frozen=true")
    shared = make(keyword, x.rank, share="other", **values)
    assert shared.output(x) == make(keyword, x.rank, **values).output(x)
    assert shared.brief().endswith("share=other")
    for key, value in (("init", "he"), ("frozen", True)):
        error = failure(make(keyword, x.rank, share="other", **{key: value}, **values), shape)
        assert (error.code, error.argument) == ("E313", key)


def test_share_takes_a_bare_name() -> None:
    with pytest.raises(BadValue, match="the name of a layer"):
        Fc.make(out=3, share="a string")
    with pytest.raises(BadValue):
        Fc.make(out=3, share=7)
    with pytest.raises(BadValue, match="he, xavier, lecun, normal or zeros"):
        Fc.make(out=3, init=WordValue("hee"))


def test_vectors_of_words_begin_small() -> None:
    """Evenly in ±sqrt(6/(1 + 299)) = ±0.141, even where a relu follows."""
    graph = check("input 5 dtype=int64; embed 299 vocab=400; relu", name="net").require_graph()
    vectors = initialize(graph, 1, np.float64)["embed1.weight"]
    assert np.abs(vectors).max() == pytest.approx(math.sqrt(6 / 300), rel=1e-3)
    assert vectors.std() == pytest.approx(math.sqrt(2 / 300), rel=0.02)


@pytest.mark.parametrize(
    ("init", "after", "deviation"),
    [
        ("", "relu", math.sqrt(2 / 400)),
        ("", "tanh", math.sqrt(2 / 700)),
        (" init=he", "tanh", math.sqrt(2 / 400)),
        (" init=xavier", "relu", math.sqrt(2 / 700)),
        (" init=lecun", "relu", math.sqrt(1 / 400)),
        (" init=normal", "relu", 0.01),
        (" init=zeros", "relu", 0.0),
    ],
)
def test_initial_weights_have_their_deviation(init: str, after: str, deviation: float) -> None:
    graph = check(f"input 400; fc 300{init}; {after}", name="net").require_graph()
    weights = initialize(graph, 1, np.float64)
    assert weights["fc1.weight"].std() == pytest.approx(deviation, rel=0.02)
    assert not weights["fc1.bias"].any()
    if "xavier" in init:  # uniform
        assert np.abs(weights["fc1.weight"]).max() <= math.sqrt(6 / 700)


def test_a_number_fills_a_parameter() -> None:
    graph = check("input 3x4x4; prelu", name="net").require_graph()
    assert initialize(graph, 1)["prelu1.slope"].tolist() == [0.25] * 3


def test_fans_of_a_transposed_convolution() -> None:
    """Each output of k=4 s=2 meets 2·2 of the 16 taps; each input all of them."""
    (weight, _) = ConvTranspose.make(out=6, k=4, s=2, groups=2).parameters(tensor("8x5x5"))
    assert weight == Parameter("weight", (8, 3, 4, 4), "auto", 16, 48)
    (weight, _) = Local.make(out=6, k=4, s=2).parameters(tensor("8x5x5"))
    assert (weight.fan_in, weight.fan_out) == (8 * 16, 6 * 16)
    (narrow, _) = ConvTranspose.make(out=6, k=1, s=3).parameters(tensor("2x5x5"))
    assert narrow.fan_in == 1


# --- transposed convolution --------------------------------------------------------------------------------


class Transposed(NamedTuple):
    m: tuple[int, ...]
    k: tuple[int, ...]
    s: tuple[int, ...]
    d: tuple[int, ...]
    extra: tuple[int, ...]
    pads: tuple[int, ...] | str


def transposed_cases(rank: int, count: int) -> Iterator[Transposed]:
    draw = random.Random(rank)
    while count:
        k, s, d = (tuple(draw.choices(range(1, top), k=rank)) for top in (5, 4, 4))
        extra = tuple(map(draw.randrange, s))
        pads: tuple[int, ...] | str = "same" if draw.random() < 0.25 else tuple(draw.choices(range(4), k=2 * rank))
        case = Transposed(tuple(draw.choices(range(1, 7), k=rank)), k, s, d, extra, pads)
        try:
            transposed(case).output(TensorType((1, *case.m)))
        except ShapeError as error:
            if error.code not in ("E325", "E316"):
                raise
        else:
            count -= 1
            yield case


def transposed(case: Transposed) -> ConvTranspose:
    p = WordValue(case.pads) if isinstance(case.pads, str) else case.pads
    return ConvTranspose.make(
        rank=len(case.m), out=1, k=case.k, s=case.s, d=case.d, output_pad=case.extra, p=p, bias=False
    )


def transposed_model(cases: Iterable[Transposed]) -> onnx.ModelProto:
    """One node a case, each with an input and a weight of its own; `same` is left to ONNX's auto_pad."""
    nodes, inputs, outputs = [], [], []
    for i, case in enumerate(cases):
        pads: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if isinstance(case.pads, str) else {"pads": case.pads}
        nodes.append(
            helper.make_node(
                "ConvTranspose",
                [f"x{i}", f"w{i}"],
                [f"y{i}"],
                kernel_shape=case.k,
                strides=case.s,
                dilations=case.d,
                output_padding=case.extra,
                **pads,
            )
        )
        for name, sizes in ((f"x{i}", case.m), (f"w{i}", case.k)):
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, *sizes]))
        outputs.append(helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "transposed", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_sizes_are_those_of_onnx_and_onnxruntime(rank: int) -> None:
    cases = list(transposed_cases(rank, 200))
    model = transposed_model(cases)
    ours = [transposed(case).output(TensorType((1, *case.m))).spatial for case in cases]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output
    theirs = [tuple(d.dim_value for d in value.type.tensor_type.shape.dim)[2:] for value in inferred]
    explicit = [i for i, case in enumerate(cases) if not isinstance(case.pads, str)]
    assert [(cases[i], ours[i]) for i in explicit] == [(cases[i], theirs[i]) for i in explicit]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {
        value.name: np.ones([d.dim_value for d in value.type.tensor_type.shape.dim], np.float32)
        for value in model.graph.input
    }
    ran = [y.shape[2:] for y in session.run(None, feeds)]
    assert list(zip(cases, ours, strict=True)) == list(zip(cases, ran, strict=True))


@pytest.mark.parametrize(
    ("values", "code", "argument", "help"),
    [
        ({"k": 2, "p": 3}, "E325", "p", "p=2 is the largest"),
        ({"k": 3, "s": 2, "output_pad": 2}, "E315", "output_pad", "output_pad=1"),
        ({"k": 3, "output_pad": 1}, "E315", "output_pad", "output_pad=0"),
        ({"k": 1, "s": 3, "p": "same"}, "E316", "p", "output_pad=2, or k=3"),
        ({"k": 3, "groups": 3}, "E304", "groups", "1, 2, 4"),
    ],
)
def test_transposed_errors(values: dict[str, Any], code: str, argument: str, help: str) -> None:
    error = failure(make("conv_transpose", out=4, **values), "4x4x4")
    assert (error.code, error.argument) == (code, argument)
    assert help in error.help


def test_same_is_impossible_on_the_axis_with_the_short_kernel() -> None:
    error = failure(make("conv_transpose", out=4, k=(3, 1), s=(1, 3), p="same"), "4x4x4")
    assert error.message == "`same` is impossible: the kernel plus output_pad is 1, less than the stride of 3"


def test_a_transposed_error_is_about_the_axis_where_the_least_is_left() -> None:
    error = failure(make("conv_transpose", out=4, k=2, p=3), "4x9x4")
    assert error.message == "the padding removes the whole output: its size would be -1"
    assert error.label == "out = (4 - 1)·1 - 3 - 3 + 2 + 0 = -1"
    assert error.help == "p=2 is the largest padding that leaves an output"
    assert "p=0 is the largest" in failure(make("conv_transpose", out=4, k=1, p=1), "4x1x5").help


def test_the_help_of_a_transposed_error_works() -> None:
    assert make("conv_transpose", out=4, k=2, p=2).output(tensor("4x4x4")).spatial == (1, 1)
    for better in ({"k": 1, "output_pad": 2}, {"k": 3}):
        op = make("conv_transpose", out=4, s=3, p="same", **better)
        assert op.output(tensor("4x4x4")).spatial == (12, 12)
    with pytest.raises(BadValue, match="valid or same"):
        make("conv_transpose", out=4, k=3, p="half")


# --- pool, unpool, upsample --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("max", {"count_pad": True}),
        ("l2", {"count_pad": True}),
        ("lp", {"count_pad": True}),
        ("max", {"norm": 2}),
        ("l2", {"norm": 2}),
        ("weighted", {"norm": 2}),
        ("max", {"sigma": 1}),
        ("avg", {"sigma": 1}),
    ],
)
def test_pool_refuses_keys_of_other_kinds(kind: str, values: dict[str, Any]) -> None:
    error = failure(make("pool", kind=kind, k=2, **values), "3x8x8")
    assert (error.code, error.argument) == ("E311", next(iter(values)))
    assert "leave it out" in error.help


def test_pool_norms_and_weights() -> None:
    assert Pool.make(kind=WordValue("l2"), k=2).order == 2
    assert Pool.make(kind=WordValue("lp"), k=2).order == 2
    assert Pool.make(kind=WordValue("lp"), k=2, norm=3).order == 3
    three = Pool.make(kind=WordValue("weighted"), k=Extents((3, 2)), sigma=1)
    side = math.exp(-0.5)
    height, width = three.tap_weights()
    assert height == pytest.approx((side, 1, side))
    assert width == pytest.approx((math.exp(-0.125),) * 2)
    default = Pool.make(kind=WordValue("weighted"), k=4).tap_weights()[0]
    assert default == pytest.approx(tuple(math.exp(-(x**2) / 2) for x in (-1.5, -0.5, 0.5, 1.5)))


def test_unpool_takes_what_its_pool_made() -> None:
    pool = Pool.make(kind=WordValue("max"), k=3, s=2, p=1)
    op = Unpool.make(of=WordValue("pool1")).replace(pool=pool)
    assert op.output(tensor("3x16x16"), tensor("3x32x32")) == tensor("3x32x32")
    assert op.output(tensor("3x16x16"), tensor("3x31x31")) == tensor("3x31x31")
    error = failure(op, "8x16x16", "3x32x32")
    assert (error.code, error.operands) == ("E312", (0, 1))
    assert "`conv 3 k=1`" in error.help
    assert "`reshape 3x16x16`" in failure(op, "12x8x8", "3x32x32").help
    assert failure(op, "3x15x15", "3x32x32").code == "E312"
    other = op.replace(pool=Pool.make(kind=WordValue("avg"), k=2))
    assert failure(other, "3x16x16", "3x32x32").code == "E317"


def test_maxout_and_groups_need_their_multiples() -> None:
    assert failure(Maxout.make(n=3), "32x5x5").code == "E304"
    assert failure(GroupNorm.make(groups=5), "32x5x5").help == "it must divide 32: 1, 2, 4, 8, 16, 32; write `groups=4`"
    assert failure(ChannelShuffle.make(groups=3), "32x5x5").code == "E304"
    assert failure(Conv.make(out=6, k=1, groups=4), "4x5x5").code == "E304"
    error = failure(Conv.make(out=8, k=1, groups=3), "12x5x5")
    assert error.message == "groups=3 does not divide the 8 output channels"
    assert error.help == "groups must divide both 12 and 8; possible values: 1, 2, 4; write `groups=2`"
    assert failure(DepthToSpace.make(n=2), "6x5x5").help == "add `conv 8 k=1` before it"


def test_images_are_needed_where_places_move() -> None:
    assert failure(DepthToSpace.make(rank=1, n=2), "8x5").code == "E303"
    assert failure(SpaceToDepth.make(rank=3, n=2), "8x4x4x4").code == "E303"
    assert failure(InstanceNorm.make(rank=0), "8").code == "E303"
    error = failure(SpaceToDepth.make(n=4), "3x6x9")
    assert error.code == "E319"
    assert error.help.startswith("add `pad [0, 0, 2, 3]`")
    padded = Pad.make(n=(0, 0, 2, 3)).output(tensor("3x6x9"))
    assert SpaceToDepth.make(n=4).output(padded).shape == (48, 2, 3)


# --- filter ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "k", "s", "p"), [("3x10", 3, 2, 1), ("3x32x32", 3, 2, 1), ("2x9x8", 4, 1, 0), ("1x5x6x7", 2, 2, 0)]
)
def test_a_window_of_given_weights_counts_the_same_macs_as_filter_pool_and_conv(
    shape: str, k: int, s: int, p: int
) -> None:
    """All three are one ONNX Conv of each channel by itself, so they cost the same."""
    x = tensor(shape)
    numbers: Any = 0.25
    for _ in x.spatial:
        numbers = (numbers,) * k
    pooled = make("pool", x.rank, kind="weighted", k=k, s=s, p=p)
    filtered = make("filter", x.rank, numbers=numbers, s=s, p=p)
    learned = make("conv", x.rank, out=x.channels, k=k, s=s, p=p, groups=x.channels)
    assert pooled.output(x) == filtered.output(x) == learned.output(x)
    assert pooled.macs(x) == filtered.macs(x) == learned.macs(x) == pooled.output(x).size * k**x.rank
    assert [make("pool", x.rank, kind=kind, k=k, s=s, p=p).macs(x) for kind in ("max", "avg", "l2", "lp")] == [0] * 4


def test_macs_of_a_smoothing_window() -> None:
    for layer in ("filter [0.25, 0.5, 0.25] s=2 p=1", "pool weighted k=3 s=2 p=1"):
        assert check(f"input 3x10; {layer}").require_graph().total_macs == 3 * 5 * 3


def filter_of(name: str, **values: Any) -> Filter:
    return Filter.make(numbers=WordValue(name), **values)


def test_the_sums_of_named_kernels() -> None:
    zero = {"sobel_x", "sobel_y", "prewitt_x", "prewitt_y", "scharr_x", "scharr_y", "laplacian", "log", "gabor"}
    for name in NAMED:
        total = sum(sum(row) for row in filter_of(name).kernel())
        assert total == pytest.approx(0 if name in zero else 1, abs=1e-12), name
    for name in ("sobel", "prewitt", "scharr"):
        down, right = (filter_of(f"{name}_{axis}").kernel() for axis in "yx")
        assert down == tuple(zip(*right, strict=True))
    absolute = sum(abs(n) for row in filter_of("gabor", angle=30, phase=90).kernel() for n in row)
    assert absolute == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "values", "size"),
    [
        ("sobel_x", {}, (3, 3)),
        ("box", {"k": 5}, (5, 5)),
        ("box", {"k": (1, 4)}, (1, 4)),
        ("gaussian", {}, (3, 3)),
        ("gaussian", {"sigma": 1}, (7, 7)),
        ("gaussian", {"sigma": 1.5, "k": 3}, (3, 3)),
        ("gaussian", {"sigma": 0.1}, (3, 3)),
        ("log", {"sigma": 1.4}, (9, 9)),  # the size of the usual example of this sigma
        ("gabor", {"wavelength": 4}, (15, 15)),  # sigma 2.24
        ("gabor", {"sigma": 2, "aspect": 0.5}, (25, 25)),
    ],
)
def test_the_size_of_a_named_kernel(name: str, values: dict[str, Any], size: tuple[int, int]) -> None:
    op = filter_of(name, **values)
    assert op.size == size
    kernel = op.kernel()
    assert (len(kernel), {len(row) for row in kernel}) == (size[0], {size[1]})


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"numbers": "sobel_x"}, "sobel_x [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]"),
        ({"numbers": "gaussian"}, "gaussian 1/16·[[1, 2, 1], [2, 4, 2], [1, 2, 1]]"),
        ({"numbers": "gaussian", "sigma": 1.5, "s": 2}, "gaussian sigma=1.5 [11x11] s=2"),
        ({"numbers": ((0.1, 2), (-3, 0)), "p": 0, "flip": True}, "[[0.1, 2], [-3, 0]] p=0 flip=true"),
        ({"numbers": ((1.5,) * 20,)}, "[1x20]"),
    ],
)
def test_what_a_table_shows_of_a_kernel(values: dict[str, Any], shown: str) -> None:
    assert make("filter", **values).brief() == shown


def test_a_report_shows_the_numbers_that_are_applied() -> None:
    lines = Filter.make(numbers=((1, 2), (3, -4)), flip=True).explain(tensor("1x4x4"))
    assert lines[-3:] == ["kernel, rotated by 180°:", "  -4  3", "   2  1"]
    assert make("filter", numbers="box").explain(tensor("1x4x4"))[-4:] == ["kernel, 1/9 times:", *["  1 1 1"] * 3]
    wide = make("filter", numbers="gabor").explain(tensor("1x40x40"))
    assert wide[-1] == "kernel: 15x15, numbers from -0.0427 to 0.0634"


def test_flip_rotates_every_axis() -> None:
    for rank, numbers, turned in (
        (1, (1, 2, 3), (3, 2, 1)),
        (2, ((1, 2), (3, 4)), ((4, 3), (2, 1))),
        (3, (((1, 2), (3, 4)), ((5, 6), (7, 8))), (((8, 7), (6, 5)), ((4, 3), (2, 1)))),
    ):
        assert Filter.make(rank, numbers=numbers, flip=True).kernel() == turned
        assert Filter.make(rank, numbers=numbers).kernel() == numbers


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"numbers": "sobel_x", "sigma": 1}, "`filter sobel_x` has no sigma"),
        ({"numbers": "sobel_x", "k": 5}, "`filter sobel_x` has no k"),
        ({"numbers": "box", "sigma": 1}, "`filter box` has no sigma"),
        ({"numbers": "log", "angle": 0}, "`filter log` has no angle"),
        ({"numbers": "gaussian", "aspect": 1}, "`filter gaussian` has no aspect"),
        ({"numbers": ((1, 2), (3, 4)), "k": 2}, "a filter of given numbers has no k"),
    ],
)
def test_parameters_of_another_kernel(values: dict[str, Any], says: str) -> None:
    error = failure(make("filter", **values), "1x9x9")
    assert (error.code, error.message, error.argument) == ("E311", says, list(values)[-1])


@pytest.mark.parametrize(
    "values",
    [
        {"numbers": "gabor", "k": 1},
        {"numbers": "gabor", "k": (9, 1)},  # the stripes are vertical
        {"numbers": "gabor", "wavelength": 2, "phase": 90},  # a sine that is 0 at every element
        {"numbers": "gabor", "sigma": 0.1},
        {"numbers": "gaussian", "sigma": 100},
        {"numbers": "gaussian", "k": 257},
        {"numbers": "gabor", "wavelength": 1000},
    ],
)
def test_kernels_that_cannot_be_computed(values: dict[str, Any]) -> None:
    assert failure(make("filter", **values), "1x9x9").code == "E328"


@pytest.mark.parametrize(
    ("rank", "value", "says"),
    [
        (2, WordValue("sobel"), "sobel_x"),
        (1, WordValue("sobel_x"), "one spatial axis"),
        (2, (1, 2, 3), "lists nested 2 deep"),
        (1, ((1, 2), (3, 4)), "a list of numbers for one spatial axis"),
        (2, ((1, 2), (3,)), "one length"),
        (2, ((1, 2), 3), "one length"),
        (2, (), "numbers"),
        (2, ((), ()), "numbers"),
        (2, ((True, 1), (1, 1)), "numbers"),
        (2, Extents((3, 3)), "numbers"),
        (2, 3, "numbers"),
        (2, "box", "numbers"),
    ],
)
def test_kernels_that_are_none(rank: int, value: Any, says: str) -> None:
    with pytest.raises(BadValue) as caught:
        Filter.make(rank=rank, numbers=value)
    assert says in caught.value.expected


def test_a_filter_larger_than_the_image() -> None:
    error = failure(make("filter", numbers="box", p=0), "3x2x2")
    assert (error.code, error.argument, error.help) == ("E302", "numbers", "pad with p=1")


@pytest.mark.parametrize(
    ("shape", "k", "help"),
    [
        ("1x3x9", 5, "k=3 is the largest kernel that fits, or pad with p=1"),
        ("1x9x4", (2, 9), "k=4 is the largest kernel that fits, or pad with p=3"),
    ],
)
def test_a_kernel_must_fit_on_every_axis(shape: str, k: Any, help: str) -> None:
    assert failure(make("conv", out=1, k=k), shape).help == help


def test_a_kernel_is_dilated_if_it_is_on_one_axis() -> None:
    error = failure(make("conv", out=1, k=3, d=(1, 2)), "1x8x4")
    assert error.message == "the 3x5 kernel (dilated) does not fit into the 8x4 input"
    assert error.help == "pad with p=1", "a kernel that is not dilated is another layer"


def test_fc_says_what_it_flattens() -> None:
    assert [Fc.make(out=2).explain(tensor(shape))[0] for shape in ("3x20x20", "7")] == [
        "3x20x20 flattens to 1,200; params = 2·1200 + 2 = 2,402",
        "params = 2·7 + 2 = 16",
    ]


@pytest.mark.parametrize(
    ("shape", "meant"),
    [
        ("8x8x3", "3x8x8"), ("9x9x1", "1x9x9"), ("7x7x3", ""), ("8x9x3", ""), ("8x8x2", ""), ("3x8x8", ""),
        ("5x3x8x8", "3x8x8"), ("5x1x9x9", "1x9x9"), ("5x3x7x7", ""), ("5x3x8x9", ""), ("5x2x8x8", ""),
        ("28x28", "1x28x28"), ("27x27", ""), ("28x29", ""),
    ],
)  # fmt: skip
def test_an_input_that_is_probably_an_image_in_another_layout(shape: str, meant: str) -> None:
    helps = [a.help for a in make("input", 0, shape=Extents(tensor(shape).shape)).advice()]
    assert helps == ([f"write `input {meant}` if it is an image"] if meant else [])


def test_an_input_with_a_symbol_is_in_the_layout_that_was_meant() -> None:
    op = make("input", 0, shape=Extents((8, 8, 3)))
    assert [bool(op.replace(symbols=symbols).advice()) for symbols in ((), ("", "", ""), ("H", "", ""))] == [
        True,
        True,
        False,
    ]


# --- rearrangement -----------------------------------------------------------------------------------------


def test_crop_is_in_the_middle_and_inside() -> None:
    x = tensor("3x7x8")
    assert Crop.make(size=4).begins(x) == (1, 2)
    assert Crop.make(size=4, offset=3).output(x).shape == (3, 4, 4)
    error = failure(Crop.make(size=(4, 9)), "3x7x8")
    assert (error.code, error.argument, error.shrunk) == ("E321", "size", True)
    assert "`crop 4x8`" in error.help
    error = failure(Crop.make(size=4, offset=(4, 4)), "3x7x8")
    assert (error.code, error.argument, error.help) == ("E321", "offset", "offset=3x4 fits")


@pytest.mark.parametrize(
    ("begin", "end", "argument"),
    [(3, 3, "end"), (0, 6, "end"), (5, None, "begin"), (-6, None, "begin"), (3, -4, "end"), (0, 0, "end")],
)
def test_slices_beyond_the_axis(begin: int, end: int | None, argument: str) -> None:
    error = failure(Slice.make(begin=begin, **({} if end is None else {"end": end})), "5x4x4")
    assert (error.code, error.argument) == ("E322", argument)


def test_an_empty_slice_is_told_from_one_beyond_the_axis() -> None:
    for begin, end, problem in (
        (3, 3, "slice 3 3 selects no element of an axis of 5"),
        (5, 5, "slice 5 5 selects no element of an axis of 5"),
        (3, 0, "slice 3 0 selects no element of an axis of 5"),
        (0, 6, "slice 0 6 reaches beyond an axis of 5"),
        (6, 6, "slice 6 6 reaches beyond an axis of 5"),
    ):
        assert failure(Slice.make(begin=begin, end=end), "5x4x4").message == problem


def test_places_and_axes_that_do_not_exist() -> None:
    assert Select.make(indices=(-1, 0, -3)).positions(tensor("3x4x5")) == (2, 0, 0)
    for place in (3, -4):
        assert failure(Select.make(indices=(0, place)), "3x4x5").code == "E322"
    for op in (Select.make(indices=0, axis=3), Slice.make(begin=0, axis=3)):
        assert (failure(op, "3x4x5").code, failure(op, "3x4x5").argument) == ("E323", "axis")
        assert failure(op, "7").help == "it has only axis 0, the channels; write `axis=0`"
    with pytest.raises(BadValue):
        Select.make(indices=())
    with pytest.raises(BadValue):
        Select.make(indices=(0.5,))


def test_lists_of_sides() -> None:
    assert Pad.make(n=(1, 2, 3, 4)).sides == ((1, 3), (2, 4))
    assert Pad.make(rank=1, n=(1, 0)).sides == ((1, 0),)
    with pytest.raises(BadValue, match="whole numbers of at least 0"):
        Pad.make(n=WordValue("same"))
    with pytest.raises(BadValue):
        Pad.make(n=-1)


def test_embed_takes_a_vector_of_integers() -> None:
    assert Embed.takes == ("int64",)
    error = failure(Embed.make(rank=1, dim=8, vocab=9), "3x4:int64")
    assert error.code == "E324"
    assert "`reshape 12`" in error.help
    assert Embed.make(rank=0, dim=8, vocab=9).windows(tensor("7:int64")) == (Window(1),), (
        "an axis that the vector lacks"
    )


@pytest.mark.parametrize("cls", [Clip, HardTanh])
def test_the_order_of_the_bounds_of_clip_and_hard_tanh(cls: type[Clip | HardTanh]) -> None:
    for lo, hi in ((1, 0), (1, 1)):
        assert failure(cls.make(lo=lo, hi=hi), "7").code == "E320"
    assert failure(cls.make(lo=1, hi=-2), "7").help == f"write `{cls.keyword} -2 1`"
    assert failure(cls.make(lo=1.0000001, hi=1), "7").help == f"write `{cls.keyword} 1 1.0000001`"


def test_hard_tanh_is_from_minus_1_to_1_unless_given() -> None:
    assert HardTanh.make() == HardTanh.make(lo=-1, hi=1)
    assert failure(HardTanh.make(lo=2), "7").help == "write `hard_tanh 1 2`"
    assert [HardTanh.make(**given).brief() for given in ({}, {"lo": 0}, {"hi": 2})] == ["", "0 1", "-1 2"]


def test_local_response_norm_says_which_channels() -> None:
    assert "2 channels before and 2 after" in LocalResponseNorm.make().explain(tensor("8x4x4"))[0]
    assert "1 channels before and 2 after" in LocalResponseNorm.make(size=4).explain(tensor("8x4x4"))[0]


def test_norms_say_over_what() -> None:
    for op, over in (
        (GroupNorm.make(groups=3), "4x4x5 in each of 3 groups"),
        (InstanceNorm.make(), "4x5, per channel"),
        (LayerNorm.make(), "all of 12x4x5"),
    ):
        assert op.explain(tensor("12x4x5"))[1] == f"statistics over {over}"


def test_what_rectifies() -> None:
    words = {k for k, op in OPS.items() if issubclass(op, Activation) and op.rectifies}
    assert words == {
        "elu",
        "gelu",
        "hard_swish",
        "leaky_relu",
        "mish",
        "prelu",
        "relu",
        "relu6",
        "silu",
        "softplus",
    }
    assert Prelu.make().parameters(tensor("3x4x4"))[0].init == 0.25


# --- merges ------------------------------------------------------------------------------------------------

ELEMENTWISE = (Add, Sub, Mul, Maximum)


def test_merges_take_any_number_of_operands() -> None:
    for merge in (*ELEMENTWISE, Concat):
        assert issubclass(merge, Merge)
        assert merge.arity == -1
        assert merge.arguments == ()
        assert failure(merge.make()).code == "E318"
    assert failure(Sub.make(), "3").code == "E318"
    assert failure(Sub.make(), "3", "3", "3").code == "E318"


@pytest.mark.parametrize(
    ("a", "b", "help"),
    [
        ("32x14x14", "16x28x28", "`conv 32 k=1 s=2` to the 16x28x28"),
        ("16x28x28", "32x14x14", "`conv 32 k=1 s=2` to the 16x28x28"),
        ("64x28x28", "32x28x28", "`conv 64 k=1` to the 32x28x28"),
        ("64x14x14", "64x28x28", "`conv 64 k=1 s=2` to the 64x28x28"),
        ("64x14x28", "64x28x28", "`conv 64 k=1 s=2x1` to the 64x28x28"),
        ("64x7x7", "64x13x13", "`conv 64 k=1 s=2` to the 64x13x13"),
        ("64x26x26", "64x28x28", "`crop 26x26` to the 64x28x28"),
        ("64x26x26", "32x28x28", "`crop 26x26; conv 64 k=1` to the 32x28x28"),
        ("64x26x28", "64x28x26", "`crop 26x26` to both"),
        ("64x20", "32x40", "`conv 64 k=1 s=2` to the 32x40"),
        ("64", "32", "`fc 64` to the 32"),
        ("64", "64x28x28", "`reshape 64x1x1`"),
        ("64x28x28", "1", "`reshape 1x1x1`"),
        ("64x2x2", "256", "`reshape 64x2x2`"),
        ("64x28x28", "10", "`fc 64; reshape 64x1x1`"),
        ("64x28", "64x28x28", "give both 2 spatial axes"),
    ],
)
def test_shapes_that_do_not_add(a: str, b: str, help: str) -> None:
    error = failure(Add.make(), a, b)
    assert (error.code, error.operands) == ("E301", (0, 1))
    assert error.message == f"add needs equal shapes: {a} and {b}"
    assert error.label == f"{a} + {b}"
    assert help in error.help


def test_where_both_operands_need_an_edit_that_is_all_the_help() -> None:
    assert failure(Add.make(), "64x28", "64x28x28").help == "give both 2 spatial axes with `reshape`"
    assert failure(Add.make(), "64x26x28", "64x28x26").help == "apply `crop 26x26` to both"
    assert failure(Concat.make(), "64x28", "64x28x28").help == "give both 2 spatial axes with `reshape`"


def fixed_type(error: ShapeError, shape: str) -> TensorType:
    """The type of the shortcut after the layers that the error's fix adds."""
    assert error.fix is not None
    place, layers, _ = error.fix
    assert place == 1
    return check(f"input {shape}; {layers}", name="fixed").require_graph().nodes[-1].type


@pytest.mark.parametrize("shape", ["16x28x28", "16x27x27", "16x28x14", "32x28x28", "16x14x14", "1x28x28"])
def test_the_projection_of_the_help_works(shape: str) -> None:
    main = tensor("32x14x14")
    error = None
    try:
        Add.make().output(main, tensor(shape))
    except ShapeError as found:
        error = found
    assert error is not None
    assert Add.make().output(main, fixed_type(error, shape)) == main


def test_the_operand_to_blame_is_found_among_many() -> None:
    assert failure(Add.make(), "3x4x5", "3x1x1", "1x4x5", "3x4x6").operands == (0, 3)
    assert failure(Add.make(), "3x1x1", "3x4x5", "3x4x6").operands == (1, 2)
    assert failure(Maximum.make(), "4", "1", "5").operands == (0, 2)
    assert failure(Concat.make(), "3x4", "3x4", "3x5").operands == (0, 2)


@pytest.mark.parametrize(
    ("a", "b", "help"),
    [
        ("64x28x28", "32x14x14", "`upsample 2` to the 32x14x14, or apply `pool max k=2` to the 64x28x28"),
        ("64x28x28", "32x14x28", "`upsample 2x1`"),
        (
            "64x64x64",
            "64x56x56",
            "`crop 56x56` to the 64x64x64, or increase the padding of the layers before the 64x56x56 by 4",
        ),
        ("64x27x27", "64x28x28", "`crop 27x27` to the 64x28x28, or apply `pad [0, 0, 1, 1]` to the 64x27x27"),
        ("64x26x28", "64x28x26", "`crop 26x26` to both"),
        ("64", "32x7x7", "apply `flatten` to the 32x7x7"),
    ],
)
def test_shapes_that_do_not_join(a: str, b: str, help: str) -> None:
    for pair in ((a, b), (b, a)):
        error = failure(Concat.make(), *pair)
        assert error.code == "E310"
        assert help in error.help


def test_element_types_do_not_mix() -> None:
    error = failure(Concat.make(), "3", "4:int64")
    assert (error.code, error.operands) == ("E308", (0, 1))


def test_a_squeezed_branch_reads_all_places_at_once() -> None:
    types = tensor("3x4x5"), tensor("3x1x1")
    assert Mul.make().reads(0, *types) == (Window(1), Window(1))
    assert Mul.make().reads(1, *types) == (Window(1, 0), Window(1, 0))


# --- windows -----------------------------------------------------------------------------------------------


def places(window: Window, i: int, m: int) -> set[int]:
    """What the definition in ops/base.py says that output i reads, of an axis of m elements."""
    low = window.first + window.step * i
    return set(range(math.ceil(low), math.floor(low + window.size - 1) + 1)) & set(range(m))


@pytest.mark.parametrize("s", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("p", [0, 1, 2])
def test_windows_of_transposed_convolution(k: int, s: int, p: int) -> None:
    m, op = 6, ConvTranspose.make(rank=1, out=1, k=k, s=s, p=p)
    (size,) = op.output(TensorType((1, m))).spatial
    (window,) = op.windows(TensorType((1, m)))
    for o in range(size):
        assert places(window, o, m) == {i for i in range(m) if 0 <= o + p - i * s < k}
    assert window.step == Fraction(1, s)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_windows_of_upsampling(n: int) -> None:
    m = 7
    (near,) = Upsample.make(rank=1, n=n).windows(TensorType((1, m)))
    (smooth,) = Upsample.make(rank=1, n=n, mode=WordValue("bilinear")).windows(TensorType((1, m)))
    for i in range(m * n):
        assert places(near, i, m) == {i // n}
        x = Fraction(2 * i + 1, 2 * n) - Fraction(1, 2)
        exact = {j for j in range(m) if abs(x - j) < 1}
        assert places(smooth, i, m) == exact
    (deep,) = DepthToSpace.make(n=n).windows(TensorType((n * n, m, m)))[:1]
    assert deep == near


def test_windows_that_move_cover_or_end() -> None:
    x = tensor("4x8x10")
    assert Pad.make(n=(1, 2, 3, 4)).windows(x) == (Window(1, 1, -1), Window(1, 1, -2))
    assert Crop.make(size=4).windows(x) == (Window(1, 1, 2), Window(1, 1, 3))
    assert Slice.make(begin=-3, axis=2).windows(x) == (Window(1), Window(1, 1, 7))
    assert Slice.make(begin=1).windows(x) == (Window(1), Window(1))
    assert SpaceToDepth.make(n=2).windows(x) == (Window(2, 2), Window(2, 2))
    for op in (GlobalPool.make(kind=WordValue("avg")), LayerNorm.make(), Fc.make(out=3)):
        assert op.windows(x) == (Window(8), Window(10))
    assert Bilinear.make(a=WordValue("a"), b=WordValue("b")).reads(1, tensor("3"), x) == (Window(8), Window(10))
    (window, still) = Select.make(indices=(5, 0, 1), axis=1).windows(x)
    assert all(place in places(window, i, 8) for i, place in enumerate((5, 0, 1)))
    assert still == Window(1)
    pool = Pool.make(kind=WordValue("max"), k=2)
    unpool = Unpool.make(of=WordValue("p")).replace(pool=pool)
    assert unpool.windows(tensor("4x4x5"), x)[0] == Window(Fraction(3, 2), Fraction(1, 2), Fraction(-1, 2))
    assert unpool.reads(1, tensor("4x4x5"), x)[0] == Window(3, 1, -1)


# --- advice ------------------------------------------------------------------------------------------------


def advised(keyword: str, x: str = "3x8x8", **values: Any) -> list[tuple[str, str]]:
    op = make(keyword, tensor(x).rank, **values)
    op.output(tensor(x))
    return [(a.code, a.help) for a in op.advice(tensor(x))]


def test_even_kernels_under_same_have_no_centre() -> None:
    assert advised("conv", out=4, k=4, p="same") == [("W302", "k=3 has a centre, or k=5 has a centre")]
    assert advised("conv", out=4, k=2, p="same_lower") == [("W302", "k=3 has a centre")]
    assert advised("pool", kind="max", k=2, s=1, p="same") == [("W302", "k=3 has a centre")]
    assert [code for code, _ in advised("filter", numbers=((1, 1), (1, 1)))] == ["W302"]
    for quiet in (
        {"k": 3, "p": "same"},
        {"k": 4, "p": 1},
        {"k": 4, "s": 2, "p": "same"},
        {"k": 2, "d": 2, "p": "same"},
    ):
        assert advised("conv", out=4, **quiet) == []


def test_padding_that_some_outputs_see_alone() -> None:
    assert advised("conv", out=4, k=3, p=3)[0][0] == "W303"
    assert advised("conv", out=4, k=3, p=3)[0][1].startswith("p=2 is the largest padding")
    assert advised("conv", out=4, k=1, p=1)[0][1].startswith("p=0 is the largest padding")
    assert advised("conv", out=4, k=3, p=(0, 0, 3, 3))[0][0] == "W303"
    assert advised("conv", out=4, k=3, p="full") == []
    assert advised("conv", out=4, k=3, d=2, p=4) == []
    # the end is padded by a whole kernel, but no window begins that far
    assert advised("conv", "3x8", out=4, k=3, s=5, p=(0, 3)) == []


def test_a_stride_that_does_not_fit_is_said_of_filters_too() -> None:
    assert advised("filter", numbers="box", s=3, p=0)[0][0] == "W301"


def test_all_warnings_and_errors_name_something_to_do() -> None:
    shape = format_shape((3, 8, 8))
    for values in ({"k": 9}, {"k": 2, "groups": 2}):
        assert failure(make("conv", out=4, **values), shape).help
