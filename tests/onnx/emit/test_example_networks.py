"""Every network of models/ is exported with random weights at three opsets and verified tensor by tensor."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from cnnc.onnx.emit.model import newest_opset
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import Options, export
from tests.model_files import FILES, network_of

pytestmark = pytest.mark.long

QUICK = 2 * 10**7  # multiply-adds and parameters up to which a network is not marked slow


def is_quick(path: Path) -> bool:
    graph = network_of(path).require_graph()
    return graph.total_macs < QUICK and graph.total_parameters < QUICK / 10


def rows() -> list[object]:
    return [pytest.param(p, id=p.stem, marks=[] if is_quick(p) else [pytest.mark.slow]) for p in FILES]


@pytest.mark.parametrize("opset", [13, 17, newest_opset()])
@pytest.mark.parametrize("path", rows())
def test_network_is_exported_and_verified(path: Path, opset: int, tmp_path: Path) -> None:
    network = network_of(path)
    graph = network.require_graph()
    done = export(network, random_weights(graph, 0), tmp_path / "model.onnx", options=Options(opset))
    assert done.verification.worst.share < 1
    assert {d.name for d in done.verification.deviations} >= set(graph.outputs)
    assert len(done.verification.layers) > len(graph.nodes) / 3
    model = onnx.load(done.path, load_external_data=False)
    assert [(i.domain, i.version) for i in model.opset_import] == [("", opset)]
    assert model.ir_version == onnx.helper.OP_SET_ID_VERSION_MAP[("ai.onnx", opset)]
    known = {i.name for i in [*model.graph.input, *model.graph.output, *model.graph.value_info]}
    assert {output for node in model.graph.node for output in node.output} <= known


def test_some_networks_are_not_slow() -> None:
    assert sum(is_quick(path) for path in FILES) >= 5
