"""A model at work on onnxruntime: classes and their probabilities, and its score on a data set.

In: a `Session` and examples. Out: probabilities, counts of right answers. The model's own metadata says how it is fed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.data.dataset import Split
from cnnc.diagnostics import CnncError
from cnnc.export.runtime import Session, as_fed, batches


class Score(NamedTuple):
    right: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.right / self.total if self.total else 0.0


class Guess(NamedTuple):
    name: str
    probability: float


def input_shape(session: Session) -> tuple[int, ...]:
    """The shape of one example. Raises CnncError E609 for a model that is no classifier of one input."""
    if len(session.inputs) != 1:
        raise CnncError.of("E609", f"{session.name} has {len(session.inputs)} inputs; one is needed")
    ((shape, _),) = session.inputs.values()
    if not all(isinstance(size, int) for size in shape[1:]):
        raise CnncError.of("E609", f"{session.name} takes inputs of any size; a fixed one is needed")
    return tuple(int(size) for size in shape[1:])


def scores(session: Session, examples: NDArray[Any]) -> NDArray[np.float64]:
    """The first output (N, classes) for a batch of examples; uint8 is scaled as the model wants it."""
    ((name, (_, dtype)),) = session.inputs.items()
    fed = as_fed(examples, dtype) if examples.dtype == np.uint8 else examples.astype(_DTYPES.get(dtype, np.float32))
    made = session.run({name: fed}, session.outputs[:1])[0]
    if made.ndim != 2:
        raise CnncError.of("E609", f"{session.name} makes {'x'.join(map(str, made.shape[1:]))}, no score a class")
    return made.astype(np.float64)


def top(session: Session, examples: NDArray[Any], classes: list[str], count: int) -> list[list[Guess]]:
    """The likeliest classes of each example. Scores that are no probabilities yet go through softmax."""
    made = scores(session, examples)
    if (made < 0).any() or not np.allclose(made.sum(-1), 1, atol=1e-3):
        e = np.exp(made - made.max(-1, keepdims=True))
        made = e / e.sum(-1, keepdims=True)
    names = classes if len(classes) == made.shape[1] else [str(i) for i in range(made.shape[1])]
    order = np.argsort(-made, axis=-1, kind="stable")[:, :count]
    return [[Guess(names[i], float(row[i])) for i in best] for row, best in zip(made, order, strict=True)]


def score(
    session: Session, examples: Split, batch: int = 256, watch: Callable[[int], None] = lambda done: None
) -> Score:
    """How many examples the model names rightly."""
    if input_shape(session) != examples.inputs[0].shape[1:]:
        found = "x".join(map(str, examples.inputs[0].shape[1:]))
        wanted = "x".join(map(str, input_shape(session)))
        raise CnncError.of("E609", f"the data are {found}; {session.name} takes {wanted}")
    right = 0
    for part in batches(len(examples), batch):
        right += int((scores(session, examples.inputs[0][part]).argmax(-1) == examples.targets[0][part]).sum())
        watch(part.stop)
    return Score(right, len(examples))


_DTYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int64)": np.int64}
