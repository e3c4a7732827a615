"""Lowering source to a graph: names, scopes, blocks, repeats, branches, includes, consequences of errors, limits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph, Node
from cnnc.language import blocks, lower
from cnnc.network import check, load


def graph(text: str, *settings: str) -> Graph:
    return check(text, settings=settings).require_graph()


def names(text: str) -> list[str]:
    return [node.name for node in graph(text).nodes]


def node(text: str, name: str) -> Node:
    return graph(text).by_name[name]


def shape(text: str) -> str:
    net = graph(text)
    return str(net.by_name[net.outputs[0]].type)


def errors(text: str, *settings: str) -> list[Diagnostic]:
    return [d for d in check(text, settings=settings).diagnostics if d.severity == "error"]


def codes(text: str) -> list[str]:
    return [d.code for d in errors(text)]


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input 1x8x8; conv 4 k=1; conv 4 k=1; relu", "input1 conv1 conv2 relu1"),
        # labelled layers are counted too
        ("input 1x8x8; a: conv 4 k=1; conv 4 k=1", "input1 a conv2"),
        ("x: input 1x8x8; input 1x8x8; concat x", "x input2 concat1"),
        # counting continues through branches and repeats
        ("input 1x8x8; add { conv 4 k=1 } { conv 4 k=1 }; conv 4 k=1", "input1 conv1 conv2 add1 conv3"),
        ("input 1x8x8; repeat 2 { conv 4 k=1; relu }; conv 4 k=1", "input1 conv1 relu1 conv2 relu2 conv3"),
        # a space of its own for each block call
        (
            "block b { conv 4 k=1; relu }; input 1x8x8; b; b; conv 4 k=1",
            "input1 b1.conv1 b1.relu1 b2.conv1 b2.relu1 conv1",
        ),
        ("block b { conv 4 k=1 }; input 1x8x8; left: b; b", "input1 left.conv1 b2.conv1"),
        ("block b { skip: conv 4 k=1 }; input 1x8x8; s3: b", "input1 s3.skip"),
        (
            "block i { conv 4 k=1 }; block o { i; x: i }; input 1x8x8; o; y: o",
            "input1 o1.i1.conv1 o1.x.conv1 y.i1.conv1 y.x.conv1",
        ),
        # labels in repeats have one number per round
        ("input 1x8x8; repeat 2 { s: conv 4 k=1 }", "input1 s.0 s.1"),
        ("input 1x8x8; repeat 2 { repeat 2 { s: conv 4 k=1 } }", "input1 s.0.0 s.0.1 s.1.0 s.1.1"),
        ("block b { conv 4 k=1 }; input 1x8x8; repeat 2 { s: b }", "input1 s.0.conv1 s.1.conv1"),
        ("block b { repeat 2 { s: conv 4 k=1 } }; input 1x8x8; x: b", "input1 x.s.0 x.s.1"),
        ("input 1x8x8; repeat 0 { conv 4 k=1 }; relu", "input1 relu1"),
    ],
)
def test_names_of_layers(text: str, expected: str) -> None:
    assert names(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input 1x8x8; s: conv 4 k=1; relu; concat s", ("relu1", "s")),
        ("input 1x8x8; conv 4 k=1; relu; concat conv1 input1", ("relu1", "conv1", "input1")),
        ("input 1x8x8; repeat 3 { s: conv 2 k=1 }; concat s.0 s.2", ("s.2", "s.0", "s.2")),
        ("input 1x8x8; repeat 3 { s: conv 2 k=1 }; from input1; concat s.*", ("input1", "s.0", "s.1", "s.2")),
        # within a round, the label refers to this round
        ("input 4x8x8; repeat 2 { s: conv 4 k=1; relu; add s }", ("relu2", "s.1")),
        ("block b { skip: conv 4 k=1; relu }; input 1x8x8; s3: b; concat s3.skip", ("s3.relu1", "s3.skip")),
        ("block b { conv 4 k=1; relu }; input 1x8x8; s3: b; concat s3.conv1", ("s3.relu1", "s3.conv1")),
        ("block b { conv 4 k=1; relu }; input 1x8x8; b; concat b1.conv1", ("b1.relu1", "b1.conv1")),
        # the label of a call refers to its output
        ("block b { conv 4 k=1; relu }; input 1x8x8; x: b; conv 4 k=1; concat x", ("conv1", "x.relu1")),
        (
            "block b { s: conv 4 k=1; relu }; input 1x8x8; repeat 2 { x: b }; concat x.0.s x.1",
            ("x.1.relu1", "x.0.s", "x.1.relu1"),
        ),
        # a branch sees what is around it
        ("input 1x8x8; s: conv 4 k=1; add { relu; add s } { }", ("add2", "s")),
    ],
)
def test_what_names_refer_to(text: str, expected: tuple[str, ...]) -> None:
    assert graph(text).nodes[-1].inputs == expected


@pytest.mark.parametrize(
    "text",
    [
        "input 1x8x8; concat { a: conv 4 k=1 } { add a }",  # labels stay in their branch
        "input 1x8x8; concat { a: conv 4 k=1 } { }; add a",
        "block b { add a }; input 1x8x8; a: conv 4 k=1; b",  # a block does not see its caller's layers
        "block b { a: relu }; input 1x8x8; b; add a",
        "input 1x8x8; repeat 2 { a: conv 4 k=1 }; add a",
        "input 1x8x8; conv 4 k=1; add a.*",
        "input 1x8x8; conv 4 k=1; add conv2",
        "input 1x8x8; add a; a: relu",
        "input 1x8x8; from nowhere; relu",
        "input 1x8x8; relu; output nowhere",
    ],
)
def test_names_that_cannot_be_diagnostics(text: str) -> None:
    assert codes(text) == ["E114"]


def test_the_same_label_in_two_branches_is_an_error() -> None:
    """Names are also those of parameters and ONNX nodes, so they must be unique."""
    assert codes("input 1x8x8; add { a: conv 4 k=1 } { a: conv 4 k=3 p=1 }") == ["E106"]


def test_the_same_label_in_two_blocks_and_outside() -> None:
    text = "block b { a: conv 4 k=1 }; block c { a: conv 4 k=1 }; input 1x8x8; b; c; a: relu"
    assert names(text) == ["input1", "b1.a", "c1.a", "a"]


# --- scopes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("let n = 4; input 1x8x8; conv n k=1", "4x8x8"),
        ("let n = 4; let m = n * 2; input 1x8x8; conv m k=1", "8x8x8"),
        ("let n = 4; block b { conv n k=1 }; input 1x8x8; b", "4x8x8"),
        # inner definitions shadow outer ones
        ("let n = 4; block b(n) { conv n k=1 }; input 1x8x8; b 2; conv n k=1", "4x8x8"),
        ("let n = 4; input 1x8x8; repeat 1 { let n = 2; conv n k=1 }", "2x8x8"),
        ("let n = 4; input 1x8x8; repeat 1 { let n = 2 }; conv n k=1", "4x8x8"),
        ("let n = 4; input 1x8x8; concat { let n = 2; conv n k=1 } { conv n k=1 }", "6x8x8"),
        ("input 1x8x8; repeat 3 as i { conv i + 1 k=1 }", "3x8x8"),
        ("input 1x8x8; repeat 2 as i { repeat 2 as j { conv 10 * i + j + 1 k=1 } }", "12x8x8"),
        ("input 1x8x8; repeat 2 as i { let n = i + 5; conv n k=1 }", "6x8x8"),
        # a block may be defined below its calls
        ("input 1x8x8; b; block b { conv 4 k=1 }", "4x8x8"),
        ("let C = 3; input CxHxW; conv 2 k=1; global_pool avg; expect [C - 1, 1, 1]", "2x1x1"),
    ],
)
def test_scopes(text: str, expected: str) -> None:
    assert shape(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "input 1x8x8; repeat 1 { let n = 2 }; conv 2*n k=1",
        "block b { conv 2*n k=1 }; input 1x8x8; repeat 1 { let n = 2; b }",
        "block inner { conv 2*n k=1 }; block outer(n) { inner }; input 1x8x8; outer 2",
        "input 1x8x8; repeat 2 as i { relu }; conv 2*i k=1",
        "input 1x8x8; conv 2*n k=1; let n = 3",
        "let n = 2*m; let m = 3; input 1x8x8; conv n k=1",
    ],
)
def test_names_out_of_scope(text: str) -> None:
    assert codes(text) == ["E101"]


def test_a_let_twice_in_one_scope() -> None:
    assert codes("let n = 1; let n = 2; input 1x8x8; conv n k=1") == ["E106"]
    assert codes("input 1x8x8; repeat 1 { let n = 1; let n = 2; conv n k=1 }") == ["E106"]
    assert codes("input 1x8x8; repeat 2 { let n = 1; conv n k=1 }") == []


def test_settings_override_top_level_lets_only() -> None:
    text = "let n = 4; let m = 2 * n; block b { let k = 1; conv m k=k }; input 1x8x8; b"
    assert str(graph(text, "n=3").nodes[-1].type) == "6x8x8"
    assert str(graph(text, "m=5").nodes[-1].type) == "5x8x8"
    assert str(graph(text, "n=2 ** 3", "m=1+1").nodes[-1].type) == "2x8x8"
    (error,) = errors(text, "k=3")
    assert (error.code, error.help) == ("E115", "the file has `let n`, `let m`")


def test_a_setting_reaches_an_included_let(tmp_path: Path) -> None:
    (tmp_path / "parts.cnn").write_text("let n = 4\nblock b { conv n k=1 }\n")
    (tmp_path / "net.cnn").write_text('include "parts.cnn"\ninput 1x8x8\nb\n')
    assert str(load(tmp_path / "net.cnn", ["n=7"]).require_graph().nodes[-1].type) == "7x8x8"


# --- blocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("block b(w, k=3) { conv w k=k }; input 1x8x8; b 4", "4x6x6"),
        ("block b(w, k=3) { conv w k=k }; input 1x8x8; b 4 1", "4x8x8"),
        ("block b(w, k=3) { conv w k=k }; input 1x8x8; b 4 k=1", "4x8x8"),
        ("block b(w, k=3) { conv w k=k }; input 1x8x8; b k=5 w=4", "4x4x4"),
        # defaults may use earlier parameters, and top-level lets
        ("let n = 2; block b(w, h=w//n, k=h-1) { conv w k=k }; input 1x8x8; b 8", "8x6x6"),
        ("block b(w, h=w*2) { conv h k=1 }; input 1x8x8; b 3", "6x8x8"),
        ("block b(w, h=w*2) { conv h k=1 }; input 1x8x8; b 3 h=5", "5x8x8"),
        # words, lists, extents, booleans, strings as arguments
        ("block b(kind) { pool kind k=2 }; input 1x8x8; b max", "1x4x4"),
        ("block b(pad) { conv 1 k=3 p=pad }; input 1x8x8; b same", "1x8x8"),
        ("block b(k) { conv 1 k=k }; input 1x8x8; b 3x1", "1x6x8"),
        ("block b(k) { conv 1 k=k }; input 1x8x8; b [1, 3]", "1x8x6"),
        ("block b(c) { pool max k=3 s=2 ceil=c }; input 1x8x8; b true", "1x4x4"),
        # a layer as an argument, also passed on to another block
        ("block up(w, skip) { conv w k=1; concat skip }; input 1x8x8; e: conv 4 k=1; relu; up 2 e", "6x8x8"),
        (
            "block i(s) { concat s }; block o(s) { relu; i s }; input 1x8x8; e: conv 4 k=1; conv 2 k=1; o e",
            "6x8x8",
        ),
        ("block i(s) { conv 2 k=1; concat s }; block o { i in }; input 3x8x8; o", "5x8x8"),
        ("block o(s) { conv 2 k=1; from s }; input 3x8x8; e: conv 4 k=1; relu; o e; global_pool avg", "4x1x1"),
        # c_in of the caller, in arguments and in defaults
        ("block b(w) { conv w k=1 }; input 5x8x8; b 2*c_in", "10x8x8"),
        ("block b(w=2*c_in) { conv w k=1 }; input 3x8x8; conv 5 k=1; b", "10x8x8"),
        ("block b(w=2*c_in) { conv w k=1 }; input 3x8x8; repeat 2 { b }", "12x8x8"),
        ("block i(w=2*c_in) { conv w k=1 }; block o { conv 4 k=1; i }; input 3x8x8; o", "8x8x8"),
    ],
)
def test_block_arguments(text: str, expected: str) -> None:
    assert shape(text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("block b(w) { conv w k=1 }; input 1x8x8; b", "E202"),
        ("block b(w) { conv w k=1 }; input 1x8x8; b 1 2", "E204"),
        ("block b(w) { conv w k=1 }; input 1x8x8; b 1 v=2", "E201"),
        ("block b(w) { conv w k=1 }; input 1x8x8; b 1 w=2", "E205"),
        ("block b(w, k) { conv w k=k }; input 1x8x8; b k=1 2", "E206"),
        ("block b(w) { conv w k=1 }; input 1x8x8; b word", "E203"),
        ("block b(w) { conv w k=1 }; input 1x8x8; e: relu; b e", "E203"),
        ("block b(s) { add s }; input 1x8x8; b 3", "E203"),
        ("block b { conv 4 k=1 }; input 1x8x8; b { relu }", "E108"),
        ("block b(w=v, v=3) { conv w k=1 }; input 1x8x8; b", "E203"),
        ("block conv { relu }; input 1x8x8; conv", "E105"),
        ("block b(w, w) { conv w k=1 }; input 1x8x8; b 1", "E106"),
        ("block b(in) { add in }; input 1x8x8; b 1", "E105"),
    ],
)
def test_wrong_block_calls(text: str, code: str) -> None:
    assert codes(text)[:1] == [code]


@pytest.mark.parametrize(
    "text",
    [
        "block a { a }; input 1x8x8; a",
        "block a { b }; block b { a }; input 1x8x8; a",
        "block a { add { relu; a } { } }; input 1x8x8; a",
        "block a { repeat 2 { a } }; input 1x8x8; a",
        "".join(f"block b{i} {{ b{i + 1} }}; " for i in range(60)) + "block b60 { relu }; input 1x8x8; b0",
    ],
)
def test_recursion_is_one_error(text: str) -> None:
    assert codes(text) == ["E119"]


def test_in_and_c_in() -> None:
    assert graph("block b { conv 3 k=1; add in }; input 3x8x8; relu; b").nodes[-1].inputs == ("b1.conv1", "relu1")
    text = "input 3x8x8; repeat 2 { conv 3 k=1; add in }"
    assert [n.inputs for n in graph(text).nodes if n.op.keyword == "add"] == [("conv1", "input1"), ("conv2", "add1")]
    text = "input 3x8x8; relu; add { conv 3 k=1; add in } { }"
    assert graph(text).by_name["add2"].inputs == ("conv1", "relu1")
    # a branch inside a block: `in` is what entered the branch
    text = "block b { conv 3 k=1; add { conv 3 k=1; add in } { } }; input 3x8x8; b"
    assert ("b1.conv2", "b1.conv1") in [n.inputs for n in graph(text).nodes]
    assert codes("input 3x8x8; add in") == ["E117"]
    assert shape("input 6x8x8; conv c_in//2 k=1; conv c_in*3 k=1 groups=c_in") == "9x8x8"
    assert shape("input 6; fc c_in * 2") == "12"
    assert shape("input 6x8x8; concat { conv c_in k=1 } { pool max k=3 s=1 p=1; conv c_in//3 k=1 }") == "8x8x8"


# --- flow ------------------------------------------------------------------------------------------------------


def test_from_and_several_inputs_and_outputs() -> None:
    net = graph("q: input 4; a: fc 3; d: input 5; b: fc 3; from a; concat b; c: fc 2; output c a")
    assert [n.name for n in net.inputs] == ["q", "d"]
    assert net.outputs == ("c", "a")
    assert net.by_name["concat1"].inputs == ("a", "b")
    assert net.by_name["b"].inputs == ("d",)


def test_without_output_the_last_layer_is_the_output() -> None:
    assert graph("input 4; a: fc 3; fc 2; from a; relu").outputs == ("relu1",)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("input 4; a: fc 3; output a a", "E106"),
        ("input 4; a: fc 3; output a; output a", "E106"),
        ("input 4; fc 3; output", "E202"),
        ("input 4; fc 3; output 3", "E203"),
        ("a: input 4; b: input 3; fc 2; output a", "E125"),
        ("input 4; fc 3; from; relu", "E202"),
        ("input 4; repeat 2 { a: fc 3 }; from a.*; relu", "E203"),
        ("input 4; fc 3; net A; net B", "E106"),
        ("fc 3", "E112"),
        ("expect 3; input 3; fc 2", "E112"),
        ("input 4; a: fc 2; b: from a; relu", "E107"),
        ("input 4; a: repeat 2 { fc 2 }", "E107"),
    ],
)
def test_errors_of_from_output_and_inputs(text: str, code: str) -> None:
    assert code in codes(text)


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("input 1x8x8; conv 2 k=1; add { relu } { }", ("relu1", "conv1")),
        ("input 1x8x8; conv 2 k=1; add { } { relu }", ("conv1", "relu1")),
        ("input 1x8x8; conv 2 k=1; add { relu } { tanh } { }", ("relu1", "tanh1", "conv1")),
        # names first, then branches, in the order written
        ("input 1x8x8; a: conv 2 k=1; b: conv 2 k=1; concat b a", ("b", "b", "a")),
        ("input 1x8x8; a: conv 2 k=1; b: conv 2 k=1; concat a { relu }", ("a", "relu1")),
        ("input 1x8x8; a: conv 2 k=1; conv 2 k=1; concat { from a; relu } { }", ("relu1", "conv2")),
    ],
)
def test_operands_of_merges(text: str, inputs: tuple[str, ...]) -> None:
    assert graph(text).nodes[-1].inputs == inputs


@pytest.mark.parametrize("count", ["3", "1 + 2", "6/2", "3.0", "n"])
def test_repeat_counts(count: str) -> None:
    assert len(graph(f"let n = 3; input 4; repeat {count} {{ fc 4 }}; fc n").nodes) == 5


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("1.5", "E203"),
        ("-1", "E203"),
        ("true", "E203"),
        ('"3"', "E203"),
        ("many", "E203"),
        ("", "E202"),
        ("2 3", "E202"),
        ("2 as", "E202"),
        ("2 as relu", "E105"),
        ("n=2", "E202"),
    ],
)
def test_wrong_repeat_heads(head: str, code: str) -> None:
    assert codes(f"input 4; repeat {head} {{ fc 4 }}; fc 2")[:1] == [code]


# --- sharing ---------------------------------------------------------------------------------------------------


def test_shared_layers_are_counted_once() -> None:
    net = graph("input 4x8x8; a: conv 4 k=3 p=1; relu; conv 4 k=3 p=1 share=a; conv 4 k=3 p=1 share=conv2")
    assert net.total_parameters == 4 * 4 * 9 + 4
    assert set(net.weights) == {"a.weight", "a.bias"}
    assert [n.parameter_owner for n in net.nodes if n.op.keyword == "conv"] == ["a"] * 3


def test_shared_block_calls_are_counted_once() -> None:
    text = """
    block inner(w) { conv w k=3 p=1 bias=false; bn }
    block tower(w) { inner w; relu; repeat 2 { inner w } }
    left_in: input 4x8x8
    left: tower 4
    right_in: input 4x8x8
    right: tower 4 share=left
    concat left
    """
    net = graph(text)
    assert net.total_parameters == 3 * (4 * 4 * 9 + 8)
    assert {name.partition(".")[0] for name in net.weights} == {"left"}
    assert net.total_macs == 6 * 64 * 4 * 4 * 9


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("input 4x8x8; a: conv 4 k=3 p=1; conv 4 k=1 share=a", "E124"),
        ("input 1x8x8; a: conv 4 k=3 p=1; conv 4 k=3 share=a", "E124"),
        ("input 4x8x8; a: conv 4 k=3 p=1; conv 4 k=3 bias=false share=a", "E124"),
        ("input 4x8x8; a: relu; conv 4 k=3 share=a", "E124"),
        ("input 4x8x8; a: bn; conv 4 k=3; bn affine=false share=a", "E124"),
        ("input 4x8x8; a: group_norm groups=2; layer_norm share=a", "E124"),
        ("input 4; a: fc 4; x: bilinear a input1; bilinear a input1 out=2 share=x", "E124"),
        ("input 4x8x8; conv 4 k=3 share=a; a: conv 4 k=3", "E114"),
        ("input 4x8x8; a: conv 4 k=3 p=1; conv 4 k=3 p=1 share=a frozen=true", "E313"),
        ("block b(w) { conv w k=3 p=1 }; input 4x8x8; x: b 4; y: b 5 share=x", "E124"),
        ("block b(w) { conv w k=3 p=1 }; input 4x8x8; y: b 4 share=x", "E203"),
        ("block b(w) { conv w k=3 p=1 }; input 4x8x8; x: conv 4 k=3 p=1; y: b 4 share=x", "E124"),
    ],
)
def test_parameters_that_cannot_be_shared(text: str, code: str) -> None:
    assert codes(text) == [code]


# --- include ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    return tmp_path / "net"


def included(folder: Path, text: str, **files: str) -> list[str]:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_cnn", ".cnn")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    (folder / "net.cnn").write_text(text)
    return [d.code for d in load(folder / "net.cnn").diagnostics]


def test_include_brings_blocks_and_lets(folder: Path) -> None:
    text = 'include "sub/a.cnn"\ninput 1x8x8\nb n\nc\n'
    diagnostics = included(
        folder,
        text,
        sub__a_cnn='include "b.cnn"\nlet n = m * 2\nblock b(w) { conv w k=1 }\n',
        sub__b_cnn="let m = 3\nblock c { relu }\n",
    )
    assert diagnostics == []
    assert str(load(folder / "net.cnn").require_graph().nodes[-1].type) == "6x8x8"


def test_a_file_may_be_included_twice(folder: Path) -> None:
    parts = "block b { relu }\n"
    text = 'include "a.cnn"\ninclude "c.cnn"\ninput 1x8x8\nb\n'
    assert included(folder, text, a_cnn='include "c.cnn"\n', c_cnn=parts) == []


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ('include "nowhere.cnn"', {}),
        ('include "../outside.cnn"', {}),
        ('include "sub/../../outside.cnn"', {"sub__a_cnn": ""}),
        ('include "a.cnn"', {"a_cnn": 'include "b.cnn"\n', "b_cnn": 'include "a.cnn"\n'}),
        ('include "a.cnn"', {"a_cnn": 'include "a.cnn"\n'}),
        ('include "net.cnn"', {}),
        ('include "a.cnn"', {"a_cnn": "relu\n"}),
        ('include "a.cnn"', {"a_cnn": "input 3x3x3\n"}),
        ('include "a.cnn"', {"a_cnn": "train { data digits }\n"}),
        ('include ""', {}),
        ('include "sub"', {"sub__a_cnn": ""}),
        ('include "a\\u0001b.cnn"', {}),
        ('include "link.cnn"', {}),
    ],
)
def test_includes_that_are_rejected(folder: Path, text: str, files: dict[str, str]) -> None:
    (folder.parent / "outside.cnn").write_text("block b { relu }\n")
    (folder / "link.cnn").symlink_to(folder.parent / "outside.cnn")
    assert included(folder, f"{text}\ninput 1x8x8\nrelu\n", **files) == ["E120"]


def test_a_link_within_the_folder_is_allowed(folder: Path) -> None:
    (folder / "link.cnn").symlink_to(folder / "a.cnn")
    assert included(folder, 'include "link.cnn"\ninput 1x8x8\nb\n', a_cnn="block b { relu }\n") == []


def test_an_absolute_path_outside_the_folder_is_rejected(folder: Path) -> None:
    (folder.parent / "outside.cnn").write_text("block b { relu }\n")
    path = folder.parent / "outside.cnn"
    assert included(folder, f'include "{path.as_posix()}"\ninput 1x8x8\nrelu\n') == ["E120"]


def test_source_that_is_not_in_a_file_cannot_include() -> None:
    assert codes('include "a.cnn"; input 1x8x8; relu') == ["E120"]


def test_errors_inside_an_included_file_name_it(folder: Path) -> None:
    assert included(folder, 'include "a.cnn"\ninput 1x8x8\nb\n', a_cnn="block b { conv 4 kk=3 }\n") == ["E201"]
    (error,) = load(folder / "net.cnn").diagnostics
    assert error.span is not None
    assert Path(error.span.source.name) == folder / "a.cnn"
    assert error.calls[0].span.source.name == str(folder / "net.cnn")


# --- assertions ----------------------------------------------------------------------------------------------


def test_expect_in_blocks_branches_and_repeats() -> None:
    text = "block b(w) { conv w k=1; expect [w, 8, 8] }; input 1x8x8; b 4; b 6; concat { b 3; expect 3x8x8 } { }"
    assert codes(text) == []
    assert codes("input 1x8x8; repeat 3 as i { conv i + 1 k=1; expect [i + 1, 8, 8] }") == []
    assert codes("block b(w) { conv w k=1; expect 4x8x8 }; input 1x8x8; b 4; b 6") == ["E401"]


def test_an_asserted_shape_is_assumed_below() -> None:
    assert codes("input 1x8x8; conv 4 k=3; expect 4x8x8; reshape 256") == ["E401"]


def test_expect_ends_the_poison_of_a_failed_layer() -> None:
    """A failed layer has no shape; `expect` asserts one, so that errors below it are reported."""
    assert codes("input 1x8x8; conv 4 k=9; expect 4x8x8; conv 4 k=11") == ["E302", "E302"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("expect params=40 macs=2304 out=4x8x8 field=3", None),
        ("expect params=41", "E402"),
        ("expect macs=1", "E402"),
        ("expect out=4x8x9", "E402"),
        ("expect field=5", "E402"),
        ("expect field=3x3", None),
        ("expect params=-1", "E203"),
        ("expect params=1.5", "E203"),
        ("expect parm=1", "E201"),
        ("budget params=40 macs=2304 flash=160 ram=1280", None),
        ("budget params=39", "E403"),
        ("budget macs=2303", "E403"),
        ("budget flash=159", "E403"),
        ("budget ram=1279", "E403"),
        ("budget ram=1279 params=39", "E403 E403"),
        ("budget rom=3", "E201"),
        ("budget 3", "E204"),
        ("budget", "E202"),
    ],
)
def test_assertions_and_budgets(line: str, code: str | None) -> None:
    assert codes(f"input 1x8x8; conv 4 k=3 p=1; {line}") == (code or "").split()


# --- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # one wrong layer, and no errors below it
        ("input 1x8x8; conv 4 k=9; relu; pool max k=2; conv 8 k=3; add { conv 8 k=1 } { }; fc 10", ["E302"]),
        ("input 1x8x8; conv 4; relu; conv 8 k=99; fc 10", ["E202"]),
        ("input 1x8x8; nonsense; conv 8 k=99; fc 10", ["E111"]),
        ("input 1x8x8; a: conv 4 k=9; relu; concat a; from a; relu; output a", ["E302"]),
        ("input 1x8x8; add { conv 4 k=9 } { conv 4 k=1 }; conv 4 k=3; reshape 7", ["E302"]),
        ("let n = 1/0; input 1x8x8; conv n k=3; conv 2*n k=3; repeat n { relu }", ["E103"]),
        ("let n = m + 1; let k = n; input 1x8x8; conv k k=3", ["E101"]),
        ("let n = c_in; input 1x8x8; conv n k=3", ["E101"]),
        ("repeat c_in { relu }; input 1x8x8; fc 3", ["E101"]),
        ("input [1, 8, 8*c_in]; fc 3", ["E101"]),
        ("input 1x8x8; fc 3; input [c_in, 8, 8]; relu", ["E101"]),
        ("input 0x8; conv 4 k=3; relu; fc 10; expect 10 params=3", ["E203"]),
        ("input 1x8x8; relu; add nowhere; conv 4 k=3", ["E114"]),
        ("input 1x8x8; from nowhere; conv 4 k=3; relu", ["E114"]),
        ("block b(w) { conv w k=9 }; input 1x8x8; b 4; b 4; fc 10", ["E302"]),
        ("input 1x8x8; conv 4 k=9; unpool conv1; relu", ["E302"]),
        ("input 1x8x8; a: conv 4 k=9; conv 4 k=3 share=a; relu", ["E302"]),
        # independent errors are all reported
        ("input 1x8x8; conv 4 kk=3; pool mx k=2; drpout; fc 10 bias=no", ["E201", "E203", "E111", "E203"]),
        ("input 1x8x8; conv 4 k=9; conv 4 k=3 padd=1; fc 0", ["E302", "E201", "E203"]),
        # the output shape of fc is known for any input
        ("input 1x8x8; conv 4 k=9; fc 10; conv 4 k=3", ["E302", "E303"]),
        ("input 1x8x8; concat { conv 4 kk=1 } { conv 4 pp=1 k=1 }", ["E201", "E201"]),
        ("block b { conv 4 kk=1 }; block c { conv 4 pp=1 k=1 }; input 1x8x8; b; c", ["E201", "E201"]),
    ],
)
def test_one_wrong_layer_causes_no_further_errors(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("block b { conv 4 kk=3 }; input 1x8x8; b; b; b; repeat 5 { b }", ["E201"]),
        ("block i { conv 4 kk=3 }; block o { i; i }; input 1x8x8; o; o", ["E201"]),
        ("input 1x8x8; repeat 100 { conv 4 kk=3 }", ["E201"]),
        ("input 1x8x8; repeat 100 { nonsense }", ["E111"]),
        ("block b { conv 2*n k=3 }; input 1x8x8; b; b", ["E101"]),
    ],
)
def test_an_error_within_a_block_is_reported_once(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


def test_a_warning_within_a_block_is_reported_once() -> None:
    diagnostics = check("block b { conv 4 k=3 p=1; bn; relu; relu }; input 1x8x8; b; b; repeat 3 { b }").diagnostics
    assert [d.code for d in diagnostics] == ["W105", "W104"]


def test_calls_are_shown_outermost_first() -> None:
    (error,) = errors("block i { conv 4 kk=3 }\nblock o { i }\ninput 1x8x8\no\n")
    assert [(note.text, note.span.line) for note in error.calls] == [("block o", 4), ("block i", 2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input 1x8x8; conv 4 k=; relu; conv 4 k=3 kk=3", ["E002", "E201"]),
        ("let n = ; input 1x8x8; conv n k=3; conv 2*n k=3", ["E002"]),
        ("block b { conv 4 k= }; input 1x8x8; b", ["E002"]),
        ("input 1x8x8; a: conv 4 k=; relu; concat a", ["E002"]),
        ("input 1x8x8; conv 4 k=; expect 4x8x8; expect params=1", ["E002"]),
        ("input 1x8x8; conv 4 k=9; conv 4 k=", ["E302", "E002"]),
        ("input 1x8x8; conv 4 k=3,; fc 3; train { data digits; epochs 0 }", ["E002", "E203"]),
    ],
)
def test_consequences_of_a_syntax_error_are_not_reported(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


# --- limits ----------------------------------------------------------------------------------------------------


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the steps of lowering and the bodies whose layers are estimated."""
    counts: Counter[str] = Counter()
    count_step, estimated_layers = lower._Lowerer.count_step, blocks.estimated_layers

    def counted_step(*arguments: Any) -> None:
        counts["steps"] += 1
        count_step(*arguments)

    def counted_estimate(*arguments: Any) -> int:
        counts["estimates"] += 1
        return estimated_layers(*arguments)

    monkeypatch.setattr(lower._Lowerer, "count_step", counted_step)
    monkeypatch.setattr(blocks, "estimated_layers", counted_estimate)
    return counts


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("input 1x8x8; repeat 1000000000000 { relu }", "E113"),
        ("input 1x8x8; repeat 1e12 { }", "E113"),
        ("input 1x8x8; repeat 1000 { repeat 1000 { repeat 1000 { repeat 1000 { relu } } } }", "E113"),
        ("let n = 10**12; input 1x8x8; repeat n { relu }", "E113"),
        ("block b { repeat 1000 { relu } }; input 1x8x8; repeat 1000 { b }", "E113"),
        (
            "block a { repeat 100 { b } }; block b { repeat 100 { c } }; block c { repeat 100 { relu } }; input 4; a",
            "E113",
        ),
        ("block b(n) { repeat n { relu } }; input 1x8x8; repeat 1000 { b 1000 }", "E113"),
        (
            "".join(f"block b{i} {{ b{i + 1}; b{i + 1} }}; " for i in range(30)) + "block b30 { relu }; input 4; b0",
            "E113",
        ),
        ("input 1x8x8; conv 1000000000 k=3", None),
        ("input 1000000000x8x8; conv 1000000000 k=3", "E309"),
        ("input 1x8x8; conv 10**12 k=3", "E203"),
        ("input 2000000000x2000000000x2000000000", "E309"),
        ("input 1x2000000000; conv 1 k=1000000000 d=2000000000 p=2000000000", "E302"),
        ("input 1x8x8; pad 2000000000", "E309"),
        ("input 1x8x8; upsample 2000000000", "E309"),
        ("input 1x8x8; pool max k=2000000000 p=2000000000", None),
        ("input 1x8x8; fc 2000000000; fc 2000000000", None),
        ("".join(f"block b{i} {{ b{i + 1}; b{i + 1} }}; " for i in range(30)) + "block b30 { }; input 4; b0", "E113"),
        (
            "".join(f"block b{i} {{ b{i + 1} }}; " for i in range(3000)) + "block b3000 { }; input 4; repeat 2 { b0 }",
            "E119",
        ),
        ("block b(n) { repeat n { } }; input 1x8x8; repeat 1000 { b 1000 }", "E113"),
        ("let n = 10**300; input 1x8x8; conv n k=3", "E104"),
        ("input 1x8x8; conv 4*1e308 k=3", "E104"),
        ("let n = 2**62 * 2**62; input 1x8x8; conv n k=3", "E104"),
        ("let n = 9**9**9**9; input 1x8x8; conv n k=3", "E104"),
    ],
)
def test_too_large_networks_are_rejected_after_bounded_work(text: str, code: str | None, work: Counter[str]) -> None:
    errors = codes(text)
    assert errors[:1] == [code] or code is None
    assert work["steps"] <= lower.MAX_STEPS + 1
    assert work["estimates"] <= 2 * blocks.MAX_LAYERS


@pytest.mark.long
def test_lowering_ten_thousand_layers_takes_one_step_per_statement_and_round(work: Counter[str]) -> None:
    net = graph("input 4x8x8; repeat 2500 { conv 4 k=3 p=1 bias=false; bn; relu; add in }; fc 10")
    assert len(net.nodes) == 10_002
    assert net.total_parameters == 2500 * (4 * 4 * 9 + 8) + 2570
    assert work["steps"] == 3 + 2500 * (1 + 4)
    assert work["estimates"] == 1


@pytest.mark.long
def test_ten_thousand_lines() -> None:
    lines = "\n".join("relu\nconv 4 k=1" for _ in range(5000))
    assert len(graph(f"input 4x8x8\n{lines}\n").nodes) == 10_001


def test_malformed_settings() -> None:
    for setting in ("n", "n=", "=3", "n=3 4", "n=)"):
        with pytest.raises(CnncError):
            check("let n = 3; input 1x8x8; conv n k=1", settings=[setting])
