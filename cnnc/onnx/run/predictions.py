"""What a model takes, and what it answered, as its metadata say it; for a stranger's model, as its shapes say it.

In: a `Session`, and the outputs of examples. Out: `Entry`s for readers of files; `Answer`s, each with a face for people,
one for programs, and the arrays and pictures that can be kept of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.core.files import replacing
from cnnc.data.prediction_inputs import InputSpec
from cnnc.onnx.run.batched_run import Guess, guesses, run_batched
from cnnc.onnx.run.session import Session

_FEW = 8  # so many values are shown as they are
_PICTURE = (-1e-3, 1 + 1e-3)  # what still counts as 0 to 1


def entries(session: Session) -> list[InputSpec]:
    """The inputs of a model as its user feeds them."""
    facts = session.facts
    found = []
    for name, signature in session.inputs.items():
        told = facts.inputs.get(name, {})
        span = told.get("range")
        largest = span[1] if isinstance(span, list) and len(span) == 2 and isinstance(span[1], int) else None
        words = told.get("kind") == "words"
        vocabulary = facts.vocabulary if words else ()
        kind = str(signature.dtype)
        kind = "int64" if signature.dtype.kind in "iu" and kind != "uint8" else kind
        found.append(InputSpec(name, signature.shape, kind, facts.sizes, largest, words, vocabulary))
    return found


class Answer(NamedTuple):
    """What an output made of one example: `values` (C, *spatial), and by its `kind` (see metadata.py) what that means."""

    output: str
    kind: str
    values: Array
    classes: tuple[str, ...]
    best: tuple[Guess, ...] = ()

    @property
    def labels(self) -> NDArray[Any]:
        """The likeliest class of each place of a label map (*spatial)."""
        kind = np.uint8 if len(self.values) <= 256 else np.int64
        found: NDArray[Any] = self.values.argmax(0).astype(kind)
        return found

    def shares(self, count: int) -> list[Guess]:
        """The classes that take most places of a label map, and their shares."""
        counted = np.bincount(self.labels.reshape(-1), minlength=len(self.values)) / max(1, self.labels.size)
        named = len(self.classes) == len(counted)
        order = np.argsort(-counted, kind="stable")[:count]
        return [Guess(self.classes[i] if named else str(i), float(counted[i])) for i in order if counted[i]]

    def in_words(self, count: int) -> str:
        """A line of text; `count` classes are named."""
        if self.kind == "classes":
            return "  ".join(f"{g.name} {g.probability:.1%}" for g in self.best)
        if self.kind == "label map":
            return "  ".join(f"{g.name} {g.probability:.1%}" for g in self.shares(count))
        if self.values.size <= _FEW:
            return " ".join(f"{value:.5g}" for value in self.values.reshape(-1))
        bounds = f"{self.values.min():.4g} to {self.values.max():.4g}"
        return f"{_by(self.values)}, {bounds}, mean {self.values.mean():.4g}"

    def as_dict(self, count: int) -> dict[str, Any]:
        """For programs: guesses, shares, or the values where there are few, with their shape and bounds."""
        if self.kind == "classes":
            return {"top": [{"class": g.name, "probability": g.probability} for g in self.best]}
        if self.kind == "label map":
            shares = [{"class": g.name, "share": g.probability} for g in self.shares(count)]
            return {"shape": list(self.labels.shape), "labels": shares}
        found: dict[str, Any] = {"shape": list(self.values.shape)}
        found |= {"min": float(self.values.min()), "max": float(self.values.max()), "mean": float(self.values.mean())}
        if self.values.size <= 64:
            found["values"] = self.values.tolist()
        return found

    def keep(self, path: Path) -> list[Path]:
        """Writes `path` with the suffix .npy (a label map as its labels), and .png for a label map or picture.

        A picture's values are cut to 0..1. Raises CnncError E902, and E906 without Pillow.
        """
        from cnnc.data.image_file import write_png

        array = self.labels if self.kind == "label map" else self.values
        written = [path.with_name(f"{path.name}.npy")]
        with replacing(written[0]) as temporary, temporary.open("wb") as file:
            np.save(file, array)
        if self.kind == "picture" or (self.kind == "label map" and array.ndim == 2 and array.dtype == np.uint8):
            written.append(path.with_name(f"{path.name}.png"))
            write_png(written[1], array if self.kind == "label map" else _pixels(array), self.kind == "label map")
        return written

    @property
    def is_cut(self) -> bool:
        """Whether a picture's values go beyond 0..1, so that its .png does not show them all."""
        low, high = _PICTURE
        return self.kind == "picture" and bool(self.values.min() < low or self.values.max() > high)


def answers(session: Session, feeds: Mapping[str, Array], count: int) -> list[list[Answer]]:
    """For each example what each output made of it, with `count` guesses for classes. Raises CnncError."""
    made = run_batched(session, feeds)
    columns = [_column(session, name, values, count) for name, values in made.items()]
    return [list(row) for row in zip(*columns, strict=True)]


def _column(session: Session, name: str, values: Array, count: int) -> list[Answer]:
    kind, classes = _kind(session, name, values)
    best = guesses(values, classes, count) if kind == "classes" else [[] for _ in values]
    return [Answer(name, kind, one, classes, tuple(g)) for one, g in zip(values, best, strict=True)]


def _kind(session: Session, name: str, values: Array) -> tuple[str, tuple[str, ...]]:
    """What an output is, and its classes where they have names."""
    told = session.facts.outputs.get(name, {})
    kind = told.get("kind")
    if kind == "label map" and values.ndim > 2:
        return kind, session.facts.classes if told.get("named") else ()
    if kind == "classes" and values[0].size > 1:
        return kind, session.facts.classes if told.get("named") else ()
    if not told and values.ndim > 1 and values.shape[1] > 1 and values[0].size == values.shape[1]:
        return "classes", session.facts.classes if name == session.outputs[0] else ()
    return ("picture" if values.ndim == 4 and values.shape[1] in (1, 3) else "values"), ()


def _pixels(values: Array) -> NDArray[np.uint8]:
    """(C, H, W) in 0..1 as (H, W) or (H, W, 3) of bytes."""
    pixels: NDArray[np.uint8] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


def _by(values: Array) -> str:
    return f"{values.size} values" if values.ndim == 1 else "x".join(map(str, values.shape))
