"""Chromium, for tests of what a browser does with a page; without it they are skipped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def document_after_scripts(html: str, folder: Path) -> str:
    """The document that chromium has after running the scripts of a page."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", f"--user-data-dir={folder / 'user'}", "--dump-dom"]
    done = subprocess.run([str(CHROMIUM), *options, path.as_uri()], capture_output=True, timeout=120, check=True)
    return done.stdout.decode()
