"""Merges that name the current tensor: when they are warned about, and that the edit in the help gives what was meant."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cnnc.diagnostics import Diagnostic
from cnnc.network import check
from cnnc.reference.engine import forward

ABOVE = "input 1\na: scale 2\nfrom input1\nb: scale 10\n"  # from 1, a is 2 and b, the current tensor, is 10


def value_of(text: str) -> float:
    """What a network computes from the number 1."""
    graph = check(text).require_graph()
    (output,) = forward(graph, {}, {"input1": np.ones((1, 1))}).values.values()
    return float(output.sum())


def diagnostic_of(text: str, code: str) -> Diagnostic:
    (diagnostic,) = (d for d in check(text).diagnostics if d.code == code)
    return diagnostic


@pytest.mark.parametrize(
    ("merge", "result", "edit", "meant"),
    [
        ("add a b", 22, "add a", 12),
        ("add b a", 22, "add a", 12),
        ("s: add a b", 22, "s: add a", 12),
        ("mul a b", 200, "mul a", 20),
        ("concat a b", 22, "concat a", 12),
        ("maximum a b", 10, "maximum a", 10),
        ("add a b input1", 23, "add a input1", 13),
        ("add a b b", 32, "add a", 12),
    ],
)
def test_the_current_tensor_by_name(merge: str, result: float, edit: str, meant: float) -> None:
    warning = diagnostic_of(ABOVE + merge, "W305")
    assert value_of(ABOVE + merge) == result
    assert f"write `{edit}`" in warning.help
    assert warning.span is not None
    assert warning.span.text == "b"
    assert check(ABOVE + edit).diagnostics == ()
    assert value_of(ABOVE + edit) == meant


@pytest.mark.parametrize(
    ("merge", "result"),
    [
        ("add a", 12),
        ("add b", 20),
        ("mul b", 100),
        ("concat b", 20),
        ("add a { }", 12),
        ("add b { scale 3 }", 40),
        ("add { } { }", 20),
        ("add a a", 14),
        ("sub a", 8),
        ("from a; add b input1", 13),
        ("add a b  # allow W305", 22),
    ],
)
def test_merges_that_are_what_they_say(merge: str, result: float) -> None:
    assert {d.code for d in check(ABOVE + merge).diagnostics} <= {"W103"}, "at most that a is not read"
    assert value_of(ABOVE + merge) == result


def test_a_difference_with_itself() -> None:
    for merge in ("sub b", "maximum b"):
        warning = diagnostic_of(f"{ABOVE}add a\nb2: scale 1\n{merge}2", "W305")
        assert "remove the line" in warning.help


def test_in_a_block_and_in_rounds() -> None:
    block = "block twice(x) {\n  add in x\n}\ninput 1\na: scale 2\nscale 5\ntwice a"
    warning = diagnostic_of(block, "W305")
    assert "in + in + x" in warning.message
    assert [call.text for call in warning.calls] == ["block twice"]
    assert value_of(block) == 22
    assert value_of(block.replace("add in x", "add x")) == 12
    rounds = "input 1\nrepeat 3 { s: scale 2 }\nadd s.*"
    assert value_of(rounds) == 8 + 2 + 4 + 8
    assert "write `add s.0 s.1`" in diagnostic_of(rounds, "W305").help
    assert value_of(rounds.replace("add s.*", "add s.0 s.1")) == 2 + 4 + 8


@pytest.mark.parametrize(
    ("above", "merge", "edits"),
    [
        (ABOVE, "sub a b", {"from a; sub b": -8}),
        (ABOVE, "sub b a", {"sub a": 8}),
        (f"{ABOVE}c: scale 3\n", "d: sub a b", {"from a; d: sub b": -8, "sub a; d: sub b": 18}),
        (f"{ABOVE}c: scale 3\n", "sub b a input1", {"from b; sub a; sub input1": 7, "sub b; sub a; sub input1": 17}),
    ],
)
def test_a_difference_of_two_names(above: str, merge: str, edits: dict[str, float]) -> None:
    error = diagnostic_of(above + merge, "E318")
    assert re.findall(r"`(.*?)`", error.help) == list(edits)
    for edit, result in edits.items():
        assert value_of(above + edit) == result
