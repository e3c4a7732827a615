"""`cnnc predict`: runs an exported model on images, arrays, series or sentences, and prints its predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from cnnc.api.named_files import named_files
from cnnc.cli.console import JsonList, print_diagnostics, print_result, print_status
from cnnc.cli.options import MAX_MEMORY, MAX_PARAMETERS, PROVIDER, ProviderChoice, json_option
from cnnc.core.files import real_path
from cnnc.diagnostics import CnncError, Exit, one_line

if TYPE_CHECKING:
    from cnnc.api.predictor import Predictor
    from cnnc.data.prediction_inputs import PredictionInputs
    from cnnc.onnx.run.predictions import Prediction


class _Source(NamedTuple):
    """Examples to be read: from one file, from one file per input, or from a sentence of --text."""

    name: str  # how printed predictions cite the source
    stem: str  # how the names of files in the --out folder begin
    inputs: dict[str, Path]  # one file per input, or one file for all inputs under ""
    text: str | None = None


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An exported model (.onnx).")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...",
            help="Images; .npy or .npz arrays; series (.csv); text, one sentence per line (- is stdin).",
        ),
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", metavar="SENTENCE", help="A sentence to classify. Repeatable.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="NAME=FILE", help="File for one input of a model with several inputs. Repeatable."
        ),
    ] = None,
    provider: PROVIDER = ProviderChoice.auto,
    count: Annotated[int, typer.Option("--top", min=1, help="Number of classes to print per example.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Write outputs to this folder: .npy, and .png for images and maps."
        ),
    ] = None,
    json: Annotated[bool, json_option("a JSON list with one object per example")] = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Run an exported model on onnxruntime; the model itself says how inputs are prepared and what outputs mean."""
    from cnnc.api.predictor import predictor_of, row_name
    from cnnc.onnx.run.inspect import require_model

    require_model(model)
    if not (files or text or inputs):
        raise CnncError.of("E010", "no input given", help="name files, or give a sentence with `--text`")
    predictor = predictor_of(model, provider.value)
    sources = list(_sources(files or [], text or [], inputs or [], [entry.name for entry in predictor.inputs]))
    if out is not None:
        _require_other_folder(out, [model, *(path for source in sources for path in source.inputs.values())])
    print_status(f"running on {predictor.provider}")
    results = JsonList()
    status = Exit.OK
    writer = _OutputWriter(out)
    notes: dict[str, None] = {}
    for source in sources:
        try:
            examples = _read(source, predictor)
            if examples.note:
                print_status(examples.note)
            rows = predictor.rows(examples, count)
            for index, row in enumerate(rows):
                name = row_name(source.name, index, len(rows))
                result = _result(name, row, count)
                result |= writer.write(source.stem if len(rows) == 1 else f"{source.stem}-{index}", row)
                if json:
                    results.add(result)
                else:
                    _print_prediction(name, row, count)
                notes |= dict.fromkeys(_notes(row, json, out is not None))
        except CnncError as error:  # the other files are still processed
            print_diagnostics(error.diagnostics)
            status = max(status, error.status)
    for note in (*writer.notes, *notes):
        print_status(note)
    if json:
        results.close()
    raise typer.Exit(status)


def _require_other_folder(folder: Path, inputs: Sequence[Path]) -> None:
    """Raises CnncError E902 if the folder of --out has an input of a kind that is written there, which could be replaced."""
    for path in inputs:
        if path.suffix.lower() in (".npy", ".png") and real_path(path.parent) == real_path(folder):
            raise CnncError.of(
                "E902",
                f"cannot write to {folder}: outputs there could replace {path}, which this command reads",
                help="name another folder: `--out predictions`",
            )


def _sources(files: list[Path], text: list[str], inputs: list[str], known: list[str]) -> Iterator[_Source]:
    """The sources in order: files, sentences, and one source for the files of --input. Raises CnncError E010."""
    for path in files:
        yield _Source(str(path), path.stem if str(path) != "-" else "stdin", {"": path})
    for number, sentence in enumerate(text):
        yield _Source(sentence, f"text-{number}", {}, sentence)
    if not inputs:
        return
    named = named_files(inputs, known)
    yield _Source(" ".join(map(str, named.values())), "-".join(path.stem for path in named.values()), named)


def _read(source: _Source, predictor: Predictor) -> PredictionInputs:
    """The examples of a source. Raises CnncError E608, E901."""
    if source.text is not None:
        return predictor.read_sentences([source.text], "--text")
    if "" not in source.inputs:
        return predictor.read_each(source.inputs)
    if str(source.inputs[""]) != "-":
        return predictor.read(source.inputs[""])
    import sys

    from cnnc.core.files import decode_utf8

    return predictor.read_sentences(decode_utf8(sys.stdin.buffer.read(), "stdin").splitlines(), "stdin")


def _print_prediction(name: str, row: list[Prediction], count: int) -> None:
    for prediction in row:
        head = name if len(row) == 1 else f"{name} {prediction.output.name}"
        print_result(f"{one_line(head)}: {prediction.summary(count)}")


def _notes(row: list[Prediction], json: bool, written: bool) -> Iterator[str]:
    """How to get the values that are neither printed nor written."""
    for prediction in row:
        if not written and not prediction.fits_json:
            yield f"{prediction.output.name}: `--out FOLDER` writes all values"
        elif not written and not json and prediction.is_shortened:
            yield f"{prediction.output.name}: `--json` prints all values, `--out FOLDER` writes them"


def _result(name: str, row: list[Prediction], count: int) -> dict[str, Any]:
    if len(row) == 1 and row[0].kind == "classes":
        return {"file": name, **row[0].as_dict(count)}
    return {"file": name, "outputs": {prediction.output.name: prediction.as_dict(count) for prediction in row}}


class _OutputWriter:
    """Writes outputs into a folder under unique, safe names; without a folder it does nothing. `notes` are for the user."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.used_names: set[str] = set()
        self.notes: dict[str, None] = {}
        if folder is not None:
            from cnnc.core.files import make_folder

            make_folder(folder)

    def write(self, stem: str, row: list[Prediction]) -> dict[str, list[str]]:
        """Writes the outputs of one example; the result is {"written": paths}, or {} without a folder."""
        if self.folder is None:
            return {}
        from cnnc.core.files import safe_name

        unique = self._unique(safe_name(stem))
        written: list[Path] = []
        for prediction in row:
            name = unique if len(row) == 1 else self._unique(f"{unique}.{safe_name(prediction.output.name)}")
            written += self._write_output(self.folder, name, prediction)
        return {"written": [str(path) for path in written]}

    def _write_output(self, folder: Path, name: str, prediction: Prediction) -> Iterator[Path]:
        """Writes one output as .npy, and its images as .png if Pillow is installed; yields what is written.

        Raises CnncError E902.
        """
        from cnnc.data.image_file import has_pillow, write_png
        from cnnc.onnx.run.predictions import write_npy

        write_npy(folder / f"{name}.npy", prediction.array)
        yield folder / f"{name}.npy"
        drawing = prediction.drawing()
        if drawing.images and not has_pillow():
            self.notes["images are written as .npy only: .png needs Pillow (`pip install pillow`)"] = None
            return
        if drawing.note:
            self.notes[f"{prediction.output.name} {drawing.note}"] = None
        for part, pixels in drawing.images.items():
            path = folder / f"{self._unique(f'{name}.{part}') if part else name}.png"
            write_png(path, pixels, prediction.kind == "label map")
            yield path

    def _unique(self, name: str) -> str:
        """The name, followed by a number if this command has already used it."""
        unique, number = name, 1
        while unique in self.used_names:
            number += 1
            unique = f"{name}~{number}"
        self.used_names.add(unique)
        return unique
