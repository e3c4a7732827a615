"""Builds the VS Code extension: `python packages/vscode/build.py [--check] [-o FOLDER]`.

In: this folder, cnnc's tables and grammar, and npm. Out: cnnc-VERSION.vsix. Everything that is generated or downloaded is in a
temporary folder. `--check` compares the highlighting with the compiler's own tokens, on all networks in models/ and on broken
texts, and asks the server through the protocol library of VS Code's client.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cnnc.diagnostics import CnncError, Source
from cnnc.editor.highlighting import LAYERS, STATEMENTS, textmate
from cnnc.language import syntax
from cnnc.language.parse import parse, tokenize

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCOPES = {
    "NUMBER": "constant.numeric",
    "EXTENT": "constant.numeric",
    "STRING": "string.quoted",
    "COMMENT": "comment.line",
    "LET": "keyword.control",
    "BLOCK": "keyword.control",
    "BAD_STRING": "invalid.illegal",
}
BROKEN = (
    "conv 8 k=\nrelu\n",
    'include "parts\nconv 4 k=3 # "a"\n',
    "a: conv [1, 2\n  3] k=3\n",
    "input 1x28x28; conv 3y k=1..2; relu\n",
    "block b(w, s=1 {\n  conv w k=3\n",
    "add { relu } { }\n}\nconv 16\n",
    "x: y: conv 3 s=(1+2)*3 p=max(1, 2) q\n",
)


def expected(text: str) -> dict[str, Any]:
    """A text, and the beginning of the scope that each part of it must have."""
    source = Source("", text)
    try:
        tokens = tokenize(source)
    except CnncError:
        tokens = []
    parts = [(t.span.start, t.span.end, SCOPES[t.type]) for t in tokens if t.type in SCOPES]
    file, _ = parse(source)
    pending = list(file.statements)
    while pending:
        statement = pending.pop()
        if isinstance(statement, syntax.Block):
            pending += statement.body.statements
        if isinstance(statement, syntax.Call):
            word = statement.op.text
            scope = "support.function.layer" if word in LAYERS else "keyword" if word in STATEMENTS else ""
            parts += [(statement.op.span.start, statement.op.span.end, scope)] if scope else []
            if statement.label is not None:
                parts.append((statement.label.span.start, statement.label.span.end, "entity.name.label"))
            keys = [argument.key for argument in statement.arguments if argument.key is not None]
            parts += [(key.span.start, key.span.end, "variable.parameter") for key in keys]
            pending += [inner for body in statement.bodies for inner in body.statements]
    return {"text": text, "parts": sorted(parts)}


def run(*command: str, folder: Path) -> None:
    """Runs a command; its output is shown."""
    subprocess.run(command, cwd=folder, check=True)


def stage(folder: Path) -> None:
    """The extension without its dependencies."""
    for path in HERE.iterdir():
        if path.suffix in (".js", ".json", ".md") or path.name == ".vscodeignore":
            shutil.copy(path, folder)
    shutil.copy(ROOT / "LICENSE", folder)
    (folder / "syntaxes").mkdir()
    (folder / "syntaxes" / "cnn.tmLanguage.json").write_text(textmate(), encoding="utf-8")


def main() -> None:
    """Builds, and checks if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("-o", "--out", type=Path, default=Path.cwd(), metavar="FOLDER")
    arguments = parser.parse_args()
    version = json.loads((HERE / "package.json").read_text())["version"]
    vsix = arguments.out.resolve() / f"cnnc-{version}.vsix"
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stage(folder)
        run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", folder=folder)
        if arguments.check:
            texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "models").glob("*.cnn"))]
            cases = [expected(text) for text in [*texts, *BROKEN]]
            (folder / "cases.json").write_text(json.dumps(cases))
            run("node", "check.js", sys.executable, folder=folder)
            (folder / "cases.json").unlink()
        package = ["npx", "vsce", "package", "--allow-missing-repository", "--no-update-package-json", "-o", str(vsix)]
        run(*package, folder=folder)
    print(f"wrote {vsix}")


if __name__ == "__main__":
    main()
