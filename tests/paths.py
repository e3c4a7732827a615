"""The project's folders, for tests that read them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, MODELS, DOCS = ROOT / "cnnc", ROOT / "models", ROOT / "docs"
