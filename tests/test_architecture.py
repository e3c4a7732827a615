"""Rules of the code base: which package may import which, what a command loads, and that every layer is in every table."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.main import get_command

from cnnc.cli.app import COMMANDS, app
from cnnc.onnx.emit import emitter as emission
from cnnc.onnx.emit import ops as emission_families
from cnnc.onnx.train_step import ops as step_families
from cnnc.onnx.train_step import step_emitter
from cnnc.ops import OPS
from cnnc.reference import engine, registry
from cnnc.torch.source.layers import WRITERS
from tests.op_cases import CASES, Case, all_attributes, graph_of, varied_attributes
from tests.package_edges import ALLOWED, TOP, edges
from tests.paths import MODELS, PACKAGE, ROOT
from tests.syntax_trees import registered_names, tree_of


class Import(NamedTuple):
    """One import of one module: what it names, where, and whether inside a function."""

    module: str
    target: str
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the package by its dotted name."""
    paths = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


def imports_of(module: str, path: Path) -> Iterator[Import]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node, lazy in import_statements(tree_of(path), False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno, lazy)
        else:
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(module, inner if inner in modules() else base, node.lineno, lazy)


def import_statements(parent: ast.AST, lazy: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """The imports below a node, and whether inside a function; expressions, most of a tree, hold none."""
    lazy = lazy or isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef)
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, lazy
        elif isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from import_statements(node, lazy)


@cache
def all_imports() -> tuple[Import, ...]:
    return tuple(found for module, path in modules().items() for found in imports_of(module, path))


def package_of(module: str) -> str:
    """The package of ALLOWED that a module belongs to: `cnnc.ops.conv` to `ops`, `cnnc.onnx.run.bench` to `onnx.run`."""
    _, *parts = module.split(".")
    has_inner = parts[:1] == ["onnx"] or parts[:2] == ["torch", "source"]
    return ".".join(parts[: 2 if has_inner else 1]) or "__init__"


def cnnc_imports() -> list[Import]:
    return [i for i in all_imports() if i.target.split(".")[0] == "cnnc"]


def test_the_imports_are_really_read() -> None:
    """Otherwise every test below would pass on an empty list."""
    seen = {(i.module, i.target, i.lazy) for i in all_imports()}
    assert ("cnnc.graph.graph", "cnnc.ops.base", False) in seen
    assert ("cnnc.onnx.emit.model", "onnx", False) in seen
    assert ("cnnc.cli.export", "cnnc.onnx.export", True) in seen
    assert ("cnnc.ops.conv", "cnnc.ops.window", False) in seen  # `from cnnc.ops import window`


def test_every_package_is_in_the_list_of_edges() -> None:
    packages = {package_of(module) for module in modules()} - {"onnx", *TOP}
    assert sorted(packages - set(ALLOWED)) == [], "say in tests/package_edges.py what these may import"
    assert sorted(set(ALLOWED) - packages) == [], "tests/package_edges.py names packages that do not exist"


def test_allowed_edges_run_downward() -> None:
    """A package is listed after all that it imports, so the edges have no cycle."""
    order = list(ALLOWED)
    upward = [f"{a} -> {b}" for a, b in edges() if b not in order or order.index(b) >= order.index(a)]
    assert upward == [], (
        "a package imports only those above it in tests/package_edges.py; move the code:\n" + "\n".join(upward)
    )


def test_packages_import_only_what_they_may() -> None:
    allowed = set(edges())
    violations = [
        str(i)
        for i in cnnc_imports()
        if (source := package_of(i.module)) not in TOP
        and source != (target := package_of(i.target))
        and (source, target) not in allowed
    ]
    assert violations == [], (
        "move the code, or allow the edge in tests/package_edges.py if it leads to a package above:\n"
        + "\n".join(violations)
    )


def test_every_allowed_edge_is_used() -> None:
    used = {(package_of(i.module), package_of(i.target)) for i in cnnc_imports()}
    unused = sorted(f"{a} -> {b}" for a, b in edges() if (a, b) not in used)
    assert unused == [], "tests/package_edges.py allows edges that nothing uses:\n" + "\n".join(unused)


def test_no_two_modules_need_each_other() -> None:
    """Also within a package, and including imports inside functions."""
    needs: dict[str, set[str]] = {module: set() for module in modules()}
    for found in cnnc_imports():
        # an __init__ imports its modules; they import each other, not the package
        if found.target != found.module and modules()[found.target].name != "__init__.py":
            needs[found.module].add(found.target)
    done: set[str] = set()
    while ready := {module for module, imports in needs.items() if module not in done and imports <= done}:
        done |= ready
    assert {module: sorted(needs[module] - done) for module in needs if module not in done} == {}


def test_a_class_name_means_one_class() -> None:
    """Across all packages, so that a name in an error or a search leads to one place; private classes are left out."""
    homes: dict[str, list[str]] = {}
    for module, path in modules().items():
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("packages", "allowed"),
    [
        (("lark",), ("cnnc.language.parse", "cnnc.language.lalr")),
        (("onnx", "onnxruntime"), ("cnnc.onnx",)),
        (("typer", "click"), ("cnnc.cli",)),
        (("rich",), ("cnnc.cli", "cnnc.api.progress")),
        (("threadpoolctl",), ("cnnc.reference.parallel.threads",)),
        (("safetensors",), ("cnnc.training.checkpoint",)),
        (("PIL",), ("cnnc.data.image_file", "cnnc.view.png")),
        (("soundfile", "soxr"), ("cnnc.data.audio_file",)),
        (("tensorboardX",), ("cnnc.training.tensorboard",)),
        (
            ("numpy",),
            (
                *("cnnc.core.arrays", "cnnc.reference", "cnnc.onnx", "cnnc.training", "cnnc.data", "cnnc.view"),
                *("cnnc.torch", "cnnc.api", "cnnc.cli"),
            ),
        ),
        (("torch",), ("cnnc.torch",)),
    ],
)
def test_a_library_is_imported_only_where_it_may_be(packages: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    elsewhere = [
        str(i)
        for i in all_imports()
        if i.target.split(".")[0] in packages
        and not any(i.module == name or i.module.startswith(f"{name}.") for name in allowed)
    ]
    assert elsewhere == [], f"only {', '.join(allowed)} may import {packages[0]}; move the code:\n" + "\n".join(
        elsewhere
    )


# --- what a command loads ----------------------------------------------------------------------------------

_LOADED = """
import json, sys
from cnnc.cli.main import main
sys.argv = ["cnnc", *sys.argv[1:]]
try:
    main()
finally:
    names = {name.split(".")[0] for name in sys.modules} | {name for name in sys.modules if name.startswith("cnnc")}
    print(json.dumps(sorted(names)), file=sys.stderr)
"""


def loaded(*arguments: str) -> set[str]:
    """The packages and modules of cnnc that a command has loaded when it ends. The command must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("options", [(), ("--json",), ("--explain",)])
def test_check_loads_nothing_heavy(options: tuple[str, ...]) -> None:
    """Of a network with a train section."""
    names = loaded("check", *options, str(MODELS / "lenet5.cnn"))
    assert "cnnc.language.lower" in names
    heavy = {"numpy", "onnx", "onnxruntime", "safetensors", "threadpoolctl", "PIL", "scipy", "rich", "pydantic"}
    assert names & heavy == set()
    assert {n for n in names if n.startswith("cnnc.cli.")} == {
        f"cnnc.cli.{n}" for n in ("app", "check", "console", "main", "options")
    }


@pytest.mark.long
def test_training_loads_what_it_uses(tmp_path: Path) -> None:
    """It starts without the modules that draw, which the curves at the end of an epoch need, and never loads a server."""
    start = loaded("train", "--dry-run", str(MODELS / "digits.cnn"))
    assert "cnnc.training.loop" in start
    assert not {name for name in start if name.startswith(("cnnc.view", "cnnc.live", "cnnc.torch"))}
    assert "torch" not in start
    words = ("train", str(MODELS / "digits.cnn"), "--set", "train.epochs=1", "--run", str(tmp_path / "run"))
    whole = loaded(*words)
    assert "cnnc.view.training_curves" in whole
    live = ("cnnc.live", "cnnc.view.live", "cnnc.training.live_moments", "cnnc.cli.train_live", "uvicorn", "asyncio")
    assert not {name for name in whole if name.startswith(live)}
    if importlib.util.find_spec("uvicorn"):
        assert {"cnnc.live", "uvicorn"} <= loaded(*words[:-1], str(tmp_path / "live"), "--live")


def test_every_command_is_there_alone_and_among_all() -> None:
    assert list(vars(get_command(app([])))["commands"]) == list(COMMANDS)
    for name in COMMANDS:
        assert list(vars(get_command(app([name, "--help"])))["commands"]) == [name]
    for words in ("--help",), ("--version", "check"), ("chekc",):
        assert len(vars(get_command(app(words)))["commands"]) == len(COMMANDS)


def test_what_check_does_not_load_is_loaded_by_others() -> None:
    """Shows that the test above can fail: training loads NumPy, but not onnx."""
    code = "import sys, cnnc.training.loop; print([n for n in ('numpy', 'onnx', 'onnxruntime') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['numpy']"


# --- op × table --------------------------------------------------------------------------------------------

assert engine.FAMILIES
assert emission_families.__all__
assert step_families.__all__  # imported for the tables that they fill
TORCH_LAYERS = registered_names(PACKAGE / "torch" / "layers.py", "forward_of")


@cache
def tables() -> dict[str, set[str]]:
    """The keywords of the layers in each table."""
    return {
        "forward": {op.keyword for op in registry.FORWARD},
        "backward": {op.keyword for op in registry.BACKWARD},
        "emission": {op.keyword for op in emission.EMISSIONS},
        "gradient in the training step": {op.keyword for op in step_emitter.BACKWARDS},
        "forward on PyTorch": {keyword for keyword, op in OPS.items() if op.__name__ in TORCH_LAYERS},
        "PyTorch source": {op.keyword for op in WRITERS},
        "row in tests/op_cases.py": {node.op.keyword for case in CASES for node in graph_of(case).nodes},
    }


ENTRY = {
    "forward": "@forward_of({op}) in cnnc/reference/",
    "backward": "@backward_of({op}) in cnnc/reference/",
    "emission": "@emission_of({op}) in cnnc/onnx/emit/ops/",
    "gradient in the training step": "@backward_of({op}) in cnnc/onnx/train_step/ops/",
    "forward on PyTorch": "@forward_of({op}) in cnnc/torch/layers.py",
    "PyTorch source": "@writer_of({op}) in cnnc/torch/source/layers.py",
    "row in tests/op_cases.py": 'Case("{keyword}", "input ...; {keyword}")',
}
"""What fills a hole in each table."""
NOT_NEEDED = {
    ("input", table) for table in ("forward", "backward", "gradient in the training step", "forward on PyTorch")
}
NOT_YET: set[tuple[str, str]] = set()
"""Known holes; one that has been filled must be removed from this set."""


def holes() -> set[tuple[str, str]]:
    return {(keyword, table) for keyword in OPS for table, has in tables().items() if keyword not in has} - NOT_NEEDED


def test_every_layer_is_in_every_table() -> None:
    missing = [
        f"{keyword} has no {table}: {ENTRY[table].format(op=OPS[keyword].__name__, keyword=keyword)}"
        for keyword, table in sorted(holes() - NOT_YET)
    ]
    assert missing == [], "docs/adding-a-layer.md says what to add:\n" + "\n".join(missing)


def test_no_known_hole_is_stale() -> None:
    filled = [f"{keyword} has {table} now" for keyword, table in sorted(NOT_YET - holes())]
    assert filled == []


def test_tables_hold_no_layer_that_is_not_in_the_language() -> None:
    assert {table: sorted(has - set(OPS)) for table, has in tables().items() if has - set(OPS)} == {}


def test_every_attribute_of_every_layer_is_varied_by_a_row(record_property: Callable[[str, object], None]) -> None:
    """From its default; of one that is needed, two rows give two values."""
    varied, known = varied_attributes(), all_attributes()
    pairs = f"{len(CASES)} rows, which vary {len(varied & known)} of {len(known)} (layer, attribute) pairs"
    record_property("op_cases", pairs)
    constant = sorted(f"{keyword}: {name}" for keyword, name in known - varied)
    assert constant == [], "add rows to tests/op_cases.py that vary these arguments:\n" + "\n".join(constant)


def test_a_row_with_only_defaults_varies_nothing() -> None:
    """Whole defaults of numbers (elu's alpha), one number for all axes (conv's s), and none (conv's init)."""
    assert (
        varied_attributes([Case("defaults", "input 3x9x8; conv 4 k=3; elu; hard_tanh; pool max k=2; dropout")]) == set()
    )
    assert varied_attributes([Case("one", "input 3x9x8; conv 4 k=3 s=2; elu")]) == {("conv", "s")}


def test_ids_of_rows_are_unique() -> None:
    ids = [case.id for case in CASES]
    assert sorted({i for i in ids if ids.count(i) > 1}) == []
    assert all(case.skip[driver] for case in CASES for driver in case.skip), "a skipped row says why"
