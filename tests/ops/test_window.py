"""The window rule: the sizes ONNX and onnxruntime find, and the textbook cases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from cnnc.core.arguments import WordValue
from cnnc.core.tensor import TensorType
from cnnc.network import check
from cnnc.ops.base import ShapeError
from cnnc.ops.conv import Conv
from cnnc.ops.pool import Pool
from cnnc.ops.window import AxisRule, Geometry, resolve_padding, stride_advice

# --- against ONNX, thousands of combinations ---------------------------------------------------------------

GRID = [
    AxisRule(m, k, s, begin, end, d)
    for m, k, s, begin, end, d in product(
        (1, 2, 3, 4, 5, 6, 7, 8, 11), range(1, 6), range(1, 5), range(3), range(3), (1, 2, 3)
    )
]
FITTING = [rule for rule in GRID if rule.m + rule.begin + rule.end >= rule.d * (rule.k - 1) + 1]


def one_axis_model(kind: str, rules: list[AxisRule], *, ceil: bool = False) -> onnx.ModelProto:
    """A model of one node a rule, each on an input of its own size (inputs are shared by size)."""
    nodes, made = [], []
    for i, r in enumerate(rules):
        attributes: dict[str, Any] = {"kernel_shape": [r.k], "strides": [r.s], "pads": [r.begin, r.end]}
        attributes["dilations"] = [r.d]
        if kind != "Conv":
            attributes["ceil_mode"] = int(ceil)
        inputs = [f"x{r.m}", f"w{r.k}"] if kind == "Conv" else [f"x{r.m}"]
        nodes.append(helper.make_node(kind, inputs, [f"y{i}"], **attributes))
        made.append(helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, ["N", 1, None]))
    sizes = sorted({r.m for r in rules})
    fed = [helper.make_tensor_value_info(f"x{m}", TensorProto.FLOAT, ["N", 1, m]) for m in sizes]
    kernels = sorted({r.k for r in rules}) if kind == "Conv" else []
    weights = [onnx.numpy_helper.from_array(np.ones((1, 1, k), np.float32), f"w{k}") for k in kernels]
    graph = helper.make_graph(nodes, "windows", fed, made, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def sizes_by_inference(model: onnx.ModelProto) -> list[int]:
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    return [o.type.tensor_type.shape.dim[2].dim_value for o in inferred.graph.output]


def sizes_by_execution(model: onnx.ModelProto) -> list[int]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {i.name: np.ones((1, 1, i.shape[2]), np.float32) for i in session.get_inputs()}
    return [array.shape[2] for array in session.run(None, feeds)]


def mismatches(rules: list[AxisRule], found: list[int]) -> list[tuple[AxisRule, int, int]]:
    return [(rule, rule.out, size) for rule, size in zip(rules, found, strict=True) if rule.out != size]


def poolable(rules: list[AxisRule]) -> list[AxisRule]:
    """Those with less padding than kernel, which is all that onnxruntime takes."""
    return [r for r in rules if r.begin < r.k and r.end < r.k]


@pytest.mark.long
def test_conv_sizes_are_those_of_onnx() -> None:
    assert len(FITTING) > 3000
    model = one_axis_model("Conv", FITTING)
    assert mismatches(FITTING, sizes_by_inference(model)) == []
    assert mismatches(FITTING, sizes_by_execution(model)) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("ceil", [False, True])
def test_pool_sizes_are_those_of_onnx(kind: str, ceil: bool) -> None:
    rules = [r.replace(ceil=ceil) for r in poolable(FITTING)]
    assert len(rules) > 2000
    model = one_axis_model(kind, rules, ceil=ceil)
    assert mismatches(rules, sizes_by_execution(model)) == []
    assert mismatches(rules, sizes_by_inference(model)) == []


def test_a_window_that_does_not_fit_is_refused() -> None:
    """Exactly where the padded input is smaller than the reach of the kernel."""
    refused = [r for r in GRID if r.out < 1]
    assert set(refused) == set(GRID) - set(FITTING)
    assert refused
    for r in refused[::37]:
        op = Conv.make(1, out=1, k=r.k, s=r.s, p=(r.begin, r.end), d=r.d)
        with pytest.raises(
            ShapeError, match=r"^a kernel of \d+( \(dilated\))? does not fit into an input of \d+$"
        ) as caught:
            op.output(TensorType((1, r.m)))
        assert caught.value.code == "E302"


@pytest.mark.parametrize("word", ["same", "same_lower", "valid"])
def test_padding_words_are_onnx_auto_pad(word: str) -> None:
    """The sides as well as the size: the values of a convolution tell where the zeros went."""
    auto = {"same": "SAME_UPPER", "same_lower": "SAME_LOWER", "valid": "VALID"}[word]
    rules = [r for r in GRID if r.begin == r.end == 0 and (r.out >= 1 if word == "valid" else r.d == 1)]
    # onnxruntime's SAME takes no dilation, and takes data off where the last stride leaps over some
    rules = [r for r in rules if word == "valid" or (-(-r.m // r.s) - 1) * r.s + r.k >= r.m]
    assert len(rules) > 100
    nodes, sides = [], []
    for i, r in enumerate(rules):
        ((begin, end),) = resolve_padding(word, (r.m,), (r.k,), (r.s,), (r.d,))
        sides.append((begin, end))
        common: dict[str, Any] = {"kernel_shape": [r.k], "strides": [r.s], "dilations": [r.d]}
        inputs = [f"x{r.m}", f"w{r.k}"]
        nodes.append(helper.make_node("Conv", inputs, [f"theirs{i}"], auto_pad=auto, **common))
        nodes.append(helper.make_node("Conv", inputs, [f"ours{i}"], pads=[begin, end], **common))
    model = one_axis_model("Conv", rules)
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, None]) for node in nodes for name in node.output
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {i.name: np.arange(1, i.shape[2] + 1, dtype=np.float32)[None, None] for i in session.get_inputs()}
    values = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))
    wrong = [
        (r, sides[i])
        for i, r in enumerate(rules)
        if values[f"ours{i}"].shape != values[f"theirs{i}"].shape or (values[f"ours{i}"] != values[f"theirs{i}"]).any()
    ]
    assert wrong == []


# --- textbook cases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "size"), [(1, 5), (2, 3), (3, 2)])
def test_seven_pixels_under_a_window_of_three(stride: int, size: int) -> None:
    """The classic table; (7 - 3)/3 + 1 = 2.33, and the last column is left out."""
    graph = check(f"input 1x7x7; conv 1 k=3 s={stride}").require_graph()
    assert graph.by_name["conv1"].type.shape == (1, size, size)


@pytest.mark.parametrize(
    ("word", "kernel", "pads", "size"),
    [
        ("valid", 3, (0, 0), 3),
        ("valid", 4, (0, 0), 2),
        ("same", 3, (1, 1), 5),
        ("same", 4, (1, 2), 5),  # an even kernel: floor((k - 1)/2) before, one more after
        ("same_lower", 3, (1, 1), 5),
        ("same_lower", 4, (2, 1), 5),
        ("full", 3, (2, 2), 7),
        ("full", 4, (3, 3), 8),
        ("half", 3, (1, 1), 5),
        ("half", 4, (2, 2), 6),
        ("causal", 3, (2, 0), 5),
        ("causal", 4, (3, 0), 5),
    ],
)
def test_padding_words_on_five_elements(word: str, kernel: int, pads: tuple[int, int], size: int) -> None:
    assert resolve_padding(word, (5,), (kernel,), (1,), (1,)) == (pads,)
    assert check(f"input 1x5; conv 1 k={kernel} p={word}").require_graph().by_name["conv1"].type.shape == (1, size)


@pytest.mark.parametrize("word", ["same", "same_lower"])
def test_same_makes_the_size_divided_by_the_stride_rounded_up(word: str) -> None:
    for m, k, s, d in product(range(1, 30), range(1, 8), range(1, 6), (1, 2, 3)):
        ((begin, end),) = resolve_padding(word, (m,), (k,), (s,), (d,))
        assert AxisRule(m, k, s, begin, end, d).out == -(-m // s)
        assert abs(begin - end) <= 1
        assert (begin <= end) if word == "same" else (begin >= end)


def test_a_dilated_kernel_reaches_further() -> None:
    rule = AxisRule(m=10, k=3, s=1, begin=0, end=0, d=2)
    assert (rule.e, rule.out) == (5, 6)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("input 3x8; conv 4 k=3", (4, 6)),
        ("input 3x8x9; conv 4 k=3x2", (4, 6, 8)),
        ("input 3x5x8x9; conv 4 k=1x3x2 s=2x1x3", (4, 3, 6, 3)),
        ("input 3x8; pool max k=2", (3, 4)),
        ("input 3x8x9; pool avg k=2", (3, 4, 4)),
        ("input 3x8x9; pool avg k=2 ceil=true", (3, 4, 5)),
        ("input 3x8x9x7; pool max k=2 s=1", (3, 7, 8, 6)),
        ("input 3x6x7; conv 4 k=3 p=[0, 1, 2, 3]", (4, 6, 9)),  # top, left, bottom, right
    ],
)
def test_each_axis_follows_its_own_numbers(text: str, shape: tuple[int, ...]) -> None:
    graph = check(text).require_graph()
    assert graph.nodes[-1].type.shape == shape


@pytest.mark.parametrize(
    ("rule", "unread"),
    [
        (AxisRule(7, 3, 3, 0, 0, 1), 1),
        (AxisRule(7, 3, 2, 0, 0, 1), 0),
        (AxisRule(8, 3, 2, 0, 0, 1), 1),
        (AxisRule(8, 3, 2, 1, 1, 1), 0),  # what is left over is padding
        (AxisRule(9, 2, 4, 0, 0, 1), 1),
        (AxisRule(8, 2, 4, 0, 0, 1), 0),  # the gap of the stride, as between all windows
        (AxisRule(7, 3, 3, 0, 0, 1, True), 0),
    ],
)
def test_rows_left_unread(rule: AxisRule, unread: int) -> None:
    assert rule.unread == unread


def test_rows_left_unread_are_those_after_the_last_window_less_the_usual_gap() -> None:
    """Counted by marking what windows read."""
    for r in FITTING:
        last = (r.out - 1) * r.s + r.e - r.begin  # the first place past the last window
        expected = max(0, min(r.m - last, r.m) - max(0, r.s - r.e))
        assert r.unread == expected, r


def test_windows_that_read_only_padding_are_found_by_listing_what_each_reads() -> None:
    for r in [
        *FITTING,
        *(r.replace(ceil=True) for r in poolable(FITTING)),
        *(r.replace(begin=7) for r in FITTING[::5]),
    ]:
        starts = range(-r.begin, -r.begin + r.out * r.s, r.s)
        only_padding = any(not any(0 <= start + i * r.d < r.m for i in range(r.k)) for start in starts)
        assert r.pads_whole_window == only_padding, r


def test_the_padding_of_a_geometry_reaches_as_far_as_the_last_window() -> None:
    for r in [*FITTING[::7], *(r.replace(ceil=True) for r in poolable(FITTING))]:
        geometry = Geometry.of([r, r.replace(end=9)])
        begin, end = geometry.pads[0]
        assert (geometry.k[0], geometry.s[0], geometry.d[0], geometry.out[0], begin) == (r.k, r.s, r.d, r.out, r.begin)
        assert end == max(r.end, (r.out - 1) * r.s + r.e - r.begin - r.m)
        assert geometry.padded_sizes((r.m, 5)) == (r.m + begin + end, 5 + r.begin + geometry.pads[1][1])
        assert geometry.padded


def advised(rule: AxisRule) -> Iterator[AxisRule]:
    """The rule as each edit makes it that a warning's help names."""
    for advice in stride_advice((rule,), "conv"):
        for pads, kernel in re.findall(r"\bp=(\d+|\[\d+, \d+\])|\bk=(\d+)", advice.help):
            sides = [int(n) for n in re.findall(r"\d+", pads)]
            yield rule.replace(k=int(kernel)) if kernel else rule.replace(begin=sides[0], end=sides[-1])


@pytest.mark.parametrize("even", [True, False])
def test_the_edits_that_a_warning_names_work(even: bool) -> None:
    """They read all of the data, no window sees padding alone, and the output keeps its size or gains one."""
    left = [r for r in FITTING if r.unread and (r.begin == r.end) == even]
    tried = [(r, edited) for r in left for edited in advised(r)]
    assert len(tried) > 100
    for r, edited in tried:
        assert not edited.unread, (r, edited)
        assert edited.pads_whole_window <= r.pads_whole_window, (r, edited)
        assert edited.out - r.out in (0, 1), (r, edited)


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("input 3x32x32; conv 8 k=3 s=2", "p=1 or k=4"),
        ("input 3x224x224; conv 8 k=7 s=4 p=1", "p=2"),
        ("input 3x10x10; conv 8 k=5 s=4", "p=2 or k=6"),
        ("input 3x32x33; conv 8 k=3 s=2", "p=1 or k=4x3"),
        ("input 3x32x32; conv 8 k=3x2 s=2x5", "p=1 or k=4x2"),
        ("input 3x8x12; conv 8 k=3x4 s=2x4", "p=1x0 or k=4"),
        ("input 3x32x32; conv 8 k=3 s=2 p=[0, 0, 0, 1]", "p=[0, 0, 1, 1] or k=4x3"),
        ("input 3x32x32; conv 8 k=3 s=2 d=2 p=valid", "p=1"),
        ("input 3x32x32; pool max k=3", "ceil=true or p=1"),
        ("input 3x27x27; pool max k=2", "ceil=true or p=1"),
        ("input 3x32x32; filter box s=3 p=valid", "p=1"),
        ("input 3x16; conv 8 k=3 s=7", "p=1"),
    ],
)
def test_a_warning_of_a_stride_names_a_gentle_edit(text: str, help: str) -> None:
    (found,) = (d.help for d in check(text).diagnostics if d.code == "W301")
    assert found == f"{help} reads all of the input"
    line = text.partition("; ")[2]
    for edit in re.findall(r"\b\w+=(?:\[.*?\]|\w+)", found):
        rest = re.sub(rf" {edit[0]}=(\[.*?\]|\S+)", "", line) if edit[0] in "pk" else line
        after = check(f"{text.partition('; ')[0]}; {rest} {edit}").diagnostics
        assert not [d for d in after if d.severity == "error" or d.code in ("W301", "W303")], edit


@pytest.mark.parametrize(
    ("layer", "codes"),
    [
        ("conv 4 k=4 p=same", ["W302"]),
        ("conv 4 k=3 p=same", []),
        ("conv 4 k=4 s=2 p=same", []),  # the outputs lie between elements anyway
        ("conv 4 k=4 p=valid", []),
        ("conv 4 k=3 p=2", []),
        ("conv 4 k=3 p=3", ["W303"]),
        ("conv 4 k=1 p=1", ["W303"]),
        ("filter [[1, 2], [3, 4]]", ["W302"]),
    ],
)
def test_padding_that_is_probably_unintended(layer: str, codes: list[str]) -> None:
    assert [d.code for d in check(f"input 3x8x8; {layer}").diagnostics] == codes


def test_the_warning_of_wide_padding_names_the_wider_side() -> None:
    for sides in ("[1, 3]", "[3, 1]"):
        (found,) = check(f"input 3x8; conv 4 k=2 p={sides}").diagnostics
        assert found.message == "padding of 3 for a kernel of 2: the outermost outputs read only padding"
        assert found.help == "p=1 is the largest padding with which every output reads data"


# --- pools that cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "p"), [(2, (2, 0)), (2, (0, 2)), (3, (3, 3)), (1, (1, 1))])
def test_a_pool_padded_by_its_own_size_is_refused(k: int, p: tuple[int, int]) -> None:
    op = Pool.make(1, kind=WordValue("max"), k=k, s=1, p=p)
    with pytest.raises(ShapeError, match="only padding") as caught:
        op.output(TensorType((1, 9)))
    assert caught.value.code == "E305"


@pytest.mark.parametrize("text", ["input 1x1x1; pool avg k=2 s=1 d=2 p=1", "input 1x2; pool max k=2 d=3 p=1"])
def test_a_dilated_pool_whose_taps_step_over_the_input_is_refused(text: str) -> None:
    assert [d.code for d in check(text).diagnostics if d.severity == "error"] == ["E305"]


def test_the_stride_of_a_pool_is_its_kernel() -> None:
    op = Pool.make(kind=WordValue("max"), k=(3, 2))
    assert op.stride == (3, 2)
    assert op.output(TensorType((4, 9, 8))).shape == (4, 3, 4)
