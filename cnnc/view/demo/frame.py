"""The file of a page that computes in the browser: what the page says, its data, the runtime, and its scripts.

In: a `PageFrame`. Out: HTML text. The policy of the page allows its own scripts by their hashes and no connection at all. Blobs
are compressed and in base64; names from a model are JSON, which the scripts write as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from cnnc.view.palette import DARK, LIGHT
from cnnc.view.svg import text
from cnnc.view.web.runtime import WebRuntime, data_element, license_text, runtime_parts, script_source, script_text

Facts = tuple[tuple[str, str], ...]
"""Pairs of a name and what it is."""


class PageFrame(NamedTuple):
    """`main` is the content of the element main, as HTML; `scripts` and `worker` are names of scripts in static/.

    The scripts share one scope; those of a worker are text, of which a script makes a worker.
    """

    title: str
    main: str
    data: Mapping[str, Any]
    blobs: Mapping[str, bytes]
    runtime: WebRuntime
    scripts: Sequence[str]
    styles: Sequence[str]
    worker: Sequence[str]


def page_html(frame: PageFrame) -> str:
    """The file of a page."""
    data = {
        **frame.data,
        "title": frame.title,
        "colours": {
            name: {"negative": p.negative, "positive": p.positive, "mark": p.mark}
            for name, p in (("light", LIGHT), ("dark", DARK))
        },
    }
    runtime, script = runtime_parts(frame.runtime), script_text(_scope(frame.scripts))
    policy = (
        f"default-src 'none'; script-src {runtime.script_sources} {script_source(script)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; media-src blob:; base-uri 'none'; form-action 'none'"
    )
    worker = f'<script type="text/plain" id="worker-code">{script_text(_scope(frame.worker))}</script>\n'
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="generator" content="cnnc">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(frame.title)}</title>\n<style>\n{_style(frame.styles)}</style>\n</head>\n<body>\n"
        f"<main>\n{frame.main}</main>\n"
        f'<script type="application/json" id="data">{_json(data)}</script>\n'
        + "".join(data_element(f"blob-{name}", content) for name, content in frame.blobs.items())
        + f"{worker}{runtime.elements}<script>{script}</script>\n</body>\n</html>\n"
    )


def head(title: str, description: str, status: str) -> str:
    """The title, what the page is for, and what it says before its scripts run."""
    return (
        f"<h1>{text(title)}</h1>\n<p>{text(description)}</p>\n"
        f'<p id="status" role="status">{text(status)}</p>\n'
        "<noscript><p>This page computes in the browser: it needs JavaScript and WebAssembly.</p></noscript>\n"
    )


def hidden_parts(parts: Iterable[tuple[str, str]]) -> str:
    """Sections by id and title, which scripts fill and show."""
    return "".join(
        f'<section class="part" id="{name}" aria-labelledby="{name}-title" hidden>\n<h2 id="{name}-title">{title}</h2>\n</section>\n'
        for name, title in parts
    )


def about(facts: Facts, runtime: WebRuntime) -> str:
    """The last section: facts, and the licence of the runtime."""
    entries = "".join(f"<dt>{text(name)}</dt><dd>{text(what)}</dd>\n" for name, what in facts)
    return (
        '<section class="part" id="about" aria-labelledby="about-title">\n<h2 id="about-title">About this page</h2>\n'
        f"<dl>\n{entries}</dl>\n"
        f"<details><summary>Licence of onnxruntime-web {text(runtime.version)}, which is part of this page</summary>\n"
        f"<pre>{text(license_text())}</pre></details>\n</section>\n"
    )


def _static(name: str) -> str:
    return files("cnnc.view.demo").joinpath("static", name).read_text(encoding="utf-8")


def _style(names: Sequence[str]) -> str:
    shared = files("cnnc.view").joinpath("page.css").read_text(encoding="utf-8")
    return shared + "".join(_static(f"{name}.css") for name in names)


def _scope(scripts: Sequence[str]) -> str:
    return '"use strict";\n(() => {\n' + "\n".join(_static(f"{name}.js") for name in scripts) + "})();\n"


def _json(data: Any) -> str:
    """JSON in ASCII without characters that mean something in HTML."""
    content = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
