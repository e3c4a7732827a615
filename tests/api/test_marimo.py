"""What marimo shows of a network, a result and the rest, and its progress bar. Skipped where marimo is not installed."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import cnnc

pytest.importorskip("marimo", reason="marimo is not installed (pip install marimo)")
pytestmark = pytest.mark.long

APP = '''
import marimo
app = marimo.App()

@app.cell
def _():
    import cnnc
    return (cnnc,)

@app.cell
def _(cnnc):
    net = cnnc.check("""
    let width = 2
    input 1x8x8
    conv width k=3
    relu
    fc 10
    train { data digits; epochs 2 }
    """, name="digits.cnn", settings=["width=3"])
    net
    return (net,)

@app.cell
def _(cnnc):
    cnnc.check("input 1x8x8; conv 4 k=9")
    return

@app.cell
def _(cnnc, net):
    result = cnnc.train(net)
    result
    return (result,)

@app.cell
def _(cnnc, result):
    cnnc.evaluate(result)
    return

@app.cell
def _(cnnc, net):
    cnnc.draw(net, style="volumes")
    return

@app.cell
def _(cnnc, result):
    cnnc.inspect(result)
    return

@app.cell
def _(cnnc, result):
    cnnc.predict(result, result.run.data.test.images[:3])
    return
'''


def shown(value: Any) -> tuple[str, str]:
    """The kind and the text of what marimo shows."""
    from marimo._output.formatting import try_format

    formatted = try_format(value)
    assert formatted.exception is None
    return formatted.mimetype, str(formatted.data)


def test_a_notebook_of_marimo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebook.py").write_text(APP)
    outputs, defined = runpy.run_path("notebook.py")["app"].run()
    network, errors, result, evaluation, drawing, report, predictions = map(shown, outputs[1:])
    assert {kind for kind, _ in (network, errors, result, evaluation, drawing, report, predictions)} == {"text/html"}
    assert "<table>" in network[1]
    assert "data:image/svg+xml" in network[1]
    assert "E302" in errors[1]
    assert "data:image/svg+xml" in result[1]
    assert evaluation[1].count("<tr>") == 11
    assert "data:image/svg+xml" in drawing[1]
    assert "<iframe" in report[1]
    assert "example 2" in predictions[1]
    assert isinstance(defined["result"], cnnc.Result)
