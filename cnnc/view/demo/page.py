"""A demo page as HTML: one self-contained file that runs a model with onnxruntime-web, from a file and without a network.

In: a `DemoPage`: what the page says, its model, examples and runtime as bytes. Out: HTML text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnc.view.demo.frame import Facts, PageFrame, about, head, hidden_parts, page_html
from cnnc.view.web.runtime import WebRuntime

SCRIPTS = (
    "elements",
    "bytes",
    "numbers",
    "words",
    "images",
    "strokes",
    "queue",
    "tasks",
    "calls",
    "runtime",
    "indices",
    "heat",
    "input_image",
    "input_text",
    "input_numbers",
    "input_series",
    "inputs",
    "outputs",
    "arithmetic",
    "maps",
    "layers",
    "unit",
    "examples",
    "app",
)
"""The scripts of the page in their order; they share one scope."""

WORKER = ("tasks", "worker", "tasks_worker")
"""The scripts of the worker that computes."""


class DemoPage(NamedTuple):
    """`facts` are pairs of a name and what it is; `data` is JSON for the scripts; `blobs` are bytes by name."""

    title: str
    description: str
    facts: Facts
    data: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    runtime: WebRuntime


def demo_html(page: DemoPage) -> str:
    """The file of a demo."""
    main = (
        head(page.title, page.description, "Loading the model …")
        + f'<div class="columns">\n{hidden_parts((("inputs", "Input"), ("outputs", "Output"), ("examples", "Examples")))}</div>\n'
        + hidden_parts((("layers", "Layers"),))
        + about(page.facts, page.runtime)
    )
    return page_html(PageFrame(page.title, main, page.data, page.blobs, page.runtime, SCRIPTS, ("demo",), WORKER))
