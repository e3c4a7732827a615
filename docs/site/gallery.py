"""A page for each network that comes with cnnc: its drawings, its table and its source.

In: the folder `models`. Out: Markdown and drawings by their paths in the site.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cnnc.network import load


def gallery(models: Path, draws: bool) -> dict[str, bytes]:
    """The pages `models/NAME.md`; with `draws`, two drawings for each."""
    pages: dict[str, bytes] = {}
    for source in sorted(models.glob("*.cnn")):
        parts = [f"# {load(source).name}"]
        for style in ("graph", "volumes") if draws else ():
            drawing = _output("draw", str(source), "--style", style, "-o", "/dev/stdout")
            if drawing:
                path = f"models/{source.stem}-{style}.svg"
                pages[path] = drawing
                name = path.removeprefix("models/")
                parts.append(
                    f"[![{style} of {source.stem}]({name}){{ .drawing loading=lazy }}]({name}){{ target=_blank }}"
                )
        parts.append(
            f"## Source\n\n`cnnc new -t {source.stem}` writes this file.\n\n```cnn\n{source.read_text(encoding='utf-8').strip()}\n```"
        )
        parts.append(
            f"## Sizes\n\n```console\n$ cnnc check {source.name}\n{_output('check', str(source)).decode().strip()}\n```"
        )
        pages[f"models/{source.stem}.md"] = "\n\n".join(parts).encode()
    return pages


def _output(*words: str) -> bytes:
    return subprocess.run([sys.executable, "-m", "cnnc", *words], capture_output=True, check=False).stdout
