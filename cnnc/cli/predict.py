"""`cnnc predict`: what an exported model makes of pictures, arrays, series or sentences."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cnnc.cli.console import say, show, tell
from cnnc.diagnostics import CnncError, Exit, nearest

if TYPE_CHECKING:
    from cnnc.data.prediction_inputs import InputSpec, PredictionInputs
    from cnnc.onnx.run.predictions import Answer


class ProviderChoice(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"
    coreml = "coreml"
    dml = "dml"
    openvino = "openvino"


PROVIDER = Annotated[
    ProviderChoice, typer.Option("--provider", help="Where onnxruntime runs it; auto is the best that is installed.")
]


class _Source(NamedTuple):
    """Examples still to be read: how answers cite them, and how the files of their answers begin."""

    name: str
    stem: str
    inputs: dict[str, Path]  # a file for each input, or one for all under ""
    text: str | None = None


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported model (.onnx).")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...", help="Pictures; .npy, .npz; series (.csv); text, a sentence a line (- is stdin)."
        ),
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", metavar="SENTENCE", help="A sentence to look at.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=FILE", help="The file of one of several inputs.")
    ] = None,
    provider: PROVIDER = ProviderChoice.auto,
    count: Annotated[int, typer.Option("--top", min=1, help="How many classes to name.")] = 3,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write outputs there: .npy, and .png for images.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON list, an object an example.")] = False,
) -> None:
    """Run an exported model on onnxruntime: it knows by itself how it is fed and what its outputs mean."""
    from cnnc.onnx.run.predictions import answers, entries
    from cnnc.onnx.run.session import open_model

    if not (files or text or inputs):
        raise CnncError.of("E010", "nothing to look at", help="name files, or `--text` with a sentence")
    session = open_model(model, provider.value)
    known = entries(session)
    if not known:
        raise CnncError.of("E609", f"{model} has no input to look at anything with")
    sources = list(_sources(files or [], text or [], inputs or [], known))
    tell(f"running on {session.provider}")
    results: list[dict[str, Any]] = []
    status = Exit.OK
    keeper = _Keeper(out)
    for source in sources:
        try:
            examples = _read(source, known)
            if examples.note:
                tell(examples.note)
            rows = answers(session, examples.feeds, count)
            for index, row in enumerate(rows):
                name = source.name if len(rows) == 1 else f"{source.name}[{index}]"
                result = _result(name, row, count)
                result |= keeper.keep(source.stem if len(rows) == 1 else f"{source.stem}-{index}", row)
                results.append(result)
                if not json:
                    _say(name, row, count)
        except CnncError as error:  # one bad file does not keep the others waiting
            show(error.diagnostics)
            status = max(status, error.status)
    if keeper.note:
        tell(keeper.note)
    if json:
        from json import dumps

        say(dumps(results, indent=2, ensure_ascii=False))
    raise typer.Exit(status)


def _sources(files: list[Path], text: list[str], inputs: list[str], known: list[InputSpec]) -> Iterator[_Source]:
    """What was named, in order: files, sentences, and the files of single inputs together. Raises CnncError E010."""
    for path in files:
        yield _Source(str(path), path.stem if str(path) != "-" else "stdin", {"": path})
    for number, sentence in enumerate(text):
        yield _Source(sentence, f"text-{number}", {}, sentence)
    if not inputs:
        return
    named: dict[str, Path] = {}
    for written in inputs:
        name, equals, place = written.partition("=")
        if not equals or not place or name in named:
            raise CnncError.of("E010", f"--input takes NAME=FILE, each name once, not `{written}`")
        if name not in [entry.name for entry in known]:
            near = nearest(name, [entry.name for entry in known])
            help = f"did you mean `{near}`?" if near else f"the inputs are {', '.join(e.name for e in known)}"
            raise CnncError.of("E010", f"the model has no input `{name}`", help=help)
        named[name] = Path(place)
    missing = [entry.name for entry in known if entry.name not in named]
    if missing:
        raise CnncError.of("E010", f"--input: nothing is given for {missing[0]}", help=f"`--input {missing[0]}=FILE`")
    yield _Source(" ".join(map(str, named.values())), "-".join(path.stem for path in named.values()), named)


def _read(source: _Source, known: list[InputSpec]) -> PredictionInputs:
    from cnnc.data.prediction_inputs import read_each, read_file, read_sentences

    if source.text is None and "" not in source.inputs:
        return read_each(source.inputs, known)
    piped = source.text is None and str(source.inputs[""]) == "-"
    if source.text is None and not piped:
        return read_file(source.inputs[""], known)
    if not all(entry.takes_words for entry in known):
        what = "standard input is" if piped else "--text is"
        raise CnncError.of("E608", f"{what} for networks of words; this one takes {known[0]} of {known[0].dtype}")
    if source.text is not None:
        return read_sentences([source.text], known, "--text")
    import sys

    from cnnc.core.files import decode

    return read_sentences(decode(sys.stdin.buffer.read(), "stdin").splitlines(), known, "stdin")


def _say(name: str, row: list[Answer], count: int) -> None:
    for answer in row:
        head = name if len(row) == 1 else f"{name} {answer.output}"
        say(f"{head}: {answer.in_words(count)}")


def _result(name: str, row: list[Answer], count: int) -> dict[str, Any]:
    if len(row) == 1 and row[0].kind == "classes":
        return {"file": name, **row[0].as_dict(count)}
    return {"file": name, "outputs": {answer.output: answer.as_dict(count) for answer in row}}


class _Keeper:
    """Writes answers into a folder, each under a name of its own; without a folder it does nothing."""

    def __init__(self, folder: Path | None) -> None:
        from cnnc.core.files import make_folder

        self.folder = folder
        self.taken: set[str] = set()
        self.note = ""
        if folder is not None:
            make_folder(folder)

    def keep(self, stem: str, row: list[Answer]) -> dict[str, list[str]]:
        if self.folder is None:
            return {}
        free, number = stem, 1
        while free in self.taken:
            number += 1
            free = f"{stem}~{number}"
        self.taken.add(free)
        written = []
        for answer in row:
            if answer.is_cut:
                self.note = f"{answer.output} goes beyond 0 to 1: its .png shows it cut, its .npy whole"
            written += answer.keep(self.folder / (free if len(row) == 1 else f"{free}.{answer.output}"))
        return {"written": [str(path) for path in written]}
