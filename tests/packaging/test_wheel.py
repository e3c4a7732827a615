"""The wheel and the sdist contain the right files, and the installed wheel works outside the project folder."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.paths import MODELS, ROOT

pytestmark = pytest.mark.long

GRAMMAR = "cnnc/language/cnn.lark"
DIGITS = (
    "cnnc/data/digits/images-idx3-ubyte.gz",
    "cnnc/data/digits/labels-idx1-ubyte.gz",
    "cnnc/data/digits/README.md",
)


NEW_OF_EACH = """
import sys
from cnnc.cli.main import main
for name in sys.argv[1:]:
    sys.argv = ["cnnc", "new", "-t", name]
    try:
        main()
    except SystemExit as end:
        assert not end.code, name
"""
"""`cnnc new -t NAME` for each name, in one process."""


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
    assert names - info == shipped("cnnc") | {GRAMMAR} | {f"cnnc/{name}" for name in shipped("models")}
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
    top = {
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "PKG-INFO",
        "pyproject.toml",
        ".gitignore",
    }
    required = shipped("cnnc") | shipped("grammar") | shipped("models")
    assert sorted(required - names) == []
    for name in names - required - top:
        assert name.split("/")[0] in ("tests", "docs", "benchmarks", "packages"), name
        assert not name.endswith((".onnx", ".pyc", ".safetensors", ".wasm")), name
    assert sorted(top - names) == []


def test_every_file_of_the_sdist_is_text(built: Path) -> None:
    """No program, model, data set or image, but the bundled digits; no link; the same owner and mode wherever it is built."""
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        for member in archive:
            assert member.isreg(), member.name
            assert (member.uid, member.gid, member.mode & 0o7022) == (0, 0, 0), member.name
            assert member.size < 100_000, member.name
            if member.name.split("/", 1)[1] not in DIGITS[:2]:
                content = archive.extractfile(member)
                assert content is not None
                assert "\0" not in content.read().decode("utf-8"), member.name


@pytest.mark.slow
def test_another_build_is_the_same_bytes(built: Path, tmp_path: Path) -> None:
    """In another folder, time zone and order of sets."""
    copy = tmp_path / "copy"
    with tarfile.open(only(built, "*.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
        (tmp_path / archive.getnames()[0].split("/")[0]).rename(copy)
    environ = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(copy)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for file in built.iterdir():
        assert (tmp_path / "dist" / file.name).read_bytes() == file.read_bytes(), file.name


def test_files_that_no_commit_contains_are_found(built: Path) -> None:
    """As packages/release.py does before a release."""
    spec = spec_from_file_location("release", ROOT / "packages" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    release = module_from_spec(spec)
    spec.loader.exec_module(release)
    sdist = only(built, "*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
    assert release.foreign_members(sdist, names) == []
    assert release.foreign_members(sdist, {*names} - {"README.md", "PKG-INFO"}) == ["README.md"]
    sums = release.checksums([sdist])
    assert sums == f"{hashlib.sha256(sdist.read_bytes()).hexdigest()}  {sdist.name}\n"


class Installed(NamedTuple):
    """A new environment that holds the wheel and sees the dependencies installed here, but not the cnnc installed here."""

    python: Path
    folder: Path

    def run(self, *words: str) -> str:
        """What a command prints, in a folder outside the project; `cnnc` and `python` are those of the environment."""
        programs = {"cnnc": self.python.with_name("cnnc"), "python": self.python}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        clean["http_proxy"] = clean["https_proxy"] = "http://127.0.0.1:9"  # nothing is downloaded
        command = [str(programs[words[0]]), *words[1:]]
        done = subprocess.run(command, cwd=self.folder, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=os.name != "nt")
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    paths = sysconfig.get_paths(vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")})
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # Only a path: .pth files in that folder, such as that of an editable install, are not read.
    (Path(paths["purelib"]) / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return Installed(python, elsewhere)


def test_the_wheel_works_from_another_folder(installed: Installed) -> None:
    assert str(installed.folder.parent) in installed.run("python", "-c", "import cnnc; print(cnnc.__file__)")
    out = installed.run("cnnc", "check", str(MODELS / "lenet5.cnn"))
    assert "LeNet5: 61,706 parameters" in out
    assert "416,520 MACs" in out
    assert installed.run("python", "-m", "cnnc", "--version").startswith("cnnc ")
    out = installed.run("cnnc", "train", str(MODELS / "digits.cnn"), "--set", "train.epochs=1", "--export", "x.onnx")
    assert "of 360)" in out
    assert "verified: " in out


def test_the_wheel_offers_every_published_network(installed: Installed) -> None:
    listed = json.loads(installed.run("cnnc", "new", "--list", "--json"))
    published = {row["name"] for row in listed if row["published"]}
    assert published == {path.stem for path in MODELS.glob("*.cnn")}
    installed.run("python", "-c", NEW_OF_EACH, *sorted(published))
    for name in sorted(published):
        assert (installed.folder / f"{name}.cnn").read_bytes() == (MODELS / f"{name}.cnn").read_bytes()
    installed.run("cnnc", "check", *(f"{name}.cnn" for name in sorted(published)), "--strict")


def test_the_scripts_of_the_wheel_make_the_data_that_its_networks_read(installed: Installed) -> None:
    """As `cnnc new` says, without a clone and without a network."""
    written = installed.run("cnnc", "new", "mine", "-t", "waves")
    command = shlex.split(written.partition("its training data: ")[2])
    out = installed.run(*command, "--count", "80")
    assert out.startswith("wrote made")
    out = installed.run("cnnc", "train", "mine.cnn", "--set", "train.epochs=1")
    assert "test accuracy" in out
    out = installed.run("python", "-m", "cnnc.models.scripts.deeper_vs_wider", "--help")
    assert "--parameters" in out
    assert str(ROOT) not in installed.run("python", "-c", "import cnnc.models; print(cnnc.models.FOLDER)")
