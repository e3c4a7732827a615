"""The text that an import writes: repeats and blocks found again, names kept where the language can say them."""

from __future__ import annotations

import re

import pytest

from cnnc.diagnostics import Source
from cnnc.language.format import format_text
from cnnc.network import check
from cnnc.onnx.importer.importer import ImportedNetwork
from cnnc.ops import OPS
from tests.onnx.importer.parts import exported, imported, model, node, statements
from tests.op_cases import random_weights


def back(text: str, flat: bool = False) -> ImportedNetwork:
    """A network's text, exported and imported."""
    graph = check(text).require_graph()
    found = imported(exported(graph, random_weights(graph, 0)), flat=flat)
    assert format_text(Source("net.cnn", found.source)) == found.source
    assert [d for d in found.network.diagnostics if d.severity == "error"] == []
    return found


def body(found: ImportedNetwork) -> str:
    return statements(found).partition("; ")[2]


# --- repeats and blocks ----------------------------------------------------------------------------------------


def test_a_repeat_is_found_again() -> None:
    found = back("input 4x8x8\nrepeat 3 { conv 8 k=3 p=same; relu }\nfc 2")
    assert body(found) == "repeat 3 { conv 8 k=3 p=same; relu }; fc 2"
    assert (found.repeats, found.blocks) == (1, 0)


def test_residual_repeats_have_braces() -> None:
    found = back("input 4x8x8\nrepeat 3 { add { conv 4 k=3 p=same; relu } { } }\nfc 2")
    assert "repeat 3 { add { conv 4 k=3 p=same; relu } { } }" in found.source


def test_a_block_is_found_with_its_parameter_and_its_name() -> None:
    text = """block stage(w) { conv w k=3 p=same; relu; conv 2*w k=1; relu; pool max k=2 }
    input 3x32x32; stage 8; stage 12; stage 16; fc 2"""
    found = back(text)
    assert "block stage(w) {" in found.source
    assert "conv w*2 k=1; relu" in found.source
    assert body(found).endswith("stage 8; stage 12; stage 16; fc 2")


def test_a_block_of_a_stranger_gets_a_name() -> None:
    nodes, constants, last = [], {}, "x"
    import numpy as np

    for i, (inside, out) in enumerate([(3, 8), (8, 12), (12, 16)]):
        constants[f"w{i}"] = np.zeros((out, inside, 3, 3), np.float32)
        constants[f"v{i}"] = np.ones((out, out, 1, 1), np.float32)
        nodes += [node("Conv", f"{last} w{i}", f"a{i}", pads=[1, 1, 1, 1]), node("Relu", f"a{i}", f"b{i}"),
                  node("Conv", f"b{i} v{i}", f"c{i}"), node("Relu", f"c{i}", f"d{i}")]  # fmt: skip
        last = f"d{i}"
    found = imported(model(nodes, {"x": ["N", 3, 9, 9]}, constants, (last,)))
    assert "block unit(w) {" in found.source
    assert statements(found).endswith("unit 8; unit 12; unit 16")


def test_nothing_is_gathered_where_it_does_not_pay() -> None:
    found = back("input 3x8x8; conv 8 k=3; relu; conv 6 k=3; relu; fc 2")
    assert body(found) == "conv 8 k=3; relu; conv 6 k=3; relu; fc 2"


def test_flat_writes_every_layer() -> None:
    text = "input 4x8x8\nrepeat 3 { conv 8 k=3 p=same; relu }\nfc 2"
    assert body(back(text, flat=True)).count("conv 8") == 3


def test_a_layer_that_is_named_from_afar_is_not_gathered_away() -> None:
    text = "input 4x8x8; repeat 3 { conv 4 k=3 p=same; relu }; x: conv 4 k=3 p=same; repeat 3 { conv 4 k=3 p=same; relu }; concat x"
    found = back(text)
    assert "x: conv" in found.source
    assert "concat" in found.source


# --- branches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "add { conv 4 k=3 p=same; relu } { }",
        "add { } { conv 4 k=1 }",
        "concat { conv 2 k=1 } { conv 3 k=1; relu } { pool max k=3 s=1 p=same }",
        "mul { } { global_pool avg; conv 2 k=1; relu; conv 4 k=1; sigmoid }",
        "add { add { conv 4 k=1 } { } } { }",
    ],
)
def test_branches_stand_in_braces(text: str) -> None:
    def words(text: str) -> list[str]:
        return [word for word in re.findall(r"[{}]|\w+", text) if word in "{}" or word in OPS]

    found = back(f"input 4x8x8; tanh; {text}")
    assert words(statements(found)) == ["input", "tanh", *words(text)]


def test_an_encoder_and_decoder_names_its_skips() -> None:
    found = back(
        "input 1x16x16; e1: conv 4 k=3 p=same; pool max k=2; e2: conv 8 k=3 p=same; pool max k=2; conv 8 k=1; "
        "upsample 2; concat e2; conv 4 k=1; upsample 2; concat e1; conv 2 k=1"
    )
    assert "e1: conv 4 k=3 p=same" in found.source
    assert "from e2\nconcat upsample1" in found.source or "concat e2" in found.source
    assert "{" not in found.source


def test_layers_that_share_are_not_gathered() -> None:
    """Their text names the owner, which a repeat or block could not."""
    share = "conv 4 k=3 p=same share=a; relu"
    found = back(f"input 4x8x8; a: conv 4 k=3 p=same; relu; {'; '.join([share] * 6)}; fc 2")
    assert found.source.count("share=a") == 6
    assert found.network.require_graph().total_parameters == 148 + 514


@pytest.mark.parametrize("layer", ["bn", "group_norm groups=2", "instance_norm", "layer_norm", "affine", "prelu"])
def test_every_layer_that_learns_says_what_it_shares(layer: str) -> None:
    found = back(f"input 4x8x8; {layer}; tanh; a: {layer}; tanh; {layer} share=a; conv 2 k=1")
    assert found.source.count(f"{layer} share=a") == 1
    assert len({n.parameter_owner for n in found.network.require_graph().nodes if n.op.keyword in layer}) == 2


def test_several_inputs_and_outputs() -> None:
    found = back("a: input 2x4x4; b: input 2x4x4; add a; x: relu; from a; y: tanh; sub x; z: sigmoid; output x z y")
    graph = found.network.require_graph()
    assert [n.name for n in graph.inputs] == ["a", "b"]
    assert graph.outputs == ("x", "z", "y")


def test_outputs_that_are_inputs_or_twice_the_same() -> None:
    nodes = [node("Relu", "x", "r"), node("Identity", "r", "s"), node("Identity", "x", "t")]
    found = imported(model(nodes, {"x": ["N", 3]}, outputs=("r", "s", "t", "x")))
    assert len(found.network.require_graph().outputs) == 4


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("first", "first"),
        ("layer1.0.conv1", "layer1_0_conv1"),
        ("conv1", "conv1"),  # the automatic one
        ("conv7", "conv1"),  # that of another layer
        ("relu", "conv1"),  # a word of the language
        ("in", "conv1"),
        ("a b!", "conv1"),
        ("0th", "conv1"),
        ("x" * 100, "conv1"),
    ],
)
def test_names_of_layers(name: str, kept: str) -> None:
    import numpy as np

    nodes = [node("Conv", f"x {name.replace(' ', '_')}.weight".replace("a_b!", "a!b"), "c"), node("Relu", "c")]
    key = nodes[0].input[1]
    nodes[0].name = name
    found = imported(model(nodes, {"x": ["N", 1, 4, 4]}, {key: np.ones((2, 1, 3, 3), np.float32)}))
    assert found.network.require_graph().nodes[1].name == kept


def test_names_are_told() -> None:
    found = imported(model([node("Relu", "input.1", "out")], {"input.1": ["N", 3]}, outputs=("out",)))
    assert found.inputs == {"input.1": "input_1"}
    assert found.outputs == ("out",)


def test_the_name_of_the_net() -> None:
    proto = model([node("Relu", "x")], {"x": ["N", 3]})
    assert "net by_hand\n" in imported(proto).source
    proto.graph.name = "main_graph"
    assert "net net\n" not in imported(proto, "my-net").source
    assert 'net "my-net"\n' in imported(proto, "my-net").source


# --- numbers ---------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_text() -> None:
    """Through float32 and back: 0.1 is 0.1, not 0.10000000149."""
    text = "input 2x8x8; leaky_relu 0.1; scale 0.3; lrn size=3 alpha=0.001 beta=0.7; clip -0.1 0.9; bn eps=0.001; affine; normalize mean=[0.1, 0.2] std=0.3; select [1]"
    found = back(text)
    assert body(found) == text.partition("; ")[2]
