"""The distribution cnnc-web: made from the npm package, it installs, and cnnc finds it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from cnnc.cli import web_runtime as runtime_files
from cnnc.cli.web_runtime import FILES, VERSION, web_runtime
from tests.browser.conftest import find_files, given_runtime
from tests.paths import ROOT

FOLDER = ROOT / "packages" / "cnnc-web"
MADE = {*(f"cnnc_web/files/{file.name}" for file in FILES), "LICENSE", "ThirdPartyNotices.txt"}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", FOLDER / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_version_and_files_are_those_that_cnnc_pins() -> None:
    project = tomllib.loads((FOLDER / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
    assert {*project["tool"]["hatch"]["build"]["force-include"]} == MADE - {"LICENSE", "ThirdPartyNotices.txt"}
    assert {*project["project"]["license-files"]} == {"LICENSE", "ThirdPartyNotices.txt"}
    text = (FOLDER / "README.md").read_text()
    assert f"onnxruntime-web](https://onnxruntime.ai/docs/tutorials/web/) {VERSION}" in text
    assert [file.name for file in FILES if file.name not in text] == []


def test_git_ignores_what_the_script_writes() -> None:
    patterns = tuple((ROOT / ".gitignore").read_text().split())
    assert [path for path in MADE if not f"/packages/cnnc-web/{path}".startswith(patterns)] == []


def test_another_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.tgz").write_bytes(b"other")
    with pytest.raises(SystemExit, match=r"other\.tgz is not onnxruntime-web 1\.30\.0: its checksum is not sha512-"):
        script().prepare(tmp_path / "other.tgz", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other.tgz"]


@pytest.mark.long
def test_the_wheel_installs_and_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("build")
    find_files("wasm")
    given = given_runtime()
    if given is None or not given.is_file():
        pytest.skip("CNNC_WEB_RUNTIME does not name the file of the npm package")
    project = tmp_path / "project"
    (project / "cnnc_web").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "cnnc_web/__init__.py"):
        (project / name).write_bytes((FOLDER / name).read_bytes())
    python = [sys.executable, "-m"]
    isolation = ["--no-isolation"] if find_spec("hatchling") else []
    build = [*python, "build", "--wheel", *isolation, "--outdir", str(tmp_path), str(project)]
    unprepared = subprocess.run(build, capture_output=True, text=True, check=False)
    assert unprepared.returncode != 0
    assert not list(tmp_path.glob("*.whl"))

    script().prepare(given, project)
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name.replace(f"cnnc_web-{VERSION}.dist-info/licenses/", "") for name in archive.namelist()}
        assert names >= MADE
        assert "MIT License" in archive.read(f"cnnc_web-{VERSION}.dist-info/licenses/LICENSE").decode()
        assert names - MADE == {
            "cnnc_web/__init__.py",
            *(f"cnnc_web-{VERSION}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")),
        }

    install = [*python, "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*install, str(wheel)], check=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(runtime_files, "cache_folder", lambda: tmp_path / "no cache")
    monkeypatch.setenv("PATH", "")
    lines: list[str] = []
    for build_name in runtime_files.BUILDS:
        assert web_runtime(None, build_name, lines.append).version == VERSION
    assert lines == []
    assert "cnnc_web" not in sys.modules  # its files are read, its code is not run
