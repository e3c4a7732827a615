"""Reading source files, and `include`: the `let`s and `block`s of other files.

In: a path as written, and the file that includes it. Out: the syntax tree of the included file. An included file must
be in the folder of the checked file or below it, after symbolic links are resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cnnc.core.files import decode_utf8, read_bytes
from cnnc.diagnostics import CnncError, Diagnostic, Edit, Source, Span
from cnnc.language import syntax
from cnnc.language.bind import only_value
from cnnc.language.edits import as_written, first_that_works
from cnnc.language.parse import MAX_TEXT, parse

MAX_INCLUDED = MAX_TEXT  # characters of all included files

Reader = Callable[[Path], str]


def read_source(path: Path) -> str:
    """The source in a file: UTF-8, without a byte-order mark. Raises CnncError E901, E903, E008, E009."""
    try:
        data = read_bytes(path, limit=4 * MAX_TEXT)
        text = decode_utf8(data, str(path))
    except CnncError as error:
        if error.diagnostics[0].code == "E901":
            raise
        _require_text(path)
        raise
    if "\0" in text:
        _require_text(path)
    return text


def _require_text(path: Path) -> None:
    """Raises CnncError E009 for a binary file of a known kind."""
    from cnnc.language.foreign.binary import recognized

    diagnostic = recognized(path)
    if diagnostic is not None:
        raise CnncError(diagnostic)


class Includes:
    """Reads each included file once.

    `root` is the folder that all included files must be in; None if the checked source is not in a file.
    """

    def __init__(self, root: Path | None, read: Reader | None) -> None:
        self.root = root
        self.read = read
        self.files: dict[Path, syntax.File] = {}
        self.size = 0  # characters of the files
        self.texts: dict[str, str] = {}  # the source of each file, by its path as errors cite it

    @classmethod
    def from_texts(cls, name: str, texts: Mapping[str, str]) -> Includes:
        """Includes of the file `name` whose files are not read from disk but recorded in `texts`, by path."""

        def read(path: Path) -> str:
            if str(path) not in texts:
                raise CnncError.of("E901", f"{path} is not recorded with the network")
            return texts[str(path)]

        return cls(Path(name).parent, read)

    def with_texts(self, texts: Mapping[str, str]) -> Includes:
        """The same includes, with other text in some files: `texts` by path as errors cite it."""
        known = {**self.texts, **texts}

        def read(path: Path) -> str:
            if str(path) in known or self.read is None:
                return known[str(path)]
            return self.read(path)

        return Includes(self.root, read)

    def file_of(self, call: syntax.Call) -> tuple[Path, syntax.File, list[Diagnostic]]:
        """The resolved path and syntax tree of the file that an `include` names, and its errors if it is new.

        Raises CnncError E120, E202, E203.
        """
        value = only_value(call, "a file name in quotes")
        if not isinstance(value, syntax.Text):
            message, help = "include takes a file name in quotes", 'write it as in `include "parts.cnn"`'
            name = as_written(value)
            files = (name, f"{name}.cnn", f"{name.replace('.', '/')}.cnn")
            edits = first_that_works([Edit(value.span, f'"{file}"') for file in files])
            raise CnncError.of("E203", message, span=value.span, help=help, edits=edits)
        return self.load(value.value, value.span)

    def sources(self) -> list[Source]:
        """The files read so far, in the order of their includes."""
        return [file.source for file in self.files.values()]

    def load(self, written: str, span: Span) -> tuple[Path, syntax.File, list[Diagnostic]]:
        """The resolved path and tree of the file at `written`, a path in the file of `span`; its errors if it is new.

        Raises CnncError E120.
        """
        if self.root is None or self.read is None:
            message, help = "only a file can include other files", "save the source in a file and check that"
            raise CnncError.of("E120", message, span=span, help=help)
        folder = Path(span.source.name).parent if span.source.name else self.root
        path = Path(written) if Path(written).is_absolute() else folder / written
        try:
            resolved = path.resolve()
            inside = resolved.is_relative_to(self.root.resolve())
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside:
            raise CnncError.of(
                "E120",
                f"{written} is outside the folder {self.root}",
                span=span,
                help="an included file must be in the folder of the checked file, or below it",
            )
        if resolved in self.files:
            return resolved, self.files[resolved], []
        try:
            text = self.read(path)
        except CnncError as error:
            help = "the path is relative to the folder of the including file"
            raise CnncError.of("E120", error.diagnostics[0].message, span=span, help=help) from None
        self.size += len(text)
        if self.size > MAX_INCLUDED:
            message = f"the included files have more than {MAX_INCLUDED:,} characters together"
            raise CnncError.of("E120", message, span=span, help="include only what the network needs")
        file, diagnostics = parse(Source(str(path), text))
        self.files[resolved] = file
        self.texts[str(path)] = text
        return resolved, file, diagnostics
