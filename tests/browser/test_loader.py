"""What runtime.js does where a provider fails or deviates, where there is no GPU, and in old browsers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cnnc.cli.web_runtime import BUILDS
from cnnc.view.web.runtime import WebRuntime
from tests.browser.bidi import Browser, BrowserError, missing, open_browser
from tests.browser.pages import run_model, write_page

RANDOM = np.random.default_rng(0)
KERNEL, IMAGES = RANDOM.random((4, 1, 3, 3), np.float32), RANDOM.random((2, 1, 8, 8), np.float32)


def small_model(operator: str = "Relu") -> bytes:
    """A convolution and an activation."""
    nodes = [helper.make_node("Conv", ["x", "k"], ["c"]), helper.make_node(operator, ["c"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(KERNEL, "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def expected() -> NDArray[np.float32]:
    windows = np.lib.stride_tricks.sliding_window_view(IMAGES[:, 0], (3, 3), (1, 2))
    sums: NDArray[np.float32] = np.einsum("nhwij,cij->nchw", windows, KERNEL[:, 0])
    return np.maximum(sums, 0)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, web_files: WebRuntime) -> Path:
    models = {"model": small_model(), "unknown": small_model("NoSuchOperator"), "damaged": b"not a model"}
    return write_page(tmp_path_factory.mktemp("loader") / "page.html", web_files, models)


def test_what_a_page_learns(browser: Browser, page: Path, web_files: WebRuntime) -> None:
    browser.open(page)
    learned = browser.run(
        "async () => { const r = await startRuntime(); const o = await r.open(await decodeData('model'));"
        " return [r.version, r.build, r.providers, o.provider, o.refused, r.ort.env.versions.web]; }"
    )
    version = web_files.version
    assert learned == [version, "wasm", ["wasm"], "wasm", [], version]


def test_the_check_gets_the_session(browser: Browser, page: Path) -> None:
    browser.open(page)
    seen = browser.run(
        "async () => { const seen = [];"
        " const check = async (session, provider) => { seen.push(session.inputNames, provider); return ''; };"
        " await openNamed('model', check); return seen; }"
    )
    assert seen == [["x"], "wasm"]


def test_a_provider_that_deviates_is_refused(browser: Browser, page: Path) -> None:
    """The second provider of the list is taken, and the page can say why."""
    browser.open(page)
    provider, refused, calls = browser.run(
        "async () => { let calls = 0; const check = () => (calls++ ? '' : 'probabilities differ by 3e-2');"
        " const o = await openNamed('model', check, ['cpu', 'wasm']); return [o.provider, o.refused, calls]; }"
    )
    assert provider == "wasm"
    assert refused == [{"provider": "cpu", "problem": "probabilities differ by 3e-2"}]
    assert calls == 2


def test_a_provider_that_does_not_start_is_refused(browser: Browser, page: Path) -> None:
    browser.open(page)
    provider, refused = browser.run(
        "async () => { const o = await openNamed('model', undefined, ['webgpu', 'wasm']); return [o.provider, o.refused]; }"
    )
    assert provider == "wasm"
    assert [entry["provider"] for entry in refused] == ["webgpu"]
    assert "webgpu" in refused[0]["problem"]
    np.testing.assert_allclose(run_model(browser, "model", {"x": IMAGES})["y"], expected(), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("openNamed('unknown')", "wasm: .*NoSuchOperator"),
        ("openNamed('damaged')", "wasm: "),
        ("openNamed('model', () => 'wrong')", "wasm: wrong"),
        ("openNamed('model', () => { throw new Error('no example'); })", "wasm: no example"),
        ("openNamed('model', () => 'wrong', ['cpu', 'wasm'])", "cpu: wrong; wasm: wrong"),
    ],
)
def test_a_model_that_no_provider_runs(browser: Browser, page: Path, call: str, message: str) -> None:
    browser.open(page)
    with pytest.raises(BrowserError, match=message):
        browser.run(f"() => {call}")


def test_an_old_browser_gets_a_sentence(browser: Browser, page: Path) -> None:
    browser.open(page)
    with pytest.raises(BrowserError, match=r"needs a newer browser: Chrome or Edge 91, Firefox 113, Safari 16\.4"):
        browser.run("() => { delete window.DecompressionStream; return startRuntime(); }")


def test_base64_without_the_newest_function(browser: Browser, page: Path) -> None:
    """`Uint8Array.fromBase64` is of 2025."""
    browser.open(page)
    browser.run("() => { delete Uint8Array.fromBase64; }")
    np.testing.assert_allclose(run_model(browser, "model", {"x": IMAGES})["y"], expected(), rtol=1e-5)


# ---- in a worker

WORKER = """
let started;
onmessage = async ({ data: { model, images } }) => {
  started ??= startRuntime();
  const runtime = await started;
  const { session, provider } = await runtime.open(model);
  const { y } = await session.run({ x: new ort.Tensor("float32", Float32Array.from(images), [2, 1, 8, 8]) });
  postMessage({ provider, build: runtime.build, y: Array.from(y.data) });
};
"""


@pytest.mark.parametrize("build", BUILDS)
def test_a_worker_computes_beside_the_page(browser: Browser, page: Path, webgpu_page: Path, build: str) -> None:
    """Twice, and the page can start a worker and the runtime itself."""
    browser.open({"wasm": page, "webgpu": webgpu_page}[build])
    results = browser.run(
        "async (code, images) => { const worker = await startWorker(code); const results = [];"
        " for (let i = 0; i < 2; i++) { worker.postMessage({ model: await decodeData('model'), images });"
        "   results.push(await new Promise((done) => { worker.onmessage = (event) => done(event.data); })); }"
        " return results; }",
        WORKER,
        IMAGES.ravel().tolist(),
    )
    for found in results:
        assert (found["provider"], found["build"]) == ("wasm", build)
        np.testing.assert_allclose(np.reshape(found["y"], (2, 4, 6, 6)), expected(), rtol=1e-5)
    np.testing.assert_allclose(run_model(browser, "model", {"x": IMAGES})["y"], expected(), rtol=1e-5)
    assert browser.messages == []


# ---- the build with WebGPU


@pytest.fixture(scope="session")
def webgpu_page(tmp_path_factory: pytest.TempPathFactory, webgpu_files: WebRuntime) -> Path:
    return write_page(tmp_path_factory.mktemp("webgpu") / "page.html", webgpu_files, {"model": small_model()})


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with WebGPU emulated on the CPU."""
    if missing("chromium"):
        pytest.skip(missing("chromium"))
    folder = tmp_path_factory.mktemp("emulated")
    with open_browser("chromium", folder, options=("--enable-unsafe-webgpu",)) as opened:
        (folder / "empty.html").write_text("<!doctype html><title>empty</title>")
        opened.open(folder / "empty.html")
        if not opened.run("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this Chromium does not emulate WebGPU")
        yield opened


@pytest.mark.browser
@pytest.mark.long
def test_the_emulation_is_not_used(emulated: Browser, webgpu_page: Path) -> None:
    emulated.open(webgpu_page)
    assert emulated.run("async () => (await startRuntime()).providers") == ["wasm"]


@pytest.mark.browser
@pytest.mark.long
def test_webgpu_agrees(emulated: Browser, webgpu_page: Path) -> None:
    emulated.open(webgpu_page)
    emulated.messages.clear()
    outputs = run_model(emulated, "model", {"x": IMAGES}, ["webgpu"])
    np.testing.assert_allclose(outputs["y"], expected(), rtol=1e-5)
    assert emulated.messages == []


@pytest.mark.browser
@pytest.mark.long
def test_webgpu_comes_first_on_a_gpu(emulated: Browser, webgpu_page: Path) -> None:
    emulated.open(webgpu_page)
    providers = emulated.run(
        "async () => { const get = navigator.gpu.requestAdapter.bind(navigator.gpu);"
        " navigator.gpu.requestAdapter = async () => ({ info: { isFallbackAdapter: false } });"
        " try { return (await startRuntime()).providers; } finally { navigator.gpu.requestAdapter = get; } }"
    )
    assert providers == ["webgpu", "wasm"]


@pytest.mark.browser
@pytest.mark.long
def test_webgpu_that_deviates_leaves_wasm(emulated: Browser, webgpu_page: Path) -> None:
    emulated.open(webgpu_page)
    provider, refused = emulated.run(
        "async () => { const check = (session, provider) => (provider === 'webgpu' ? 'differs' : '');"
        " const o = await openNamed('model', check, ['webgpu', 'wasm']); return [o.provider, o.refused]; }"
    )
    assert provider == "wasm"
    assert refused == [{"provider": "webgpu", "problem": "differs"}]


def test_the_webgpu_build_without_a_gpu(browser: Browser, webgpu_page: Path) -> None:
    browser.open(webgpu_page)
    np.testing.assert_allclose(run_model(browser, "model", {"x": IMAGES})["y"], expected(), rtol=1e-5)
