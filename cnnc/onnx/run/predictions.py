"""Predictions: what a model takes as input, and what its outputs mean, from its metadata or else from the graph.

Input: a `Session`, and examples to run. Output: an `InputSpec` per input, for the readers of files; a `Prediction` per example
and output, which can be printed, turned into JSON, and saved as an array or image.

Outputs are classes or a label map where the metadata say so: the network was trained with cross_entropy, or ends in a softmax
without spatial axes. In a model without metadata, such a softmax at the end means classes. All other outputs are values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.core.files import atomic_replacement
from cnnc.data.class_probabilities import NO_CLASS
from cnnc.data.prediction_inputs import InputSpec
from cnnc.diagnostics import one_line
from cnnc.onnx.metadata import Facts
from cnnc.onnx.run.batched_run import ClassProbability, top_classes
from cnnc.onnx.run.inspect import read_model
from cnnc.onnx.run.output_images import OutputImages, draw_map, is_map, label_pixels
from cnnc.onnx.run.output_values import MAX_JSON, is_printed, range_text, values_json, values_text
from cnnc.onnx.run.session import Session

# Operators after which probabilities are still probabilities.
_SAME_VALUES = ("Identity", "Cast", "QuantizeLinear", "DequantizeLinear", "Dropout")


def model_inputs(session: Session) -> list[InputSpec]:
    """The inputs of a model as a user feeds them: name, shape, type, legal sizes, range, vocabulary, columns."""
    facts = session.facts
    inputs = []
    for name, signature in session.inputs.items():
        fact = facts.inputs.get(name, {})
        value_range = fact.get("range")
        largest = (
            value_range[1]
            if isinstance(value_range, list) and len(value_range) == 2 and isinstance(value_range[1], int)
            else None
        )
        words = fact.get("kind") == "words"
        vocabulary = facts.vocabulary if words else ()
        dtype = str(signature.dtype)
        spec = InputSpec(
            name,
            signature.shape,
            dtype,
            facts.sizes,
            largest,
            words,
            vocabulary,
            columns=facts.columns,
            data=facts.data_options,
        )
        inputs.append(spec)
    return inputs


class OutputSpec(NamedTuple):
    """What an output of a model means.

    `kind` is that of the metadata (see metadata.py), `classes` the names of its classes, if known; `is_image` says that the
    network was trained to output an image from 0 to 1.
    """

    name: str
    kind: str
    classes: tuple[str, ...] = ()
    is_image: bool = False


def model_outputs(session: Session, path: Path) -> list[OutputSpec]:
    """The meaning of each output of the model in a file. Raises CnncError E604, E901, E903."""
    unknown = [name for name in session.outputs if name not in session.facts.outputs]
    with_softmax = _outputs_of_softmax(read_model(path).graph, unknown) if unknown else set()
    return output_specs(session.facts, session.outputs, with_softmax)


def output_specs(facts: Facts, names: Sequence[str], with_softmax: Collection[str] = ()) -> list[OutputSpec]:
    """The meaning of outputs by the facts of a model; those that it does not describe are classes after a softmax."""
    outputs = []
    for name in names:
        fact = facts.outputs.get(name, {})
        kind = fact.get("kind") or ("classes" if name in with_softmax else "values")
        named = fact.get("named") or (not fact and name == names[0])
        is_image = kind == "picture" and fact.get("range") == [0, 1]
        outputs.append(OutputSpec(name, kind, facts.classes if named else (), is_image))
    return outputs


def _outputs_of_softmax(graph: onnx.GraphProto, names: list[str]) -> set[str]:
    """The outputs that a softmax computes, or an operator that keeps its values."""
    producers = {output: node for node in graph.node for output in node.output}
    of_softmax = set()
    for name in names:
        node, steps = producers.get(name), len(graph.node)
        while node is not None and node.op_type in _SAME_VALUES and steps:
            node, steps = producers.get(node.input[0]), steps - 1
        if node is not None and node.op_type in ("Softmax", "LogSoftmax"):
            of_softmax.add(name)
    return of_softmax


class Prediction(NamedTuple):
    """One output for one example: `values` (C, *spatial), or of any shape if the model is not of cnnc.

    For the kind "classes", `best` are the most probable classes.
    """

    output: OutputSpec
    kind: str
    values: Array
    best: tuple[ClassProbability, ...] = ()

    @property
    def labels(self) -> NDArray[Any]:
        """The most probable class at each position of a label map, (*spatial)."""
        dtype = np.uint8 if len(self.values) <= 256 else np.int64
        labels: NDArray[Any] = self.values.argmax(0).astype(dtype)
        return labels

    def shares(self, count: int) -> list[ClassProbability]:
        """The `count` classes that cover most positions of a label map, and their shares of it."""
        shares = np.bincount(self.labels.reshape(-1), minlength=len(self.values)) / max(1, self.labels.size)
        classes = self.output.classes
        named = len(classes) == len(shares)
        order = np.argsort(-shares, kind="stable")[:count]
        return [ClassProbability(classes[i] if named else str(i), float(shares[i])) for i in order if shares[i]]

    def summary(self, count: int) -> str:
        """The prediction for people: up to `count` classes; all values if there are few, else their shape and range."""
        if self.kind == "classes":
            return "  ".join(f"{one_line(g.name)} {g.probability:.1%}" for g in self.best) or NO_CLASS
        if self.kind == "label map":
            return "  ".join(f"{one_line(g.name)} {g.probability:.1%}" for g in self.shares(count))
        return range_text(self.values) if self.is_shortened else values_text(self.values)

    @property
    def is_shortened(self) -> bool:
        """Whether `summary` does not show all values of an output that consists of values."""
        return self.kind == "values" and (self.output.is_image or not is_printed(self.values))

    def as_dict(self, count: int) -> dict[str, Any]:
        """The prediction for JSON: classes, shares of a label map, or the values with their shape, type and range."""
        if self.kind == "classes":
            return {"top": [{"class": g.name, "probability": g.probability} for g in self.best]}
        if self.kind == "label map":
            shares = [{"class": g.name, "share": g.probability} for g in self.shares(count)]
            return {"shape": list(self.labels.shape), "labels": shares}
        return values_json(self.values)

    @property
    def fits_json(self) -> bool:
        """Whether `as_dict` has all values of an output that consists of values."""
        return self.kind != "values" or self.values.size <= MAX_JSON

    @property
    def array(self) -> Array:
        """What is saved as .npy: the labels of a label map, else the values."""
        return self.labels if self.kind == "label map" else self.values

    def drawing(self) -> OutputImages:
        """What is saved as .png: the classes of a label map, or values with two spatial axes; else no image."""
        if self.kind == "label map":
            return OutputImages(label_pixels(self.labels))
        return (
            draw_map(self.values, self.output.is_image)
            if self.kind == "values" and is_map(self.values)
            else OutputImages({})
        )


def predictions_of(arrays: Mapping[str, list[Array]], outputs: list[OutputSpec], count: int) -> list[list[Prediction]]:
    """The predictions that output arrays amount to, one list per example."""
    columns = [_column(spec, arrays[spec.name], count) for spec in outputs]
    return [list(row) for row in zip(*columns, strict=True)]


def _column(output: OutputSpec, arrays: list[Array], count: int) -> list[Prediction]:
    """The predictions of one output for all examples. Scores of one class, or with other axes than their kind, are values."""
    one = arrays[0]
    if output.kind == "label map" and one.ndim > 1:
        return [Prediction(output, "label map", values) for values in arrays]
    if output.kind == "classes" and one.size > 1 and one.size == max(one.shape):
        best = top_classes(np.stack(arrays), output.classes, count)
        return [Prediction(output, "classes", values, tuple(row)) for values, row in zip(arrays, best, strict=True)]
    return [Prediction(output, "values", values) for values in arrays]


def write_npy(path: Path, values: Array) -> None:
    """Writes an array as .npy, atomically. Raises CnncError E902."""
    with atomic_replacement(path) as temporary, temporary.open("wb") as file:
        np.save(file, values)
