"""A model at work on onnxruntime: batches of any size, and the classes that it names.

In: a `Session` and examples. Out: its outputs; guesses; counts of right answers, where nothing but the name of a data
set is known (else the objective of training counts, see api.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError
from cnnc.onnx.run.session import Session, batch_slices, convert_for_input


class CorrectCount(NamedTuple):
    right: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.right / self.total if self.total else 0.0


class Guess(NamedTuple):
    name: str
    probability: float


def run_batched(session: Session, feeds: Mapping[str, Array], batch: int = 256) -> dict[str, Array]:
    """All outputs of examples (N, ...), by name; in parts of the model's own batch where that is fixed.

    Values are brought to what the inputs take (see `as_fed`). Raises CnncError E604, E608.
    """
    counts = {len(values) for values in feeds.values()}
    if len(counts) != 1:
        raise CnncError.of("E608", f"the inputs hold different numbers of examples: {sorted(counts)}")
    count, size = counts.pop(), session.batch or batch
    made: list[list[Array]] = []
    for part in batch_slices(count, size):
        whole = {name: convert_for_input(values[part], session.inputs[name].dtype) for name, values in feeds.items()}
        lacking = size - (part.stop - part.start) if session.batch else 0
        if lacking:  # the last one again: its answers are cut off
            whole = {name: np.concatenate([v, np.repeat(v[-1:], lacking, 0)]) for name, v in whole.items()}
        made.append([values[: part.stop - part.start] for values in session.run(whole)])
    return {name: np.concatenate(parts) for name, parts in zip(session.outputs, zip(*made, strict=True), strict=True)}


def one_input(session: Session) -> str:
    """The name of the only input. Raises CnncError E609 where there are several."""
    if len(session.inputs) != 1:
        names = ", ".join(session.inputs)
        raise CnncError.of("E609", f"{session.name} has {len(session.inputs)} inputs ({names}); one is needed")
    (name,) = session.inputs
    return name


def guesses(scores: Array, classes: tuple[str, ...], count: int) -> list[list[Guess]]:
    """The likeliest classes of each example, from scores (N, classes, 1, ...). Those that are no probabilities yet go
    through softmax."""
    made = scores.reshape(len(scores), -1).astype(np.float64)
    if (made < 0).any() or not np.allclose(made.sum(-1), 1, atol=1e-3):
        e = np.exp(made - made.max(-1, keepdims=True))
        made = e / e.sum(-1, keepdims=True)
    names = classes if len(classes) == made.shape[1] else tuple(str(i) for i in range(made.shape[1]))
    order = np.argsort(-made, axis=-1, kind="stable")[:, :count]
    return [[Guess(names[i], float(row[i])) for i in best] for row, best in zip(made, order, strict=True)]


def count_correct(session: Session, examples: Split) -> CorrectCount:
    """How many examples of one input the model names rightly, by its first output. Raises CnncError E609."""
    name = one_input(session)
    entry, found = session.inputs[name], examples.inputs[0].shape[1:]
    if len(entry.shape) != len(found) or any(
        isinstance(a, int) and a != b for a, b in zip(entry.shape, found, strict=True)
    ):
        raise CnncError.of("E609", f"the data are {'x'.join(map(str, found))}; {session.name} takes {entry}")
    right = 0
    for part in batch_slices(len(examples), 256):
        made = _scores(session, name, examples.inputs[0][part])
        right += int((made.argmax(-1) == examples.targets[0][part]).sum())
    return CorrectCount(right, len(examples))


def _scores(session: Session, name: str, examples: NDArray[Any]) -> Array:
    made = run_batched(session, {name: examples})[session.outputs[0]]
    if made.ndim < 2 or any(size != 1 for size in made.shape[2:]):
        raise CnncError.of("E609", f"{session.name} makes {'x'.join(map(str, made.shape[1:]))}, no score a class")
    return made.reshape(len(made), -1)
