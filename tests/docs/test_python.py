"""docs/python.md names every public function; tests/report/test_docs.py runs its sessions."""

from __future__ import annotations

import types

import cnnc
from tests.paths import ROOT


def test_every_function_is_named() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    functions = [name for name in cnnc.__all__ if isinstance(getattr(cnnc, name), types.FunctionType)]
    assert len(functions) > 10
    assert [name for name in [*functions, "data"] if f"`{name}(" not in text] == []
