"""Every public function and method has an example in its docstring, which runs."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cnnc

CLASSES_OF_THE_LANGUAGE = ("CnncError", "Diagnostic", "Graph", "Node", "Span", "Callback")
RETURNED = {"Evaluation", "LossGradients", "Predictions", "Result"}
"""Made by functions, whose examples show them."""


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The functions, and the methods that a user calls with arguments."""
    from cnnc.api.drawing import Figure
    from cnnc.api.inspection import Report
    from cnnc.api.survey import data
    from cnnc.api.unfolding import Unfolded

    for name in cnnc.__all__:
        value = getattr(cnnc, name)
        if name == "data":
            yield name, data
        elif inspect.isfunction(value):
            yield name, value
    for name, value in (
        ("Model", cnnc.Model),
        ("Model.load", cnnc.Model.load),
        ("Model.__call__", cnnc.Model.__call__),
        ("Model.layers", cnnc.Model.layers),
        ("Model.gradients", cnnc.Model.gradients),
        ("Model.save", cnnc.Model.save),
        ("Builder", cnnc.Builder),
        ("Network.save", cnnc.Network.save),
        ("Figure.save", Figure.save),
        ("Report.save", Report.save),
        ("Unfolded.save", Unfolded.save),
    ):
        yield name, value


FUNCTIONS = dict(public_functions())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_function(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    docstring = FUNCTIONS[name].__doc__ or ""
    test = doctest.DocTestParser().get_doctest(docstring, {}, name, None, None)
    assert test.examples, f"{name} has no example"
    failures: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert "".join(failures) == ""
    assert "Raises " in docstring or inspect.isclass(FUNCTIONS[name]), f"{name} does not say what it raises"
