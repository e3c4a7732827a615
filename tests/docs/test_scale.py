"""docs/scale.md: its tables are computed, its torchrun lines are read by torchrun and by cnnc as they stand.

python -m tests.docs.test_scale        # writes the tables anew
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from cnnc.cli.app import app
from cnnc.network import load
from cnnc.torch.distributed.plan import bytes_per_step, efficiency, state_bytes
from tests.paths import DOCS, MODELS

PAGE = DOCS / "scale.md"
LINKS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9, "NVLink, 300 GB/s": 300e9}
NETWORKS = ("lenet5", "mobilenet_v1", "resnet18", "resnet50", "vgg16")
STEP_SECONDS = 0.5
"""Of ResNet-50 in one process, in the table of efficiencies."""


def parameters(name: str) -> int:
    return load(MODELS / f"{name}.cnn").require_graph().total_parameters


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms" if seconds >= 0.01 else f"{seconds * 1e3:.2g} ms"


def communication_table() -> str:
    """What each of 8 processes sends, and how long that takes."""
    rows = [f"| network | parameters | gradients | sent by each of 8 processes | {' | '.join(LINKS)} |"]
    rows.append("|---|---|---|---|" + "---|" * len(LINKS))
    for name in NETWORKS:
        count = parameters(name)
        sent = bytes_per_step(count, 8)
        times = " | ".join(milliseconds(sent / bandwidth) for bandwidth in LINKS.values())
        rows.append(f"| {name} | {count:,} | {megabytes(4 * count)} | {megabytes(sent)} | {times} |")
    return "\n".join(rows)


def efficiency_table() -> str:
    """ResNet-50 on more and more processes."""
    count = parameters("resnet50")
    rows = [f"| processes | {' | '.join(LINKS)} |", "|---|" + "---|" * len(LINKS)]
    for processes in (2, 4, 8, 16, 32, 64):
        shares = (efficiency(count, processes, STEP_SECONDS, bandwidth) for bandwidth in LINKS.values())
        rows.append(f"| {processes} | {' | '.join(f'{processes * share:.1f} ({share:.0%})' for share in shares)} |")
    return "\n".join(rows)


def shards_table() -> str:
    """The memory of weights, gradients and slots with adam."""
    rows = ["| parameters | one process, or copies | 8 processes with `--shard` | 64 processes with `--shard` |"]
    rows.append("|---|---|---|---|")
    for count in (25_557_032, 138_357_544, 1_000_000_000, 7_000_000_000):
        sizes = (state_bytes(count, 2, processes) for processes in (1, 8, 64))
        rows.append(f"| {count:,} | {' | '.join(f'{size / 1e9:,.2f} GB' for size in sizes)} |")
    return "\n".join(rows)


TABLES = {"communication": communication_table, "efficiency": efficiency_table, "shards": shards_table}


def with_tables(text: str) -> str:
    for name, table in TABLES.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        after = rest.partition(f"\n<!-- end of {name} -->")[2]
        text = f"{before}<!-- {name} -->\n{table()}\n<!-- end of {name} -->{after}"
    return text


def test_the_tables_are_those_of_the_formulas() -> None:
    text = PAGE.read_text()
    assert with_tables(text) == text


def test_a_ring_of_two_sends_every_gradient_once() -> None:
    assert bytes_per_step(1000, 2) == 4000
    assert bytes_per_step(1000, 1) == 0
    assert efficiency(1000, 1, 0.1, 1e9) == 1


def commands() -> Iterator[list[str]]:
    """The words of each command line in the page's shell blocks, with lines that a backslash continues joined."""
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "cnnc" in words:
                yield words


def test_every_command_line_is_one_that_cnnc_reads() -> None:
    from typer.main import get_command

    read = 0
    for words in commands():
        own = words[words.index("cnnc") + 1 :]
        group: Any = get_command(app(own))
        name, command, rest = group.resolve_command(group.make_context("cnnc", own, resilient_parsing=True), own)
        command.make_context(name, rest, resilient_parsing=True)
        read += 1
    assert read >= 8


def test_torchrun_takes_no_option_of_a_command_for_one_of_its_own() -> None:
    """torchrun takes `--run` for `--run-path` and `--log` for `--log-dir`, wherever it stands."""
    for words in commands():
        if "torchrun" in words:
            assert {"--run", "--log"}.isdisjoint(words)


@pytest.mark.slow
def test_torchrun_reads_the_lines_as_they_stand() -> None:
    run = pytest.importorskip("torch.distributed.run", reason="PyTorch is not installed")
    for words in commands():
        if "torchrun" in words:
            arguments = run.get_args_parser().parse_args(words[words.index("torchrun") + 1 :])
            assert arguments.module
            assert arguments.training_script == "cnnc"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
