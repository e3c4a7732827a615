"""Sizes that are symbols: one model for all of them, beside the engine at many sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from cnnc.diagnostics import CnncError
from cnnc.export.emit import emit
from cnnc.export.family import family
from cnnc.export.passes import run_passes
from cnnc.export.runtime import Session
from cnnc.network import Network, check
from cnnc.reference.engine import Array, Weights, forward, outward
from tests.op_cases import CASES, Case
from tests.op_cases import random_weights as weights_of

LETTERS = "ABDEFGHJKLMQRSTUV"


def symbolic(text: str) -> str:
    """The text with a symbol for each spatial size of its inputs, one for sizes that are alike on the same axis."""
    letters: dict[tuple[int, str], str] = {}

    def renamed(match: re.Match[str]) -> str:
        head, shape, rest = match[1], match[2].split("x"), match[3]
        first = 0 if "int64" in rest else 1
        named = [letters.setdefault((i, n), LETTERS[len(letters)]) for i, n in enumerate(shape) if i >= first]
        return f"{head}{'x'.join([*shape[:first], *named])}{rest}"

    return re.sub(r"(input )([0-9x]+)([^;]*)", renamed, text)


def nets() -> list[Any]:
    """The rows of the table that go with sizes as symbols: no fc, no fixed sizes to go with."""
    found = []
    for case in CASES:
        text = symbolic(case.text)
        if text != case.text:
            network = check(text)
            if network.graph is not None and network.survey is not None:
                found.append(pytest.param(case, text, id=case.id))
    return found


NETS = nets()


def model_of(network: Network, weights: Weights, opset: int = 17) -> onnx.ModelProto:
    smaller, folded = run_passes(network.require_graph(), weights)
    sizes = family(network, smaller, lambda other: run_passes(other, weights)[0])
    return emit(smaller, folded, {}, opset, family=sizes)


def sizes_to_try(network: Network) -> list[Mapping[str, int]]:
    """Legal sizes of every remainder, small and larger, the symbols moved one against another."""
    assert network.survey is not None
    legal = {
        symbol: [n for n in range(1, 60) if rule.holds(n)][: 2 * rule.period + 4]
        for symbol, rule in network.survey.legal.items()
    }
    count = max(map(len, legal.values()))
    return [
        {symbol: sizes[(i + place) % len(sizes)] for place, (symbol, sizes) in enumerate(legal.items())}
        for i in range(min(count, 12))
    ]


def feeds_at(network: Network, sizes: Mapping[str, int], case: Case) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    for node in network.graph_at(sizes).inputs:
        random = np.random.default_rng([*node.name.encode(), *sizes.values()])
        fed = node.op.fed()  # type: ignore[attr-defined]
        shape = (2, *fed.shape)
        if fed.dtype == "float32":
            feeds[node.name] = random.uniform(*case.ranges.get(node.name, (-1, 1)), shape).astype(np.float32)
        else:
            low, high = (0, 256) if fed.dtype == "uint8" else case.ranges[node.name]
            feeds[node.name] = random.integers(int(low), int(high), shape, fed.dtype)
    return feeds


def compare(network: Network, weights: Weights, session: Session, sizes: Mapping[str, int], case: Case) -> None:
    feeds = feeds_at(network, sizes, case)
    values = forward(network.require_graph(), weights, feeds).values
    for name, found in zip(session.outputs, session.run(feeds), strict=True):
        expected = outward(values[name])
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_most_rows_of_the_table_have_a_form_with_symbols() -> None:
    assert len(NETS) > 250


@pytest.mark.parametrize(("case", "text"), NETS)
def test_one_model_is_right_at_every_legal_size(case: Case, text: str) -> None:
    network = check(text)
    weights = weights_of(network.require_graph(), 0)
    session = Session(model_of(network, weights).SerializeToString(), case.id, "cpu")
    tried = 0
    for sizes in sizes_to_try(network):
        try:
            network.graph_at(sizes)
        except CnncError:  # legal each for itself, and not together
            continue
        compare(network, weights, session, sizes, case)
        tried += 1
    assert tried
