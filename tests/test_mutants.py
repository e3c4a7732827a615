"""The changes of mutation testing: each is one place of a module, and the rest stays."""

from __future__ import annotations

from tests.mutants import mutants

SOURCE = """def least(a, b):
    if not a < b and b != 3:
        raise ValueError('b')
    return min(a, -b)
"""


def test_every_change_is_made_once() -> None:
    found = mutants(SOURCE, 99, 0)
    assert {(m.line, m.before, m.after) for m in found} == {
        (2, "a < b", "a <= b"),
        (2, "a < b", "a >= b"),
        (2, "not a < b", "a < b"),
        (2, "b != 3", "b == 3"),
        (2, "3", "4"),
        (2, "3", "2"),
        (2, "not a < b and b != 3", "not a < b or b != 3"),
        (3, "raise ValueError('b')", "pass"),
        (4, "-b", "b"),
        (4, "min(a, -b)", "max(a, -b)"),
        (4, "return min(a, -b)", "return None"),
    }
    assert len(found) == 11
    for mutant in found:
        changed = [
            line for line, old in zip(mutant.source.splitlines(), SOURCE.splitlines(), strict=True) if line != old
        ]
        assert len(changed) == 1
        assert mutant.after in changed[0]


def test_some_changes_are_drawn() -> None:
    assert mutants(SOURCE, 4, 1) == mutants(SOURCE, 4, 1) != mutants(SOURCE, 4, 2)
    assert len(mutants(SOURCE, 4, 1)) == 4
