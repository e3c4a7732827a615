"""`cnnc doctor`: what it finds, and what it says about what is missing."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from cnnc.core.environment import EXTRAS, package_states
from tests.cli.conftest import run
from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_it_shows_what_this_machine_has(tmp_path: Path) -> None:
    done = run("doctor", cwd=tmp_path, env={"CNNC_DATA": "", "CNNC_THREADS": "3"})
    assert done.returncode == 0, done.stdout
    assert re.search(r"^threads +3, CNNC_THREADS$", done.stdout, re.M)
    assert re.search(rf"^numpy +{re.escape(np.__version__)} +>=", done.stdout, re.M)
    assert re.search(r"^onnxruntime +.*\bcpu\b", done.stdout, re.M)
    assert done.stdout.endswith("no problem was found\n")


def test_each_problem_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = {"CNNC_THREADS": "x", "CNNC_DATA": "/nowhere", "XDG_CACHE_HOME": str(tmp_path / "file")}
    done = run("doctor", "--json", cwd=tmp_path, env=env)
    assert done.returncode == 6
    found = json.loads(done.stdout)
    threads, data, *cache = found["problems"]
    assert "CNNC_THREADS is `x`" in threads
    assert "unset it" in threads
    assert "CNNC_DATA names /nowhere, which does not exist" in data
    assert "cannot be written: make it writable" in cache[0]
    assert "onnxruntime" in found["facts"]


def test_missing_and_old_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = metadata.version

    def version(name: str) -> str:
        if name.lower() in ("pillow", "lark"):
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "numpy" else installed(name)

    monkeypatch.setattr("cnnc.core.environment.version", version)
    done = run("doctor", cwd=tmp_path)
    assert done.returncode == 6
    assert 'problem: lark is missing: pip install "lark' in done.stdout
    assert 'problem: numpy 1.0 does not fit >=1.26: pip install "numpy>=1.26"' in done.stdout
    assert re.search(r'^pillow +- .*pip install "cnnc\[images\]"$', done.stdout, re.M)
    assert "problem: pillow" not in done.stdout


def test_every_extra_for_users_is_listed() -> None:
    assert set(EXTRAS) == set(PROJECT["optional-dependencies"]) - {"test", "bench", "docs", "fuzz", "dev"}


def test_the_packages_are_those_of_the_metadata() -> None:
    needed = {re.split(r"[<>=]", line)[0].lower() for line in PROJECT["dependencies"]}
    assert {state.name.lower() for state in package_states() if not state.extra} == needed
