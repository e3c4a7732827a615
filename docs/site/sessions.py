"""The commands of a page, run one after the other in one folder, and what they write, shown below them.

In: the Markdown of a page. Out: the same with the drawings and pages that its commands wrote; the files themselves.

    text, files = with_results(Path("docs/lecture.md").read_text(), "lecture.md")
"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHOWN = (".svg", ".png", ".html")


def with_results(text: str, page: str) -> tuple[str, dict[str, bytes]]:
    """The page, and by their paths in the site the files that are shown in it.

    A block of commands that writes a drawing is followed by the drawing; one that writes a page, by a link to it. Steps whose
    data set is not on this machine are left out.
    """
    files: dict[str, bytes] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for _, body in FENCE.findall(text):
            first = body.partition("\n")[0]
            if first.startswith("# ") and first.endswith((".cnn", ".py")):
                (folder / first.removeprefix("# ")).write_text(body, encoding="utf-8")

        def block(match: re.Match[str]) -> str:
            if match[1].partition(" ")[0] != "console":
                return match[0]
            shown = [match[0]]
            for command in re.findall(r"^\$ (.+)$", match[2], re.MULTILINE):
                for file in _written_by(command, folder):
                    path = f"results/{Path(page).stem}/{file.name}"
                    files[path] = file.read_bytes()
                    shown.append(_result(posixpath.relpath(path, posixpath.dirname(page) or "."), file.name))
            return "\n\n".join(shown)

        return FENCE.sub(block, text), files


def _result(path: str, name: str) -> str:
    if path.endswith(".html"):
        return f"[Open {name}]({path}){{ .result target=_blank }}"
    return f"[![{name}]({path}){{ .drawing loading=lazy }}]({path}){{ target=_blank }}"


def _written_by(command: str, folder: Path) -> list[Path]:
    """The drawings and pages that a command wrote, in the order of their names."""
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    program, *words = shlex.split(command)
    start = {"cnnc": (sys.executable, "-m", "cnnc"), "python": (sys.executable,)}[program]
    environment = {**os.environ, "CNNC_THREADS": "1", "COLUMNS": "100"}
    subprocess.run(
        [*start, *words], cwd=folder, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    after = [file for file in folder.rglob("*") if file.suffix in SHOWN and file.is_file()]
    words_of_command = set(words)
    new = [file for file in after if before.get(file) != file.stat().st_mtime_ns]
    return sorted(f for f in new if str(f.relative_to(folder)) in words_of_command or f.parent == folder)
