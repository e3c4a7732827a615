"""A demo page as HTML: one self-contained file that runs a model with onnxruntime-web, from a file and without a network.

In: a `DemoPage`: what the page says, its model, examples and runtime as bytes. Out: HTML text.

The policy of the page allows its own scripts by their hashes and no connection at all. Blobs are compressed and in base64;
names from a model are JSON, which the scripts write as text.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

from cnnc.view.palette import DARK, LIGHT
from cnnc.view.svg import text

SCRIPTS = (
    "elements",
    "bytes",
    "numbers",
    "words",
    "images",
    "strokes",
    "runtime",
    "heat",
    "input_image",
    "input_text",
    "input_numbers",
    "input_series",
    "inputs",
    "outputs",
    "arithmetic",
    "layers",
    "unit",
    "examples",
    "app",
)
"""The scripts of the page in their order; they share one scope."""


class WebRuntime(NamedTuple):
    """The files of onnxruntime-web: its script, the module that loads the WebAssembly, and that. `notice` is its licence."""

    version: str
    script: str
    module: bytes
    wasm: bytes
    notice: str
    webgpu: bool = False


class DemoPage(NamedTuple):
    """`facts` are pairs of a name and what it is; `data` is JSON for the scripts; `blobs` are bytes by name."""

    title: str
    description: str
    facts: tuple[tuple[str, str], ...]
    data: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    runtime: WebRuntime


def demo_html(page: DemoPage) -> str:
    """The file of a demo."""
    runtime = page.runtime
    data = {
        **page.data,
        "title": page.title,
        "runtime": {"version": runtime.version, "webgpu": runtime.webgpu},
        "colours": {
            name: {"negative": p.negative, "positive": p.positive, "mark": p.mark}
            for name, p in (("light", LIGHT), ("dark", DARK))
        },
    }
    blobs = {**page.blobs, "ort-module": runtime.module, "ort-wasm": runtime.wasm}
    scripts = [_in_script(runtime.script), _scripts()]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="cnnc">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(page.title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
        f"{_main(page)}"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        + "".join(_blob(name, content) for name, content in blobs.items())
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _main(page: DemoPage) -> str:
    """What the page says before its scripts run; they fill the sections."""
    facts = "".join(f"<dt>{text(name)}</dt><dd>{text(what)}</dd>\n" for name, what in page.facts)
    sections = "".join(
        f'<section class="part" id="{name}" aria-labelledby="{name}-title" hidden>\n<h2 id="{name}-title">{title}</h2>\n</section>\n'
        for name, title in (("inputs", "Input"), ("outputs", "Output"), ("examples", "Examples"))
    )
    return (
        f"<main>\n<h1>{text(page.title)}</h1>\n<p>{text(page.description)}</p>\n"
        '<p id="status" role="status">Loading the model …</p>\n'
        "<noscript><p>This page computes in the browser: it needs JavaScript and WebAssembly.</p></noscript>\n"
        f'<div class="columns">\n{sections}</div>\n'
        '<section class="part" id="layers" aria-labelledby="layers-title" hidden>\n'
        '<h2 id="layers-title">Layers</h2>\n</section>\n'
        '<section class="part" id="about" aria-labelledby="about-title">\n<h2 id="about-title">About this page</h2>\n'
        f"<dl>\n{facts}</dl>\n"
        f"<details><summary>Licence of onnxruntime-web {text(page.runtime.version)}, which is part of this page</summary>\n"
        f"<pre>{text(page.runtime.notice)}</pre></details>\n</section>\n</main>\n"
    )


def _policy(scripts: list[str]) -> str:
    """Only these scripts run, and the module that they make from a blob; nothing is fetched."""
    digests = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    return (
        f"default-src 'none'; script-src {digests} 'wasm-unsafe-eval' blob:; style-src 'unsafe-inline'; "
        "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'"
    )


def _static(name: str) -> str:
    return files("cnnc.view.demo").joinpath("static", name).read_text(encoding="utf-8")


def _style() -> str:
    return files("cnnc.view").joinpath("page.css").read_text(encoding="utf-8") + _static("demo.css")


def _scripts() -> str:
    return _in_script('"use strict";\n(() => {\n' + "\n".join(_static(f"{name}.js") for name in SCRIPTS) + "})();\n")


def _in_script(script: str) -> str:
    """A script without what ends the element, or hides its end, in a string of it."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _json(data: Any) -> str:
    """JSON in ASCII without characters that mean something in HTML."""
    content = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _blob(name: str, content: bytes) -> str:
    packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return f'<script type="application/gzip" id="blob-{name}">{packed}</script>\n'
