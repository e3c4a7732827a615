"""The targets of tests/fuzz on their findings and on a few inputs; the command that runs many; the limits that it watches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cnnc.core.arguments import ArgumentSpec
from cnnc.network import check
from cnnc.ops import OPS
from cnnc.recipe.declaration import TRAIN_STATEMENTS
from tests.fuzz.choices import Choices
from tests.fuzz.findings import FINDINGS
from tests.fuzz.networks import VALUES, network_text
from tests.fuzz.targets import MODULES, target_named
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "setitimer"), reason="the limits of a fuzzed call need a Unix system"
)
pytest.importorskip("PIL.Image")
pytest.importorskip("soundfile")
ROWS = [(name, case) for name, cases in FINDINGS.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), ROWS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(ROWS)])
def test_findings(name: str, case: Any, capfd: pytest.CaptureFixture[str]) -> None:
    target_named(name).hold(case)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", MODULES)
def test_a_few_inputs(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    target = target_named(name)
    for seed in range(5):
        target.hold(target.case(target.random(Random(f"few {name} {seed}"))))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [name for name, module in MODULES.items() if module == "data"])
def test_each_reading_of_data_can_succeed(name: str) -> None:
    """A fuzzer that begins with damaged files would stay at the first check of a reader."""
    target = target_named(name)
    endings = [target.hold(target.case(seed)) for seed in target.seeds()]
    assert endings.count("valid") >= len(endings) - 1


def test_most_networks_are_valid() -> None:
    valid = [check(network_text(Random(f"valid {seed}")), try_edits=False).ok for seed in range(40)]
    assert sum(valid) >= 0.75 * len(valid)


def test_every_kind_of_argument_has_values() -> None:
    declared = [*OPS.values(), *(each for kinds in TRAIN_STATEMENTS.values() for each in kinds.values())]
    specs: list[ArgumentSpec] = [spec for each in declared for spec in each.arguments]
    assert {type(spec.kind) for spec in specs} <= VALUES.keys()


def test_choices_are_the_bytes_and_repeat() -> None:
    assert [Choices(b"\x05\x07").randrange(200) for _ in range(2)] == [5, 5]
    assert network_text(Choices(b"abcdef" * 20)) == network_text(Choices(b"abcdef" * 20))


BREACHES = {
    "slow": ("while True: pass", "no answer after"),
    "waiting": ("import time; time.sleep(9)", "no answer after"),
    "memory": ("b'x' * (40 << 20)", "took"),
    "file": ("open('beside.txt', 'w').close()", "touched open 'beside.txt'"),
    "removed": ("import os; os.remove('kept.txt')", "touched os.remove 'kept.txt'"),
    "process": ("import subprocess; subprocess.run(['true'])", "touched subprocess.Popen"),
    "connection": ("import socket; socket.socket(type=2).connect(('127.0.0.1', 9))", "touched socket.connect"),
    "printed": ("import os; os.write(2, b'a library')", "printed b'a library'"),
}


@pytest.mark.parametrize("kind", BREACHES)
def test_limits(tmp_path: Path, kind: str) -> None:
    """Each limit is found to be broken; in a process of its own, as its audit hook cannot be taken back."""
    body, message = BREACHES[kind]
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.fuzz.guard import Breach, guarded, watch
watch(Path("allowed/stderr"), str(Path("allowed").resolve()))
with guarded():
    open("allowed/file.txt", "w").close()
try:
    with guarded({0.02 if message.startswith("no answer") else 5}, memory=20 << 20):
        {body}
except Breach as breach:
    print(breach)
"""
    (tmp_path / "allowed").mkdir()
    (tmp_path / "kept.txt").touch()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(message)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["blind", "guided"])
def test_the_command(mode: str) -> None:
    if mode == "guided":
        pytest.importorskip("atheris", reason="atheris is not installed")
    command = [sys.executable, "-m", "tests.fuzz", "tables", "--runs", "40", *(["--blind"] if mode == "blind" else [])]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 runs, 0 findings" in done.stdout
