"""The numbers of a network, and their formats: table, CSV, HTML."""

from __future__ import annotations

import csv
import io
import re

import pytest

from cnnc.core.limits import human_bytes
from cnnc.graph.analysis import peak_memory, training_memory
from cnnc.graph.graph import Graph
from cnnc.network import check
from cnnc.report.summary import SORTS, Row, Summary, fold, sort
from cnnc.report.table import VERSUS_DENSE, as_csv, format_size, table

SMALL = """net Small
input 1x8x8
conv 4 k=3 p=1 bias=false
bn
relu
pool max k=2
fc 10
"""
NESTED = """net Nested
block inner(w) { conv w k=3 p=1; relu }
block outer(w) { inner w; inner w }
input 1x8x8
a: outer 4
outer 8
conv 2 k=1
"""


def graph(text: str) -> Graph:
    return check(text).require_graph()


def summary(text: str, batch: int = 1) -> Summary:
    return check(text).summary(batch)


def row(text: str, name: str) -> Row:
    (found,) = [r for r in summary(text).rows if r.name == name]
    return found


# --- table -----------------------------------------------------------------------------------------------------


def test_a_table_word_for_word() -> None:
    expected = """\
name    layer                      output  params  share   MACs  field
──────  ─────────────────────────  ──────  ──────  ─────  ─────  ─────
input1  input                       1x8x8                          1x1
conv1   conv 4 k=3 p=1 bias=false   4x8x8      36   5.2%  2,304    3x3
bn1     bn                          4x8x8       8   1.2%           3x3
relu1   relu                        4x8x8                          3x3
pool1   pool max k=2                4x4x4                          4x4
fc1     fc 10                          10     650  93.7%    640  10x10

Small: 694 parameters and 8 buffers (2.8 KB in float32), 2,944 MACs
peak activation memory: 2.0 KB (at bn1); training: about 15.3 KB at batch size 1"""
    assert table(summary(SMALL)) == expected
    assert str(check(SMALL)) == expected


def test_lines_are_aligned_and_end_without_spaces() -> None:
    lines = table(summary(NESTED)).split("\n\n")[0].splitlines()
    assert all(line == line.rstrip() for line in lines)
    assert len({line.index("output") + len("output") for line in lines[:1]}) == 1
    rule = lines[1]
    starts = [m.start() for m in re.finditer("─+", rule)]
    for line in lines[2:]:
        assert all(start == 0 or line[start - 1 : start] in ("", " ") for start in starts)


def test_explain_puts_formulas_below_their_layers() -> None:
    lines = table(summary(SMALL), explain=True).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("conv1"))
    assert lines[at + 1] == "    out = floor((8 + 1 + 1 - 3)/1) + 1 = 8 (height and width)"
    assert "    params = 4·(1·3·3) = 36" in lines
    assert "    MACs = 4·8·8·(1·3·3) = 2,304" in lines


def test_sizes_that_are_symbols() -> None:
    text = "net N; input 3xHxW; conv 8 k=3 s=2 p=1; global_pool avg; fc 2"
    shown = table(summary(text))
    assert "3xHxW" in shown
    assert "8 x ⌊(H+1)/2⌋ x ⌊(W+1)/2⌋" in shown
    assert shown.splitlines()[-1] == "legal sizes: H ≥ 1; W ≥ 1"
    assert "MACs and memory depend on the size, set it with `at`" in shown
    assert row(text, "conv1").macs is None
    assert row(text, "fc1").macs == 16


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (246_824, "246.8 KB"),
        (10**6, "1.0 MB"),
        (5 * 10**9, "5.0 GB"),
        (10**13, "10000.0 GB"),
    ],
)
def test_human_bytes(count: int, text: str) -> None:
    assert human_bytes(count) == text


def test_format_size() -> None:
    assert format_size((3, "H", "W")) == "3xHxW"
    assert format_size((3, "H/2", "W")) == "3 x H/2 x W"
    assert format_size((10,)) == "10"


# --- comma-separated values ------------------------------------------------------------------------------------


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(summary(SMALL)))))
    assert [r["name"] for r in rows] == ["input1", "conv1", "bn1", "relu1", "pool1", "fc1"]
    assert rows[1] == {
        "name": "conv1",
        "layer": "conv",
        "arguments": "4 k=3 p=1 bias=false",
        "output": "4x8x8",
        "params": "36",
        "buffers": "0",
        "macs": "2304",
        "bytes": "1024",
        "field": "3x3",
        "line": "3",
    }
    assert as_csv(summary(SMALL)).endswith("\n")


def test_csv_of_symbols_and_of_awkward_arguments() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(summary("input 3xHxW; normalize mean=[1, 2, 3] std=1")))))
    assert rows[0]["output"] == "3xHxW"
    assert rows[0]["bytes"] == ""
    assert rows[1]["arguments"] == "mean=[1, 2, 3] std=1"


# --- folding and sorting ---------------------------------------------------------------------------------------


def test_depth_folds_blocks_to_a_line() -> None:
    whole = summary(NESTED)
    assert [r.name for r in fold(whole, 1).rows] == ["input1", "a", "outer2", "conv1"]
    assert [r.name for r in fold(whole, 2).rows] == [
        "input1",
        "a.inner1",
        "a.inner2",
        "outer2.inner1",
        "outer2.inner2",
        "conv1",
    ]
    assert [r.name for r in fold(whole, 3).rows] == [r.name for r in whole.rows]
    a = fold(whole, 1).rows[1]
    parts = [r for r in whole.rows if r.name.startswith("a.")]
    assert (a.op, a.arguments, a.layers) == ("block", "of 4 layers", 4)
    assert a.parameters == sum(r.parameters for r in parts)
    assert a.macs == sum(r.macs or 0 for r in parts)
    assert a.shape == parts[-1].shape
    assert a.field == parts[-1].field


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 9])
def test_folding_keeps_the_totals(depth: int) -> None:
    whole = summary(NESTED)
    folded = fold(whole, depth) if depth else whole
    assert sum(r.parameters for r in folded.rows) == whole.parameters
    assert sum(r.macs or 0 for r in folded.rows) == whole.macs
    assert table(folded).split("\n\n")[1] == table(whole).split("\n\n")[1]


def test_folding_a_block_of_one_layer() -> None:
    folded = fold(summary("block one { conv 4 k=3 }; input 1x8x8; one; one"), 1)
    assert [(r.name, r.layers) for r in folded.rows] == [("input1", 1), ("one1", 1), ("one2", 1)]


@pytest.mark.parametrize("by", list(SORTS))
def test_sorting_puts_the_largest_first(by: str) -> None:
    whole = summary(SMALL)
    found = sort(whole, by)
    keys = [SORTS[by](r) for r in found.rows]
    assert keys == sorted(keys)
    assert {r.name for r in found.rows} == {r.name for r in whole.rows}
    first = {"macs": "conv1", "params": "fc1", "memory": "conv1", "field": "fc1"}
    assert found.rows[0].name == first[by]


# --- against fully connected layers ----------------------------------------------------------------------------


def test_the_edge_detector_of_the_textbook() -> None:
    """Goodfellow, Bengio & Courville (2016), figure 9.6: an image of 280 by 320, a kernel of two elements."""
    found = row("input 1x280x320; conv 1 k=1x2 bias=false", "conv1")
    assert found.shape == (1, 280, 319)
    assert found.operations == 319 * 280 * 3 == 267_960
    assert found.dense_weights == 320 * 280 * 319 * 280 > 8 * 10**9
    assert found.dense_operations is not None
    assert 16 * 10**9 < found.dense_operations < 16.1 * 10**9
    assert found.parameters == 2
    shown = table(summary("input 1x280x320; conv 1 k=1x2 bias=false"), VERSUS_DENSE)
    assert "8,003,072,000" in shown
    assert "267,960" in shown
    assert "59,733x" in shown


def test_the_classic_comparison_of_weights() -> None:
    """Goodfellow, Bengio & Courville (2016), section 9.5: dense, unshared and shared weights of one layer."""
    found = row("input 1x1000x1000; conv 1 k=10 p=same bias=false", "conv1")
    assert (found.dense_weights, found.local_weights, found.shared_weights) == (10**12, 10**8, 100)
    unshared = row("input 1x1000x1000; local 1 k=10 p=same bias=false", "local1")
    assert unshared.parameters == unshared.local_weights == 10**8
    assert (unshared.dense_weights, unshared.shared_weights) == (10**12, 100)
    dense = row("input 1x1000x1000; fc 1000000 bias=false", "fc1")
    assert dense.parameters == dense.dense_weights == 10**12
    assert dense.local_weights is dense.shared_weights is None


def test_unshared_weights_are_those_that_multiply_once() -> None:
    grouped = row("input 4x8x8; conv 6 k=3 p=1 groups=2", "conv1")
    assert (grouped.local_weights, grouped.shared_weights) == (8 * 8 * 6 * 2 * 9, 6 * 2 * 9)
    transposed = row("input 4x8x8; conv_transpose 6 k=2 s=2", "conv_transpose1")
    assert (transposed.local_weights, transposed.shared_weights) == (8 * 8 * 4 * 6 * 4, 4 * 6 * 4)
    for text in ("filter box", "pool weighted k=3", "pool max k=2", "bn"):  # they learn no window
        (layer,) = summary(f"input 4x8x8; {text}").rows[1:]
        assert layer.local_weights is layer.shared_weights is None
    folded = fold(summary("block b { conv 4 k=3 p=1; relu; local 2 k=1 }; input 1x8x8; b"), 1).rows[1]
    assert (folded.local_weights, folded.shared_weights) == (64 * 36 + 64 * 8, 36 + 8)


def test_weights_on_an_open_size() -> None:
    survey = check("input 3xHxW; conv 8 k=3; relu; global_pool avg; fc 10").summary().rows[1]
    assert (survey.dense_weights, survey.local_weights, survey.shared_weights) == (None, None, 216)


def test_one_unit_on_a_megapixel_needs_three_million_weights() -> None:
    found = row("input 3x1000x1000; fc 1 bias=false", "fc1")
    assert found.parameters == found.dense_weights == 3_000_000
    assert found.operations == found.dense_operations == 2 * 3_000_000 - 1


def test_layers_without_weights_are_not_compared() -> None:
    for name in ("input1", "bn1", "relu1", "pool1"):
        assert row(SMALL, name).dense_weights is None
        assert row(SMALL, name).operations is None


# --- memory ----------------------------------------------------------------------------------------------------


def test_memory_by_hand() -> None:
    """Outputs in bytes: input 256, a 1024, relu 1024, pool 256, concat 320. An output is alive until its last reader.

    input1 alone takes 256, with a 1280; concat still needs the input, so input1, a and relu take 2304, the peak.
    """
    net = graph("input 1x8x8; a: conv 4 k=3 p=1; relu; pool max k=2; b: identity; from input1; pool max k=2; concat b")
    peak = peak_memory(net)
    assert (peak.bytes, peak.at) == (256 + 1024 + 1024, "relu1")
    assert set(peak.alive) == {"input1", "a", "relu1"}


@pytest.mark.parametrize(
    ("text", "peak"),
    [
        ("input 10; fc 5", 60),
        ("input 10; fc 100; fc 5", 440),
        ("input 10; a: fc 100; fc 5; from a; fc 7", 440),  # the unused 5 are freed before the 7 are computed
        ("input 10; a: fc 100; b: fc 5; from a; c: fc 7; output b c", 448),
        ("input 1x4x4 dtype=uint8; conv 2 k=1", 16 * 4 + 32 * 4),
    ],
)
def test_peaks(text: str, peak: int) -> None:
    assert peak_memory(graph(text)).bytes == peak


def test_memory_of_training() -> None:
    net = graph("input 10; fc 5; relu")
    # the update: weights, their gradients and two slots, and the larger of the two weights once more
    assert training_memory(net, 1) == 16 * 55 + 4 * 50
    # the last layer's backward: outputs 10 + 5 + 5, gradients 5 + 5, weights and slots
    assert training_memory(net, 100) == 100 * 4 * 30 + 12 * 55
    assert training_memory(net, 100, slots=0) == 100 * 4 * 30 + 4 * 55
    assert summary("input 10; fc 5; relu", 8).training == training_memory(net, 8)


def test_memory_of_training_through_branches() -> None:
    """At the first layer of the left branch the gradient of the common input from the right branch is already alive."""
    net = graph("input 8; fc 10; concat { fc 20 } { fc 30 }; fc 1")
    # backward pass, at concat: outputs 8 + 10 + 20 + 30 + 50; gradients 50 + 20 + 30; the weights of the last fc
    learned = 8 * 10 + 10 + 10 * 20 + 20 + 10 * 30 + 30 + 50 + 1
    assert training_memory(net, 1000) == 1000 * 4 * (118 + 100) + 4 * 51 + 12 * learned


def test_a_relu_overwrites_its_input() -> None:
    """In training its input, and the gradient of that, take no memory in addition to those of its output."""
    alone, read_twice = graph("input 3x9x9; conv 5 k=1; relu"), graph("input 3x9x9; a: conv 5 k=1; relu; add a")
    relu, sigmoid = 4 * 405, 4 * 405
    # at relu's backward: the input, its output, its gradient
    assert training_memory(alone, 1000) == 1000 * (4 * 243 + 2 * relu) + 12 * 20
    with_sigmoid = graph("input 3x9x9; conv 5 k=1; sigmoid")
    # at sigmoid's: both outputs, both gradients
    assert training_memory(with_sigmoid, 1000) == 1000 * (4 * 243 + 4 * sigmoid) + 12 * 20
    assert training_memory(read_twice, 1000) > training_memory(with_sigmoid, 1000)


def test_memory_of_training_counts_the_slots_of_the_optimizer() -> None:
    text = 'input 400; fc 300\ntrain {{ data npz "x.npz"; loss mse; optimizer {} }}'
    sgd, momentum, adam = (summary(text.format(o)).training for o in ("sgd lr=1", "sgd lr=1 momentum=0.9", "adam"))
    assert sgd is not None
    assert momentum == sgd + 4 * 120_300
    assert adam == sgd + 8 * 120_300
    frozen = summary('input 400; fc 300 frozen=true; fc 1\ntrain { data npz "x.npz"; loss mse; optimizer adam }')
    assert frozen.training == 4 * 120_300 + 12 * 301 + 4 * (400 + 300 + 1 + 1) + 4 * 301
    assert summary("input 10; fc 5; relu", 8).batch == 8
