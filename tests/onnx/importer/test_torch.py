"""What PyTorch exports, by its old exporter and its new one, comes back as the network it was."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnc.onnx.importer.importer import Imported, import_model
from cnnc.onnx.importer.verify import prove
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first

pytestmark = pytest.mark.slow
NETS = ("resnet", "mobilenet", "unet", "shuffle", "sequence")  # of torch_nets.py, which takes seconds to import
WAYS = ["old", "old, batch open", "old, training kept", "new", "new, batch open"]


@pytest.fixture(autouse=True)
def _torch() -> None:
    pytest.importorskip("torch")


def made(name: str) -> tuple[Any, Any]:
    from tests.onnx.importer import torch_nets

    assert tuple(torch_nets.NETS) == NETS
    return torch_nets.made(name)


def export(net: Any, x: Any, path: Path, way: str) -> None:
    import torch

    options: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamo": way.startswith("new")}
    if way.startswith("new"):
        if find_spec("onnxscript") is None:
            pytest.skip("the new exporter needs onnxscript")
        batch = torch.export.Dim("batch", min=1, max=64)
        options |= {"external_data": False, "verbose": False}
        options |= {"dynamic_shapes": ({0: batch},)} if "open" in way else {}
    else:
        options["opset_version"] = 13 if "open" in way else 17
        options |= {"dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}} if "open" in way else {}
        if "training" in way:  # leaves batch normalization as it is
            options |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(net, (x,), str(path), **options)
        finally:
            logging.disable(logging.NOTSET)


def folded(net: Any) -> int:
    """The parameters once the batch norm after a layer without a bias has become that bias."""
    import torch

    norms = [part for part in net.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    return total(net) - sum(int(part.num_features) for part in norms)


def total(net: Any) -> int:
    return int(sum(p.numel() for p in net.parameters()))


def run(found: Imported, x: Any) -> np.ndarray[Any, Any]:
    trace = forward(found.network.require_graph(), found.weights, {found.inputs["x"]: x.numpy()})
    return to_channels_first(trace.values[found.outputs[0]])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETS)
def test_it_comes_back(name: str, way: str, tmp_path: Path) -> None:
    import torch

    net, x = made(name)
    with torch.no_grad():
        expected = net(x).numpy()
    path = tmp_path / f"{name}.onnx"
    export(net, x, path, way)
    found = import_model(path)
    np.testing.assert_allclose(run(found, x), expected, rtol=1e-4, atol=1e-5)
    assert found.network.require_graph().total_parameters == (total(net) if "training" in way else folded(net))
    assert prove(found, path).compared


@pytest.mark.parametrize(("name", "words"), [
    ("resnet", ("block ", "{ }", "residual ", "pool max k=3 s=2 p=1", "global_pool avg")),
    ("mobilenet", ("relu6", "groups=c_in", "block ", "add ")),
    ("unet", ("conv_transpose 16 k=2 s=2", "mode=bilinear", "concat ")),
    ("shuffle", ("channel_shuffle 3", "group_norm groups=3", "gelu", "hard_swish", "mish", "depth_to_space 2", "layer_norm")),
    ("sequence", ("embed 12 vocab=50", "global_pool max", "concat {")),
])  # fmt: skip
def test_it_reads_as_a_person_would_write_it(name: str, words: tuple[str, ...], tmp_path: Path) -> None:
    net, x = made(name)
    export(net, x, tmp_path / "net.onnx", "old")
    text = import_model(tmp_path / "net.onnx").text
    assert [word for word in words if word not in text] == []
    assert len(text.splitlines()) < 50
