"""int8 of layers in many combinations: the model loads, names do not collide, and outputs stay close to float32."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from cnnc.onnx.source_map import locate_nodes
from tests.onnx.quantize.test_column_blocking import both, emitted, values

NETWORKS = {
    "bn before": "input 16x16x16; bn; relu; conv 16 k=3 p=1; relu; bn; conv 16 k=3 p=1",
    "norms": "input 16x16x16; conv 16 k=3 p=1; instance_norm; conv 16 k=3 p=1; group_norm groups=4; conv 16 k=3 p=1",
    "an affine": "input 16x16x16; conv 16 k=3 p=1; relu; affine; conv 16 k=3 p=1; relu; affine; select [0, 1]",
    "an output before relu": "input 16x16x16; a: conv 16 k=3 p=1; b: relu; output a b",
    "an output before relu6": "input 16x16x16; a: conv 16 k=3 p=1; b: relu6; c: conv 16 k=3; output a c",
    "outputs one after another": "input 16x16x16; a: conv 16 k=3 p=1; b: clip -1 1; c: relu; output a b c",
    "a pool padded by -inf": "input 16x16x16; conv 16 k=3 p=1; pool max k=2 s=1 p=2 d=3; conv 16 k=3 p=1",
    "a local": "input 16x16x16; conv 16 k=3 p=1; relu; local 8 k=3 s=2 p=same; relu; conv 16 k=3 p=1",
    "a pad before pools": "input 16x16x16; conv 16 k=3 p=1; pad 3; pool max k=2; conv 16 k=3; pad 1; pool avg k=2",
}


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_every_output_is_close_to_float32(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, _ = both(NETWORKS[name], monkeypatch)
    whole, _ = emitted(NETWORKS[name])
    assert any(node.op_type == "QuantizeLinear" for node in found.graph.node)
    assert len(locate_nodes(found, "int8.onnx")) == len(found.graph.node)
    for optimized in (True, False):
        for one, other in zip(values(found, optimized), values(whole), strict=True):
            assert np.sqrt(np.square(one - other).mean()) < 0.05 * np.sqrt(np.square(other).mean())


def test_added_names_do_not_collide_with_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _, _ = both("input 16x16x16; conv 16 k=3 p=1; relu; bn; conv 16 k=3 p=1", monkeypatch)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in found.graph.initializer}
    assert shapes["bn1.scale"] == (16,)
    assert shapes["relu1.scale"] == ()
    assert all(
        tensor.data_type == onnx.TensorProto.FLOAT for tensor in found.graph.initializer if "scale" in tensor.name
    )


def test_a_spectrogram_stays_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 800 numbers per kernel as well, which other layers of that size store in int8."""
    text = "input 1x3000; spectrogram window=400 hop=100 mels=16; conv 16 k=3 p=1; relu; conv 16 k=3 p=1"
    found, _, _ = both(text, monkeypatch)
    kernels = [tensor for tensor in found.graph.initializer if ".kernel" in tensor.name]
    assert {tensor.data_type for tensor in kernels} == {onnx.TensorProto.FLOAT}
    assert len(kernels) == 3
    quantized = {name for node in found.graph.node if node.op_type == "QuantizeLinear" for name in node.input[:1]}
    assert quantized
    assert not {name for name in quantized if name.startswith("spectrogram1.")}
