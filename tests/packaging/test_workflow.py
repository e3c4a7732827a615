"""The workflows in .github parse, have least permissions, pin what they use, and run commands that exist."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.paths import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = ("ci", "release")
PERMISSIONS = {
    ("release", "build"): {"contents": "read", "id-token": "write", "attestations": "write"},
    ("release", "pypi"): {"id-token": "write"},
    ("release", "github"): {"contents": "write"},
}
"""What jobs may beyond the permissions of their workflow."""


def workflow(name: str) -> dict[Any, Any]:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    if not FOLDER.exists():
        pytest.skip("an sdist has no .github")
    parsed: dict[Any, Any] = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    return parsed


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def commands(name: str) -> list[str]:
    """The lines of all `run` steps."""
    return [line for step in steps(name) for line in step.get("run", "").splitlines()]


def project() -> dict[str, Any]:
    parsed: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return parsed


def test_all_workflows_are_tested() -> None:
    workflow("ci")
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.yml" for name in WORKFLOWS}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_permissions(name: str) -> None:
    parsed = workflow(name)
    assert parsed["permissions"] == ({"contents": "read"} if name == "ci" else {})
    for job, content in parsed["jobs"].items():
        assert content.get("permissions") == PERMISSIONS.get((name, job)), job
        assert content["timeout-minutes"] <= 60


def test_a_push_ends_older_runs_of_ci_but_no_release() -> None:
    assert workflow("ci")["concurrency"]["cancel-in-progress"] is True
    assert workflow("release")["concurrency"]["cancel-in-progress"] is False
    assert workflow("release")[True] == {"push": {"tags": ["v*"]}}  # YAML reads `on` as true


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_to_a_commit(name: str) -> None:
    """With the version as a comment; a tag can be moved, a commit cannot."""
    workflow(name)
    used = re.findall(r"uses:(.*)", (FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in steps(name))
    assert [
        line for line in used if not re.match(r" (actions|pypa)/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\b", line)
    ] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_secret_is_used_or_kept(name: str) -> None:
    assert "secrets." not in str(workflow(name))
    checkouts = [step for step in steps(name) if "actions/checkout@" in step.get("uses", "")]
    assert [step for step in checkouts if step["with"] != {"persist-credentials": False}] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_expression_becomes_part_of_a_command(name: str) -> None:
    """Except those of the matrix, which stand in the same file: names of branches and tags may contain anything."""
    assert [line for line in commands(name) if "${{" in line and "${{ matrix." not in line] == []


def test_release_tools_are_pinned_by_their_hashes() -> None:
    (install,) = [line for line in commands("release") if "pip install" in line]
    assert "--require-hashes" in install
    text = (ROOT / ".github" / "release-tools.txt").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert [line for line in lines if not re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []
    wanted = (ROOT / ".github" / "release-tools.in").read_text(encoding="utf-8").split()
    assert {*wanted} <= {line.partition("==")[0] for line in lines}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_files_that_commands_name_exist(name: str) -> None:
    assert name != "ci" or "bash .ci/run" in commands(name)
    named = re.findall(r"(?<![\w$/])(?:\.ci|\.github|models|packages|tests)/[\w./-]+", "\n".join(commands(name)))
    assert len(named) >= 2, named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_python_versions_are_those_of_the_package() -> None:
    prefix = "Programming Language :: Python :: "
    declared = [c.removeprefix(prefix) for c in project()["classifiers"] if c.startswith(f"{prefix}3.")]
    jobs = workflow("ci")["jobs"]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == declared
    assert project()["requires-python"] == f">={declared[0]}"
    assert jobs["versions"]["strategy"]["matrix"]["include"] == [
        {"versions": "lowest", "python": declared[0]},
        {"versions": "newest", "python": declared[-1]},
    ]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_extras_that_commands_install_exist(name: str) -> None:
    groups = re.findall(r"\.\[([\w,]+)\]", "\n".join(commands(name)))
    installed = [extra for group in groups for extra in group.split(",")]
    assert [extra for extra in installed if extra not in project()["optional-dependencies"]] == []


def test_every_dependency_has_a_lower_bound() -> None:
    extras = project()["optional-dependencies"].values()
    asked = [line for lines in (project()["dependencies"], *extras) for line in lines]
    bounded = re.compile(r"cnnc\[[\w,]+\]|[\w-]+(\[\w+\])?>=\d[\d.]*(,<[\d.]+)?(; .*)?")
    assert [line for line in asked if not bounded.fullmatch(line)] == []
