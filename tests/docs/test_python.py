"""docs/python.md names every public function; tests/report/test_docs.py runs its sessions."""

from __future__ import annotations

import ast
import runpy
import types
from pathlib import Path

import pytest

import cnnc
from tests.docs.test_courses import write_files
from tests.paths import DOCS, ROOT


def test_every_function_is_named() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    functions = [name for name in cnnc.__all__ if isinstance(getattr(cnnc, name), types.FunctionType)]
    assert len(functions) > 10
    assert [name for name in [*functions, "data"] if f"`{name}(" not in text] == []


@pytest.mark.long
def test_the_program_for_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    write_files(DOCS / "howto" / "tables.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("make_tables.py")
    runpy.run_path("from_pandas.py")
    named = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
    beans = [line.partition(",")[0] for line in (tmp_path / "beans.csv").read_text().splitlines()[1:4]]
    assert sum(a == b for a, b in zip(named, beans, strict=True)) >= 2
