"""onnxruntime-web as script elements of one self-contained page, which works from a file and without a network.

In: the files of one build, as `WebRuntime`. Out: the elements, and what the page's Content-Security-Policy has to allow:

    parts = runtime_parts(runtime)
    f'<meta http-equiv="Content-Security-Policy" content="script-src {parts.script_sources} {of_the_page}">'
    f"{parts.elements}<script>...</script>"     # a script behind the elements may call startRuntime(), see runtime.js

The WebAssembly and its JavaScript module are compressed and in base64, within elements that no browser runs.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

Build = Literal["wasm", "webgpu"]
"""A build of onnxruntime-web: `wasm` computes on the CPU, `webgpu` on the GPU too."""


@dataclass(frozen=True, slots=True)
class WebRuntime:
    """The files of a build: the script that defines `ort`, the JavaScript module that loads the WebAssembly, and that."""

    version: str
    build: Build
    script: bytes
    module: bytes
    wasm: bytes


@dataclass(frozen=True, slots=True)
class RuntimeParts:
    """What a page contains: HTML elements, and the sources its Content-Security-Policy needs in `script-src`."""

    elements: str
    script_sources: str


def runtime_parts(runtime: WebRuntime) -> RuntimeParts:
    """The elements of a page that runs models."""
    folder = files("cnnc.view.web")
    loader = folder.joinpath("runtime.js").read_text(encoding="utf-8")
    home = "https://github.com/microsoft/onnxruntime"
    notices = f"Notices of third parties: {home}/blob/v{runtime.version}/ThirdPartyNotices.txt"
    notice = f"onnxruntime-web {runtime.version}, {home}\n\n{license_text()}\n{notices}\n"
    scripts = [script_text(f"/*\n{notice}*/\n{runtime.script.decode()}"), script_text(loader)]
    elements = [
        data_element("runtime-module", runtime.module),
        data_element("runtime-wasm", runtime.wasm, build=runtime.build, version=runtime.version),
        *(
            f'<script id="{name}">{script}</script>\n'
            for name, script in zip(("runtime-script", "runtime-loader"), scripts, strict=True)
        ),
    ]
    sources = [*map(script_source, scripts), "'wasm-unsafe-eval'", "blob:"]
    return RuntimeParts("".join(elements), " ".join(sources))


def license_text() -> str:
    """The licence of onnxruntime, which a page that contains it has to carry."""
    return files("cnnc.view.web").joinpath("onnxruntime_license.txt").read_text(encoding="utf-8")


def script_text(script: str) -> str:
    """A script that may stand in a script element: nothing in its strings and comments ends the element."""
    return re.sub(r"<(?=/script|!--)", r"\\x3c", script.replace("\r\n", "\n"), flags=re.IGNORECASE)


def script_source(script: str) -> str:
    """The source that allows a script element with this content in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def data_element(name: str, data: bytes, **attributes: str) -> str:
    """An element that holds data, compressed and in base64, for `decodeData` of runtime.js.

    Level 6 takes half the time of 9; the WebAssembly is 0.4 % larger.
    """
    text = base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
    more = "".join(f' data-{key}="{value}"' for key, value in attributes.items())
    return f'<script type="application/gzip" id="{name}"{more}>{text}</script>\n'
