"""Sessions: `auto` picks the best installed provider, a requested one runs or fails, and batches of any size run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime as ort
import pytest

from cnnc.cli.options import ProviderChoice
from cnnc.diagnostics import CnncError, Exit
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.run import session as runtime
from cnnc.onnx.run.batched_run import run_batched
from cnnc.onnx.run.provider import Provider
from cnnc.onnx.run.session import Session, convert_for_input, open_model
from cnnc.reference.initializers import initialize

FULL = runtime._PROVIDERS
REAL = ort.InferenceSession


@pytest.fixture
def model() -> bytes:
    graph = check("input 3; fc 2").require_graph()
    made: bytes = emit(graph, initialize(graph, 0), {}).SerializeToString()
    return made


class Fake:
    """Patches onnxruntime: these providers are installed; `quiet` silently does not start, `loud` raises an error."""

    def __init__(self, patch: pytest.MonkeyPatch, installed: Sequence[str], quiet: str = "", loud: str = "") -> None:
        self.asked: list[list[str]] = []

        def session(
            source: Any, options: Any, providers: list[str], provider_options: list[Any], enable_fallback: int
        ) -> Any:
            assert enable_fallback == 0
            assert provider_options == [{"use_tf32": "0"} if p == FULL["cuda"] else {} for p in providers]
            self.asked.append(providers)
            if providers[0] == FULL.get(loud):
                raise RuntimeError("no such device\nand more")
            made = REAL(source, options, providers=["CPUExecutionProvider"])
            running = [p for p in providers if p != FULL.get(quiet)]
            made.get_providers = lambda: running
            return made

        patch.setattr(ort, "get_available_providers", lambda: [FULL.get(name, name) for name in installed])
        patch.setattr(ort, "InferenceSession", session)


def refused(model: bytes, provider: Provider) -> str:
    with pytest.raises(CnncError) as caught:
        Session(model, "m", provider)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E905"
    assert caught.value.status is Exit.RESOURCES
    return f"{diagnostic.message} | {diagnostic.help}"


def test_the_cli_offers_every_provider() -> None:
    assert {choice.value for choice in ProviderChoice} == set(get_args(Provider))


def test_cpu_and_auto_run_on_the_cpu(model: bytes) -> None:
    for provider in ("cpu", "auto"):
        assert Session(model, "m", provider).provider == "cpu"


@pytest.mark.parametrize(
    ("installed", "best"),
    [
        (("AzureExecutionProvider", "cpu"), "cpu"),
        (("tensorrt", "cuda", "cpu"), "cuda"),
        (("coreml", "cpu"), "coreml"),
        (("dml", "cpu"), "dml"),
        (("openvino", "cpu"), "openvino"),
        (("tensorrt", "cpu"), "cpu"),  # it compiles for minutes, so only on request
    ],
)
def test_auto_takes_the_best_provider(
    model: bytes, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], best: str
) -> None:
    fake = Fake(monkeypatch, installed)
    assert Session(model, "m").provider == best
    assert fake.asked[0][0] == FULL[best]
    assert fake.asked[0][-1] == FULL["cpu"], "the CPU runs operators that the provider lacks"


@pytest.mark.parametrize("kind", ["quiet", "loud"])
def test_auto_reports_the_provider_that_runs(model: bytes, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    Fake(monkeypatch, ("cuda", "cpu"), **{kind: "cuda"})
    assert Session(model, "m").provider == "cpu"


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "coreml", "dml", "openvino"])
def test_a_requested_provider_runs_or_fails(model: bytes, monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    Fake(monkeypatch, ("cpu",))
    message = refused(model, provider)
    assert message.startswith(f"the installed onnxruntime has no provider {provider}; it has cpu")
    assert ("install onnxruntime-" in message) == (provider != "coreml")
    Fake(monkeypatch, (provider, "cpu"), quiet=provider)
    assert "cpu would run instead" in refused(model, provider)
    Fake(monkeypatch, (provider, "cpu"), loud=provider)
    assert "did not start: no such device |" in refused(model, provider)
    Fake(monkeypatch, (provider, "cpu"))
    assert Session(model, "m", provider).provider == provider


def test_a_malformed_model_is_not_a_provider_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Fake(monkeypatch, ("cpu",))
    with pytest.raises(CnncError) as caught:
        Session(b"no model", "m")
    assert caught.value.diagnostics[0].code == "E604"


def test_run_batched_accepts_any_batch_size(model: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model)
    session = open_model(tmp_path / "m.onnx", "cpu")
    assert session.batch == 0
    x = np.random.default_rng(0).random((7, 3), np.float32)
    whole = session.run({"input1": x})[0]
    for batch in (1, 2, 7, 100):
        np.testing.assert_allclose(run_batched(session, {"input1": x}, batch)["fc1"], whole, rtol=1e-6)
    with pytest.raises(CnncError) as caught:
        run_batched(session, {"input1": x[:, :2]})
    assert caught.value.diagnostics[0].code == "E604"


def test_feeds_are_converted_to_the_input_type() -> None:
    pixels = np.array([[0, 51, 255]], np.uint8)
    assert convert_for_input(pixels, np.dtype(np.uint8)) is pixels
    assert convert_for_input(pixels, np.dtype(np.float32)).tolist() == [[0.0, np.float32(0.2), 1.0]]
    assert convert_for_input(pixels, np.dtype(np.int64)).tolist() == [[0, 51, 255]]
    assert convert_for_input(pixels, np.dtype(np.float16)).dtype == np.float16
