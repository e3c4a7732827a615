"""What the README shows is what there is."""

from __future__ import annotations

import re

from cnnc.diagnostics import Exit, render
from cnnc.network import check
from tests.paths import MODELS, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_example_is_the_model() -> None:
    (shown,) = [text for _, text in BLOCKS if text.startswith("net LeNet5")]
    whole = (MODELS / "lenet5.cnn").read_text(encoding="utf-8")
    assert whole.endswith(shown)
    assert all(line.startswith("#") for line in whole.removesuffix(shown).splitlines())


def test_the_error_is_what_cnnc_says() -> None:
    (shown,) = [text for _, text in BLOCKS if text.startswith("error[")]
    (diagnostic,) = check("input 1x8x8\nconv 4 k=9\nfc 10\n", "net.cnn").diagnostics
    assert render(diagnostic) + "\n" == shown


def test_the_totals_are_those_of_the_model() -> None:
    graph = check((MODELS / "digits.cnn").read_text(encoding="utf-8")).require_graph()
    assert f"Digits: {graph.total_parameters:,} parameters and {graph.total_buffers:,} buffers" in README
    assert f"{graph.total_macs:,} MACs" in README


def test_two_blocks_of_commands() -> None:
    main, tests = [text for language, text in BLOCKS if language == "sh"]
    assert "pip install .\n" in main
    assert tests == 'pip install -e ".[dev]"\npytest\n'


def test_every_exit_status_is_told() -> None:
    told = {int(n) for row in re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE) for n in row.split(",")}
    assert told == set(Exit)


def test_links_lead_somewhere() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert target.startswith("https://") or (ROOT / target).exists(), f"{name}: {target}"
