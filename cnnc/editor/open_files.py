"""The files that are open in an editor, and their analyses.

In: changes of texts. Out: for each open file the analysis of its newest text, made when it is first asked for and kept until
a text that it read changes. An open text counts as the content of its file, also where another file includes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cnnc.diagnostics import CnncError
from cnnc.editor.analysis import Analysis, Calls, analyse, in_include, is_library
from cnnc.editor.positions import Positions
from cnnc.language.include import read_source

MAX_SEARCHED = 200  # files of a folder that are searched for those that include another


class OpenFile:
    """One open text, with its version, and the block calls whose shapes its blocks show."""

    def __init__(self, key: str, path: str, text: str, version: int) -> None:
        self.key = key
        self.path = path
        self.text = text
        self.version = version
        self.calls: Calls = ()
        self.analysis: Analysis | None = None
        self.reads: frozenset[str] = frozenset()  # the paths of the files that the last analysis read, or tried to
        self.positions: Positions | None = None


class OpenFiles:
    """All open texts, by a key of the editor: the URI."""

    def __init__(self, encoding: str = "utf-16") -> None:
        self.encoding = encoding
        self.files: dict[str, OpenFile] = {}

    def open(self, key: str, path: str, text: str, version: int) -> OpenFile:
        """Adds a text; `path` is that of its file, "" if it has none."""
        self.files[key] = OpenFile(key, path, text, version)
        return self.files[key]

    def close(self, key: str) -> list[OpenFile]:
        """Removes a text; its file on the disk counts again. Returns the files that read it."""
        file = self.files.pop(key, None)
        return self.forget(file.path) if file is not None else []

    def change(self, key: str, text: str, version: int) -> OpenFile:
        """A text has changed."""
        file = self.files[key]
        file.text, file.version = text, version
        file.analysis = file.positions = None
        return file

    def forget(self, path: str) -> list[OpenFile]:
        """Drops the analyses that read the file at `path`; returns the other open files that they are of."""
        if not path:
            return []
        wanted = _resolved(path)
        changed = [f for f in self.files.values() if wanted in f.reads and _resolved(f.path) != wanted]
        for file in changed:
            file.analysis = None
        return changed

    def positions_of(self, file: OpenFile) -> Positions:
        """The line table of an open text."""
        if file.positions is None:
            file.positions = Positions(file.text, self.encoding)
        return file.positions

    def positions_in(self, source: str, text: str) -> Positions:
        """The line table of a source that an analysis read."""
        file = self.at_path(source)
        return self.positions_of(file) if file is not None and file.text == text else Positions(text, self.encoding)

    def at_path(self, path: str) -> OpenFile | None:
        """The open file at a path."""
        wanted = _resolved(path)
        return next((f for f in self.files.values() if f.path and _resolved(f.path) == wanted), None)

    def read(self, path: Path) -> str:
        """The content of a file: its open text, or what is on the disk. Raises as `read_source` does."""
        file = self.at_path(str(path))
        return file.text if file is not None else read_source(path)

    def analysis_of(self, file: OpenFile) -> Analysis:
        """The analysis of an open text, as part of a network if it holds only what another file includes."""
        if file.analysis is None:
            file.analysis = self.analyse(file.path, file.text)
            file.reads = _reads(file, file.analysis)
        return file.analysis

    def analyse(self, path: str, text: str) -> Analysis:
        """The analysis of a text: as part of the network that includes it if it holds only definitions."""
        analysis = self.analyse_network(path, text)
        if path and is_library(analysis):
            for other in self.neighbours(path):
                try:
                    outer = in_include(self.analyse_network(str(other), self.read(other)), path)
                except CnncError:
                    continue
                if outer is not None and outer.text == text:
                    return outer
        return analysis

    def analyse_network(self, path: str, text: str, texts: Mapping[str, str] | None = None) -> Analysis:
        """The analysis of a text as a network; `texts` replace files, by their resolved paths."""

        def read(path: Path) -> str:
            return texts[resolved] if texts and (resolved := _resolved(str(path))) in texts else self.read(path)

        return analyse(path, text, read)

    def neighbours(self, path: str) -> list[Path]:
        """The files in the folder of a file, or in a few above, that may include it: open ones first."""
        name = Path(path).name
        opened = [Path(f.path) for f in self.files.values() if f.path and f.path != path and name in f.text]
        found = []
        for folder in [Path(path).resolve().parent, *Path(path).resolve().parent.parents[:2]]:
            for other in sorted(folder.glob("*.cnn"))[:MAX_SEARCHED]:
                try:
                    if other not in opened and _resolved(str(other)) != _resolved(path) and name in self.read(other):
                        found.append(other)
                except CnncError:
                    continue
        return [*opened, *found]


def _resolved(path: str) -> str:
    try:
        return str(Path(path).resolve())
    except (OSError, RuntimeError, ValueError):
        return path


def _reads(file: OpenFile, analysis: Analysis) -> frozenset[str]:
    """The paths of the files that an analysis read, and of those that an `include` names but that could not be read."""
    names = [analysis.trace.file.source.name, *(f.source.name for f in analysis.trace.included.values())]
    failed = [d.span.text.strip('"') for d in analysis.network.diagnostics if d.code == "E120" and d.span is not None]
    names += [str(Path(file.path).parent / name) for name in failed]
    return frozenset(map(_resolved, names))
