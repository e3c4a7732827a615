"""Where output goes: full devices, closed pipes, terminals without UTF-8; help, version and wrong usage."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Cnnc, codes
from tests.commands import COMMAND, environment

pytestmark = pytest.mark.long

FULL = Path("/dev/full")

needs_full = pytest.mark.skipif(not FULL.is_char_device(), reason="needs /dev/full")


@needs_full
@pytest.mark.parametrize(
    "words", [("check", "small.cnn"), ("check", "--json", "small.cnn"), ("--help",), ("--version",)]
)
def test_stdout_to_a_full_device(cnnc: Cnnc, words: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        done = cnnc(*words, stdout=full)
    assert done.returncode == 6
    assert "no space left" in done.stderr.lower()
    assert len(codes(done.stderr)) == 1


@needs_full
def test_stderr_to_a_full_device(cnnc: Cnnc) -> None:
    with FULL.open("w") as full:
        assert cnnc("check", "nowhere.cnn", stderr=full).returncode == 6
        assert cnnc("train", "small.cnn", "--run", "run", stderr=full).returncode == 6


@needs_full
def test_results_to_a_full_device(cnnc: Cnnc, trained: Path) -> None:
    with FULL.open("w") as full:
        for words in (
            ("eval", trained / "small.onnx"),
            ("train", "--resume", trained / "run"),
            ("export", trained / "run", "-o", "out.onnx"),
        ):
            done = cnnc(*words, stdout=full)
            assert done.returncode == 6, words
            assert codes(done.stderr) == ["E902"]


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="needs /dev/stdout")
def test_a_model_to_a_pipe_is_the_model_alone(cnnc: Cnnc, tmp_path: Path) -> None:
    words = ["export", "small.cnn", "-o", "/dev/stdout"]
    done = subprocess.run([*COMMAND, *words], cwd=tmp_path, env=environment(), capture_output=True, check=True)
    onnx.checker.check_model(onnx.load_model_from_string(done.stdout))
    assert b"wrote /dev/stdout" in done.stderr
    refused = subprocess.run([*COMMAND, *words, "--json"], cwd=tmp_path, env=environment(), capture_output=True)
    assert (refused.returncode, refused.stdout) == (2, b"")


@pytest.mark.parametrize("count", [1, 100])
def test_a_closed_pipe_is_silent(tmp_path: Path, cnnc: Cnnc, count: int) -> None:
    command = [*COMMAND, "check", *["small.cnn"] * count]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 6


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_streams_that_are_not_utf8(cnnc: Cnnc, tmp_path: Path, encoding: str) -> None:
    (tmp_path / "bad.cnn").write_text("input 1x8x8\nfc 10\nexpect 9 # ≠ αβγ\n")
    done = cnnc("check", "small.cnn", "bad.cnn", env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 1
    assert "1,036 parameters" in done.stdout
    assert codes(done.stderr) == ["E401"]


def limit_file_size(size: int) -> None:
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file size")
def test_a_full_disk_harms_nothing(cnnc: Cnnc, tmp_path: Path, trained: Path) -> None:
    """With a limit on file size, as on a full disk: each command reports it and leaves existing files unchanged."""
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copy(trained / "small.onnx", tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for words in (
        ("train", "--resume", "run", "--set", "train.epochs=12"),
        ("train", "small.cnn", "--run", "new"),
        ("export", "run", "-o", "small.onnx"),
        ("export", "small.cnn", "-o", "new.onnx"),
    ):
        done = cnnc(*words, before=lambda: limit_file_size(1000))
        assert done.returncode == 6, words
        assert codes(done.stderr) == ["E902"], words
        assert "file too large" in done.stderr
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("out", [".", "small.cnn/x.onnx", "nowhere/x.onnx"])
def test_models_that_cannot_be_written(cnnc: Cnnc, tmp_path: Path, out: str) -> None:
    before = (tmp_path / "small.cnn").read_bytes()
    done = cnnc("export", "small.cnn", "-o", out)
    assert done.returncode == 6
    assert codes(done.stderr) == ["E902"]
    assert [p.name for p in tmp_path.iterdir()] == ["small.cnn"]
    assert (tmp_path / "small.cnn").read_bytes() == before


@pytest.mark.parametrize("folder", ["small.cnn", "small.cnn/run"])
def test_runs_that_cannot_be_written(cnnc: Cnnc, tmp_path: Path, folder: str) -> None:
    before = (tmp_path / "small.cnn").read_bytes()
    done = cnnc("train", "small.cnn", "--run", folder)
    assert done.returncode == 6
    assert codes(done.stderr) == ["E902"]
    assert (tmp_path / "small.cnn").read_bytes() == before


def test_an_internal_error_says_so(cnnc: Cnnc, tmp_path: Path) -> None:
    """An unexpected exception exits with 70, and prints a traceback only under CNNC_TRACEBACK."""
    (tmp_path / "broken.py").write_text(
        "import cnnc.cli.check as check\n"
        "def load(*words): raise ZeroDivisionError('by design')\n"
        "check.load = load\n"
        "from cnnc.cli.main import main\nmain()\n"
    )
    for asked in ("", "1"):
        done = subprocess.run(
            [COMMAND[0], "broken.py", "check", "small.cnn"],
            cwd=tmp_path,
            env=environment(CNNC_TRACEBACK=asked),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 70
        assert done.stderr.startswith("error: internal error (please report it): ZeroDivisionError: by design\n")
        assert ("Traceback" in done.stderr) == bool(asked)
