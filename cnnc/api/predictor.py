"""A model that is ready to predict: what its inputs take, and what its outputs mean. `predict` and `cnnc predict` use it.

In: an ONNX file, which onnxruntime runs, or a `Model`, which NumPy computes. Out: `Predictor`, which reads examples and predicts.

    predictor = predictor_of("lenet5.onnx", "auto")
    predictor.rows(predictor.read(Path("seven.png")), 3)      # one list per example, one prediction per output
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from cnnc.api.model import Model
from cnnc.core.versions import versions
from cnnc.data.prediction_inputs import (
    InputSpec,
    PredictionInputs,
    read_arrays,
    read_each,
    read_file,
    read_sentences,
)
from cnnc.diagnostics import CnncError
from cnnc.onnx.metadata import metadata, read_facts
from cnnc.onnx.run.batched_run import run_each
from cnnc.onnx.run.predictions import OutputSpec, Prediction, model_inputs, model_outputs, output_specs, predictions_of
from cnnc.onnx.run.provider import Provider
from cnnc.onnx.run.session import open_model
from cnnc.training.trained import input_specs

Arrays = NDArray[Any]


class Predictor(NamedTuple):
    """A model that is ready: its inputs and outputs, and a function of arrays (N, *shape) by name, channels first.

    `provider` is that of onnxruntime; "" where NumPy computes.
    """

    inputs: list[InputSpec]
    outputs: list[OutputSpec]
    run: Callable[[Mapping[str, Arrays]], Mapping[str, list[Arrays]]]
    provider: str = ""

    def read(self, path: Path) -> PredictionInputs:
        """The examples of a file. Raises CnncError E608, E901."""
        return read_file(path, self.inputs)

    def read_each(self, paths: Mapping[str, Path]) -> PredictionInputs:
        """The examples of a file for each input, by name. Raises CnncError E608, E901."""
        return read_each(paths, self.inputs)

    def read_sentences(self, lines: Iterable[str], where: str) -> PredictionInputs:
        """The sentences as integers; `where` names them in errors. Raises CnncError E608."""
        other = next((spec for spec in self.inputs if not spec.takes_words), None)
        if other is not None:
            message = f"{where} needs a model whose inputs are words; this one takes {other} of {other.dtype}"
            raise CnncError.of("E608", message)
        return read_sentences(lines, self.inputs, where)

    def read_arrays(self, arrays: Sequence[Arrays], named: Mapping[str, Arrays]) -> PredictionInputs:
        """The examples of arrays, in the order of the inputs or by their names. Raises CnncError E608."""
        return read_arrays(arrays, named, self.inputs)

    def rows(self, examples: PredictionInputs, top: int) -> list[list[Prediction]]:
        """For each example a prediction per output, with up to `top` classes. Raises CnncError E604, E608, E609."""
        return predictions_of(self.run(examples.feeds), self.outputs, top)


def predictor_of(path: Path, provider: Provider) -> Predictor:
    """That of an ONNX file. Raises CnncError E604 or E609 where it cannot be run, E905 for a provider that does not start."""
    session = open_model(path, provider)
    inputs = model_inputs(session)
    if not inputs:
        raise CnncError.of("E609", f"{path} has no input")
    return Predictor(inputs, model_outputs(session, path), lambda feeds: run_each(session, feeds), session.provider)


def predictor_of_model(model: Model) -> Predictor:
    """That of a model which is not exported."""
    facts = metadata(model.network, model.graph, versions(), classes=model.classes)
    outputs = output_specs(read_facts(facts), model.graph.outputs)
    return Predictor(
        input_specs(model.trained),
        outputs,
        lambda feeds: {name: list(values) for name, values in model(**feeds).items()},
    )


def row_name(name: str, index: int, count: int) -> str:
    """What an example of a file is called: the file, with a number where it holds several."""
    return name if count == 1 else f"{name}[{index}]"
