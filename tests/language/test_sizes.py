"""Sizes as symbols: the surveyed rules against a plain check of every size.

A `let` in capitals takes precedence over a symbol, so `let H = 37` before a source gives a network of fixed size, whose
check does not involve the survey of sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import pytest

from cnnc.diagnostics import CnncError
from cnnc.graph.sizes import LegalSizes, SizeSurvey
from cnnc.language import working_edits
from cnnc.language.lower import lower
from cnnc.network import Network, check

SIZES = range(1, 201)


class Net(NamedTuple):
    """A source and its expected rules, one per symbol; "" if only the plain check of every size decides."""

    id: str
    text: str
    rules: str


def unet(depth: int, conv: str = "conv 2 k=3 p=1") -> str:
    down = "\n".join(f"e{i}: {conv}\npool max k=2" for i in range(depth))
    up = "\n".join(f"upsample 2\nconcat e{i}\n{conv}" for i in reversed(range(depth)))
    return f"input 1xHxH\n{down}\n{conv}\n{up}\n"


NETS = (
    Net("every size", "input 1xHxH; conv 2 k=3 p=1; relu", "H ≥ 1"),
    Net("valid", "input 1xHxH; conv 2 k=5; conv 2 k=3", "H ≥ 7"),
    Net("floor", "input 1xHxH; pool max k=2; pool max k=2; pool max k=2", "H ≥ 8"),
    Net("floor with kernels", "input 1xHxH; conv 2 k=7 s=2 p=3; pool max k=3 s=2; conv 2 k=3", "H ≥ 13"),
    Net("ceil", "input 1xHxH; pool max k=2 ceil=true; pool max k=3 s=2 ceil=true; conv 2 k=2", ""),
    Net("same", "input 1xHxH; conv 2 k=3 s=2 p=same; conv 2 k=4 s=3 p=same_lower", "H ≥ 1"),
    Net("u-net of one step", unet(1), "H ≥ 2, a multiple of 2"),
    Net("u-net of four steps", unet(4), "H ≥ 16, a multiple of 16"),
    Net("u-net of five steps", unet(5), "H ≥ 32, a multiple of 32"),
    Net("u-net with same", unet(2, "conv 2 k=3 p=same"), "H ≥ 4, a multiple of 4"),
    Net(
        "u-net with transposed convolutions",
        "input 1xHxH; a: conv 2 k=3 p=1; conv 2 k=3 s=2 p=1; conv_transpose 2 k=2 s=2; concat a",
        "H ≥ 2, a multiple of 2",
    ),
    Net(
        "odd sizes alone",
        "input 1xHxH; a: conv 2 k=3 p=1; conv 2 k=3 s=2 p=1; conv_transpose 2 k=3 s=2 p=1; concat a",
        "H ≥ 1, 1 more than a multiple of 2",
    ),
    Net(
        "odd twice",
        "input 1xHxH; a: identity; conv 2 k=3 s=2; conv 2 k=3 s=2; conv_transpose 2 k=3 s=2; conv_transpose 2 k=3 s=2;"
        " concat a",
        "",
    ),
    Net("stride of three", "input 1xHxH; a: identity; pool max k=3; upsample 3; concat a", "H ≥ 3, a multiple of 3"),
    Net(
        "two and three",
        "input 1xHxH; a: identity; pool max k=2; upsample 2; concat a; b: identity; pool max k=3; upsample 3; concat b",
        "H ≥ 6, a multiple of 6",
    ),
    Net(
        "same and up again",
        "input 1xHxH; a: identity; conv 2 k=3 s=2 p=same; upsample 2; concat a",
        "H ≥ 2, a multiple of 2",
    ),
    Net(
        "ceil and up again",
        "input 1xHxH; a: identity; pool max k=2 ceil=true; upsample 2; concat a",
        "H ≥ 2, a multiple of 2",
    ),
    Net("a floor against a ceil", "input 1xHxH; a: pool max k=2; from input1; pool max k=2 ceil=true; concat a", ""),
    Net(
        "cropped skips",
        "input 1xHxH; a: conv 2 k=3; pool max k=2; conv 2 k=3; upsample 2; concat { from a; crop 16 } { crop 16 }",
        "",
    ),
    Net("broadcasting", "input 2xHxH; a: identity; global_pool avg; conv 2 k=1; mul a", "H ≥ 1"),
    Net("broadcasting one", "input 2xHxH; a: identity; conv 2 k=2; add a", "H = 2"),
    Net("one size", "input 1xHxH; conv 2 k=3; expect 2x30x30", "H = 32"),
    Net("a few sizes", "input 1xHxH; pool max k=4; expect 1x5x5", "H = 20 or 21 or 22 or 23"),
    Net("expected with a symbol", "input 1xHxH; pool max k=4; expect [1, H/4, H/4]", "H ≥ 4, a multiple of 4"),
    Net("expected with a floor", "input 1xHxH; pool max k=4; expect [1, H//4, H//4]", "H ≥ 4"),
    Net("expected and shrunk", "input 1xHxH; conv 2 k=3 s=2; expect [2, (H-1)/2, (H-1)/2]", ""),
    Net("space to depth", "input 1xHxH; space_to_depth 4; conv 3 k=3", "H ≥ 12, a multiple of 4"),
    Net("depth to space", "input 4xHxH; a: identity; depth_to_space 2; pool max k=2; concat a", "H ≥ 1"),
    Net("crop", "input 1xHxH; crop 20; conv 2 k=3", "H ≥ 20"),
    Net("slice", "input 1xHxH; slice 3 -2 axis=1", ""),
    Net("select", "input 1xHxH; select [0, 5] axis=2", "H ≥ 6"),
    Net("pool with wide padding", "input 1xHxH; pool max k=3 s=2 p=1; pool avg k=5 s=3 p=2", ""),
    Net("unpool", "input 1xHxH; p: pool max k=2; conv 1 k=3 p=1; unpool p; concat input1", "H ≥ 2"),
    Net("dilated", "input 1xHxH; conv 2 k=3 d=4; conv 2 k=3 d=2 s=2", "H ≥ 13"),
    Net("used as a number", "input 1xHxH; conv 2 k=1; reshape [2, H*H]; conv 2 k=3", "H ≥ 2"),
    Net("used in a let", "input 1xHxH; let half = H//2; pool max k=2; expect [1, half, half]", "H ≥ 2"),
    Net("used as a whole half", "input 1xHxH; let half = H/2; crop half", "H ≥ 2, a multiple of 2"),
    Net("used as a third", "input 1xHxH; let third = H/3; crop third offset=0", "H ≥ 3, a multiple of 3"),
    Net("a sequence", "input 4xT; conv 8 k=5 s=2 p=causal; pool max k=4", "T ≥ 7"),
    Net("a sequence of words", "input T dtype=int64; embed 8 vocab=100; conv 4 k=5; global_pool max", "T ≥ 5"),
    Net("a volume", "input 1xDxDxD; conv 2 k=3 p=1; pool max k=2; pool max k=2x2x2", "D ≥ 4"),
    Net("one axis of two", "input 1xHx32; conv 2 k=3; pool max k=2", "H ≥ 4"),
    Net("a long period", "input 1xHxH; a: identity; pool max k=32; upsample 32; concat a", "H ≥ 32, a multiple of 32"),
    Net(
        "towers of other strides",
        "input 1xHxH; a: conv 2 k=1 s=4; from input1; conv 2 k=2 s=2; conv 2 k=2 s=2; concat a",
        "",
    ),
    Net(
        "a skip over a fixed part",
        "input 1xHxH; a: crop 6; from input1; pool max k=2; concat a",
        "H = 12 or 13",
    ),
)
BY_SYMBOL = re.compile(r"[HTD](?=[x\s;])")


def symbol_of(net: Net) -> str:
    return next(s for s in "HTD" if re.search(rf"input [^;\n]*{s}", net.text))


def surveyed(text: str, at: Mapping[str, int] | None = None) -> tuple[Network, SizeSurvey]:
    network = check(text, at=at)
    assert network.survey is not None, [d.message for d in network.diagnostics]
    return network, network.survey


def plain(text: str, **sizes: int) -> Network:
    """The network at fixed sizes."""
    return check("".join(f"let {name} = {size}; " for name, size in sizes.items()) + text)


def value(formula: str, **sizes: int) -> Fraction:
    """The value of a formula at these sizes."""
    text = re.sub(r"(?<=\d)(?=[A-Z])", "*", formula.replace("⌊", "floor(").replace("⌋", ")"))
    text = re.sub(r"(?<![\w.])(\d+)", r"Fraction(\1)", text)

    def floor(x: Fraction) -> Fraction:
        return Fraction(x.numerator // x.denominator)

    names = {name: Fraction(size) for name, size in sizes.items()}
    return Fraction(eval(text, {"Fraction": Fraction, "floor": floor}, names))


@pytest.fixture
def _untried_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only whether a network has errors is asked, not how they are fixed: trying edits takes longer than the check."""
    monkeypatch.setattr(working_edits, "with_working_edits", lambda diagnostics, *_, **__: diagnostics)


@pytest.mark.long
@pytest.mark.usefixtures("_untried_edits")
@pytest.mark.parametrize("net", NETS, ids=[net.id for net in NETS])
def test_the_rules_agree_with_a_check_of_every_size(net: Net) -> None:
    symbol = symbol_of(net)
    _, survey = surveyed(net.text)
    legal = survey.legal[symbol]
    if net.rules:
        assert survey.rules() == net.rules
    by_rule = {n for n in SIZES if legal.allows(n)}
    by_check = {n for n in SIZES if plain(net.text, **{symbol: n}).ok}
    assert by_rule == by_check


@pytest.mark.long
@pytest.mark.parametrize("net", NETS, ids=[net.id for net in NETS])
def test_the_formulas_agree_with_a_check_of_every_size(net: Net) -> None:
    symbol = symbol_of(net)
    _, survey = surveyed(net.text)
    unknown = 0
    for size in [n for n in SIZES if survey.legal[symbol].allows(n)][::7][:12]:
        graph = plain(net.text, **{symbol: size}).require_graph()
        for node in graph.nodes:
            formulas = survey.formulas[node.name]
            assert len(formulas) == len(node.type.shape)
            for formula, size_of_axis in zip(formulas, node.type.shape, strict=True):
                if formula == "?":
                    unknown += 1
                else:
                    assert value(formula, **{symbol: size}) == size_of_axis, (node.name, formula, size)
    assert not unknown or net.id in ("used as a number", "cropped skips")  # H², and a floor within a product


@pytest.mark.parametrize(
    ("text", "node", "formula"),
    [
        ("input 3xHxW; conv 8 k=3 p=1", "conv1", "8 H W"),
        ("input 3xHxW; conv 8 k=3", "conv1", "8 H-2 W-2"),
        ("input 3xHxW; pool max k=2", "pool1", "3 ⌊H/2⌋ ⌊W/2⌋"),
        ("input 3xHxW; upsample 2x3", "upsample1", "3 2H 3W"),
        ("input 3xHxW; conv 8 k=3 s=2 p=1", "conv1", "8 ⌊(H+1)/2⌋ ⌊(W+1)/2⌋"),
        ("input 3xHxW; global_pool avg", "global_pool1", "3 1 1"),
        ("input 3xHxW; a: identity; pool max k=2; upsample 2; concat a", "pool1", "3 H/2 W/2"),
        ("input 3xHx8; conv 8 k=3", "conv1", "8 H-2 6"),
    ],
)
def test_formulas_as_they_are_shown(text: str, node: str, formula: str) -> None:
    _, survey = surveyed(text)
    assert " ".join(survey.formulas[node]) == formula


# --- two symbols -----------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.usefixtures("_untried_edits")
def test_two_symbols_have_separate_rules() -> None:
    text = "input 1xHxW; a: identity; pool max k=2x4; upsample 2x4; concat a; conv 2 k=3x9"
    _, survey = surveyed(text)
    assert survey.rules() == "H ≥ 4, a multiple of 2; W ≥ 12, a multiple of 4"
    for h in range(1, 20):
        for w in range(1, 20):
            ok = plain(text, H=h, W=w).ok
            assert ok == (survey.legal["H"].allows(h) and survey.legal["W"].allows(w))


def test_two_inputs_of_one_symbol() -> None:
    text = "a: input T dtype=int64; embed 4 vocab=9; x: conv 4 k=3; b: input T dtype=int64; embed 4 vocab=9; conv 4 k=3 p=1;"
    assert not check(text + "concat x").ok
    network, survey = surveyed(text + "global_pool max; y: flatten; from x; global_pool max; flatten; concat y")
    assert network.ok
    assert survey.rules() == "T ≥ 3"


# --- `--at` ----------------------------------------------------------------------------------------------------


def test_at_a_legal_size_all_figures_are_known() -> None:
    network, survey = surveyed(unet(2), {"H": 40})
    assert network.ok
    assert network.summary().macs == plain(unet(2), H=40).summary().macs
    assert network.summary().peak == plain(unet(2), H=40).summary().peak
    assert survey.rules() == "H ≥ 4, a multiple of 4"


def test_without_a_size_figures_that_depend_on_it_are_unknown() -> None:
    network, _ = surveyed(unet(2))
    summary = network.summary()
    assert (summary.macs, summary.peak, summary.training) == (None, None, None)
    assert summary.parameters == plain(unet(2), H=40).summary().parameters
    assert summary.rows[0].shape == (1, "H", "H")
    assert "MACs and memory depend on the size, set it with `at`" in str(network)
    assert "legal sizes: H ≥ 4, a multiple of 4" in str(network)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (41, "the nearest legal sizes are H=40 and H=44 (H ≥ 4, a multiple of 4)"),
        (3, "the nearest legal size is H=4 (H ≥ 4, a multiple of 4)"),
        (1, "the nearest legal size is H=4 (H ≥ 4, a multiple of 4)"),
        (10_001, "the nearest legal sizes are H=10000 and H=10004 (H ≥ 4, a multiple of 4)"),
    ],
)
def test_the_help_for_an_illegal_size_names_the_nearest_legal_ones(size: int, words: str) -> None:
    network = check(unet(2), at={"H": size})
    assert not network.ok
    (error,) = [d for d in network.diagnostics if d.severity == "error"]
    assert error.help == words
    assert error.message.startswith(f"at H={size}: ")


@pytest.mark.long
@pytest.mark.usefixtures("_untried_edits")
@pytest.mark.parametrize("net", NETS, ids=[net.id for net in NETS])
def test_at_agrees_with_the_plain_check(net: Net) -> None:
    symbol = symbol_of(net)
    for size in (1, 2, 7, 16, 33, 64, 96):
        at_size, fixed = check(net.text, at={symbol: size}), plain(net.text, **{symbol: size})
        assert at_size.ok == fixed.ok, size
        if at_size.ok:
            assert [n.type for n in at_size.require_graph().nodes] == [n.type for n in fixed.require_graph().nodes]


def test_at_for_one_of_two_symbols() -> None:
    network = check("input 1xHxW; conv 2 k=3; pool max k=2", at={"H": 9})
    assert network.ok


def test_at_for_a_name_that_is_not_a_symbol() -> None:
    with pytest.raises(CnncError, match="no input has a size `N`"):
        check("input 1xHxH; relu", at={"N": 3})
    with pytest.raises(CnncError, match="no input has a size `H`"):
        check("input 1x8x8; relu", at={"H": 3})


# --- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        "input 1xHxH; a: identity; conv 2 k=2; concat a",
        "input 1xHxW; conv 2 k=3; expect [2, H, W]",
        "input 1xHxH; conv 2 k=3; expect 3x4x4",
        "input 2xHxH; conv 2 k=3 groups=3",
    ],
)
def test_no_legal_size(text: str) -> None:
    network = check(text)
    assert not network.ok
    assert network.survey is None
    (error,) = network.diagnostics
    assert error.code in ("E310", "E401", "E304")


@pytest.mark.parametrize(
    ("text", "layer", "symbol"),
    [
        ("input 3xHxW; conv 8 k=3 p=1; relu; fc 10", "fc1", "H"),
        ("input 3x8xW; conv 8 k=3 p=1; relu; fc 10", "fc1", "W"),
        ("input T dtype=int64; embed 8 vocab=10; fc 3", "fc1", "T"),
        ("input 3xHxH; flatten; fc 3", "fc1", "H"),
        ("input 3xHxH; reshape [3*H, H]; conv 4 k=1", "conv1", "H"),
        ("input 3xHxH; conv H k=3 p=1; relu; conv 4 k=1", "conv1", "H"),
        ("input 3xHxH; conv H k=3 p=1; global_pool avg; scale 2", "conv1", "H"),
        ("input Cx8x8; conv 4 k=3", "conv1", "C"),
        ("input N; fc 4", "fc1", "N"),
        ("input 3xHxH; a: flatten; bilinear a a", "bilinear1", "H"),
        ("input 3xHxH; local 4 k=3 p=same", "local1", "H"),
        ("input 3x8xW; local 4 k=1", "local1", "W"),
    ],
)
def test_parameters_may_not_depend_on_a_size(text: str, layer: str, symbol: str) -> None:
    network = check(text)
    (error,) = network.diagnostics
    assert error.code == "E314"
    assert (
        error.message
        == f"the parameters of {layer} depend on {symbol}, but a network has the same parameters at every size"
    )
    assert error.span is not None
    assert error.help


@pytest.mark.parametrize("body", ["repeat H { conv 1 k=1 }", "repeat H // 100 { relu }", "repeat H % 2 { bn }; relu"])
def test_layers_may_not_depend_on_a_size(body: str) -> None:
    (error,) = [d for d in check(f"input 1xHxH; {body}").diagnostics if d.severity == "error"]
    assert error.code == "E314"
    assert "the layers depend on H" in error.message


@pytest.mark.parametrize(
    "text",
    [
        "input 3xHxW; conv 8 k=3; global_pool avg; fc 10",
        "input 3xHxH; crop 7; fc 10",
        "input 3xHxH; conv 4 k=3; expect 4x6x6; fc 10",  # one legal size
        "input 3xHxW; bn; prelu; layer_norm; instance_norm; affine; normalize mean=[1, 2, 3] std=1",
    ],
)
def test_parameters_that_do_not_depend_on_a_size(text: str) -> None:
    assert check(text).ok


# --- the rule itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "words", "members"),
    [
        (LegalSizes("H", 1, 1, (0,)), "H ≥ 1", [1, 2, 3, 4]),
        (LegalSizes("H", 16, 16, (0,)), "H ≥ 16, a multiple of 16", [16, 32, 48, 64]),
        (LegalSizes("H", 5, 4, (1,)), "H ≥ 5, 1 more than a multiple of 4", [5, 9, 13, 17]),
        (LegalSizes("H", 7, 6, (1, 3)), "H ≥ 7, H mod 6 one of 1, 3", [7, 9, 13, 15]),
        (LegalSizes("H", 8, 4, (0,), (2,)), "H ≥ 8, a multiple of 4, or 2", [2, 8, 12, 16]),
        (LegalSizes("H", 0, 1, (), (5, 7)), "H = 5 or 7", [5, 7]),
        (LegalSizes("H", 0, 1, (), ()), "no size H", []),
    ],
)
def test_rules_as_text(rule: LegalSizes, words: str, members: list[int]) -> None:
    assert str(rule) == words
    assert [n for n in range(1, 70) if rule.allows(n)][: len(members)] == members
    for n in range(1, 60):
        below, above = rule.neighbours(n)
        assert below == max((m for m in range(1, n) if rule.allows(m)), default=None)
        assert above == next((m for m in range(n + 1, 200) if rule.allows(m)), None)


# --- the graph of another size -----------------------------------------------------------------------------


def test_parameters_that_change_only_in_large_steps_are_detected() -> None:
    """The feature map at 225 is 56x56, as at 224, but the parameters depend on the size all the same."""
    for text in ("input 1xAxB; pool max k=4; fc 3", "input 1xAxB; let n = A//100; pool max k=4; fc n + 1"):
        assert "E314" in {d.code for d in check(text).diagnostics}


def test_the_graph_of_a_size() -> None:
    network = check("input 1xHxW; conv 2 k=3 s=2 p=same; reshape [2, ((H+1)//2) * ((W+1)//2)]; global_pool avg")
    graph = network.graph_at({"H": 9, "W": 4})
    assert [node.type.shape for node in graph.nodes] == [(1, 9, 4), (2, 5, 2), (2, 10), (2, 1)]
    assert network.graph_at({}).nodes == network.require_graph().nodes
    plain = check("input 1x8x8; conv 2 k=3")
    assert plain.graph_at({"H": 9}) is plain.graph


def test_the_graph_of_a_size_that_is_not_legal() -> None:
    network = check("net Deep; input 1xHxH; a: identity; pool max k=2; upsample 2; concat a")
    with pytest.raises(CnncError, match="Deep does not accept H=7: concat needs equal sizes") as caught:
        network.graph_at({"H": 7})
    assert caught.value.diagnostics[0].code == "E602"
    assert "a multiple of 2" in caught.value.diagnostics[0].help


def test_assertions_are_checked_for_the_graph_of_another_size() -> None:
    network = check("input 1xHxH; pool max k=4; expect [1, H/4, H/4]")
    with pytest.raises(CnncError):
        network.graph_at({"H": 7})
    assert network.graph_at({"H": 8}).nodes[-1].type.shape == (1, 2, 2)


def test_c_in_of_an_assertion_is_that_at_its_position() -> None:
    """The shape is asserted again at other sizes, where `c_in` must still be the channels at the `expect`."""
    network, survey = surveyed("input 1xHxH; conv 4 k=1; expect [c_in, H, H]; conv 8 k=1; conv 2 k=1")
    assert network.ok
    assert survey.rules() == "H ≥ 1"


def test_a_second_input_does_not_hide_arithmetic_with_a_size() -> None:
    text = "input 1xHxH; reshape [1, H*H]; global_pool max; x: flatten; input 1xHxH; global_pool max; flatten; concat x"
    _, survey = surveyed(text)
    assert survey.rules() == "H ≥ 1"


def test_the_help_for_a_total_that_depends_on_a_size_names_the_symbols() -> None:
    text = "input 4xT; conv 8 k=3; expect macs=1000"
    (error,) = check(text).diagnostics
    assert (error.code, error.help) == ("E404", 'check it at one size: `at={"T": 224}`')
    assert "E404" not in {d.code for d in check(text, at={"T": 224}).diagnostics}


def test_symbols_take_the_image_size_of_a_known_data_set() -> None:
    network = check("input 1xHxW; conv 4 k=3; global_pool avg; fc 10; softmax; train { data digits }")
    assert network.diagnostics == ()
    assert network.survey is not None
    assert network.survey.reference == {"H": 8, "W": 8}
    assert network.require_graph().inputs[0].type.shape == (1, 8, 8)
    assert network.survey.rules() == "H ≥ 3; W ≥ 3"
    too_small = check("input 1xHxW; conv 4 k=9; global_pool avg; fc 10; softmax; train { data digits }")
    assert {d.code for d in too_small.diagnostics} == {"E507"}


@pytest.mark.long
def test_the_search_for_a_legal_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large network is lowered a few times, not once for each of some 360 sizes."""
    calls: list[int] = []

    def counting(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        return lower(*arguments, **more)

    monkeypatch.setattr("cnnc.network.lower", counting)
    found = check("input 3xHxW\nrepeat 5000 { relu }\nconv 4 k=5000").diagnostics
    assert len(calls) <= 6
    assert found[0].message.startswith("no size of H and W among the ")
    calls.clear()
    check("input 3xHxW\nconv 8 k=3x\nrelu\na: pool max k=2\nfrom relu1\nadd a")
    assert len(calls) <= 20
