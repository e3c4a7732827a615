"""The helper that applies a guide to a copy of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guide import Edit, apply, copy_project, edits, run

PAGE = """# A guide

In `a.py`, after the line `two`:

```python
    two and a half
```

Commands are no edits:

```sh
pytest
```

In `a.py`, replace the line `one`:

```python
1
```

In `a.py`, append:

```python
four
```

Create `b.py`:

```python
new
```
"""


def test_edits_are_read_and_applied_in_order(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "a.py").write_text("one\n    two\nthree\n")
    steps = edits(tmp_path / "page.md")
    assert [(step.how, step.file) for step in steps] == [
        ("after", "a.py"),
        ("replace", "a.py"),
        ("append", "a.py"),
        ("create", "b.py"),
    ]
    apply(steps, tmp_path)
    assert (tmp_path / "a.py").read_text() == "1\n    two\n    two and a half\nthree\n\n\nfour\n"
    assert (tmp_path / "b.py").read_text() == "new\n"


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Edit("a.py", "after", "two", ""), "has the line `two` 0 times"),
        (Edit("a.py", "after", "one", ""), "has the line `one` 2 times"),
        (Edit("a.py", "create", "", ""), "create a.py"),
        (Edit("c.py", "append", "", ""), "append c.py"),
    ],
)
def test_an_edit_that_does_not_fit_fails(tmp_path: Path, step: Edit, message: str) -> None:
    (tmp_path / "a.py").write_text("one\none\n")
    with pytest.raises(AssertionError, match=message):
        apply([step], tmp_path)


def test_the_copy_imports_its_own_package(tmp_path: Path) -> None:
    tree = copy_project(tmp_path)
    assert run(tree, "-c", "import cnnc; print(cnnc.__file__)").stdout.strip() == str(tree / "cnnc" / "__init__.py")
