"""Predictions: what a model takes as input, and what its outputs mean, from its metadata or else from its shapes.

Input: a `Session`, and examples to run. Output: an `InputSpec` per input, for the readers of files; a `Prediction` per example
and output, which can be printed, turned into JSON, and saved as an array or image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.core.files import atomic_replacement
from cnnc.data.prediction_inputs import InputSpec
from cnnc.onnx.run.batched_run import ClassProbability, run_batched, top_classes
from cnnc.onnx.run.session import Session

_FEW = 8  # outputs of up to this many elements are printed in full
_IMAGE_RANGE = (-1e-3, 1 + 1e-3)  # 0..1 with a tolerance for rounding


def model_inputs(session: Session) -> list[InputSpec]:
    """The inputs of a model as a user feeds them: name, shape, type, legal sizes, range, vocabulary."""
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
        kind = str(signature.dtype)
        kind = "int64" if signature.dtype.kind in "iu" and kind != "uint8" else kind
        inputs.append(InputSpec(name, signature.shape, kind, facts.sizes, largest, words, vocabulary))
    return inputs


class Prediction(NamedTuple):
    """One output for one example: `values` (C, *spatial). `kind` says what they mean (see metadata.py).

    For the kind "classes", `best` are the most probable classes.
    """

    output: str
    kind: str
    values: Array
    classes: tuple[str, ...]
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
        named = len(self.classes) == len(shares)
        order = np.argsort(-shares, kind="stable")[:count]
        return [ClassProbability(self.classes[i] if named else str(i), float(shares[i])) for i in order if shares[i]]

    def summary(self, count: int) -> str:
        """One line for people: up to `count` classes, a few values, or shape, range and mean."""
        if self.kind == "classes":
            return "  ".join(f"{g.name} {g.probability:.1%}" for g in self.best)
        if self.kind == "label map":
            return "  ".join(f"{g.name} {g.probability:.1%}" for g in self.shares(count))
        if self.values.size <= _FEW:
            return " ".join(f"{value:.5g}" for value in self.values.reshape(-1))
        bounds = f"{self.values.min():.4g} to {self.values.max():.4g}"
        return f"{_shape_text(self.values)}, {bounds}, mean {self.values.mean():.4g}"

    def as_dict(self, count: int) -> dict[str, Any]:
        """The prediction for JSON: classes, shares of a label map, or shape and range, with the values if there are few."""
        if self.kind == "classes":
            return {"top": [{"class": g.name, "probability": g.probability} for g in self.best]}
        if self.kind == "label map":
            shares = [{"class": g.name, "share": g.probability} for g in self.shares(count)]
            return {"shape": list(self.labels.shape), "labels": shares}
        result: dict[str, Any] = {"shape": list(self.values.shape)}
        result |= {"min": float(self.values.min()), "max": float(self.values.max()), "mean": float(self.values.mean())}
        if self.values.size <= 64:
            result["values"] = self.values.tolist()
        return result

    def save(self, path: Path) -> list[Path]:
        """Writes `path`.npy (the labels of a label map, else the values), and `path`.png for a label map or image.

        The .png clips an image to 0..1. Returns the files. Raises CnncError E902 if they cannot be written, E906 without
        Pillow.
        """
        from cnnc.data.image_file import write_png

        array = self.labels if self.kind == "label map" else self.values
        written = [path.with_name(f"{path.name}.npy")]
        with atomic_replacement(written[0]) as temporary, temporary.open("wb") as file:
            np.save(file, array)
        if self.kind == "picture" or (self.kind == "label map" and array.ndim == 2 and array.dtype == np.uint8):
            written.append(path.with_name(f"{path.name}.png"))
            write_png(written[1], array if self.kind == "label map" else _pixels(array), self.kind == "label map")
        return written

    @property
    def is_clipped(self) -> bool:
        """Whether an image has values outside 0..1, which its .png clips."""
        low, high = _IMAGE_RANGE
        return self.kind == "picture" and bool(self.values.min() < low or self.values.max() > high)


def predict_examples(session: Session, feeds: Mapping[str, Array], count: int) -> list[list[Prediction]]:
    """Runs the model: for each example, a prediction per output with up to `count` classes. Raises CnncError E604, E608."""
    outputs = run_batched(session, feeds)
    columns = [_column(session, name, values, count) for name, values in outputs.items()]
    return [list(row) for row in zip(*columns, strict=True)]


def _column(session: Session, name: str, values: Array, count: int) -> list[Prediction]:
    """The predictions of one output for all examples."""
    kind, classes = _kind(session, name, values)
    best = top_classes(values, classes, count) if kind == "classes" else [[] for _ in values]
    return [Prediction(name, kind, one, classes, tuple(g)) for one, g in zip(values, best, strict=True)]


def _kind(session: Session, name: str, values: Array) -> tuple[str, tuple[str, ...]]:
    """The kind of an output, and the names of its classes, if known."""
    fact = session.facts.outputs.get(name, {})
    kind = fact.get("kind")
    if kind == "label map" and values.ndim > 2:
        return kind, session.facts.classes if fact.get("named") else ()
    if kind == "classes" and values[0].size > 1:
        return kind, session.facts.classes if fact.get("named") else ()
    if not fact and values.ndim > 1 and values.shape[1] > 1 and values[0].size == values.shape[1]:
        return "classes", session.facts.classes if name == session.outputs[0] else ()
    return ("picture" if values.ndim == 4 and values.shape[1] in (1, 3) else "values"), ()


def _pixels(values: Array) -> NDArray[np.uint8]:
    """An image (C, H, W) in 0..1 as bytes, (H, W) or (H, W, 3)."""
    pixels: NDArray[np.uint8] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def _shape_text(values: Array) -> str:
    return f"{values.size} values" if values.ndim == 1 else "x".join(map(str, values.shape))
