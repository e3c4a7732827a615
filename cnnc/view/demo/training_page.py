"""A page that trains, as HTML: one self-contained file that runs a step graph with onnxruntime-web in a worker.

In: a `TrainingPage`: what the page says, its graphs, examples, weights and runtime as bytes. Out: HTML text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnc.view.demo.frame import Facts, PageFrame, about, head, hidden_parts, page_html
from cnnc.view.web.runtime import WebRuntime

SCRIPTS = (
    "elements",
    "bytes",
    "words",
    "images",
    "png",
    "columns",
    "indices",
    "heat",
    "maps",
    "outputs",
    "metrics",
    "sha256",
    "checkpoint",
    "queue",
    "trainer",
    "train_tasks",
    "calls",
    "learn_weights",
    "learn_chart",
    "learn_examples",
    "learn_layers",
    "learn_app",
)
"""The scripts of the page in their order; they share one scope."""

WORKER = ("bytes", "columns", "queue", "metrics", "trainer", "train_tasks", "worker", "train_worker")
"""The scripts of the worker, behind those of the runtime."""


class TrainingPage(NamedTuple):
    """`facts` are pairs of a name and what it is; `data` is JSON for the scripts; `blobs` are bytes by name."""

    title: str
    description: str
    facts: Facts
    data: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    runtime: WebRuntime


def training_html(page: TrainingPage) -> str:
    """The file of a page that trains."""
    parts = (
        ("training", "Training"),
        ("curves", "Curves"),
        ("answers", "Test examples"),
        ("kernels", "Kernels of the first convolution"),
        ("maps", "Feature maps"),
        ("weights", "Weights"),
    )
    main = head(page.title, page.description, "Unpacking the examples …") + hidden_parts(parts)
    main += about(page.facts, page.runtime)
    return page_html(
        PageFrame(page.title, main, page.data, page.blobs, page.runtime, SCRIPTS, ("demo", "learn"), WORKER)
    )
