"""A demo page as HTML: one self-contained file that runs a model with onnxruntime-web, from a file and without a network.

In: a `DemoPage`: what the page says, its model, examples and runtime as bytes. Out: HTML text.

The policy of the page allows its own scripts by their hashes and no connection at all. Blobs are compressed and in base64;
names from a model are JSON, which the scripts write as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

from cnnc.view.palette import DARK, LIGHT
from cnnc.view.svg import text
from cnnc.view.web.runtime import WebRuntime, data_element, license_text, runtime_parts, script_source, script_text

SCRIPTS = (
    "elements",
    "bytes",
    "numbers",
    "words",
    "images",
    "strokes",
    "tasks",
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

WORKER = ("tasks", "worker")
"""The scripts of the worker that computes."""


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
    data = {
        **page.data,
        "title": page.title,
        "colours": {
            name: {"negative": p.negative, "positive": p.positive, "mark": p.mark}
            for name, p in (("light", LIGHT), ("dark", DARK))
        },
    }
    runtime, script = runtime_parts(page.runtime), _scripts()
    policy = (
        f"default-src 'none'; script-src {runtime.script_sources} {script_source(script)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="cnnc">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(page.title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
        f"{_main(page)}"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        + "".join(data_element(f"blob-{name}", content) for name, content in page.blobs.items())
        + f'<script type="text/plain" id="worker-code">{_worker()}</script>\n'
        + f"{runtime.elements}<script>{script}</script>\n</body>\n</html>\n"
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
        f"<pre>{text(license_text())}</pre></details>\n</section>\n</main>\n"
    )


def _static(name: str) -> str:
    return files("cnnc.view.demo").joinpath("static", name).read_text(encoding="utf-8")


def _style() -> str:
    return files("cnnc.view").joinpath("page.css").read_text(encoding="utf-8") + _static("demo.css")


def _scripts() -> str:
    return script_text('"use strict";\n(() => {\n' + "\n".join(_static(f"{name}.js") for name in SCRIPTS) + "})();\n")


def _worker() -> str:
    return script_text("\n".join(_static(f"{name}.js") for name in WORKER))


def _json(data: Any) -> str:
    """JSON in ASCII without characters that mean something in HTML."""
    content = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
