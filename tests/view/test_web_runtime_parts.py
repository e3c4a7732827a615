"""The script elements of onnxruntime-web, without a browser (tests/browser runs them in one)."""

from __future__ import annotations

import base64
import gzip
import hashlib
from html.parser import HTMLParser

import pytest

from cnnc.view.web.runtime import WebRuntime, data_element, runtime_parts, script_source, script_text

HOSTILE = 'var ort = "</script><script>alert(1)</SCRIPT><!--";\r\n// </script >'


class Elements(HTMLParser):
    """The script elements of a page, in order: attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.others: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        else:
            self.others.append(tag)

    def handle_data(self, data: str) -> None:
        if self.scripts and data.strip():
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def runtime(script: str = HOSTILE) -> WebRuntime:
    return WebRuntime("9.9.9", "webgpu", script.encode(), b"export default 1;", bytes(range(256)) * 4)


def test_the_elements() -> None:
    elements = Elements(runtime_parts(runtime()).elements)
    assert elements.others == []
    (module, module_text), (wasm, wasm_text), *scripts = elements.scripts
    assert module == {"type": "application/gzip", "id": "runtime-module"}
    assert wasm == {"type": "application/gzip", "id": "runtime-wasm", "data-build": "webgpu", "data-version": "9.9.9"}
    assert gzip.decompress(base64.b64decode(module_text, validate=True)) == runtime().module
    assert gzip.decompress(base64.b64decode(wasm_text, validate=True)) == runtime().wasm
    assert [attributes for attributes, _ in scripts] == [{"id": "runtime-script"}, {"id": "runtime-loader"}]
    assert "async function startRuntime()" in scripts[1][1]


def test_the_policy_allows_the_scripts_and_no_other() -> None:
    parts = runtime_parts(runtime())
    texts = [text for attributes, text in Elements(parts.elements).scripts if "type" not in attributes]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
    assert parts.script_sources.split() == [*hashes, "'wasm-unsafe-eval'", "blob:"]


def test_the_page_contains_the_licence() -> None:
    script = Elements(runtime_parts(runtime()).elements).scripts[2][1]
    assert script.startswith(
        "/*\nonnxruntime-web 9.9.9, https://github.com/microsoft/onnxruntime\n\nMIT License\n\nCopyright (c) Microsoft"
    )
    notice = script[: script.index("*/")]
    for sentence in ("Permission is hereby granted, free of charge", 'THE SOFTWARE IS PROVIDED "AS IS"'):
        assert sentence in notice


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("a < b", "a < b"),
        ("'</script>'", r"'\x3c/script>'"),
        ("/<\\/script/", "/<\\/script/"),
        ("'</ScRiPt'", r"'\x3c/ScRiPt'"),
        ("'<!--<script>'", r"'\x3c!--<script>'"),
        ("a\r\nb", "a\nb"),
    ],
)
def test_text_that_would_end_a_script(script: str, text: str) -> None:
    assert script_text(script) == text
    html = f"<script>{text}</script>"
    assert Elements(html).scripts == [({}, text)]
    assert script_source(text) == script_source(Elements(html).scripts[0][1])


def test_a_data_element_repeats() -> None:
    """The same data give the same page: no time stamp is in it."""
    assert data_element("model", b"x" * 1000) == data_element("model", b"x" * 1000)
    assert len(data_element("model", b"x" * 100_000)) < 1000
