"""Models exported by PyTorch, by its TorchScript exporter ("old") and its default exporter ("new")."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from cnnc.onnx.importer.importer import ImportedNetwork, import_model
from cnnc.onnx.importer.verify import verify_import
from cnnc.reference.engine import forward
from cnnc.reference.layout import to_channels_first
from tests.onnx.importer.torch_networks import NETS, network_and_input

pytestmark = pytest.mark.slow
EXPORTERS = ["old", "old, batch open", "old, training kept", "new", "new, batch open"]


def export(net: Any, x: Any, path: Path, exporter: str) -> None:
    options: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamo": exporter.startswith("new")}
    if exporter.startswith("new"):
        if find_spec("onnxscript") is None:
            pytest.skip("the new exporter needs onnxscript")
        batch = torch.export.Dim("batch", min=1, max=64)
        options |= {"external_data": False, "verbose": False}
        options |= {"dynamic_shapes": ({0: batch},)} if "open" in exporter else {}
    else:
        options["opset_version"] = 13 if "open" in exporter else 17
        options |= {"dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}} if "open" in exporter else {}
        if "training" in exporter:  # keeps batch normalization separate
            options |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(net, (x,), str(path), **options)
        finally:
            logging.disable(logging.NOTSET)


def folded(net: Any) -> int:
    """The number of parameters after batch norms are folded into the biases of the layers before them."""
    norms = [part for part in net.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    return total(net) - sum(int(part.num_features) for part in norms)


def total(net: Any) -> int:
    return int(sum(p.numel() for p in net.parameters()))


def output_of(imported_network: ImportedNetwork, x: Any) -> np.ndarray[Any, Any]:
    trace = forward(
        imported_network.network.require_graph(), imported_network.weights, {imported_network.inputs["x"]: x.numpy()}
    )
    return to_channels_first(trace.values[imported_network.outputs[0]])


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NETS)
def test_a_pytorch_model_is_imported(name: str, exporter: str, tmp_path: Path) -> None:
    net, x = network_and_input(name)
    with torch.no_grad():
        expected = net(x).numpy()
    path = tmp_path / f"{name}.onnx"
    export(net, x, path, exporter)
    imported_network = import_model(path)
    np.testing.assert_allclose(output_of(imported_network, x), expected, rtol=1e-4, atol=1e-5)
    assert imported_network.network.require_graph().total_parameters == (
        total(net) if "training" in exporter else folded(net)
    )
    assert verify_import(imported_network, path).compared


@pytest.mark.parametrize(("name", "words"), [
    ("resnet", ("block ", "{ }", "residual ", "pool max k=3 s=2 p=1", "global_pool avg")),
    ("mobilenet", ("relu6", "groups=c_in", "block ", "add ")),
    ("unet", ("conv_transpose 16 k=2 s=2", "mode=bilinear", "concat ")),
    ("shuffle", ("channel_shuffle 3", "group_norm groups=3", "gelu", "hard_swish", "mish", "depth_to_space 2", "layer_norm")),
    ("sequence", ("embed 12 vocab=50", "global_pool max", "concat {")),
])  # fmt: skip
def test_the_source_is_compact(name: str, words: tuple[str, ...], tmp_path: Path) -> None:
    net, x = network_and_input(name)
    export(net, x, tmp_path / "net.onnx", "old")
    text = import_model(tmp_path / "net.onnx").source
    missing = [word for word in words if word not in text]
    assert missing == [], text
    assert len(text.splitlines()) < 50
