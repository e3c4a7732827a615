"""The exact diagnostics of sources with errors, and that following the help fixes the error.

Each file of golden/ is a case: a source; `=== cnnc check` with its options, and the diagnostics; and, if the help is not a
complete edit by itself, `=== fixed` and the source after following the help. After a change of wording

    pytest tests/language/test_diagnostics.py --refresh-golden

rewrites the second part of every file. Read the diff as a user would: message, caret, notes and help.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from cnnc.core.caller import on_command_line
from cnnc.diagnostics import CnncError, Diagnostic, Edit, render
from cnnc.network import check

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.txt"))

# Cases whose message is enough, such as "takes a whole number of at least 1, not 0". Add no others.
WITHOUT_HELP = {
    "argument-axes",
    "argument-from-a-number",
    "argument-indices",
    "argument-kernel-rows",
    "argument-layer-name",
    "argument-numbers",
    "argument-padding-sides",
    "argument-repeat-fraction",
    "argument-zero",
    "include-error-inside",
    "name-division-by-zero",
    "name-root-of-negative",
    "syntax-body-ends",
    "syntax-brace-surplus",
    "syntax-bracket-mismatch",
    "syntax-colon-without-layer",
    "syntax-let-without-value",
    "syntax-line-ends",
    "syntax-number-hex",
    "syntax-number-too-large",
    "syntax-strange-character",
    "syntax-string-escape",
    "syntax-too-deep",
    "syntax-two-values-for-let",
    "train-rate-of-zero",
}


# Cases whose help names code that is not an edit, with the reason. Add few.
WITHOUT_EDIT = {
    "expect-macs-of-symbols": "an option of the command line",
    "syntax-block-header": "a reshape to a size that depends on what is meant",
}


def applied(text: str, edit: Edit) -> str:
    return text[: edit.span.start] + edit.text + text[edit.span.end :]


class Case(NamedTuple):
    name: str
    text: str
    options: str
    output: str
    fixed: str

    @property
    def settings(self) -> list[str]:
        return [value for option, value in self._pairs() if option == "--set"]

    @property
    def at(self) -> dict[str, int]:
        parts = [part for option, value in self._pairs() if option == "--at" for part in value.split(",")]
        return {name: int(size) for name, _, size in (part.partition("=") for part in parts)}

    def _pairs(self) -> Iterator[tuple[str, str]]:
        words = shlex.split(self.options)
        return zip(words[::2], words[1::2], strict=True)

    def diagnostics(self, text: str) -> tuple[Diagnostic, ...]:
        """The diagnostics of a source checked as this case is. Paths are as if the golden folder were the current one."""
        return diagnostics_of(self, text)

    def after(self, edit: Edit) -> tuple[Diagnostic, ...]:
        """The diagnostics once an edit is applied: to the file, to a setting, or to an included file."""
        changed = applied(edit.span.source.text, edit)
        if edit.span.source.name.startswith("--set"):
            settings = [changed if setting == edit.span.source.text else setting for setting in self.settings]
            return check(self.text, self.path, settings, self.at, GOLDEN).diagnostics
        if edit.span.source.name == self.path:
            return self.diagnostics(changed)
        texts = {str(file): file.read_text(encoding="utf-8") for file in (GOLDEN / "parts").glob("*.cnn")}
        return check(
            self.text, self.path, self.settings, self.at, includes={**texts, edit.span.source.name: changed}
        ).diagnostics

    @property
    def path(self) -> str:
        """The name of the source: it could be a file of the golden folder."""
        return str(GOLDEN / f"{self.name}.cnn")

    def rendered(self) -> str:
        output = "\n\n".join(render(d) for d in self.diagnostics(self.text))
        return output.replace(f"{GOLDEN}/", "").replace(str(GOLDEN), "golden")


@cache
def diagnostics_of(case: Case, text: str) -> tuple[Diagnostic, ...]:
    try:
        with on_command_line():
            return check(text, case.path, case.settings, case.at, GOLDEN).diagnostics
    except CnncError as error:
        return error.diagnostics


@cache
def read(path: Path) -> Case:
    text, _, rest = path.read_text(encoding="utf-8").partition("=== cnnc check")
    options, _, rest = rest.partition("\n")
    output, _, fixed = rest.partition("=== fixed\n")
    return Case(path.stem, text, options.strip(), output.strip("\n"), fixed)


def write(path: Path, case: Case, output: str) -> None:
    head = " ".join(["=== cnnc check", case.options]).rstrip()
    tail = f"\n=== fixed\n{case.fixed}" if case.fixed else ""
    path.write_text(f"{case.text}{head}\n{output}\n{tail}", encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_diagnostics_are_as_recorded(path: Path, request: pytest.FixtureRequest) -> None:
    case = read(path)
    output = case.rendered()
    if request.config.getoption("--refresh-golden"):
        write(path, case, output)
        read.cache_clear()
    else:
        assert output == case.output


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_edit_removes_its_diagnostic(path: Path) -> None:
    """Each edit, applied by itself, removes its diagnostic and causes no new error on the lines that it changes."""
    case = read(path)
    before = case.diagnostics(case.text)
    for diagnostic in before:
        for edit in diagnostic.edits:
            assert edit.words in diagnostic.help or edit.shown in diagnostic.help
            after = case.after(edit)
            remaining = [d for d in after if (d.code, d.message) == (diagnostic.code, diagnostic.message)]
            alike = [d for d in before if (d.code, d.message) == (diagnostic.code, diagnostic.message)]
            assert len(remaining) < len(alike), edit
            known = {(d.code, d.message) for d in before}
            new = [d for d in after if d.severity == "error" and (d.code, d.message) not in known]
            assert not [d for d in new if diagnostic.severity == "warning" or on_lines_of(d, edit, diagnostic)], edit


def on_lines_of(new: Diagnostic, edit: Edit, fixed: Diagnostic) -> bool:
    """Whether a new error is, or is called, on the lines that an edit changed, or has no position."""
    if new.span is None:
        return True
    first, last = edit.span.line, edit.span.line + edit.text.count("\n")
    lines = {*range(first, last + 1), *([fixed.span.line] if fixed.span is not None and not edit.text else [])}
    return any(
        s.source.name == edit.span.source.name and s.line in lines for s in (new.span, *(c.span for c in new.calls))
    )


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_help_that_names_code_has_an_edit(path: Path) -> None:
    case = read(path)
    lacking = [d for d in case.diagnostics(case.text) if "`" in d.help and not d.edits]
    assert bool(lacking) == (case.name in WITHOUT_EDIT), [d.help for d in lacking]
    first = min(case.diagnostics(case.text), key=lambda d: d.severity, default=None)
    assert first is None or first.help or case.name in WITHOUT_HELP, "no help"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_source_after_following_the_help_in_words(path: Path) -> None:
    case = read(path)
    if case.fixed:
        codes = {d.code for d in case.diagnostics(case.text)}
        remaining = case._replace(options="").diagnostics(case.fixed)
        assert not [d for d in remaining if d.severity == "error" or d.code in codes]


@pytest.mark.parametrize(
    "path", [p for p in FILES if "warning[" in p.read_text(encoding="utf-8")], ids=lambda p: p.stem
)
def test_a_comment_on_its_line_suppresses_a_warning(path: Path) -> None:
    case = read(path)
    before = case.diagnostics(case.text)
    for warning in before:
        span = warning.span
        if (
            warning.severity == "error"
            or warning.code == "W109"
            or span is None
            or span.source.name.endswith(".cnn") is False
        ):
            continue
        lines = case.text.split("\n")
        lines[span.line - 1] += f"  # allow {warning.code}"
        after = case.diagnostics("\n".join(lines))
        alike = [d for d in before if d.code == warning.code and d.span is not None and d.span.line == span.line]
        assert len(after) == len(before) - len(alike)


def test_every_case_but_the_allowed_warning_has_diagnostics() -> None:
    silent = {path.stem for path in FILES if not read(path).output}
    assert silent == {"warning-allowed"}
    assert len(FILES) >= 70


@pytest.mark.parametrize(
    ("text", "rounds"),
    [
        ("input 3x32x32\nrepeat 6 { conv 16 k=3 p=1; relu; pool max k=2 }\nfc 10", 5),
        ("input 1x28x28\nrepeat 9 as i { conv 8 + i k=5; relu }\nfc 10", 6),
        ("input 1x64x64\nrepeat 4 { repeat 2 { conv 8 k=3; relu }; pool max k=2 }\nfc 10", 3),
        ("block a(w) { conv w k=3; pool max k=2 }\ninput 3x32x32\nrepeat 4 { a 8 }\nfc 10", 3),
        ("input 3x40\nrepeat 3 { conv 4 k=9 d=2 }\nfc 10", 2),
        ("input 3x6x6\nrepeat 2 { conv 4 k=5 }\nfc 10", 1),
    ],
)
def test_a_repeat_that_shrinks_the_image_too_much_says_how_many_rounds_fit(text: str, rounds: int) -> None:
    def codes(text: str) -> list[str]:
        return [d.code for d in check(text).diagnostics if d.severity == "error"]

    (error,) = (d for d in check(text).diagnostics if d.severity == "error")
    assert error.code == "E302"
    assert error.span is not None
    written = re.search(r"`(repeat (\d+).*?)`", error.help)
    assert written is not None
    assert int(written[2]) == rounds
    assert codes(re.sub(r"repeat \d+( as i)?", written[1], text, count=1)) == []
    assert codes(re.sub(r"repeat \d+", f"repeat {rounds + 1}", text, count=1)) == ["E302"]
    assert codes(text[: error.span.end] + " p=same" + text[error.span.end :]) == []


@pytest.mark.parametrize(
    ("above", "merge", "edit"),
    [
        ("a: relu\nconv 32 k=3 s=2 p=1", "add a", "add { } { from a; conv 32 k=1 s=2 }"),
        ("a: relu\nconv 32 k=3 p=1", "s: mul a", "mul { } { from a; conv 32 k=1 }"),
        ("a: relu\nb: conv 8 k=3 p=1", "maximum b a", "maximum b { } { from a; conv 8 k=1 }"),
        ("a: conv 32 k=3 s=2 p=1\nfrom input1", "add a", "conv 32 k=1 s=2; add a"),
        ("a: relu\nconv 16 k=3", "sub a", "sub { } { from a; crop 30x30 }"),
        ("a: relu\nconv 8 k=3", "add a", "add { } { from a; crop 30x30; conv 8 k=1 }"),
        ("a: fc 10\nfc 20", "add a", "add { } { from a; fc 20 }"),
        ("conv 16 k=1", "add { conv 32 k=2 s=2 } { }", "add { ... } { conv 32 k=1 s=2 }"),
        ("conv 16 k=1", "add { conv 32 k=2 s=2 } { relu }", "add { ... } { ...; conv 32 k=1 s=2 }"),
        ("a: relu\nconv 16 k=1", "add a { conv 32 k=2 s=2 }", "add { ... } { from a; conv 32 k=1 s=2 }"),
        ("conv 16 k=1", "mul { } { global_pool avg; conv 4 k=1 }", "mul { } { ...; conv 16 k=1 }"),
        ("a: relu\npool max k=2", "concat a", "upsample 2; concat a"),
        ("a: relu\nconv 8 k=2", "concat a", "concat { } { from a; crop 31x31 }"),
        ("conv 16 k=1", "concat { conv 8 k=3 } { conv 8 k=1 }", "concat { ... } { ...; crop 30x30 }"),
    ],
)
def test_the_help_for_a_merge_of_unequal_shapes_is_a_line_that_works(above: str, merge: str, edit: str) -> None:
    text = f"input 16x32x32\n{above}\n{merge}\nrelu\nfc 10\n"
    (error,) = (d for d in check(text).diagnostics if d.severity == "error")
    assert error.code in ("E301", "E310")
    assert f"`{edit}`" in error.help
    (change,) = error.edits
    assert not [d for d in check(applied(text, change)).diagnostics if d.severity == "error"]


def test_the_help_for_a_merge_that_one_line_cannot_fix() -> None:
    def help(text: str) -> str:
        return next(d.help for d in check(text).diagnostics if d.severity == "error")

    several = "input 16x8x8\nrepeat 2 { s: conv 8 k=1 }\nconv 4 k=1\nadd s.*\nfc 10"
    assert help(several) == "apply `conv 4 k=1` to the 8x8x8"
    block = "block a(w) { conv w k=3 p=1; relu; add in }\ninput 3x8x8\na 16\nfc 10"
    line = "add { ... } { conv w k=1 }"
    assert help(block) == f"project the shortcut: `{line}`, and move the layers since `in` into the first braces"
    (error,) = (d for d in check(block).diagnostics if d.severity == "error")
    fixed = applied(block, error.edits[0])
    assert fixed == block.replace("conv w k=3 p=1; relu; add in", line.replace("...", "conv w k=3 p=1; relu"))
    assert check(fixed).graph is not None
    concat = "input 16x8x8\na: relu\nb: conv 8 k=3\nconcat a b\nfc 10"
    assert help(concat) == "pad the layer that shrinks the map: `b: conv 8 k=3 p=same`"
