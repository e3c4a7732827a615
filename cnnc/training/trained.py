"""A network with weights, and one example to run it on.

In: a run folder, a checkpoint or a network file; a file, a sentence or a number of the test set. Out: `TrainedNetwork` and
`Example`. Examples are prepared as `cnnc predict` does for an exported model.

    trained = read_trained(Path("runs/lenet5"))
    example = file_example(trained, Path("seven.png"))
    forward(trained.graph_for(example.feeds), trained.weights, example.feeds)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from cnnc.core.arrays import Array, Weights
from cnnc.data.dataset import Dataset
from cnnc.data.prediction_inputs import InputSpec, PredictionInputs, read_each, read_file, read_sentences
from cnnc.diagnostics import CnncError
from cnnc.graph.analysis import vocabularies
from cnnc.graph.graph import Graph
from cnnc.graph.sizes import Failure, symbol_sizes
from cnnc.network import Network, load
from cnnc.ops.dense import Input
from cnnc.reference.feeds import fit_sizes
from cnnc.reference.initializers import initialize
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.loop import open_data
from cnnc.training.objective import feeds_of


class TrainedNetwork(NamedTuple):
    """A network with weights by `layer.parameter`, and the words, classes and columns of its training (empty without).

    `untrained` says what the weights are where they do not come from a run or import: "" otherwise.
    """

    network: Network
    weights: Weights
    vocabulary: tuple[str, ...] = ()
    untrained: str = ""
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def graph(self) -> Graph:
        """The graph of the source, before any pass."""
        return self.network.require_graph()

    def graph_for(self, feeds: Mapping[str, Array]) -> Graph:
        """The graph at the sizes of the feeds. Raises CnncError E602 for sizes that are not legal."""
        shapes = {node.name: feeds[node.name].shape[1:] for node in self.graph.inputs}
        if self.graph.sized:
            sizes = symbol_sizes(self.graph, shapes)
            if isinstance(sizes, Failure):
                raise CnncError.of("E602", sizes.message)
            return self.network.graph_at(sizes)
        return fit_sizes(self.graph, list(self.graph.inputs), feeds)


def read_trained(source: Path, settings: Sequence[str] = (), last: bool = False) -> TrainedNetwork:
    """The network and weights of a run (the best, or the last), a checkpoint, or a network file, which has initial weights.

    Raises CnncError: those of the source, E605, E606 or E901 for a checkpoint, E010 for settings of a run.
    """
    if source.suffix == ".cnn" and not source.is_dir():
        network = load(source, settings)
        return untrained(network)
    if source.suffix == ".onnx" and source.is_file():
        help = f"name its run, or `cnnc import {quote(str(source))}` turns it into a network and a checkpoint"
        raise CnncError.of("E605", f"{source} is a model, not a run, checkpoint or network file", help=help)
    require_no_settings(settings, "a run keeps the settings it was trained with")
    return of_checkpoint(checkpoints.load(checkpoints.find(source, "last" if last else "best")))


def of_checkpoint(saved: Checkpoint) -> TrainedNetwork:
    """The network and weights of a checkpoint, whose slots are dropped. Raises CnncError as `Checkpoint.network` does."""
    saved.slots.clear()  # an optimizer's state can be twice as large as the weights
    was_trained = saved.progress.epoch or saved.progress.step or saved.origin
    state = "" if was_trained else "untrained: the run has not made a step"
    return TrainedNetwork(saved.network(), saved.weights, saved.vocabulary, state, saved.classes, saved.columns)


def require_no_settings(settings: Sequence[str], reason: str) -> None:
    """Raises CnncError E010 for settings of anything but a network file."""
    if settings:
        raise CnncError.of("E010", f"--set applies to a network FILE; {reason}", help="leave --set out")


def untrained(network: Network) -> TrainedNetwork:
    """A network with its initial weights, those with which its training begins. Raises CnncError for errors in the source."""
    graph, seed = network.require_graph(), network.recipe.seed if network.recipe is not None else 0
    weights = initialize(graph, seed)
    return TrainedNetwork(
        network, weights, (), f"untrained: initial weights (seed {seed})" if graph.starts_at_random else ""
    )


class Example(NamedTuple):
    """One example: a batch of one for each input, its targets (None where they are not known), and what it is, in words."""

    feeds: dict[str, Array]
    name: str
    targets: tuple[Array, ...] | None = None
    note: str = ""


def input_specs(trained: TrainedNetwork) -> list[InputSpec]:
    """The inputs of a network as a user feeds them."""
    network, graph = trained.network, trained.graph
    survey, sizes = network.symbolic_sizes, vocabularies(graph)
    words = network.recipe is not None and network.recipe.data.name == "text"
    said = network.recipe.data.options if network.recipe is not None else {}
    specs = []
    for node in graph.inputs:
        assert isinstance(node.op, Input)
        fed = node.op.fed()
        symbols = node.op.symbols if survey is not None and node.op.symbols else ("",) * len(fed.shape)
        shape = tuple(symbol or size for symbol, size in zip(symbols, fed.shape, strict=True))
        largest = sizes[node.name] - 1 if fed.dtype == "int64" and sizes.get(node.name) else None
        takes_words = words and fed.dtype == "int64"
        vocabulary = trained.vocabulary if takes_words else ()
        legal = survey.legal if survey is not None else {}
        spec = InputSpec(node.name, shape, fed.dtype, legal, largest, takes_words, vocabulary, trained.columns, said)
        specs.append(spec)
    return specs


def file_example(trained: TrainedNetwork, path: Path, number: int | None = None) -> Example:
    """The example of a file, or number `number` of several. Raises CnncError as `prediction_inputs.read_file`, E010."""
    return _one(read_file(path, input_specs(trained)), str(path), number)


def file_examples(trained: TrainedNetwork, path: Path) -> list[Example]:
    """All examples of a file, `digits.npy[3]` by name where there are several. Raises CnncError as `file_example`."""
    read = read_file(path, input_specs(trained))
    return [
        Example(
            {key: values[n : n + 1] for key, values in read.feeds.items()},
            f"{path}[{n}]" if len(read) > 1 else str(path),
            None,
            read.note if n == 0 else "",
        )
        for n in range(len(read))
    ]


def named_files_example(trained: TrainedNetwork, paths: Mapping[str, Path], number: int | None = None) -> Example:
    """The example of one file for each input. Raises CnncError as `file_example`."""
    return _one(read_each(paths, input_specs(trained)), " ".join(map(str, paths.values())), number)


def sentence_example(trained: TrainedNetwork, sentence: str) -> Example:
    """A sentence, with tabs between those of several inputs. Raises CnncError E608."""
    specs = input_specs(trained)
    other = next((spec for spec in specs if not spec.takes_words), None)
    if other is not None:
        raise CnncError.of("E608", f"--text needs a network whose inputs are words; {other.name} takes {other}")
    return _one(read_sentences([sentence], specs, "--text"), f"`{sentence}`", None)


def _one(examples: PredictionInputs, name: str, number: int | None) -> Example:
    """One of the examples that were read: the only one, or number `number`."""
    count, note = len(examples), examples.note
    if number is None and count > 1:
        note = "\n".join(filter(None, [note, f"{name} holds {count:,} examples; `--example N` takes another than 0"]))
    _require_example(number or 0, count, name)
    if count > 1:
        name = f"{name}[{number or 0}]"
    chosen = slice(number or 0, (number or 0) + 1)
    return Example({key: values[chosen] for key, values in examples.feeds.items()}, name, None, note)


def test_example(
    trained: TrainedNetwork,
    number: int,
    data: Path | Mapping[str, Array] | None,
    report: Callable[[str], None],
    download: bool = True,  # noqa: PT028 (no test)
) -> Example:
    """An example of the test set of the network's data, with its targets.

    Raises CnncError E509 without a train section, E601 to E603 for the data set, E607 where it does not fit, E010 for a
    number that is too large.
    """
    return dataset_example(trained, open_data(trained.network, data, report, trained, download), number)


def dataset_example(trained: TrainedNetwork, dataset: Dataset, number: int) -> Example:
    """An example of the test set of data that are read already. Raises CnncError E607, E010 as `test_example`."""
    split = dataset.test
    _require_example(number, len(split), f"the test set of {dataset.name}")
    chosen = slice(number, number + 1)
    inputs: tuple[Any, ...] = tuple(column[chosen] for column in split.inputs)
    targets = tuple(column[chosen] for column in split.targets)
    where = f"the test set of {data_name(trained.network, dataset)}"
    return Example(feeds_of(trained.graph, inputs), f"example {number} of {where}", targets)


def data_name(network: Network, dataset: Dataset) -> str:
    """The file or folder that the train section names, else the name of the data set."""
    return (network.recipe.data.path if network.recipe is not None else None) or dataset.name


def _require_example(number: int, count: int, where: str) -> None:
    if not 0 <= number < count:
        legal = f"0 to {count - 1:,}" if count > 1 else "0"
        raise CnncError.of(
            "E010",
            f"--example {number}: {where} has {count:,} example{'s' if count != 1 else ''}",
            help=f"number from {legal}",
        )
