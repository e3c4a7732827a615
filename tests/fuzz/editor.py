"""The language server: after any edits its answers are about the newest texts, and its diagnostics are those of a fresh `check`.

A case is two texts, one of which may include the other, and edits. What `cnnc lsp` adds to this is the protocol.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import NamedTuple

from cnnc.editor.fixes import problems
from cnnc.editor.open_files import OpenFiles
from cnnc.network import check
from tests.editor.everything import ask_everything, ask_preview, ask_rename
from tests.fuzz.choices import Choices
from tests.fuzz.guard import guarded
from tests.fuzz.networks import network_text
from tests.fuzz.source import random_source
from tests.fuzz.target import Target
from tests.language.test_fuzz import mutated_characters, mutated_words

TYPED = ("x", " ", "3", "k=", "{", "}", '"', "#", "add", "é", "", "\n", "\r\n", "conv 4 k=3", "relu\n", "(", "1", "😀")


class Edit(NamedTuple):
    """A replacement in text number `file`, after which everything is asked at an offset."""

    file: int
    start: int
    end: int
    typed: str
    asked: int


class EditorCase(NamedTuple):
    """Two texts and the edits of them; offsets beyond the end of a text mean its end."""

    texts: tuple[str, str]
    edits: tuple[Edit, ...]


def case_of(data: bytes) -> EditorCase:
    random = Choices(data)
    first = random_source(random) if random.random() < 0.3 else network_text(random)
    second = "let width = 4\nblock pair(n) {\n  conv n k=3 p=1\n  relu\n}\n"
    if random.random() < 0.3:
        first = f'include "b.cnn"\n{first}pair width\n'
        second = mutated_words(second, random) if random.random() < 0.3 else second
    else:
        second = network_text(random)
    edits = []
    for _ in range(random.choice((1, 1, 2, 4))):
        start = random.randrange(len(first) + 1)
        end = start + random.choice((0, 0, 1, 3))
        edits.append(
            Edit(int(random.random() < 0.2), start, end, random.choice(TYPED), random.randrange(len(first) + 1))
        )
    if random.random() < 0.1:
        changed = (mutated_characters if random.random() < 0.5 else mutated_words)(first, random)
        edits.append(Edit(0, 0, len(first) + 99, changed, random.randrange(len(changed) + 1)))
    return EditorCase((first, second), tuple(edits))


def hold(case: EditorCase) -> str:
    files = OpenFiles()
    names = ("/nowhere/a.cnn", "/nowhere/b.cnn")
    with guarded():
        opened = [files.open(name, name, text, 1) for name, text in zip(names, case.texts, strict=True)]
        for version, edit in enumerate(case.edits, 2):
            file = opened[edit.file]
            start, end = (min(at, len(file.text)) for at in (edit.start, edit.end))
            files.change(file.key, file.text[:start] + edit.typed + file.text[end:], version)
            files.forget(file.path)
            offset = min(edit.asked, len(file.text))
            analysis = ask_everything(file.text, offset, files.analysis_of(file))
            if edit.asked % 8 == 0:
                ask_preview(analysis)
            if edit.asked % 8 == 1:
                ask_rename(analysis, offset)
        for file in opened:
            assert_fresh(files, file.path, file.text)
    return "valid" if files.analysis_of(opened[0]).network.ok else "errors"


def assert_fresh(files: OpenFiles, path: str, text: str) -> None:
    """What the open files say of a text is what `check` says of it, where the file is not part of another network."""
    analysis = files.analysis_of(files.files[path])
    assert analysis.text == text
    if analysis.network.source.text != text:
        return
    fresh = check(text, path, root=Path(path).parent, read=files.read, traced=True, try_edits=False)
    shown = [(d.code, d.message, d.span and d.span[1:], d.help) for d in analysis.network.diagnostics]
    assert shown == [(d.code, d.message, d.span and d.span[1:], d.help) for d in fresh.diagnostics]
    for problem in problems(analysis, analysis.network.diagnostics, with_help=False):
        assert 0 <= problem.span.start <= problem.span.end <= len(text)


def _random(random: Random) -> bytes:
    return random.randbytes(120)


EDITOR = Target(
    "the language server: edits of two open files",
    case_of,
    hold,
    lambda: [_random(Random(n)) for n in range(60)],
    _random,
    256,
)
