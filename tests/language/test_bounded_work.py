"""Checking a network with symbolic sizes takes a bounded number of steps, whatever the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnnc.graph import sizes
from cnnc.language import size_survey
from cnnc.language.lower import lower
from cnnc.network import Network, check, load

UNET = """
block res(w) { add { conv w k=3 p=same; relu; conv w k=3 p=same } { conv w k=1 }; relu }
input 3xHxW
e1: res 32;   pool max k=2
e2: res 64;   pool max k=2
e3: res 128;  pool max k=2
e4: res 256;  pool max k=2
res 512
conv_transpose 256 k=2 s=2;  concat WRONG;  res 256
conv_transpose 128 k=2 s=2;  concat e3;  res 128
conv_transpose 64 k=2 s=2;   concat e2;  res 64
conv_transpose 32 k=2 s=2;   concat e1;  res 32
conv 2 k=1
expect 2xHxW
"""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statements of each lowering."""
    counted: list[int] = []

    def counting(*values: Any) -> Any:
        lowered = lower(*values)
        counted.append(lowered.steps)
        return lowered

    monkeypatch.setattr("cnnc.network.lower", counting)
    return counted


def codes(network: Network) -> list[str]:
    return [d.code for d in network.diagnostics if d.severity == "error"]


def test_a_legal_network_is_lowered_once(steps: list[int]) -> None:
    assert check(UNET.replace("WRONG", "e4")).ok
    assert len(steps) == 1


def test_the_search_for_a_legal_size_is_bounded(steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_survey, "MAX_SEARCH_STEPS", 300)
    assert "E310" in codes(check(UNET.replace("WRONG", "e3")))
    assert sum(steps) < size_survey.MAX_SEARCH_STEPS + 3 * steps[0]
    steps.clear()
    assert codes(check("input 3xHxW\nrepeat 200 { relu }\nconv 4 k=5000\n")) == ["E302"]
    assert len(steps) <= 4


def test_a_source_that_computes_with_a_size(steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    text = "input 3xHxW\nrepeat 20 { relu }\ncrop H/2\nconv 4 k=5\n"
    assert check(text).ok
    monkeypatch.setattr(size_survey, "MAX_SURVEY_STEPS", 200)
    steps.clear()
    network = check(text)
    (error,) = [d for d in network.diagnostics if d.severity == "error"]
    assert error.code == "E113"
    assert sum(steps) < 1000
    (edit,) = error.edits
    assert check(text[: edit.span.start] + edit.text + text[edit.span.end :]).ok


def test_a_rule_is_computed_once_per_type(monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnc.ops.conv import Conv

    calls = 0
    output = Conv.output

    def counting(self: Conv, *inputs: Any) -> Any:
        nonlocal calls
        calls += 1
        return output(self, *inputs)

    monkeypatch.setattr(Conv, "output", counting)
    assert check("input 3xHxW\nrepeat 50 { conv 3 k=3 p=same }\n").ok
    assert calls < 500
    monkeypatch.setattr(sizes, "MAX_TYPES", 1000)
    assert codes(check("input 3xHxW\nrepeat 50 { conv 3 k=3 p=same }\n")) == ["E113"]


def test_includes(tmp_path: Path) -> None:
    for n in range(60):
        (tmp_path / f"i{n}.cnn").write_text(f'include "i{n + 1}.cnn"\n' * 2 * (n < 59) + f"let w{n} = 4\n")
    main = tmp_path / "main.cnn"
    main.write_text('include "i0.cnn"\ninput 1x8x8\nconv 4 k=3\n')
    assert set(codes(load(main))) == {"E120"}
    main.write_text('include "i30.cnn"\ninclude "i31.cnn"\ninput 1x8x8\nconv w59 k=3\n')
    assert load(main).ok
    for n in range(3):
        (tmp_path / f"i{n}.cnn").write_text("# " + "x" * 500_000)
    main.write_text("".join(f'include "i{n}.cnn"\n' for n in range(3)) + "input 1x8x8\nconv 4 k=3\n")
    assert codes(load(main)) == ["E120"]


def test_blocks_that_double() -> None:
    blocks = "\n".join(f"block a{n} {{ add {{ a{n - 1} }} {{ a{n - 1} }} }}" for n in range(1, 40))
    assert codes(check(f"block a0 {{ relu }}\n{blocks}\ninput 3xHxW\na39\n")) == ["E113"]
