"""The source that an import writes: repeats and blocks are recovered, names are kept where they are valid labels."""

from __future__ import annotations

import re

import pytest

from cnnc.diagnostics import Source
from cnnc.language.format import format_text
from cnnc.network import check
from cnnc.onnx.importer.importer import ImportedNetwork
from cnnc.ops import OPS
from tests.onnx.importer.model_builders import export_graph, import_proto, model, node, source_statements
from tests.op_cases import random_weights


def round_trip(text: str, flat: bool = False) -> ImportedNetwork:
    """Exports a network and imports it."""
    graph = check(text).require_graph()
    result = import_proto(export_graph(graph, random_weights(graph, 0)), flat=flat)
    assert format_text(Source("net.cnn", result.source)) == result.source
    errors = [d for d in result.network.diagnostics if d.severity == "error"]
    assert errors == []
    return result


def statements_after_input(result: ImportedNetwork) -> str:
    return source_statements(result).partition("; ")[2]


# --- repeats and blocks ----------------------------------------------------------------------------------------


def test_a_repeat_is_recovered() -> None:
    result = round_trip("input 4x8x8\nrepeat 3 { conv 8 k=3 p=same; relu }\nfc 2")
    assert statements_after_input(result) == "repeat 3 { conv 8 k=3 p=same; relu }; fc 2"
    assert (result.repeats, result.blocks) == (1, 0)


def test_residual_repeats_have_braces() -> None:
    result = round_trip("input 4x8x8\nrepeat 3 { add { conv 4 k=3 p=same; relu } { } }\nfc 2")
    assert "repeat 3 { add { conv 4 k=3 p=same; relu } { } }" in result.source


def test_a_block_is_recovered_with_its_parameter_and_its_name() -> None:
    text = """block stage(w) { conv w k=3 p=same; relu; conv 2*w k=1; relu; pool max k=2 }
    input 3x32x32; stage 8; stage 12; stage 16; fc 2"""
    result = round_trip(text)
    assert "block stage(w) {" in result.source
    assert "conv w*2 k=1; relu" in result.source
    assert statements_after_input(result).endswith("stage 8; stage 12; stage 16; fc 2")


def test_a_block_without_suggested_names_gets_a_default_name() -> None:
    nodes, constants, last = [], {}, "x"
    import numpy as np

    for i, (inside, out) in enumerate([(3, 8), (8, 12), (12, 16)]):
        constants[f"w{i}"] = np.zeros((out, inside, 3, 3), np.float32)
        constants[f"v{i}"] = np.ones((out, out, 1, 1), np.float32)
        nodes += [node("Conv", f"{last} w{i}", f"a{i}", pads=[1, 1, 1, 1]), node("Relu", f"a{i}", f"b{i}"),
                  node("Conv", f"b{i} v{i}", f"c{i}"), node("Relu", f"c{i}", f"d{i}")]  # fmt: skip
        last = f"d{i}"
    result = import_proto(model(nodes, {"x": ["N", 3, 9, 9]}, constants, (last,)))
    assert "block unit(w) {" in result.source
    assert source_statements(result).endswith("unit 8; unit 12; unit 16")


def test_no_block_where_it_does_not_shorten_the_source() -> None:
    result = round_trip("input 3x8x8; conv 8 k=3; relu; conv 6 k=3; relu; fc 2")
    assert statements_after_input(result) == "conv 8 k=3; relu; conv 6 k=3; relu; fc 2"


def test_flat_writes_every_layer() -> None:
    text = "input 4x8x8\nrepeat 3 { conv 8 k=3 p=same; relu }\nfc 2"
    assert statements_after_input(round_trip(text, flat=True)).count("conv 8") == 3


def test_a_layer_named_from_outside_stays_out_of_repeats() -> None:
    text = "input 4x8x8; repeat 3 { conv 4 k=3 p=same; relu }; x: conv 4 k=3 p=same; repeat 3 { conv 4 k=3 p=same; relu }; concat x"
    result = round_trip(text)
    assert "x: conv" in result.source
    assert "concat" in result.source


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

    result = round_trip(f"input 4x8x8; tanh; {text}")
    assert words(source_statements(result)) == ["input", "tanh", *words(text)]


def test_an_encoder_and_decoder_names_its_skips() -> None:
    result = round_trip(
        "input 1x16x16; e1: conv 4 k=3 p=same; pool max k=2; e2: conv 8 k=3 p=same; pool max k=2; conv 8 k=1; "
        "upsample 2; concat e2; conv 4 k=1; upsample 2; concat e1; conv 2 k=1"
    )
    assert "e1: conv 4 k=3 p=same" in result.source
    assert "from e2\nconcat upsample1" in result.source or "concat e2" in result.source
    assert "{" not in result.source


def test_layers_with_shared_parameters_stay_out_of_blocks() -> None:
    """Their source names the owner, which a repeat or block could not."""
    share = "conv 4 k=3 p=same share=a; relu"
    result = round_trip(f"input 4x8x8; a: conv 4 k=3 p=same; relu; {'; '.join([share] * 6)}; fc 2")
    assert result.source.count("share=a") == 6
    assert result.network.require_graph().total_parameters == 148 + 514


@pytest.mark.parametrize("layer", ["bn", "group_norm groups=2", "instance_norm", "layer_norm", "affine", "prelu"])
def test_shared_parameters_of_every_layer_kind(layer: str) -> None:
    result = round_trip(f"input 4x8x8; {layer}; tanh; a: {layer}; tanh; {layer} share=a; conv 2 k=1")
    assert result.source.count(f"{layer} share=a") == 1
    assert len({n.parameter_owner for n in result.network.require_graph().nodes if n.op.keyword in layer}) == 2


def test_several_inputs_and_outputs() -> None:
    result = round_trip(
        "a: input 2x4x4; b: input 2x4x4; add a; x: relu; from a; y: tanh; sub x; z: sigmoid; output x z y"
    )
    graph = result.network.require_graph()
    assert [n.name for n in graph.inputs] == ["a", "b"]
    assert graph.outputs == ("x", "z", "y")


def test_outputs_that_are_inputs_or_equal_to_another_output() -> None:
    nodes = [node("Relu", "x", "r"), node("Identity", "r", "s"), node("Identity", "x", "t")]
    result = import_proto(model(nodes, {"x": ["N", 3]}, outputs=("r", "s", "t", "x")))
    assert len(result.network.require_graph().outputs) == 4


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("first", "first"),
        ("layer1.0.conv1", "layer1_0_conv1"),
        ("conv1", "conv1"),  # the automatic name
        ("conv7", "conv1"),  # the automatic name of another layer
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
    result = import_proto(model(nodes, {"x": ["N", 1, 4, 4]}, {key: np.ones((2, 1, 3, 3), np.float32)}))
    assert result.network.require_graph().nodes[1].name == kept


def test_names_of_inputs_and_outputs() -> None:
    result = import_proto(model([node("Relu", "input.1", "out")], {"input.1": ["N", 3]}, outputs=("out",)))
    assert result.inputs == {"input.1": "input_1"}
    assert result.outputs == ("out",)


def test_the_name_of_the_net() -> None:
    proto = model([node("Relu", "x")], {"x": ["N", 3]})
    assert "net by_hand\n" in import_proto(proto).source
    proto.graph.name = "main_graph"
    assert "net net\n" not in import_proto(proto, "my-net").source
    assert 'net "my-net"\n' in import_proto(proto, "my-net").source


# --- numbers ---------------------------------------------------------------------------------------------------


def test_numbers_are_written_as_in_the_original_source() -> None:
    """Numbers that passed through float32 are short again: 0.1, not 0.10000000149."""
    text = "input 2x8x8; leaky_relu 0.1; scale 0.3; lrn size=3 alpha=0.001 beta=0.7; clip -0.1 0.9; bn eps=0.001; affine; normalize mean=[0.1, 0.2] std=0.3; select [1]"
    result = round_trip(text)
    assert statements_after_input(result) == text.partition("; ")[2]
