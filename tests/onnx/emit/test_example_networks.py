"""Every network of models/ is exported with random weights at three opsets and verified tensor by tensor."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from cnnc.onnx.emit.model import newest_opset
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import Options, export
from tests.model_files import FILES, SMALL, network_of

pytestmark = pytest.mark.long


@pytest.mark.parametrize("opset", [13, 17, newest_opset()])
@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=[] if p.stem in SMALL else [pytest.mark.slow]) for p in FILES]
)
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
