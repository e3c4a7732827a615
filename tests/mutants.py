"""Mutation testing: changes a module at one place at a time, and runs tests that should notice.

    python -m tests.mutants cnnc/ops/window.py tests/ops/test_window.py tests/ops/test_layers.py --count 40

In: a module, and the tests that hold it. Out: the changes that no test noticed, one per line, and how many were noticed.
A change is another comparison, operator, number or truth value, a condition without its `not`, `min` for `max`, `any` for
`all`, None as the result, or a statement left out. Of all changes, `--count` are drawn at random (`--seed`).

The tests run in a copy of the project, each time in a new process. They run changed code with your rights: start it as a
user who cannot write to devices or to files that matter.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.paths import ROOT

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """A changed module: the line of the change, what stood there and what stands there now, and the whole source."""

    line: int
    before: str
    after: str
    source: str


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(left, [op, *ops], operands):
            for other in _COMPARISONS[type(op)]:
                yield ast.Compare(left, [other(), *ops], operands)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield operand
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            yield ast.BinOp(left, _OPERATORS[type(op)](), right)
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.Constant(float(value)):
            yield ast.Constant(2 * value + 1)
        case ast.Call(ast.Name(name), arguments, keywords) if name in _FUNCTIONS:
            yield ast.Call(ast.Name(_FUNCTIONS[name], ast.Load()), arguments, keywords)
        case ast.Return(ast.AST()):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Expr(ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            yield ast.Pass()


class _Change(ast.NodeTransformer):
    """Makes the change with a number, counted over the whole module; keeps what stood there."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = 0
        self.place = (0, "", "")

    def visit(self, node: ast.AST) -> ast.AST:
        node = self.generic_visit(node)
        for changed in changes(node):
            self.count += 1
            if self.count == self.number:
                self.place = (getattr(node, "lineno", 0), ast.unparse(node), ast.unparse(changed))
                return ast.copy_location(changed, node)
        return node


def mutants(source: str, count: int, seed: int) -> list[Mutant]:
    """Changed sources, at most `count` of all, drawn at random."""
    every = _Change(0)
    every.visit(ast.parse(source))
    found = []
    for number in sorted(random.Random(seed).sample(range(1, every.count + 1), min(count, every.count))):
        change = _Change(number)
        tree = ast.fix_missing_locations(change.visit(ast.parse(source)))
        found.append(Mutant(*change.place, ast.unparse(tree)))
    return found


def is_noticed(project: Path, tests: Sequence[str], seconds: float) -> bool:
    """Whether a test fails, or takes longer than this."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(words, cwd=project, env=environment, capture_output=True, timeout=seconds).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module")
    parser.add_argument("tests", nargs="+")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    source = (ROOT / options.module).read_text()
    noticed = 0
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs", "node_modules"))
        start = time.monotonic()
        if is_noticed(project, options.tests, 600):
            sys.exit("the tests fail without a change")
        limit = 30 + 5 * (time.monotonic() - start)
        tried = mutants(source, options.count, options.seed)
        for mutant in tried:
            (project / options.module).write_text(mutant.source)
            if is_noticed(project, options.tests, limit):
                noticed += 1
            else:
                sys.stdout.write(f"{options.module}:{mutant.line}: {mutant.before}  =>  {mutant.after}\n")
    sys.stdout.write(f"{noticed} of {len(tried)} changes were noticed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
