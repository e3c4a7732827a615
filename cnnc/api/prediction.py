"""Predictions and measurements of models: `predict` and `bench`.

In: a model, and files, arrays or sentences. Out: `Predictions`, one row per example; or a `Bench`.

    predict("lenet5.onnx", "seven.png")[0].summary(3)       # "7 99.8%  1 0.1%  9 0.0%"
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cnnc.api.arguments import checked
from cnnc.api.arrays import named
from cnnc.api.model import Model, as_model
from cnnc.api.predictor import Predictor, predictor_of, predictor_of_model, row_name
from cnnc.api.progress import report_of
from cnnc.api.result import Result
from cnnc.api.subject import is_model
from cnnc.data.prediction_inputs import PredictionInputs, require_each
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.onnx.run.bench import Bench
from cnnc.onnx.run.bench import bench as measure
from cnnc.onnx.run.predictions import Prediction
from cnnc.onnx.run.provider import Provider
from cnnc.reference.parallel.threads import MAX_THREADS
from cnnc.report.html import html_table

Arrays = NDArray[Any]
_MOST = 10  # rows that a repr shows


class Predictions(Sequence[Prediction]):
    """The predictions for all examples, one `Prediction` each; of a model with several outputs, those of the first.

    `rows` hold the predictions of all outputs of each example, `names` say what the examples are.
    """

    def __init__(self, rows: list[list[Prediction]], names: list[str], top: int) -> None:
        self.rows = rows
        self.names = names
        self._top = top

    @property
    def outputs(self) -> dict[str, Arrays]:
        """The outputs (N, *shape) by name. Raises CnncError E602 where examples differ in size."""
        columns = {row[0].output.name: [each.values for each in row] for row in map(list, zip(*self.rows, strict=True))}
        for name, values in columns.items():
            if len({array.shape for array in values}) > 1:
                message = f"the examples of {name} differ in size, so they are not one array"
                raise CnncError.of("E602", message, help="read the rows one by one: predictions[0].values")
        return {name: np.stack(values) for name, values in columns.items()}

    @property
    def labels(self) -> list[str]:
        """The most probable class of each example. Raises CnncError E609 where the first output is not classes."""
        if any(each.kind != "classes" for each in self):
            raise CnncError.of(
                "E609", f"the output {self[0].output.name} has no classes", help="read predictions.outputs"
            )
        return [each.best[0].name if each.best else "" for each in self]

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | list[Prediction]:
        return [row[0] for row in self.rows[index]] if isinstance(index, slice) else self.rows[index][0]

    def __len__(self) -> int:
        return len(self.rows)

    def _lines(self) -> Iterator[tuple[str, str, str]]:
        for name, row in zip(self.names, self.rows, strict=True):
            for each in row:
                yield name, each.output.name, each.summary(self._top)

    def __repr__(self) -> str:
        shown = [
            f"{name}: {text}" if len(self.rows[0]) == 1 else f"{name} {output}: {text}"
            for (name, output, text), _ in zip(self._lines(), range(_MOST), strict=False)
        ]
        more = len(self.rows) * len(self.rows[0]) - len(shown)
        return "\n".join([*shown, *([f"... {more:,} more"] if more else [])])

    def _repr_html_(self) -> str:
        return html_table(("example", "output", "prediction"), islice(self._lines(), 5 * _MOST))


@checked('cnnc.predict("lenet5.onnx", "seven.png")')
def predict(
    model: Model | Result | Path | str,
    inputs: Path
    | str
    | Sequence[Path | str]
    | Arrays
    | Mapping[str, Arrays | Path | str]
    | Iterator[Any]
    | None = None,
    *,
    text: str | Sequence[str] | None = None,
    top: int = 3,
    provider: Provider = "auto",
    progress: bool | Callable[[str], None] = True,
) -> Predictions:
    """Runs a model on examples, and says what its outputs mean: classes with probabilities, label maps, or values.

    `model` is the path of an ONNX model, which onnxruntime runs on a `provider`; or a model, a result, or the path of a run,
    a checkpoint or a network file, which NumPy computes. `inputs` are files (images, .npy, .npz, .csv, text with one sentence
    per line), one or several; an array (N, *shape), or one example without the batch axis, uint8 scaled to 0..1 as in
    training; a dict of an array or a file for each input by name; or a generator of examples. `text` is a sentence or several,
    for a network of words. Of classes, the `top` most probable ones are named.

    Raises CnncError: E608 for an input that does not fit, E901 for a file that cannot be read, E604 or E609 for a model that
    cannot be run, E905 for a provider that does not start, E010 where no input is given, or files and text.

    >>> import cnnc, numpy as np
    >>> model = cnnc.Model(cnnc.check("input 1x8x8; fc 2; softmax"), classes=["cat", "dog"])
    >>> model.weights["fc1.weight"][:], model.weights["fc1.bias"][:] = 0, [0, 1]
    >>> cnnc.predict(model, np.zeros((8, 8), np.uint8))
    example 0: dog 73.1%  cat 26.9%
    """
    if (inputs is None) == (text is None):
        raise CnncError.of("E010", "give either inputs or text", help='cnnc.predict(model, "seven.png")')
    if (isinstance(inputs, list | tuple) and not inputs) or (isinstance(text, list | tuple) and not text):
        raise CnncError.of("E010", f"{'inputs' if text is None else 'text'} is an empty list")
    if top < 1:
        raise CnncError.of("E010", f"top is {top}; at least one class is named")
    report = report_of(progress)
    if isinstance(model, Path | str) and is_model(Path(model)):
        predictor = predictor_of(Path(model), provider)
        report(f"running on {predictor.provider}")
    else:
        predictor = predictor_of_model(as_model(model))
    rows: list[list[Prediction]] = []
    names: list[str] = []
    for name, read in _read(inputs, text, predictor):
        if read.note:
            report(read.note)
        found = predictor.rows(read, top)
        rows += found
        names += [row_name(name, i, len(found)) if name else f"example {i}" for i in range(len(found))]
    return Predictions(rows, names, top)


def _read(
    inputs: Any, text: str | Sequence[str] | None, predictor: Predictor
) -> Iterator[tuple[str, PredictionInputs]]:
    """The examples, in parts, and what each part is called; "" for arrays. Raises CnncError E608, E901."""
    if text is not None:
        yield "", predictor.read_sentences([text] if isinstance(text, str) else text, "text")
    elif isinstance(inputs, Path | str):
        yield str(inputs), predictor.read(Path(inputs))
    elif isinstance(inputs, list | tuple):
        for path in inputs:
            yield str(path), predictor.read(Path(path))
    elif isinstance(inputs, Mapping):
        yield _by_name(inputs, predictor)
    else:
        yield "", predictor.read_arrays([named(inputs)["x"]], {})


def _by_name(inputs: Mapping[str, Any], predictor: Predictor) -> tuple[str, PredictionInputs]:
    """The examples of an array or a file for each input."""
    are_arrays = {isinstance(value, np.ndarray) for value in inputs.values()}
    if are_arrays == {True, False}:
        raise CnncError.of("E608", "some inputs are arrays and some are files", help="load the files: numpy.load(path)")
    if are_arrays == {True}:
        return "", predictor.read_arrays([], inputs)
    require_each(inputs, predictor.inputs)
    paths = {name: Path(path) for name, path in inputs.items()}
    return " ".join(map(str, paths.values())), predictor.read_each(paths)


@checked('cnnc.bench("lenet5.onnx", batch=8)')
def bench(
    model: Model | Network | Result | Path | str,
    *,
    batch: int | None = None,
    threads: int = 0,
    provider: Provider = "auto",
    seconds: float = 3.0,
    warmup: int = 10,
    sizes: Mapping[str, int] | None = None,
) -> Bench:
    """Measures how fast a model runs on onnxruntime, on random input: latency in seconds, examples per second, memory in bytes.

    `model` is the path of an ONNX model; anything else is exported to a temporary file first. `batch` is the number of
    examples of a call (default: 1, or that of the model), `threads` the number of threads (0 lets onnxruntime choose),
    `seconds` how long is measured after `warmup` calls, `sizes` those of the model's symbols.

    Raises CnncError E010 for a batch or sizes that the model does not take, E604, E901 or E905 where it cannot be run, and
    for other models as `cnnc.export` does.

    >>> import cnnc
    >>> measured = cnnc.bench(cnnc.check("input 1x8x8; fc 10"), seconds=0, warmup=0)
    >>> measured.batch, measured.shapes, measured.calls
    (1, {'input1': (1, 1, 8, 8)}, 5)
    """
    for name, value, least in (
        ("batch", batch, 1),
        ("threads", threads, 0),
        ("seconds", seconds, 0),
        ("warmup", warmup, 0),
    ):
        if value is not None and value < least:
            raise CnncError.of("E010", f"{name} is {value}, at least {least} is needed")

    if threads > MAX_THREADS:
        raise CnncError.of("E010", f"threads is {threads}, at most {MAX_THREADS} are possible")

    def measured(path: Path) -> Bench:
        return measure(
            path, batch=batch, threads=threads, provider=provider, seconds=seconds, warmup=warmup, sizes=sizes
        )

    if isinstance(model, Path | str) and not _is_exported_first(Path(model)):
        return measured(Path(model))
    from cnnc.api.exporting import export

    exported: Any = Model(model) if isinstance(model, Network) else model
    with tempfile.TemporaryDirectory() as folder:
        return measured(export(exported, Path(folder) / "model.onnx").path)._replace(model=_name(model))


def _is_exported_first(path: Path) -> bool:
    """Whether a path names a run, a checkpoint or a network file; anything else is taken for an ONNX model."""
    return path.is_dir() or path.suffix in (".cnn", ".safetensors")


def _name(model: Model | Network | Result | Path | str) -> str:
    if isinstance(model, Network):
        return model.name
    return str(model) if isinstance(model, Path | str) else as_model(model).network.name
