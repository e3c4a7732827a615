"""Written networks on PyTorch: they compute what the NumPy engine computes, have its gradients, and load their weights."""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from cnnc.diagnostics import CnncError
from cnnc.network import Network, load
from cnnc.onnx.emit.verify import random_weights as proof_weights
from cnnc.reference.engine import backward, forward
from cnnc.reference.layout import to_channels_first, to_channels_last
from cnnc.torch.source.compare import compare_outputs, load_module
from cnnc.torch.source.export import export_source, written_network
from cnnc.torch.source.names import MODULE_ATTRIBUTES
from cnnc.torch.source.write import write_network
from tests.op_cases import CASES, Case, graph_of, random_feeds, random_weights
from tests.paths import MODELS
from tests.torch.source.networks import HOSTILE, NUMBERS, OPEN, SHARED, network_of, write


@pytest.fixture
def doubles() -> Any:
    """Modules and constants in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.long
@pytest.mark.usefixtures("doubles")
def test_every_layer_computes_what_numpy_does() -> None:
    """All rows of tests/op_cases.py in float64: the same numbers but for the constants that PyTorch has its own of."""
    for case in CASES:
        graph = graph_of(case)
        written = write_network(graph, {node.name: str(node.type) for node in graph.nodes}, ['""""""'])
        weights, feeds = random_weights(graph, 1, np.float64), random_feeds(case, graph, 3, 2, np.float64)
        module = load_module(written, weights)
        outputs = module(*(torch.tensor(feeds[name]) for name in written.inputs))
        expected = forward(graph, weights, feeds).values
        for name, output in zip(graph.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True):
            reference = to_channels_first(expected[name])
            error = np.abs(output.detach().numpy() - reference).max()
            assert error <= 1e-7 * max(1, np.abs(reference).max()), (
                case.id
            )  # softplus and selu of PyTorch differ by 1e-8


LENET = "input 1x12x12; conv 4 k=5 p=2; tanh; pool max k=2; conv 6 k=3; relu; pool avg k=2; fc 8; relu; fc 3"
RESIDUAL = """
block unit(w, s=1) {
  add { conv w k=3 s=s p=1 bias=false; bn; relu; conv w k=3 p=1 bias=false; bn } { conv w k=1 s=s bias=false; bn }
  relu
}
input 2x8x8
unit 4
unit 6 s=2
global_pool avg
fc 3
"""
DEPTHWISE = "input 3x8x9; conv c_in k=3 p=same s=2 groups=c_in flip=true; bn; relu6; conv 5 k=1; prelu; layer_norm; local 2 k=2; fc 2"
WORDS = "input 9 dtype=int64; embed 6 vocab=20; concat { conv 3 k=2; tanh; global_pool max } { conv 3 k=3; tanh; global_pool max }; fc 2"


@pytest.mark.parametrize(
    "text", [LENET, RESIDUAL, DEPTHWISE, WORDS, SHARED], ids=["lenet", "residual", "depthwise", "words", "shared"]
)
@pytest.mark.usefixtures("doubles")
def test_gradients_in_training_equal_those_of_numpy(text: str) -> None:
    """Of every parameter, through batch norm in training, for a random gradient of the output."""
    network = network_of(text)
    graph, written = network.require_graph(), write(text)
    case = Case("net", text, {node.name: (0, 20) for node in graph.inputs if node.type.dtype == "int64"})
    weights, feeds = random_weights(graph, 3, np.float64), random_feeds(case, graph, 4, 5, np.float64)
    trace = forward(graph, weights, feeds, training=True, outputs=graph.outputs)
    (name,) = graph.outputs
    seed = np.random.default_rng(1).normal(size=to_channels_first(trace.values[name]).shape)
    expected, _ = backward(graph, weights, trace, {name: to_channels_last(seed)})

    module = load_module(written, weights).train()
    module(*(torch.tensor(feeds[name]) for name in written.inputs)).backward(torch.tensor(seed))
    gradients = {key: parameter.grad.numpy() for key, parameter in module.named_parameters()}
    arrays = written.state(dict.fromkeys(graph.weights, np.zeros(1)) | expected)
    assert {written.keys[name] for name in expected} == set(gradients)
    for name in expected:
        key = written.keys[name]
        np.testing.assert_allclose(gradients[key], arrays[key], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("text", [SHARED, OPEN, HOSTILE, NUMBERS], ids=["shared", "open", "hostile", "numbers"])
def test_outputs_are_compared(text: str) -> None:
    network = network_of(text)
    verification = compare_outputs(write(text), network, proof_weights(network.require_graph(), 0))
    scores = {"fc1"} if text == OPEN else set()  # those before its log_softmax
    assert {d.name for d in verification.layers} == {*network.require_graph().outputs, *scores}
    assert verification.worst.passes


def test_a_module_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(network: Network, path: Path) -> Any:
        written = written_network(network, path)
        return written._replace(text=written.text.replace("nn.ReLU()", "nn.Tanh()"))

    monkeypatch.setattr("cnnc.torch.source.export.written_network", wrong)
    network = network_of("input 1x8x8\nconv 2 k=3\nrelu\nfc 3")
    with pytest.raises(CnncError) as caught:
        export_source(network, proof_weights(network.require_graph(), 0), tmp_path / "net.py")
    assert caught.value.diagnostics[0].code == "E812"
    assert list(tmp_path.iterdir()) == []


def test_the_docstring_says_how_to_load(tmp_path: Path) -> None:
    """Its lines are run as they stand, beside the files."""
    network = load(MODELS / "lenet5.cnn")
    export_source(network, proof_weights(network.require_graph(), 0), tmp_path / "lenet.py")
    docstring = (tmp_path / "lenet.py").read_text().split('"""')[1]
    lines = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
    code = "\n".join(line for line in lines if not line.startswith(("x:", "output:")))
    assert "load_state_dict" in code
    check = "\nimport torch\nprint(tuple(net(torch.rand(2, 1, 28, 28)).shape), len(net.state_dict()))"
    done = subprocess.run(
        [sys.executable, "-c", code + check], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "(2, 10) 10\n", done.stderr


def test_the_state_dict_has_the_keys_of_the_file() -> None:
    written = write(SHARED)
    weights = random_weights(network_of(SHARED).require_graph(), 0)
    module = load_module(written, weights)
    assert set(module.state_dict()) == set(written.state(weights))


def test_attributes_of_modules_are_reserved() -> None:
    with warnings.catch_warnings(action="ignore"):
        names = {name for name, _ in inspect.getmembers(torch.nn.Sequential()) if not name.startswith("_")}
    assert names <= MODULE_ATTRIBUTES


@pytest.mark.slow
def test_every_network_in_models(tmp_path: Path) -> None:
    """Exported and compared; ruff and mypy find nothing: pytest tests/torch/source -m slow, some ten minutes."""
    for path in sorted(MODELS.glob("*.cnn")):
        network = load(path)
        exported = export_source(network, proof_weights(network.require_graph(), 0), tmp_path / f"{path.stem}.py")
        assert exported.verification is not None
        assert exported.verification.worst.passes, path.stem
        exported.weights_path.unlink()
    line = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(tmp_path)]
    assert subprocess.run(line, capture_output=True, text=True, check=False).stdout == ""
    for number, text in enumerate((SHARED, OPEN, HOSTILE, NUMBERS)):
        (tmp_path / f"net{number}.py").write_text(write(text).text, encoding="utf-8")
    for command in (["ruff", "check", "--isolated"], ["mypy", "--strict", "--config-file", "/dev/null"]):
        line = [sys.executable, "-m", *command, str(tmp_path)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
