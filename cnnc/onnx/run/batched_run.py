"""Running a model on onnxruntime: any number of examples in batches, top classes, and a count of correct predictions.

Input: a `Session` and examples. Output: the model's outputs (`run_batched`, `run_each`), the most probable classes
(`top_classes`), and the number of correct predictions (`count_correct`), for models without a train section; for others
api.py computes loss and metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.core.arrays import Array
from cnnc.data.class_probabilities import class_probabilities
from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.onnx.run.needs import largest_batch, require_run_within_limits
from cnnc.onnx.run.session import Session, batch_slices, convert_for_input

MAX_FILLED_BYTES = 2**31
"""The most bytes by which a batch is filled up to a model's fixed batch size."""


class CorrectCount(NamedTuple):
    """The number of correct predictions among `total` examples."""

    right: int
    total: int

    @property
    def accuracy(self) -> float:
        """The fraction of correct predictions, 0..1."""
        return self.right / self.total if self.total else 0.0


class ClassProbability(NamedTuple):
    """A class and its probability, 0..1."""

    name: str
    probability: float


class NoBatchAxis(CnncError):
    """E609: an output does not have one row per example."""


def run_batched(session: Session, feeds: Mapping[str, Array], batch: int = 256) -> dict[str, Array]:
    """All outputs (N, ...) for the feeds (N, ...), by name, computed in batches.

    If the model's batch size is fixed, that size is used and the last batch is filled up. Feeds are converted to the input
    types (see `convert_for_input`). Raises CnncError E604 if onnxruntime fails, E608 if the feeds differ in length, E609 if
    the model's batch is too large to fill or an output is not a tensor of numbers, NoBatchAxis if an output does not have one
    row for each example.
    """
    counts = {len(values) for values in feeds.values()}
    if len(counts) != 1:
        raise CnncError.of("E608", f"the inputs hold different numbers of examples: {sorted(counts)}")
    count, size = counts.pop(), session.batch or _fitting_batch(session, feeds, batch)
    outputs: list[list[Array]] = []
    for part in batch_slices(count, size):
        batch_feeds = {
            name: convert_for_input(values[part], session.inputs[name].dtype) for name, values in feeds.items()
        }
        lacking = size - (part.stop - part.start) if session.batch else 0
        if lacking and lacking * sum(values[:1].nbytes for values in batch_feeds.values()) > MAX_FILLED_BYTES:
            raise CnncError.of("E609", f"{session.name} takes batches of {size:,} examples, too many to fill up")
        if lacking:  # repeat the last example; its extra outputs are cut off
            batch_feeds = {n: np.concatenate([v, np.repeat(v[-1:], lacking, 0)]) for n, v in batch_feeds.items()}
        results = session.run(batch_feeds)
        for name, values in zip(session.outputs, results, strict=True):
            _require_numbers(session, name, values)
            _require_rows(session, name, values, part.stop - part.start + lacking)
        outputs.append([values[: part.stop - part.start] for values in results])
    return {
        name: np.concatenate(parts) for name, parts in zip(session.outputs, zip(*outputs, strict=True), strict=True)
    }


def _fitting_batch(session: Session, feeds: Mapping[str, Array], most: int) -> int:
    """The most examples of a batch, up to `most`, that the caller's limit of memory allows. Raises CnncError E913 if none fits."""
    if session.outline is None:
        return most
    shapes = {name: (1, *values.shape[1:]) for name, values in feeds.items()}
    require_run_within_limits(session.outline, session.name, shapes)
    return largest_batch(session.outline, shapes, most)


def _require_numbers(session: Session, name: str, values: Any) -> None:
    """Raises CnncError E609 unless an output is a tensor of numbers."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        kind = "text" if isinstance(values, np.ndarray) else "a sequence or map"
        raise CnncError.of("E609", f"{session.name}: the output {name} is {kind}, not a tensor of numbers")


def _require_rows(session: Session, name: str, values: Array, count: int) -> None:
    """Raises NoBatchAxis unless an output has one row per example."""
    if values.ndim == 0 or len(values) != count:
        shape = "x".join(map(str, values.shape)) or "one number"
        message = f"{session.name}: the output {name} is {shape}, not one row for each example ({count})"
        raise NoBatchAxis(Diagnostic("E609", message))


def run_each(session: Session, feeds: Mapping[str, Array]) -> dict[str, list[Array]]:
    """The outputs of each example by name. If the model declares an output without a batch axis, it runs on one at a time.

    Raises as `run_batched` does.
    """
    first_sizes = [shape[0] if shape else None for shape in session.output_shapes]
    if session.batch > 1 or not any(isinstance(size, int) and size != session.batch for size in first_sizes):
        try:
            return {name: [np.asarray(row) for row in rows] for name, rows in run_batched(session, feeds).items()}
        except NoBatchAxis:
            if session.batch > 1 or None not in first_sizes or session.facts.outputs:  # cnnc's models have a batch axis
                raise
    outputs: dict[str, list[Array]] = {name: [] for name in session.outputs}
    for index in range(len(next(iter(feeds.values())))):
        one = {n: convert_for_input(v[index : index + 1], session.inputs[n].dtype) for n, v in feeds.items()}
        for name, values in zip(session.outputs, session.run(one), strict=True):
            _require_numbers(session, name, values)
            outputs[name].append(values[0] if values.shape[:1] == (1,) else values)
    return outputs


def one_input(session: Session) -> str:
    """The name of the only input. Raises CnncError E609 for a model with several inputs."""
    if len(session.inputs) != 1:
        names = ", ".join(session.inputs)
        raise CnncError.of("E609", f"{session.name} has {len(session.inputs)} inputs ({names}); expected one")
    (name,) = session.inputs
    return name


def top_classes(scores: Array, classes: tuple[str, ...], count: int) -> list[list[ClassProbability]]:
    """The `count` most probable classes of each example, from scores (N, classes, 1, ...).

    Scores that are not probabilities go through softmax. An example whose scores hold NaN or infinity has no class.
    """
    probabilities = class_probabilities(scores)
    names = classes if len(classes) == probabilities.shape[1] else tuple(str(i) for i in range(probabilities.shape[1]))
    order = np.argsort(-probabilities, axis=-1, kind="stable")[:, :count]
    return [
        [ClassProbability(names[i], float(row[i])) for i in best] if np.isfinite(row).all() else []
        for row, best in zip(probabilities, order, strict=True)
    ]


def count_correct(session: Session, examples: Split) -> CorrectCount:
    """How many examples the model's first output classifies correctly.

    Raises CnncError E609 for a model with several inputs, an input of another shape, or an output that is not one score
    per class.
    """
    name = one_input(session)
    signature, shape = session.inputs[name], examples.inputs[0].shape[1:]
    if len(signature.shape) != len(shape) or any(
        isinstance(a, int) and a != b for a, b in zip(signature.shape, shape, strict=True)
    ):
        raise CnncError.of("E609", f"the data are {'x'.join(map(str, shape))}; {session.name} takes {signature}")
    right = 0
    for inputs, targets in examples.batches(batch_slices(len(examples), 256)):
        scores = _class_scores(session, name, inputs[0])
        right += int((scores.argmax(-1) == targets[0]).sum())
    return CorrectCount(right, len(examples))


def _class_scores(session: Session, name: str, examples: NDArray[Any]) -> Array:
    """The scores (N, classes) of the first output. Raises CnncError E609."""
    scores = run_batched(session, {name: examples})[session.outputs[0]]
    if scores.ndim < 2 or any(size != 1 for size in scores.shape[2:]):
        raise CnncError.of(
            "E609", f"{session.name} outputs {'x'.join(map(str, scores.shape[1:]))}, not one score per class"
        )
    return scores.reshape(len(scores), -1)
