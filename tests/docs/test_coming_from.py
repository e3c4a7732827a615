"""docs/coming-from.md: what it says to write is accepted, and its network in PyTorch has as many parameters as ours."""

from __future__ import annotations

import pytest

from cnnc.network import check
from tests.paths import DOCS
from tests.report.test_docs import blocks, networks

PAGE = DOCS / "coming-from.md"
TEXT = PAGE.read_text(encoding="utf-8")


def written(section: str) -> list[str]:
    """The last column of the table of a section."""
    table = TEXT.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return [row.strip().strip("|").split("|")[-1].strip(" `") for row in rows]


@pytest.mark.parametrize("layer", written("Layers"))
def test_a_layer_is_accepted(layer: str) -> None:
    source = "input 4 dtype=int64" if layer.startswith("embed") else "input 16x32x32"
    found = check(f"{source}\nb: identity\n{layer}\n").diagnostics
    assert [d.message for d in found if d.code.startswith("E")] == []


@pytest.mark.parametrize("statement", written("Training"))
def test_a_statement_is_accepted(statement: str) -> None:
    needed = {"data": "data digits", "loss": "loss cross_entropy", "epochs": "epochs 2"}
    lines = [line for keyword, line in needed.items() if keyword != statement.split()[0]]
    body = "\n".join([*lines, statement])
    image = "3x32x32" if "images" in statement else "1x8x8"
    ends = "fc 10" if "mse" not in statement else "fc 10; sigmoid"
    body = body.replace("data digits", 'data npz "x.npz"') if "mse" in statement else body
    found = check(f"input {image}\n{ends}\ntrain {{\n{body}\n}}\n").diagnostics
    assert [d.message for d in found if d.code.startswith("E")] == []


def test_the_network_of_pytorch_has_as_many_parameters() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    source = next(text for language, text in blocks(PAGE) if language == "python")
    names: dict[str, object] = {"nn": torch.nn}
    exec(source, names)
    theirs = sum(p.numel() for p in names["model"].parameters())  # type: ignore[attr-defined]
    (ours,) = networks(PAGE).values()
    assert check(ours).require_graph().total_parameters == theirs
