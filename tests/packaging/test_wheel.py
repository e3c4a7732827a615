"""The wheel and the sdist contain the right files, and the installed wheel works outside the project folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.paths import MODELS, ROOT

pytestmark = pytest.mark.long

GRAMMAR = "cnnc/language/cnn.lark"
DIGITS = (
    "cnnc/data/digits/images-idx3-ubyte.gz",
    "cnnc/data/digits/labels-idx1-ubyte.gz",
    "cnnc/data/digits/README.md",
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel and the sdist into a folder."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    isolation = ["--no-isolation"] if find_spec("hatchling") else []  # otherwise `build` installs it
    command = [sys.executable, "-m", "build", *isolation, "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def shipped(folder: str) -> set[str]:
    """The files of a folder of the project that belong in a package."""
    files = (p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(ROOT).as_posix() for p in files}


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    return only(built, "*.whl")


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
        assert archive.read(GRAMMAR) == (ROOT / "grammar" / "cnn.lark").read_bytes()
        for name in DIGITS:
            assert archive.read(name) == (ROOT / name).read_bytes()
    info = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - info == shipped("cnnc") | {GRAMMAR}
    assert "cnnc/py.typed" in names
    assert {name.split("/", 1)[1] for name in info} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
    }
    assert wheel.stat().st_size < 2_000_000


def test_sdist_holds_the_project(built: Path) -> None:
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    top = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "PKG-INFO", "pyproject.toml", ".gitignore"}
    required = shipped("cnnc") | shipped("grammar") | shipped("models")
    assert sorted(required - names) == []
    for name in names - required - top:
        assert name.split("/")[0] in ("tests", "docs", "benchmarks"), name
        assert not name.endswith((".onnx", ".pyc", ".safetensors")), name
    assert sorted(top - names) == []


def test_the_wheel_works_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    """In a new environment that sees the dependencies installed here, but not the cnnc installed here."""
    venv.create(tmp_path / "venv", symlinks=os.name != "nt")
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    paths = sysconfig.get_paths(vars={"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")})
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Only a path: .pth files in that folder, such as that of an editable install, are not read.
    (Path(paths["purelib"]) / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=elsewhere, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(tmp_path) in run(str(python), "-c", "import cnnc; print(cnnc.__file__)")
    command = str(python.with_name("cnnc"))
    out = run(command, "check", str(MODELS / "lenet5.cnn"))
    assert "LeNet5: 61,706 parameters" in out
    assert "416,520 MACs" in out
    assert run(str(python), "-m", "cnnc", "--version").startswith("cnnc ")
    out = run(command, "train", str(MODELS / "digits.cnn"), "--set", "train.epochs=1", "--export", "x.onnx")
    assert "of 360)" in out
    assert "verified: " in out
