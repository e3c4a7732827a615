"""`python -m docs.site [-o FOLDER] [--quick]` builds the documentation as a site that works offline; any warning is an error.

It runs the commands of the pages that are courses, and shows what they draw. It needs `pip install "cnnc[docs]"`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from docs.site.gallery import gallery
from docs.site.links import relinked
from docs.site.reference import reference_pages
from docs.site.sessions import with_results

SITE = Path(__file__).parent
DOCS = SITE.parent
ROOT = DOCS.parent
OUTSIDE = {name: name.lower() for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}
"""Pages of the repository that are no part of docs/, and their paths in the site."""
COURSES = ("data.md", "lecture.md", "tutorial.md", "howto/")
"""Pages whose commands build on one another; their results are shown."""


def gathered(quick: bool) -> dict[str, bytes]:
    """Every file of the site before MkDocs, by path."""
    texts = {file.relative_to(DOCS).as_posix(): file.read_text(encoding="utf-8") for file in DOCS.rglob("*.md")}
    texts |= {there: (ROOT / name).read_text(encoding="utf-8") for name, there in OUTSIDE.items()}
    texts |= reference_pages()
    files = gallery(ROOT / "models", draws=not quick)
    moved = {**OUTSIDE, "README.md": "index.md", "models": "models.md"}
    moved |= {path.replace(".md", ".cnn"): path for path in files if path.endswith(".md")}
    pages = {*texts, *files}
    for page, text in texts.items():
        text = relinked(text, page, moved, pages)
        if page.startswith(COURSES) and not quick:
            text, results = with_results(text, page)
            files |= results
        files[page] = text.encode()
    return files | {name: (SITE / name).read_bytes() for name in ("site.css", "iframe-worker.js")}


def main() -> int:
    """Builds the site and returns MkDocs' exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.site", description=__doc__)
    parser.add_argument("-o", "--out", default="site", metavar="FOLDER", help="Where the site goes. Default: site.")
    parser.add_argument("--quick", action="store_true", help="Leave out drawings and results, which take minutes.")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        for path, content in gathered(arguments.quick).items():
            file = Path(folder) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        environment = {**os.environ, "CNNC_SITE_PAGES": folder, "CNNC_SITE_OUT": str(Path(arguments.out).resolve())}
        environment["NO_MKDOCS_2_WARNING"] = "1"
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(SITE / "mkdocs.yml")]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
