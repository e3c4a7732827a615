"""The examples of a demo page: inputs of the test set, and what onnxruntime computes for them.

In: a model as a session, and the run, file or model that it came from. Out: `DemoExamples`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnc.api.subject import is_model
from cnnc.cli.console import print_status
from cnnc.core.random_streams import Stream
from cnnc.data.prediction_inputs import InputSpec
from cnnc.diagnostics import CnncError
from cnnc.network import Network
from cnnc.onnx.run.batched_run import run_each
from cnnc.onnx.run.session import Session

MAX_BYTES = 1 << 23
"""What the examples may take, uncompressed, where the user does not say how many."""


RANDOM_EXAMPLES = 3


class DemoExamples(NamedTuple):
    """Arrays (N, ...) by the names of inputs and outputs; `names` are the true classes, "" where there are none."""

    feeds: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]
    names: tuple[str, ...]
    note: str
    random: bool = False

    @property
    def total(self) -> int:
        """The number of examples."""
        return len(self.names)


def read_examples(source: Path, session: Session, count: int, data: Path | None, download: bool) -> DemoExamples:
    """Examples spread over the test set. With `download` the user asked for `count` of them; else they may be fewer.

    Raises CnncError E509 without a train section, E601 to E603 for the data set, E607 where it does not fit, E611 for a model
    without its source, E604 where onnxruntime fails.
    """
    from cnnc.training.loop import open_data
    from cnnc.training.objective import feeds_of

    network = _network(source, session)
    dataset = open_data(network, data, print_status, session.facts, download)
    split = dataset.test
    chosen = spread(len(split), count)
    while True:
        feeds = feeds_of(network.require_graph(), tuple(column[chosen] for column in split.inputs))
        outputs = {name: _stacked(session, name, rows) for name, rows in run_each(session, feeds).items()}
        size = sum(array.nbytes for array in (*feeds.values(), *outputs.values()))
        if download or len(chosen) < 2 or size <= MAX_BYTES:
            break
        chosen = spread(len(split), max(1, len(chosen) * MAX_BYTES // size))
    names = _class_names(network, dataset.classes, tuple(column[chosen] for column in split.targets), len(chosen))
    recipe = network.recipe
    called = (recipe.data.path if recipe is not None else None) or dataset.name
    note = f"{len(chosen)} of the {len(split):,} examples in the test set of {called}"
    return DemoExamples(feeds, outputs, names, f"{note}, with the true class." if any(names) else f"{note}.")


def random_examples(
    session: Session, specs: Sequence[InputSpec], start: Mapping[str, Mapping[str, int]]
) -> DemoExamples:
    """Random inputs, for a page that has no data set to check itself on. `start` are the sizes of the symbols of each input.

    Raises CnncError E604 where onnxruntime fails, E609 for outputs that are not numbers.
    """
    rng = np.random.default_rng(Stream.DEMO_INPUTS.key(0))
    feeds = {}
    for spec in specs:
        sizes = [size if isinstance(size, int) else start[spec.name][size] for size in spec.shape]
        shape, dtype = (RANDOM_EXAMPLES, *sizes), np.dtype(spec.dtype)
        if spec.is_image:
            dtype = np.dtype(np.uint8)  # pixels, of which an input of floats gets fractions
        values = rng.random(shape, np.float32)
        if dtype.kind in "iub":
            values = np.floor(values * (256 if dtype == np.uint8 else (spec.largest or 1) + 1))
        feeds[spec.name] = values.astype(dtype)
    outputs = {name: _stacked(session, name, rows) for name, rows in run_each(session, feeds).items()}
    note = "Random inputs, on which this page checks itself."
    return DemoExamples(feeds, outputs, ("",) * RANDOM_EXAMPLES, note, random=True)


def _network(source: Path, session: Session) -> Network:
    if is_model(source):
        from cnnc.api.evaluation import trained_network

        try:
            return trained_network(session)
        except CnncError as error:
            (first, *_) = error.diagnostics
            help = "leave --examples out, or name the run that it was exported from"
            raise (CnncError(first._replace(help=help)) if first.code == "E611" else error) from error
    from cnnc.training.trained import read_trained

    return read_trained(source).network


def spread(total: int, count: int) -> NDArray[np.int64]:
    """Indices below `total`, `count` or all of them, at equal distances."""
    count = min(total, count)
    return np.arange(count, dtype=np.int64) * total // max(1, count)


def _stacked(session: Session, name: str, rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The outputs of all examples as one array, floats as float32. Raises CnncError E609 where their shapes differ."""
    if len({row.shape for row in rows}) > 1:
        raise CnncError.of("E609", f"{session.name}: the output {name} has another shape for each example")
    stacked = np.stack(rows)
    return stacked.astype(np.float32) if stacked.dtype == np.float16 else stacked


def _class_names(
    network: Network, classes: Sequence[str], targets: Sequence[NDArray[Any]], count: int
) -> tuple[str, ...]:
    """The class of each example, where its first target is one."""
    recipe = network.recipe
    labels: NDArray[Any] = targets[0] if targets else np.empty(0)
    if recipe is None or recipe.losses[0].compares_with != "labels" or labels.ndim != 1:
        return ("",) * count
    return tuple(classes[label] if 0 <= label < len(classes) else str(label) for label in labels.tolist())
