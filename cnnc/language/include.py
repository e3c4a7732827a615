"""`include`: other files' `let`s and `block`s.

In: the path as written, and the file that includes it. Out: that file's syntax tree. A path may not leave
the folder of the file first named, symbolic links followed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cnnc.diagnostics import CnncError, Diagnostic, Source, Span
from cnnc.language import syntax
from cnnc.language.bind import only_value
from cnnc.language.parse import parse

Reader = Callable[[Path], str]


class Includes:
    """Reads each included file once. `root` is the folder that no path may leave, None for a text without a file."""

    def __init__(self, root: Path | None, read: Reader | None) -> None:
        self.root = root
        self.read = read
        self.files: dict[Path, syntax.File] = {}
        self.texts: dict[str, str] = {}  # by their paths as spans cite them

    def called(self, call: syntax.Call) -> tuple[Path, syntax.File, list[Diagnostic]]:
        """The file that an `include` names, and what is wrong with it the first time. Raises CnncError E120, E202, E203."""
        value = only_value(call, "a file's name in quotes")
        if not isinstance(value, syntax.Text):
            raise CnncError.of("E203", 'include takes a file\'s name in quotes: `include "parts.cnn"`', span=value.span)
        return self.load(value.value, value.span)

    def sources(self) -> list[Source]:
        """The files that were read, in the order in which they are included."""
        return [file.source for file in self.files.values()]

    def load(self, written: str, span: Span) -> tuple[Path, syntax.File, list[Diagnostic]]:
        """The file behind a path as written in `span`'s file. Raises CnncError E120."""
        if self.root is None or self.read is None:
            raise CnncError.of("E120", "a text without a file has no folder to include from", span=span)
        beside = Path(span.source.name).parent if span.source.name else self.root
        path = Path(written) if Path(written).is_absolute() else beside / written
        try:
            whole = path.resolve()
            inside = whole.is_relative_to(self.root.resolve())
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside:
            raise CnncError.of(
                "E120",
                f"{written} lies outside the folder {self.root}",
                span=span,
                help="an include stays within the folder of the file that is checked",
            )
        if whole in self.files:
            return whole, self.files[whole], []
        try:
            text = self.read(path)
        except CnncError as error:
            help = "the path is taken from the folder of the file that includes"
            raise CnncError.of("E120", error.diagnostics[0].message, span=span, help=help) from None
        file, diagnostics = parse(Source(str(path), text))
        self.files[whole] = file
        self.texts[str(path)] = text
        return whole, file, diagnostics
