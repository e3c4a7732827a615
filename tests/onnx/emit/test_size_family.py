"""The sizes at which a network with symbols is looked at and verified, and what its numbers are as functions of them."""

from __future__ import annotations

from itertools import count

import pytest

from cnnc.diagnostics import CnncError
from cnnc.graph.sizes import SizeFormula
from cnnc.network import check
from cnnc.onnx.emit import size_family
from cnnc.onnx.emit.size_family import SizeFamily, at_option, build_size_family, verification_sizes


def family_of(text: str) -> SizeFamily:
    network = check(text)
    family = build_size_family(network, network.require_graph(), lambda graph: graph)
    assert family is not None
    return family


def sizes_of(family: SizeFamily, symbol: str) -> list[int]:
    return [member.size for member in family.members if member.symbol == symbol]


def test_two_periods_of_sizes_and_a_few_much_larger_ones_are_looked_at() -> None:
    family = family_of("input 1xHxW; conv 2 k=[1, 3] s=2")
    for symbol, least in (("H", 1), ("W", 3)):
        sizes = sizes_of(family, symbol)
        near, far = sizes[:8], sizes[8:]
        assert near == list(range(least, least + 8))
        assert len(far) == len(set(far)) == 2
        assert min(far) > 2 * max(near)
        for member in family.members:
            fixed = {"H", "W"} - {member.symbol}
            assert {s: n for s, n in zip("HW", member.graph.nodes[0].type.shape[1:], strict=True) if s in fixed} == {
                s: family.survey.reference[s] for s in fixed
            }
    assert family.complete
    halved = family_of("input 1xH; " + "; ".join(["conv 2 k=3 s=2 p=same"] * 4))
    assert halved.survey.period == 16
    assert sizes_of(halved, "H")[:32] == list(range(1, 33))
    even = family_of("input 1xH; a: identity; conv 2 k=3 s=2 p=same; upsample 2; concat a")
    assert all(size % 2 == 0 for size in sizes_of(even, "H"))


def test_of_too_many_sizes_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "input 1xH; conv 2 k=3 s=2 p=same"
    sizes = sizes_of(family_of(text), "H")
    monkeypatch.setattr(size_family, "_MAX_RESIZED_SIZES", len(sizes))
    assert family_of(text).complete
    assert sizes_of(family_of(text), "H") == sizes
    monkeypatch.setattr(size_family, "_MAX_RESIZED_SIZES", len(sizes) - 1)
    fewer = family_of(text)
    assert not fewer.complete
    assert sizes_of(fewer, "H") == sizes[::2]


def test_a_source_that_uses_sizes_as_numbers_is_lowered_anew_for_each() -> None:
    """So no number of sizes is known to be all that make a difference."""
    family = family_of("input 2xHxW; crop [H - 1, W]")
    assert not family.complete
    assert len(family.members) > 8
    for graph, node in family.nodes("crop1"):
        _, height, width = graph.nodes[0].type.shape
        assert node.type.shape == (2, height - 1, width)


def test_without_symbols_there_is_no_family() -> None:
    for network in (check("input 1x8; relu"), check("input 1xH; relu", at={"H": 8})):
        assert build_size_family(network, network.require_graph(), lambda graph: graph) is None
    assert verification_sizes(check("input 1x8; relu")) == ({},)


def test_numbers_as_functions_of_one_symbol() -> None:
    family = family_of("input 1xHxW; conv 2 k=1")
    sizes = [dict(zip("HW", m.graph.nodes[0].type.shape[1:], strict=True)) for m in family.members]
    for symbol in "HW":
        found = family.formula([2 * at[symbol] + 1 for at in sizes])
        assert found == (symbol, SizeFormula(2, 1))
    assert family.formula([7 for _ in sizes]) is None, "it depends on no size"
    assert family.formula([at["H"] + at["W"] for at in sizes]) is None, "it depends on two"
    assert family.formula([at["H"] + at["W"] % 2 for at in sizes]) is None, "it depends on two, if only by a remainder"
    assert family.formula([at["H"] ** 2 for at in sizes]) is None, "there is no such function"
    noise = count()
    assert family.formula([next(noise) % 2 if m.symbol == "H" else 0 for m in family.members]) is None


def test_two_assignments_are_verified() -> None:
    network = check("input 1xHxW; conv 2 k=3 s=2")
    assert network.survey is not None
    small, large = verification_sizes(network)
    for sizes in (small, large):
        assert sizes["H"] != sizes["W"]
        assert all(network.survey.legal[symbol].allows(size) for symbol, size in sizes.items())
    assert all(small[symbol] < large[symbol] for symbol in "HW")
    assert (large["H"] - small["H"]) % 2, "with another remainder"


def test_legal_sizes_are_verified() -> None:
    network = check("input 1xH; a: identity; conv 2 k=3 s=2 p=same; upsample 2; concat a")
    small, large = verification_sizes(network)
    assert (small["H"] % 2, large["H"] % 2) == (0, 0)
    assert small["H"] < large["H"]


def test_sizes_that_are_not_legal_together_are_not_verified_together() -> None:
    network = check("a: input 2xH; conv 3 k=3 p=1; relu; x: tanh; b: input 2xW; conv 3 k=3; tanh; pad 1; add x")
    first, second = verification_sizes(network)
    assert first != second
    for sizes in (first, second):
        assert network.graph_at(sizes).nodes[0].type.shape == (2, sizes["H"])


def test_a_layer_that_depends_on_a_size_is_refused_with_the_option_that_fixes_it() -> None:
    with pytest.raises(CnncError, match="pool1 depends on a size in a way that one model for every size") as error:
        family_of("input 2xHxW\npool avg k=[H, W]")
    (found,) = error.value.diagnostics
    assert found.code == "E806"
    assert found.span is not None
    assert found.span.line == 2
    option = at_option(family_of("input 2xHxW; relu").survey)
    assert found.help.startswith("`--at H=")
    assert option.startswith("`--at H=")
    assert ",W=" in option
