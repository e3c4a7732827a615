"""Metadata of a model, its source map, and what `cnnc info` and the model card show of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from cnnc.diagnostics import CnncError
from cnnc.network import Network, check, load
from cnnc.onnx.emit.model import emit, newest_opset
from cnnc.onnx.export import export
from cnnc.onnx.metadata import PRECISION, QUALITY, Facts, metadata, read_facts
from cnnc.onnx.run.inspect import describe
from cnnc.onnx.run.session import open_model
from cnnc.onnx.source_map import locate, locate_nodes, read_map
from cnnc.reference.initializers import initialize
from cnnc.report.card import card
from cnnc.report.model import info_text

VERSIONS = {"cnnc": "0", "numpy": "1", "onnx": "2", "onnxruntime": "3"}
BLOCKS = """block inner(w) {
  conv w k=3 p=1 bias=false; bn
  relu
}
block outer(w) { inner w; last: inner w }
input 1x8x8
stage: outer 4
fc 3
softmax
"""


def facts_of(network: Network, *outputs: str, **more: Any) -> Facts:
    return read_facts(metadata(network, network.part(outputs).require_graph(), VERSIONS, **more))


def kinds(text: str, *outputs: str, **more: Any) -> dict[str, str]:
    network = check(text)
    assert network.ok, network.diagnostics
    return {name: fact["kind"] for name, fact in facts_of(network, *outputs, **more).outputs.items()}


# --- outputs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input 4; fc 3; softmax", "classes"),
        ("input 4; fc 3", "values"),  # nothing says that they are scores of classes
        ("input 4; fc 3; log_softmax", "classes"),
        ("input 4; fc 1", "values"),
        ('input 4; fc 3\ntrain { data npz "x"; loss mse }', "values"),
        ('input 4; fc 3; sigmoid\ntrain { data npz "x"; loss bce }', "values"),
        ("input 3x8x8; conv 5 k=1", "values"),
        ("input 3x8x8; conv 5 k=1; global_pool avg", "values"),
        ("input 3x8x8; conv 5 k=1; softmax", "values"),
        ('input 3x8x8; conv 5 k=1\ntrain { data npz "x" }', "label map"),
        ('input 3x8x8; conv 5 k=1; global_pool avg\ntrain { data npz "x" }', "classes"),
        ('input 3x8x8; conv 3 k=1; sigmoid\ntrain { data npz "x"; loss mse target=input }', "picture"),
        ('input 3x8x8; conv 4 k=1\ntrain { data npz "x"; loss mse }', "values"),
        ('input 2x8; conv 1 k=1\ntrain { data npz "x"; loss mse }', "values"),
    ],
)
def test_kinds_of_outputs(text: str, expected: str) -> None:
    assert list(kinds(text).values()) == [expected]


@pytest.mark.parametrize(
    ("text", "trained_as_image"),
    [
        ("input 1x8x8; conv 1 k=1\ntrain { data digits; loss mse target=input }", True),
        ('input 1x8x8; conv 1 k=1\ntrain { data npz "x"; loss mse; metric psnr }', True),
        ('input 1x8x8; conv 1 k=1\ntrain { data npz "x"; loss mse }', False),
        ("input 1x8x8; conv 1 k=1", False),
    ],
)
def test_the_range_of_an_image(text: str, trained_as_image: bool) -> None:
    (fact,) = facts_of(check(text)).outputs.values()
    assert fact.get("range") == ([0, 1] if trained_as_image else None)


def test_the_kind_of_an_output_follows_its_loss() -> None:
    text = """input 4; h: fc 8
a: fc 3
from h; b: fc 5
from h; c: fc 5
output a b c
train { data npz "x"; loss mse on=a; loss cross_entropy on=b }
"""
    assert kinds(text) == {"a": "values", "b": "classes", "c": "values"}
    facts = facts_of(check(text), classes=["p", "q", "r", "s", "t"])
    assert facts.classes == (), "the classes belong to the first loss"
    swapped = text.replace("loss mse on=a; loss cross_entropy on=b", "loss cross_entropy on=b; loss mse on=a")
    facts = facts_of(check(swapped), classes=["p", "q", "r", "s", "t"])
    assert facts.classes == ("p", "q", "r", "s", "t")
    assert {name: fact["named"] for name, fact in facts.outputs.items()} == {"a": False, "b": True, "c": False}


# --- inputs ----------------------------------------------------------------------------------------------------


def test_metadata_of_every_input() -> None:
    text = """a: input 3x8x8 dtype=uint8
b: input 5
c: input 6 dtype=int64
embed 4 vocab=20; flatten; e: fc 3
from a; flatten; f: fc 3
from b; fc 3
add e f
"""
    entries = facts_of(check(text)).inputs
    assert list(entries) == ["a", "b", "c"]
    assert (entries["a"]["kind"], entries["a"]["range"], entries["a"]["inside"]) == (
        "picture",
        [0, 255],
        ["divided by 255"],
    )
    assert (entries["b"]["kind"], entries["b"]["range"], entries["b"]["layout"]) == ("values", None, "N, F")
    assert (entries["c"]["kind"], entries["c"]["range"], entries["c"]["layout"]) == ("integers", [0, 19], "N, T")


def test_the_range_of_integers_behind_a_slice() -> None:
    text = "input 6 dtype=int64; slice 0 4; embed 4 vocab=20"
    assert facts_of(check(text)).inputs["input1"]["range"] == [0, 19]


@pytest.mark.parametrize(("data", "kind", "span"), [("mnist", "picture", [0, 1]), ('npz "x"', "values", None)])
def test_the_range_of_an_input_follows_the_data_reader(data: str, kind: str, span: list[int] | None) -> None:
    fact = facts_of(check(f"input 1x28x28; fc 10\ntrain {{ data {data} }}")).inputs["input1"]
    assert (fact["kind"], fact["range"], fact["mean"], fact["std"]) == (kind, span, None, None)


def test_the_vocabulary_is_kept_for_inputs_of_words() -> None:
    text = 'input 6 dtype=int64; embed 4 vocab=20; fc 2\ntrain { data text "x" }'
    facts = facts_of(check(text), vocabulary=["a", "b"])
    assert facts.vocabulary == ("a", "b")
    assert facts.inputs["input1"]["kind"] == "words"
    assert facts_of(check("input 6; fc 2"), vocabulary=["a", "b"]).vocabulary == ()


# --- sizes, settings, includes ---------------------------------------------------------------------------------


def test_symbols_and_their_legal_sizes() -> None:
    network = check("input 3xHxW; a: conv 2 k=3 p=1; pool max k=2; upsample 2; add a; softmax")
    facts = facts_of(network)
    assert facts.inputs["input1"]["shape"] == [3, "H", "W"]
    assert facts.outputs["softmax1"]["shape"][0] == 2
    assert facts.macs is None
    assert network.survey is not None
    assert facts.sizes == dict(network.survey.legal)
    rule = facts.sizes["H"]
    for size in range(1, 100):
        assert rule.allows(size) == network.survey.legal["H"].allows(size)
    assert [rule.closest(n) for n in (1, 8, 9)] == [2, 8, 8]


def test_fixed_sizes() -> None:
    text = "input 3xHxW; conv 2 k=3; softmax"
    facts = facts_of(check(text, at={"H": 8, "W": 9}))
    assert (facts.at, facts.sizes) == ({"H": 8, "W": 9}, {})
    assert facts.inputs["input1"]["shape"] == [3, 8, 9]
    assert facts.macs == 3 * 9 * 2 * 6 * 7


def test_settings_and_the_data_statement() -> None:
    text = 'let w = 3\ninput 1x4; fc w\ntrain { data series "a/b.csv" val=0.2 test=0.3 }'
    facts = facts_of(check(text, "net.cnn", ["w=5"]))
    assert facts.settings == ("w=5",)
    assert facts.data == {"name": "series", "path": "a/b.csv", "val": 0.2, "test": 0.3}
    again = check(facts.source, facts.file, facts.settings)
    assert again.require_graph() == check(text, settings=["w=5"]).require_graph().replace(name=again.name)


def test_infinity_and_nan_become_null() -> None:
    trained = {"best": float("inf"), "test": {"psnr": float("nan"), "loss": 1.5}}
    properties = metadata(check("input 4; fc 3"), check("input 4; fc 3").require_graph(), VERSIONS, trained=trained)
    assert json.loads(properties["cnnc.facts"])["trained"] == {"best": None, "test": {"psnr": None, "loss": 1.5}}


def test_included_files_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "lib.cnn").write_text("block b(w) { fc w; relu }\n")
    (tmp_path / "net.cnn").write_text('include "lib.cnn"\ninput 4\nb 3\n')
    network = load(tmp_path / "net.cnn")
    done = export(network, initialize(network.require_graph(), 0), tmp_path / "net.onnx")
    (tmp_path / "lib.cnn").unlink()
    facts = open_model(done.path, "cpu").facts
    again = check(facts.source, facts.file, facts.settings, includes=facts.includes)
    assert again.require_graph() == network.require_graph()
    assert not check(facts.source, facts.file, facts.settings).ok, "without the included files it must fail"
    place = locate(onnx.load(done.path), "b1.relu1", "net.onnx").position
    assert (place.span.source.name, place.span.text) == ("lib.cnn", "relu")


def test_the_model_does_not_depend_on_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for folder in (tmp_path / "here", tmp_path / "far" / "away"):
        (folder / "parts").mkdir(parents=True)
        (folder / "parts" / "lib.cnn").write_text("block b(w) { fc w; relu }\n")
        (folder / "net.cnn").write_text('include "parts/lib.cnn"\ninput 4\nb 3\n')
        monkeypatch.chdir(folder.parent)
        for path in (folder / "net.cnn", Path(folder.name) / "net.cnn"):
            network = load(path)
            made.append(export(network, initialize(network.require_graph(), 0), tmp_path / "m.onnx").path.read_bytes())
    assert len(set(made)) == 1
    assert str(tmp_path).encode() not in made[0]
    assert b"parts/lib.cnn:1" in made[0]


def test_an_absolute_include_keeps_its_name(tmp_path: Path) -> None:
    library = tmp_path / "lib.cnn"
    library.write_text("block b(w) { fc w; relu }\n")
    (tmp_path / "net.cnn").write_text(f'include "{library}"\ninput 4\nb 3\n')
    network = load(tmp_path / "net.cnn")
    facts = facts_of(network)
    assert check(facts.source, facts.file, includes=facts.includes).require_graph() == network.require_graph()


@pytest.mark.parametrize(
    "nonsense",
    ["", "[]", "3", "null", '{"inputs": [], "sizes": {"H": 4}, "name": []}', '{"origin": {"file": 3}}', "{"],
)
def test_malformed_metadata_is_empty(nonsense: str) -> None:
    keys = ("cnnc.facts", "cnnc.vocabulary", "cnnc.includes", "cnnc.map")
    facts = read_facts(dict.fromkeys(keys, nonsense))
    assert facts.replace(file="") == Facts()
    assert read_map(dict.fromkeys(keys, nonsense)).positions == {}


# --- source positions ----------------------------------------------------------------------------------------------------


def model_of(text: str, opset: int = 17) -> onnx.ModelProto:
    network = check(text, "net.cnn")
    graph = network.require_graph()
    return emit(graph, initialize(graph, 0), metadata(network, graph, VERSIONS), opset)


def test_block_calls_are_listed_from_the_outermost() -> None:
    found = locate(model_of(BLOCKS), "stage.last.conv1", "m")
    assert (found.position.span.line, found.position.span.text) == (2, "conv w k=3 p=1 bias=false")
    assert [(call.text, call.span.line) for call in found.position.calls] == [("block outer", 7), ("block inner", 5)]


def test_the_source_map_has_each_call_once() -> None:
    properties = {prop.key: prop.value for prop in model_of(BLOCKS).metadata_props}
    found = json.loads(properties["cnnc.map"])
    assert found["files"] == ["net.cnn"]
    assert [text for text, *_ in found["calls"]] == ["block outer", "block inner", "block inner"]
    assert {len(numbers) - 3 for numbers in found["layers"].values()} == {0, 2}


def test_every_node_and_tensor_has_a_position() -> None:
    model = model_of(BLOCKS)
    names = [t.name for t in model.graph.initializer] + [o for n in model.graph.node for o in n.output]
    for name in [*names, *(node.name for node in model.graph.node)]:
        place = locate(model, name, "m").position
        assert name == place.layer or name.startswith(f"{place.layer}.")
    assert len(locate_nodes(model, "m")) == len(model.graph.node)


@pytest.mark.parametrize("opset", [13, 17, 20, 21, 23])
def test_nodes_carry_their_position(opset: int) -> None:
    """Layer and calls from IR 10 on; before, the format has no metadata for nodes."""
    if opset > newest_opset():
        pytest.skip(f"the installed onnx and onnxruntime have opsets up to {newest_opset()}")
    model = model_of(BLOCKS, opset)
    node = next(n for n in model.graph.node if n.name == "stage.last.conv1")
    assert node.doc_string == "net.cnn:2"
    properties = {prop.key: prop.value for prop in node.metadata_props}
    if model.ir_version < 10:
        assert properties == {}
    else:
        assert properties == {
            "cnnc.layer": "stage.last.conv1",
            "cnnc.place": "net.cnn:2:3",
            "cnnc.calls": "block outer at net.cnn:7; block inner at net.cnn:5",
        }
    onnx.checker.check_model(model, full_check=True)


def test_nodes_renamed_by_an_optimizer_are_located() -> None:
    model = model_of(BLOCKS)
    node = next(n for n in model.graph.node if n.name == "fc1")
    node.name = "fused_by_somebody"
    assert locate(model, "fused_by_somebody", "m").position.layer == "fc1"


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(CnncError) as caught:
        locate(model_of(BLOCKS), "stage.last.conv2", "m.onnx")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E010"
    assert "`stage.last.conv1`" in diagnostic.help


# --- info and card --------------------------------------------------------------------------------------------------


def test_info_and_card_of_symbolic_sizes(tmp_path: Path) -> None:
    network = check("net Open\ninput 3xHxW; conv 4 k=3 p=1; relu; conv 2 k=1; softmax", "open.cnn")
    graph = network.require_graph()
    fixed = check("net Open\ninput 3x32x32; conv 4 k=3 p=1; relu; conv 2 k=1; softmax", "open.cnn").require_graph()
    model = emit(fixed, initialize(fixed, 0), metadata(network, graph, VERSIONS))
    onnx.save(model, tmp_path / "open.onnx")
    found = describe(tmp_path / "open.onnx")
    shown = info_text(found)
    assert "H ≥ 1; W ≥ 1" in shown
    assert "no: random weights" in shown
    page = card(found, network.summary())
    assert "Legal sizes: H ≥ 1; W ≥ 1." in page
    assert "multiply-adds" not in page, "multiply-adds depend on the size"


@pytest.mark.parametrize(
    ("precision", "held", "others"),
    [
        (
            None,
            "Before export every layer output was compared with the network.",
            ("float16", "int8", "point of accuracy"),
        ),
        ("float16", "the scores differ by at most 1%", ("int8", "point of accuracy")),
        ("int8", "at most one percentage point of accuracy is lost", ("float16", "1%")),
    ],
)
def test_a_card_says_how_its_precision_was_checked(
    precision: str | None, held: str, others: tuple[str, ...], tmp_path: Path
) -> None:
    network = check("net Small; input 4; fc 3", "small.cnn")
    graph = network.require_graph()
    trained = {"epochs": 3, "best_epoch": 3, "judged_by": "validation", "metric": "accuracy", "best": 0.5}
    facts = metadata(network, graph, VERSIONS, trained=trained)
    model = emit(graph, initialize(graph, 0), facts | ({PRECISION: precision} if precision else {}))
    onnx.save(model, tmp_path / "small.onnx")
    page = card(describe(tmp_path / "small.onnx"), network.summary())
    head = page.partition("## Inputs")[0]
    assert held in head
    assert not any(word in head for word in others)
    assert (f"(float32 weights, before conversion to {precision})" in page) is (precision is not None)


def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    network, path = check("input 4; fc 3", "net.cnn"), tmp_path / "m.onnx"
    graph = network.require_graph()
    properties = metadata(network, graph, VERSIONS) | {"cnnc.source": "input 4; fc 2"}
    onnx.save(emit(graph, initialize(graph, 0), properties), path)
    assert "the source in the model does not match its sha256" in info_text(describe(path))


def test_info_of_external_weights(tmp_path: Path) -> None:
    network = check("input 40; fc 30", "net.cnn")
    graph = network.require_graph()
    model = emit(graph, initialize(graph, 0), metadata(network, graph, VERSIONS))
    path = tmp_path / "m.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    found = describe(path)
    assert found["external"] == [{"file": "m.data", "bytes": (tmp_path / "m.data").stat().st_size}]
    assert found["bytes"] == path.stat().st_size + (tmp_path / "m.data").stat().st_size
    assert found["weights"]["numbers"] == 40 * 30 + 30
    assert open_model(path, "cpu").run({"input1": np.zeros((1, 40), np.float32)})[0].shape == (1, 30)
    (tmp_path / "m.data").unlink()
    assert "missing" in info_text(describe(path))
    with pytest.raises(CnncError) as caught:
        open_model(path, "cpu")
    assert caught.value.diagnostics[0].code == "E604"


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        (
            {"lost": 3, "gained": 1, "other": 0, "interval": [-0.006, 0.017]},
            "3 answers are lost and 1 gained. The 95% interval of the loss is -0.6 to 1.7 points.",
        ),
        ({"lost": 3, "gained": 1, "other": 0, "interval": "wide"}, "at most one percentage point of accuracy is lost"),
        (None, "at most one percentage point of accuracy is lost"),
    ],
)
def test_a_card_says_what_int8_cost(changed: dict[str, Any] | None, held: str, tmp_path: Path) -> None:
    network = check("net Small; input 4; fc 3", "small.cnn")
    graph = network.require_graph()
    quality = {"metric": "accuracy", "before": 0.98, "after": 0.975, "samples": 400, "changed": changed}
    facts = metadata(network, graph, VERSIONS) | {PRECISION: "int8", QUALITY: json.dumps(quality)}
    onnx.save(emit(graph, initialize(graph, 0), facts), tmp_path / "small.onnx")
    assert held in card(describe(tmp_path / "small.onnx"), network.summary())


def test_counts_of_right_answers_belong_to_the_accuracy_only(tmp_path: Path) -> None:
    network = check("net Small; input 4; fc 3", "small.cnn")
    graph = network.require_graph()
    trained = {"epochs": 3, "best_epoch": 3, "judged_by": "validation", "metric": "macro_f1", "best": 0.41}
    trained["test"] = {"right": 4, "total": 8, "macro_f1": 0.4333}
    facts = metadata(network, graph, VERSIONS, trained=trained)
    onnx.save(emit(graph, initialize(graph, 0), facts), tmp_path / "small.onnx")
    page = card(describe(tmp_path / "small.onnx"), network.summary())
    assert "test macro_f1 43.33%" in page
    assert "4 of 8" not in page


def test_the_interval_of_the_test_score_is_in_the_card(tmp_path: Path) -> None:
    network = check("net Small; input 4; fc 3", "small.cnn")
    graph = network.require_graph()
    trained = {"epochs": 3, "best_epoch": 3, "judged_by": "validation", "metric": "accuracy", "best": 0.5}
    trained["test"] = {"right": 97, "total": 100, "accuracy": 0.97, "accuracy_interval": [0.9155, 0.9897]}
    facts = metadata(network, graph, VERSIONS, trained=trained)
    onnx.save(emit(graph, initialize(graph, 0), facts), tmp_path / "small.onnx")
    page = card(describe(tmp_path / "small.onnx"), network.summary())
    assert "test accuracy 97.00% (97 of 100), 95% interval 91.5% to 99.0%" in page
