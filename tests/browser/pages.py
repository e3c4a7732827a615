"""A page for tests that holds the runtime and some models, and runs them on inputs from the test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.view.web.runtime import WebRuntime, data_element, runtime_parts, script_source
from tests.browser.bidi import Browser

SCRIPT = """
const arrays = { float32: Float32Array, int64: BigInt64Array };
async function openNamed(name, check, providers) {
  window.runtime ??= await startRuntime();
  return await window.runtime.open(await decodeData(name), check, providers);
}
async function runModel(name, feeds, providers) {
  const { session, provider, refused } = await openNamed(name, undefined, providers);
  const tensors = {};
  for (const [input, { type, dims, data }] of Object.entries(feeds)) {
    tensors[input] = new ort.Tensor(type, arrays[type].from(data.map(type === "int64" ? BigInt : Number)), dims);
  }
  const results = await session.run(tensors);
  const outputs = {};
  for (const [output, { dims, data }] of Object.entries(results)) outputs[output] = { dims, data: Array.from(data, Number) };
  await session.release();
  return { outputs, provider, refused };
}
"""


def write_page(path: Path, runtime: WebRuntime, models: Mapping[str, bytes]) -> Path:
    """Writes a page that holds models by name."""
    parts = runtime_parts(runtime)
    policy = f"default-src 'none'; script-src {parts.script_sources} {script_source(SCRIPT)}; base-uri 'none'"
    elements = "".join(data_element(name, model) for name, model in models.items())
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>test</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"></head>\n'
        f"<body>\n{parts.elements}{elements}<script>{SCRIPT}</script>\n</body></html>\n",
        encoding="utf-8",
    )
    return path


def run_model(
    browser: Browser, name: str, feeds: Mapping[str, NDArray[Any]], providers: list[str] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The outputs of a model of the opened page."""
    inputs = {
        key: {"type": str(array.dtype), "dims": array.shape, "data": array.ravel().tolist()}
        for key, array in feeds.items()
    }
    result = browser.run(
        "(name, feeds, providers) => runModel(name, feeds, providers ?? undefined)", name, inputs, providers
    )
    return {
        output: np.array(value["data"], np.float64).reshape(value["dims"])
        for output, value in result["outputs"].items()
    }
