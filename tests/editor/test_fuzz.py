"""Half-typed and damaged text: no feature crashes or hangs, and each answer is about the text that was asked about.

pytest tests/editor/test_fuzz.py -m slow -n 2     every prefix of every file in models/, and 100,000 random edits: an hour
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.editor.everything import ask_everything, ask_preview, ask_rename
from tests.language.programs import MODELS
from tests.language.test_fuzz import mutated_characters, mutated_words, text, time_limit
from tests.paths import ROOT

SECONDS = 20
SHARDS = 40
EDITS_OF_A_SHARD = 2_500

NAMES = """
net Names
let w = 2*8
block b(n, s=1) {
  skip: conv n k=3 p=1 s=s
  relu
  add skip
}
block uncalled(q) { x: conv q k=3; add x }
input 3xHxW
a: conv w k=3 p=1
one: b w
add one.skip
repeat 3 as i { r: conv w k=1 p=0 }
add r.0 r.*
b n=16 share=one
conv w k=1 share=a
reshape [w, H, W]
expect 16xHxW
add { conv 16 k=1 } { relu; conv 16 k=1 }
output a one
train { data digits; loss mse on=a target=input; epochs 3 }
"""


def assert_answers(text: str, offset: int, random: Random) -> None:
    """Asks everything at a place, with a time limit; what fails is reported with the text."""
    try:
        with time_limit(SECONDS):
            analysis = ask_everything(text, offset)
            if random.random() < 0.1:
                ask_preview(analysis)
            if random.random() < 0.2:
                ask_rename(analysis, offset)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\nat {offset} of {text!r}") from error


def damaged(random: Random) -> str:
    """A text that someone could have typed half."""
    kind = random.randrange(4)
    if kind == 0:
        return text(random)
    base = NAMES if kind == 1 else random.choice(MODELS).read_text(encoding="utf-8")
    changed = mutated_characters(base, random) if random.random() < 0.5 else mutated_words(base, random)
    return changed if random.random() < 0.7 else changed[: random.randrange(len(changed) + 1)]


def test_prefixes_of_a_network_with_all_kinds_of_names() -> None:
    for end in range(0, len(NAMES), 23):
        assert_answers(NAMES[:end], end, Random(end))


@pytest.mark.long
def test_100_damaged_texts() -> None:
    for seed in range(100):
        random = Random(f"editor {seed}")
        source = damaged(random)
        assert_answers(source, random.randrange(len(source) + 1), random)


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_prefix(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for end in range(len(source) + 1):
        assert_answers(source[:end], end, Random(end))


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_100_000_damaged_texts(shard: int) -> None:
    for seed in range(shard * EDITS_OF_A_SHARD, (shard + 1) * EDITS_OF_A_SHARD):
        random = Random(f"editor many {seed}")
        source = damaged(random)
        assert_answers(source, random.randrange(len(source) + 1), random)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_the_server_after_random_edits(seed: int) -> None:
    """After bursts of edits, which the server may answer in part, its last diagnostics are those of a fresh server."""
    pytest.importorskip("pygls", reason="pygls is not installed")
    from benchmarks.editor import URI, Client

    random = Random(f"bursts {seed}")
    lines = NAMES.splitlines(keepends=True)
    with Client(one_core=False) as client, Client(one_core=False) as fresh:
        client.open(NAMES)
        for _ in range(200):
            for _ in range(random.randrange(1, 12)):
                line = random.randrange(len(lines))
                first = random.randrange(len(lines[line]))
                deleted = random.randrange(min(4, len(lines[line]) - first))
                typed = random.choice(["x", " ", "3", "k=", "{", "}", '"', "#", "add", "é", ""])
                lines[line] = lines[line][:first] + typed + lines[line][first + deleted :]
                client.change(line, first, deleted, typed)
            found = client.diagnostics()
            fresh.version = client.version - 1
            assert messages(found) == messages(fresh.open("".join(lines)))
            fresh.notify("textDocument/didClose", {"textDocument": {"uri": URI}})


def messages(diagnostics: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The places and first lines of messages: the help comes later."""
    return [(json.dumps(d["range"]), d["message"].partition("\nhelp:")[0]) for d in diagnostics]


@pytest.mark.long
def test_the_benchmark_types_and_prints_a_table() -> None:
    pytest.importorskip("pygls", reason="pygls is not installed")
    command = [sys.executable, "-m", "benchmarks.editor", "--lines", "20", "--rounds", "1", "--pause", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[2].startswith("| 20 |")
    assert done.stderr == ""
