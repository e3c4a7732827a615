"""The named random streams: no two coincide, training keeps its numbers, and nothing else seeds a generator."""

from __future__ import annotations

import ast
from itertools import combinations

import numpy as np
import pytest

from cnnc.core.random_streams import Stream
from tests.paths import PACKAGE
from tests.syntax_trees import tree_of

PARTS: dict[Stream, list[tuple[int | str, ...]]] = {
    Stream.INITIAL_WEIGHTS: [("conv1.weight",), ("_",), ("a",)],
    Stream.SHUFFLE: [(0,), (1,), (4,)],
    Stream.LAYERS: [(0, 0, "dropout1"), (0, 1, "dropout1"), (1, 0, "dropout1")],
    Stream.VALIDATION_SPLIT: [()],
    Stream.AUGMENTATION: [(0, 0), (0, 1), (1, 0)],
    Stream.TEST_SPLIT: [(0,), (1,)],
    Stream.CALIBRATION: [()],
    Stream.DIVERGENCE: [("dropout1",)],
    Stream.VERIFY_WEIGHTS: [("conv1.weight",), ("a",)],
    Stream.VERIFY_INPUTS: [()],
    Stream.BENCH_INPUTS: [()],
    Stream.ASCENT: [()],
    Stream.VERIFY_TARGETS: [(0,), (1,)],
    Stream.STEP_SEED: [(0, 0), (0, 1), (1, 0)],
    Stream.DEMO_INPUTS: [()],
    Stream.NEAR_DUPLICATES: [()],
    Stream.NUDGES: [("conv1.weight",), ("a.b",)],
    Stream.BALANCED_SAMPLING: [(0,), (1,), (4,)],
    Stream.OPERATOR_ERRORS: [("conv1",), ("a",)],
}
"""Typical keys of each stream, among them the shortest, which NumPy pads with zeros."""


def first_numbers(key: list[int]) -> tuple[int, ...]:
    return tuple(np.random.default_rng(key).integers(0, 2**63, 4).tolist())


def test_every_stream_has_keys_here() -> None:
    assert set(PARTS) == set(Stream)


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 2**32 + 1])
def test_no_two_streams_coincide(seed: int) -> None:
    numbers = {
        (stream.name, parts): first_numbers(stream.key(seed, *parts)) for stream in Stream for parts in PARTS[stream]
    }
    equal = [f"{a} and {b}" for (a, x), (b, y) in combinations(numbers.items(), 2) if x == y]
    assert equal == []


def test_zeros_at_the_end_of_a_key_make_no_difference_to_numpy() -> None:
    """Why the number of the stream stands right after the seed: the test above would find such a coincidence."""
    assert first_numbers([7, 4]) == first_numbers([7, 4, 0, 0])


def test_streams_of_training_keep_their_keys() -> None:
    """Runs of earlier versions resume bit-identically."""
    assert Stream.INITIAL_WEIGHTS.key(5, "a.b") == [5, 97, 46, 98]
    assert Stream.SHUFFLE.key(5, 2) == [5, 1, 2]
    assert Stream.LAYERS.key(5, 2, 9, "d1") == [5, 2, 2, 9, 100, 49]
    assert Stream.VALIDATION_SPLIT.key(5) == [5, 3]
    assert Stream.AUGMENTATION.key(5, 2, 9) == [5, 4, 2, 9]
    assert Stream.TEST_SPLIT.key(5, 1) == [5, 16, 1]


def called(node: ast.Call) -> str:
    """The last word of what is called."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


@pytest.mark.long
def test_every_generator_is_seeded_by_a_stream() -> None:
    seeded, others = 0, []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and called(node) in ("default_rng", "SeedSequence", "PCG64"):
                argument = ast.unparse(node.args[0]) if node.args else ""
                if argument.startswith("Stream.") and ".key(" in argument:
                    seeded += 1
                else:
                    others.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert others == [], "seed it with a member of Stream (core/random_streams.py)"
    assert seeded >= len(Stream)
