"""What E801 says when a model really deviates: an option that works is named, and then it works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.core.arrays import Weights
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph, Node
from cnnc.network import check
from cnnc.onnx import export as export_module
from cnnc.onnx.emit import passes
from cnnc.onnx.emit.emitter import EMISSIONS, Emitter
from cnnc.onnx.emit.model import newest_opset
from cnnc.onnx.emit.verify import Verification, random_weights, verify_model
from cnnc.onnx.export import Options, export
from cnnc.ops.activation import Relu
from tests.op_cases import random_weights as weights_of

pytestmark = pytest.mark.long

TEXT = "input 3x8x8; conv 4 k=3; bn; relu; fc 5"


def refused(path: Path, options: Options = Options(), text: str = TEXT) -> str:  # noqa: B008
    """The help of the error E801 of an export."""
    network = check(text)
    with pytest.raises(CnncError) as caught:
        export(network, random_weights(network.require_graph(), 0), path, options=options)
    (found,) = caught.value.diagnostics
    assert found.code == "E801"
    assert list(path.parent.iterdir()) == []
    return found.help


def wrong_pass(graph: Graph, weights: Weights) -> tuple[Graph, Weights]:
    graph, weights = passes.fold_scale(graph, weights)
    return graph, {
        name: array * np.float32(1.01) if name == "conv1.weight" else array for name, array in weights.items()
    }


def wrong_below(opset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emits relu as a leaky one at opsets below this."""

    def relu(e: Emitter, op: Any, node: Node, inputs: list[str]) -> None:
        e.op("LeakyRelu", inputs, alpha=0.01 if e.opset < opset else 0.0)

    monkeypatch.setitem(EMISSIONS, Relu, relu)


def test_the_pass_that_is_wrong_is_named_and_leaving_it_out_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(passes.PASSES, "fold-scale", wrong_pass)
    help = refused(tmp_path / "net.onnx")
    assert help.startswith(
        "with `--no-pass fold-scale` the model agrees with the network and is written; please report"
    )
    network = check(TEXT)
    weights = random_weights(network.require_graph(), 0)
    assert export(network, weights, tmp_path / "net.onnx", options=Options(without=("fold-scale",))).path.exists()


def test_another_opset_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_below(18, monkeypatch)
    help = refused(tmp_path / "net.onnx")
    (opset,) = re.findall(r"^with `--opset (\d+)` the model agrees", help)
    assert int(opset) == newest_opset()
    network = check(TEXT)
    weights = random_weights(network.require_graph(), 0)
    assert export(network, weights, tmp_path / "net.onnx", options=Options(int(opset))).path.exists()


def test_nothing_is_named_where_nothing_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_below(99, monkeypatch)
    help = refused(tmp_path / "net.onnx")
    assert help.startswith("no file was written, and no other opset helps; another version of onnxruntime may; please")
    assert re.search(r"this version of onnxruntime, \d+\.\d+", help)
    assert "`" not in help


def test_an_option_that_works_at_one_of_two_sizes_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    network = check("input 1xHxW; conv 2 k=3; relu")
    weights = random_weights(network.require_graph(), 0)
    real, compared = verify_model, []

    def verify(*words: Any) -> Verification:
        compared.append(real(*words))
        deviations = compared[-1].deviations
        wrong = deviations[0]._replace(difference=np.inf)
        return Verification((wrong, *deviations[1:])) if len(compared) == 2 else compared[-1]

    monkeypatch.setattr(export_module, "verify_model", verify)
    assert not export_module._passes_verification(network, weights, Options())
    assert len(compared) == 2
    assert export_module._passes_verification(network, weights, Options())


def test_an_option_that_cannot_be_tried_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def relu(e: Emitter, op: Any, node: Node, inputs: list[str]) -> None:
        if e.opset != Options().opset:
            raise CnncError.of("E806", "no such operator at this opset")
        e.op("LeakyRelu", inputs, alpha=0.01)

    monkeypatch.setitem(EMISSIONS, Relu, relu)
    assert refused(tmp_path / "net.onnx").startswith("no file was written, and no other opset helps")


def test_an_overflow_names_the_layer_and_the_limit(tmp_path: Path) -> None:
    network = check("input 4; a: fc 3; scale 1e30; b: fc 3; scale 1e10; relu")
    weights = {name: np.abs(a) for name, a in weights_of(network.require_graph(), 0).items()}
    with pytest.raises(
        CnncError, match=r"scale2 overflows float32: an element is .*e\+4\d, and float32 ends at 3\.4e\+38"
    ):
        export(network, weights, tmp_path / "net.onnx")
