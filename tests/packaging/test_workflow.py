""".github/workflows/ci.yml parses, has least permissions, and runs commands that exist."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.paths import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    if not WORKFLOW.exists():
        pytest.skip("an sdist has no .github")
    parsed: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return parsed


def commands(workflow: dict[Any, Any]) -> list[str]:
    """The lines of all `run` steps."""
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines()]


def test_permissions_and_concurrency(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert {name: job.get("permissions") for name, job in workflow["jobs"].items()} == dict.fromkeys(workflow["jobs"])


def test_actions_are_pinned_to_a_major_version(workflow: dict[Any, Any]) -> None:
    used = {step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step}
    assert [action for action in used if not re.fullmatch(r"actions/[\w-]+@v\d+", action)] == []


def test_the_files_that_commands_name_exist(workflow: dict[Any, Any]) -> None:
    assert "bash .ci/run" in commands(workflow)
    named = re.findall(r"(?<![\w$/])(?:\.ci|models|tests)/[\w./-]+", "\n".join(commands(workflow)))
    assert len(named) >= 3, named
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_the_python_versions_are_those_of_the_package(workflow: dict[Any, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    declared = [
        c.removeprefix("Programming Language :: Python :: ") for c in project["classifiers"] if c.startswith(prefix)
    ]
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["python"] == declared
    assert project["requires-python"] == f">={declared[0]}"


def test_the_extras_that_commands_install_exist(workflow: dict[Any, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = re.findall(r"\.\[(\w+)\]", "\n".join(commands(workflow)))
    assert [extra for extra in installed if extra not in project["optional-dependencies"]] == []
