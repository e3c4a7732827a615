"""Peak memory of `cnnc export` and `cnnc import`, measured by the operating system in processes of their own.

export: at most three times the weights plus three times the activations; import: two and a half times the file. What
libraries take, and the pieces that are computed at a time, come on top.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.graph import analysis
from cnnc.network import load
from cnnc.onnx.emit.verify import sample_count

MODELS = Path(__file__).parents[2] / "models"
MEBIBYTE = 2**20
LIBRARIES = 150 * MEBIBYTE  # NumPy, onnx and onnxruntime, and up to 32 MiB of small activations
MEASURED = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "cnnc", *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs getrusage")


def peak_memory(*arguments: str | Path) -> int:
    """The peak memory of a command in bytes."""
    command = [sys.executable, "-c", MEASURED, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def most_memory_of_export(network: Path) -> int:
    """Three times the weights, and three times the activations of the samples that verification uses."""
    graph = load(network).require_graph()
    weights = sum(4 * parameter.size for parameter in graph.weights.values())
    return 3 * weights + 3 * sample_count(graph) * analysis.peak_memory(graph).bytes + LIBRARIES


def most_memory_of_import(network: Path, model: Path) -> int:
    """Two and a half times the file, and the activations of two samples."""
    activations = 2 * analysis.peak_memory(load(network).require_graph()).bytes
    return model.stat().st_size * 5 // 2 + activations + LIBRARIES


WIDE = "input 8x32x32\nconv 16 k=3\nrelu\nfc 1000\nrelu\nfc 10\n"  # 58 MB of weights
IMAGES = (
    "input 1x400x400\nrepeat 2 { conv 32 k=3 p=1; relu }\nconv 1 k=1\nsigmoid\n"  # 41 MB of activations for a sample
)


@pytest.mark.long
def test_export_and_import_hold_few_copies_of_the_weights(tmp_path: Path) -> None:
    network, model = tmp_path / "net.cnn", tmp_path / "net.onnx"
    network.write_text(WIDE)
    assert peak_memory("export", network, "-o", model) <= most_memory_of_export(network)
    assert peak_memory("import", model, "-o", tmp_path / "again.cnn") <= most_memory_of_import(network, model)
    again = tmp_path / "again.safetensors"
    assert peak_memory("export", again, "-o", tmp_path / "again.onnx") <= most_memory_of_export(network)


@pytest.mark.long
def test_export_holds_few_activations(tmp_path: Path) -> None:
    network = tmp_path / "net.cnn"
    network.write_text(IMAGES)
    assert peak_memory("export", network, "-o", tmp_path / "net.onnx") <= most_memory_of_export(network)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most"), [("resnet50", 0.8e9), ("vgg16", 2e9), ("unet_2015", 2.5e9)])
def test_large_networks_fit(name: str, most: float, tmp_path: Path) -> None:
    network, model = MODELS / f"{name}.cnn", tmp_path / "net.onnx"
    peak = peak_memory("export", network, "-o", model)
    assert peak <= most
    assert peak <= most_memory_of_export(network)
    assert peak_memory("import", model, "-o", tmp_path / "again.cnn") <= most_memory_of_import(network, model)
