"""Symbolic sizes: one model for all legal sizes, compared with the NumPy engine at many of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

import cnnc
from cnnc.core.arrays import Array, Weights
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.emit.passes import run_passes
from cnnc.onnx.emit.size_family import build_size_family
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import Options, export
from cnnc.onnx.run.session import Session
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from cnnc.training import checkpoint as checkpoints
from tests.op_cases import CASES, Case
from tests.op_cases import random_weights as weights_of

pytestmark = pytest.mark.long

LETTERS = "ABDEFGHJKLMQRSTUV"


def symbolic(text: str) -> str:
    """The source with a symbol for each spatial size of its inputs; equal sizes on the same axis get the same symbol."""
    letters: dict[tuple[int, str], str] = {}

    def renamed(match: re.Match[str]) -> str:
        head, shape, rest = match[1], match[2].split("x"), match[3]
        first = 0 if "int64" in rest else 1
        named = [letters.setdefault((i, n), LETTERS[len(letters)]) for i, n in enumerate(shape) if i >= first]
        return f"{head}{'x'.join([*shape[:first], *named])}{rest}"

    return re.sub(r"(input )([0-9x]+)([^;]*)", renamed, text)


ROWS = [pytest.param(case, text, id=case.id) for case in CASES if (text := symbolic(case.text)) != case.text]
"""The rows of the table with sizes that can be symbols; most of them check with symbols, which a test shows."""


@cache
def network_of(text: str) -> Network:
    return check(text)


def model_of(network: Network, weights: Weights, opset: int = 17) -> onnx.ModelProto:
    smaller, folded = run_passes(network.require_graph(), weights)
    sizes = build_size_family(network, smaller, lambda other: run_passes(other, weights)[0])
    return emit(smaller, folded, {}, opset, family=sizes)


def sizes_to_try(network: Network) -> list[Mapping[str, int]]:
    """Small and larger legal sizes with every remainder, in different combinations of the symbols."""
    assert network.survey is not None
    legal = {
        symbol: [n for n in range(1, 60) if rule.allows(n)][: 2 * rule.period + 4]
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
        expected = to_channels_first(values[name])
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_most_rows_of_the_table_have_a_symbolic_form() -> None:
    """Asked of each sixth row: a check at all sizes takes a while."""
    networks = [network_of(row.values[1]) for row in ROWS[::6]]
    valid = [network for network in networks if network.graph is not None and network.survey is not None]
    assert len(valid) > 0.75 * len(networks)


@pytest.mark.parametrize(("case", "text"), ROWS)
def test_one_model_is_right_at_every_legal_size(case: Case, text: str) -> None:
    """Or else the row is refused: an `fc` needs fixed sizes, and so does a layer that must fit another or given weights."""
    network = network_of(text)
    if network.graph is None:
        assert {d.code for d in network.diagnostics if d.severity == "error"} <= {"E301", "E307", "E314", "E326"}
        return
    weights = weights_of(network.require_graph(), 0)
    session = Session(model_of(network, weights).SerializeToString(), case.id, "cpu")
    tried = 0
    for sizes in sizes_to_try(network):
        try:
            network.graph_at(sizes)
        except CnncError:  # legal one by one, but not together
            continue
        compare(network, weights, session, sizes, case)
        tried += 1
    assert tried


# --- the file ----------------------------------------------------------------------------------------------

PAGE = """net Page
input 3xHxW
conv 8 k=3 s=2 p=same bias=false
bn
relu
pool avg k=3 s=2 p=1 ceil=true
e: conv 8 k=3 p=1
pool max k=2
conv 16 k=3 p=1
relu
upsample 2
concat e
crop 4x4
conv 2 k=1
"""


def shape(info: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]


def test_the_model_is_verified_at_two_sizes_and_names_symbolic_dimensions(tmp_path: Path) -> None:
    network = check(PAGE, name="page.cnn")
    assert network.survey is not None
    done = export(network, random_weights(network.require_graph(), 0), tmp_path / "page.onnx")
    names = [d.name for d in done.verification.deviations]
    assert names.count("bn1") == 2
    assert names.count("conv4") == 4  # an output, verified in the optimized model as well
    model = onnx.load(done.path)
    known = {i.name: shape(i) for i in [*model.graph.input, *model.graph.output, *model.graph.value_info]}
    assert known["input1"] == ["N", 3, "H", "W"]
    assert known["bn1"] == ["N", 8, "floor((H+1)/2)", "floor((W+1)/2)"]
    assert known["conv4"] == ["N", 2, 4, 4]
    made = {output for node in model.graph.node for output in node.output}
    assert made <= known.keys()


def test_padding_that_is_the_same_at_every_legal_size_is_constant() -> None:
    text = "input 1xHxW; a: identity; conv 2 k=3 s=2 p=same; upsample 2; concat a"  # H and W are multiples of 2
    network = check(text)
    model = model_of(network, random_weights(network.require_graph(), 0))
    assert [n.op_type for n in model.graph.node] == ["Conv", "Resize", "Concat"]
    (pads,) = [list(a.ints) for n in model.graph.node for a in n.attribute if a.name == "pads"]
    assert pads == [0, 0, 1, 1]


def test_the_same_symbols_give_the_same_bytes(tmp_path: Path) -> None:
    network = check(PAGE, name="page.cnn")
    weights = random_weights(network.require_graph(), 0)
    first, second = (export(network, weights, tmp_path / f"{i}.onnx").path.read_bytes() for i in range(2))
    assert first == second


def test_a_fixed_size_is_exported_as_a_number(tmp_path: Path) -> None:
    network = check(PAGE, name="page.cnn", at={"H": 38, "W": 35})
    done = export(network, random_weights(network.require_graph(), 0), tmp_path / "page.onnx")
    model = onnx.load(done.path)
    assert shape(model.graph.input[0]) == ["N", 3, 38, 35]
    assert "Shape" not in {n.op_type for n in model.graph.node}


# --- sizes as numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "input 2xHxW; conv 3 k=3 p=1; reshape [3, H*W]; conv 2 k=3 p=1; global_pool avg",
        "input 4xH; pad 1; reshape [2, 2, H + 2]; conv 3 k=2x3",
        "input 2xHxH; conv 3 k=3 p=1; crop [H//2, H - 2]; conv 2 k=1",
        "input 2xHxW; crop [H - 3, W//3] offset=[1, 0]; tanh",
        "input 2xHxW; slice 1 (H - 1) axis=1; tanh",
        "input 2xHxW; pad [0, H//4, 1, 2]; tanh",
        "input 2xHxW; conv 4 k=1; reshape [4*H, W]; conv 2 k=1",
    ],
)
def test_numbers_that_depend_on_a_size_are_computed(text: str) -> None:
    network = check(text)
    if network.graph is None:  # the number of parameters depends on the size
        assert {d.code for d in network.diagnostics} == {"E314"}
        return
    assert network.graph.sized
    weights = weights_of(network.graph, 0)
    session = Session(model_of(network, weights).SerializeToString(), "sized", "cpu")
    tried = 0
    for height, width in itertools.product((7, 8, 11, 20), (6, 9, 13)):
        sizes = {s: n for s, n in (("H", height), ("W", width)) if network.survey and s in network.survey.legal}
        feeds = feeds_at(network, sizes, Case("sized", text))
        values = forward(network.graph_at(sizes), weights, feeds).values
        for name, found in zip(session.outputs, session.run(feeds), strict=True):
            np.testing.assert_allclose(found, to_channels_first(values[name]), rtol=1e-4, atol=1e-5)
            tried += 1
    assert tried


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("input 2xHxH\npool avg k=[H, H]\n", 2),
        ("input 2xHxW\npool avg k=[H//4, 1] s=1\n", 2),
        ("input 2xHxW\ncrop [H*H//H, W]\nscale H\n", 3),
    ],
)
def test_an_inexpressible_size_is_rejected_at_its_line(text: str, line: int, tmp_path: Path) -> None:
    network = check(text)
    weights = random_weights(network.require_graph(), 0)
    with pytest.raises(CnncError, match="depends on a size in a way") as caught:
        export(network, weights, tmp_path / "no.onnx")
    (found,) = caught.value.diagnostics
    assert found.code == "E806"
    assert found.span is not None
    assert found.span.line == line
    assert "--at H=" in found.help
    assert list(tmp_path.iterdir()) == []
    sizes = {"H": 8, "W": 8} if "W" in text else {"H": 8}
    done = export(check(text, at=sizes), weights, tmp_path / "yes.onnx")  # as the help says
    assert done.path.exists()


def test_options_have_defaults() -> None:
    assert Options() == Options(17, (), False, "", "float32")


def test_a_network_trained_at_one_size_is_exported_for_all(tmp_path: Path) -> None:
    text = (
        "net Any\ninput 1xHxW\nconv 8 k=3 s=2 p=same bias=false; bn; relu\nconv 8 k=3 p=1; relu\nglobal_pool avg\n"
        "fc 10; softmax\ntrain { data digits; optimizer adam lr=0.01; batch 128; epochs 1 }\n"
    )
    network = check(text, name="any.cnn")
    result = cnnc.train(network, tmp_path / "run")
    done = cnnc.export(tmp_path / "run", tmp_path / "any.onnx")
    session = Session(done.path, "any", "cpu")
    assert session.inputs["input1"][0] == (1, "H", "W")
    weights = checkpoints.load(checkpoints.find(tmp_path / "run", "best")).weights
    for height, width in ((8, 8), (9, 12), (1, 30)):
        compare(network, weights, session, {"H": height, "W": width}, Case("any", text))
    assert result.test is not None


def test_padding_that_differs_only_at_large_sizes_is_computed() -> None:
    """Five halvings: the padding of the last one depends on the size modulo 32, and is the same at all sizes below 17."""
    text = "input 1xH; " + "; ".join(["conv 2 k=3 s=2 p=same"] * 5)
    network = check(text)
    weights = weights_of(network.require_graph(), 0)
    session = Session(model_of(network, weights).SerializeToString(), "halved", "cpu")
    for size in (*range(1, 100, 3), 255, 256, 257):
        compare(network, weights, session, {"H": size}, Case("halved", text))


def test_dependent_sizes_are_verified_together(tmp_path: Path) -> None:
    network = check("a: input 2xH; conv 3 k=3 p=1; relu; x: tanh; b: input 2xW; conv 3 k=3; tanh; pad 1; add x")
    done = export(network, random_weights(network.require_graph(), 0), tmp_path / "pair.onnx")
    assert done.verification.worst.passes
    assert len(done.verification.deviations) > len(done.verification.layers)
