"""Notebooks: what objects show, the cell magic, and docs/notebook.ipynb, which runs in a kernel."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.api.notebook import CellError, cell_network, load_ipython_extension
from tests.paths import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


class Shell:
    """What the extension uses of a shell of IPython."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}
        self.magics: dict[str, Any] = {}

    def register_magic_function(self, function: Any, kind: str, name: str) -> None:
        self.magics[name] = function


def test_the_cell_magic() -> None:
    shell = Shell()
    load_ipython_extension(shell)
    assert cnnc.load_ipython_extension is load_ipython_extension
    shown = shell.magics["cnn"]("net width=8", "let width=4\ninput 1x8x8\nconv width k=3\n")
    assert shown is shell.user_ns["net"]
    assert shown["conv1"].shape == (8, 6, 6)
    assert shown.source.text.startswith("let")
    shown = shell.magics["cnn"]("", "input 1x8x8\nrelu\nrelu\n")
    assert "network.cnn:4:1" in repr(shown), "lines count from the first line of the cell"
    assert shown._repr_html_().index("W104") < shown._repr_html_().index("<table>")
    assert shell.user_ns["network"].ok


@pytest.mark.parametrize(
    ("line", "cell", "code"),
    [
        ("", "input 1x8x8\nconv 4 k=9\n", "E302"),
        ("a b", "input 4", "E010"),
        ("a-b", "input 4", "E010"),
        ("a w=2", "input 4", "E115"),
    ],
)
def test_errors_of_a_cell_are_highlighted(line: str, cell: str, code: str) -> None:
    with pytest.raises(CellError) as caught:
        cell_network(line, cell)
    text = "\n".join(caught.value._render_traceback_())
    assert f"\x1b[1;31merror[{code}]\x1b[0m" in text
    assert "Traceback" not in text


def test_what_objects_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    network = cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10; softmax; train { data digits; epochs 1 }")
    result = cnnc.train(network)
    evaluation = cnnc.evaluate(result)
    picture = cnnc.draw(network)
    shown = {
        "network": network._repr_html_(),
        "result": result._repr_html_(),
        "evaluation": evaluation._repr_html_(),
        "report": cnnc.inspect(result.model, mistakes=True)._repr_html_(),
        "sum": cnnc.unfold("1 2; 3 4", kernel="1 1")._repr_html_(),
        "predictions": cnnc.predict(result.model, result.run.data.test.images[:3])._repr_html_(),
        "drawing": picture._repr_html_(),
        "survey": cnnc.data(network)._repr_html_(),
    }
    for name, html in shown.items():
        outside = re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", html)
        assert outside == [], f"{name} loads something"
        assert "<script" not in html, f"{name} runs a script in the page of the notebook"
    for name in ("network", "result", "drawing"):
        assert shown[name].count('src="data:image/svg+xml;base64,') == 1, (
            "an image, whose colours follow those of the page"
        )
    for name in ("network", "evaluation", "predictions"):
        assert shown[name].count("<th ") + shown[name].count("<td") <= shown[name].count("padding:"), (
            "marimo has no distances"
        )
    assert shown["evaluation"].count("<tr>") == 11
    assert evaluation.score.as_dict()["accuracy"] == result.test.accuracy
    assert shown["report"].startswith('<iframe sandbox="allow-scripts"')
    assert picture._repr_svg_() == picture.svg


def test_the_notebook_holds_no_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


@pytest.mark.long
def test_the_notebook_runs(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    client = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = {cell["id"]: cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"}
    kinds = [set(output.get("data", ())) for cell in outputs.values() for output in cell]
    assert sum("text/html" in kind for kind in kinds) >= 9
    errors = [output for cell in outputs.values() for output in cell if output.output_type == "error"]
    assert [error.ename for error in errors] == ["CellError"], "the cell that shows an error"
    lines = "".join(o.text for cell in outputs.values() for o in cell if o.output_type == "stream")
    assert lines.count("epoch ") >= 4, "progress shows in a notebook"
    (tmp_path / "executed.ipynb").write_text(nbformat.writes(notebook))
