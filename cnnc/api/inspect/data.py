"""`cnnc inspect`: what all parts of the report read: the network, the inputs that the options name, and the data.

In: `InspectOptions` and a network with weights. Out: an `Inspection`, which reads the data set and each named file once, and the budgets that say how many
examples of the test set a part takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cnnc.api.inspect.channel import ChosenChannels, TestSearch, require_channels, search
from cnnc.api.inspect.options import InspectOptions
from cnnc.core.arrays import Array
from cnnc.data.dataset import Dataset, Split
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.ops.activation import LogSoftmax, Softmax
from cnnc.reference.attribution import batch_size
from cnnc.training.loop import open_data
from cnnc.training.objective import Objective, Term, feeds_of
from cnnc.training.trained import Example, TrainedNetwork, data_name, dataset_example, file_examples, sentence_example

INPUTS = 8
"""The most examples of one file."""
_LONG = 2_000_000_000
"""Multiply-adds above which a line says that the test set is being read."""


class Budget(NamedTuple):
    """The most examples of the test set that a part reads, and the most multiply-adds and activations that they may take."""

    examples: int
    macs: int
    activations: int

    def fitting(self, graph: Graph, available: int, passes: int = 1) -> int:
        """How many of the available examples fit, at least one; each runs through the network this many times."""
        size = sum(node.type.size for node in graph.nodes)
        most = min(self.macs // max(1, passes * graph.total_macs), self.activations // size)
        return max(1, min(available, self.examples, most))


_ANY = 1 << 62
HISTOGRAMS = Budget(256, 10_000_000_000, 256_000_000)
NGRAMS = Budget(1000, 20_000_000_000, _ANY)
SEARCH = Budget(1000, 20_000_000_000, _ANY)
SHIFTED_PREDICTIONS = Budget(_ANY, 200_000_000_000, _ANY)
SHIFTED_ACTIVATIONS = Budget(256, 200_000_000_000, 100_000_000)
"""Activations count where those of all examples are in memory at once; others run in batches."""


class TestPart(NamedTuple):
    """The first examples of the test set, and what they are in words: `256 examples of the test set of digits`.

    `graph` is the network at their sizes.
    """

    graph: Graph
    split: Split
    text: str
    is_whole: bool

    @property
    def size(self) -> int:
        """The number of examples."""
        return len(self.split)

    def feeds(self) -> dict[str, Array]:
        """All examples as one batch."""
        return feeds_of(self.graph, tuple(column[:] for column in self.split.inputs))

    def batches(self) -> Iterator[dict[str, Array]]:
        """The examples in batches whose activations fit into memory."""
        step = batch_size(self.graph)
        for first in range(0, self.size, step):
            chosen = slice(first, min(first + step, self.size))
            yield feeds_of(self.graph, tuple(column[chosen] for column in self.split.inputs))


@dataclass(frozen=True, eq=False)
class Inspection:
    """The command line, the network, and its data; `problem` says why there are none."""

    options: InspectOptions
    subject: TrainedNetwork
    data: Dataset | None
    problem: str = ""
    error: CnncError | None = None

    @property
    def graph(self) -> Graph:
        """The graph of the network."""
        return self.subject.graph

    def require_data(self) -> Dataset:
        """The data. Raises CnncError where they cannot be read, as E603."""
        if self.data is None:
            assert self.error is not None
            raise self.error
        return self.data

    @property
    def test_set(self) -> str:
        """The test set in words."""
        return f"the test set of {data_name(self.subject.network, self.require_data())}"

    def test_part(self, budget: Budget, what: str = "", passes: int = 1) -> TestPart:
        """The first examples of the test set; a line says what they are read for if that takes long."""
        data = self.require_data()
        total = len(data.test)
        count = budget.fitting(self.graph, total, passes)
        split = data.test if count == total else data.test.select(np.arange(count))
        text = f"{count:,} example{'s' * (count != 1)} of {self.test_set}"
        if what and count * passes * self.graph.total_macs > _LONG:
            self.options.report(f"{what}: {text}")
        first = feeds_of(self.graph, tuple(column[:1] for column in split.inputs))
        return TestPart(self.subject.graph_for(first), split, text, count == total)

    def class_names(self, output: str) -> tuple[str, ...]:
        """The names of the classes that an output scores, numbers where they are not known; () for other outputs."""
        node, recipe = self.graph.by_name[output], self.subject.network.recipe
        compared = (
            {loss.on or self.graph.outputs[0] for loss in recipe.losses if loss.compares_with == "labels"}
            if recipe
            else ()
        )
        if node.type.channels < 2 or not (isinstance(node.op, Softmax | LogSoftmax) or output in compared):
            return ()
        named = output == self.graph.outputs[0] and len(self.subject.classes) == node.type.channels
        return self.subject.classes if named else tuple(map(str, range(node.type.channels)))

    @cached_property
    def objective(self) -> Objective:
        """The losses of the train section on the data. Raises CnncError E509, E610, and that of the data."""
        from cnnc.api.evaluation import objective_of

        return objective_of(self.subject.network, self.require_data())

    @property
    def classified(self) -> Term | None:
        """The loss that compares with one label for each example; None without one."""
        term = self.objective.term_by_target.get("labels")
        if term is None or term.column is None or self.require_data().test.targets[term.column][:1].size != 1:
            return None
        return term

    @cached_property
    def maximized(self) -> list[ChosenChannels]:
        """What --maximize names. Raises CnncError E010."""
        return [require_channels(self.graph, text, "--maximize") for text in self.options.maximize]

    @cached_property
    def projected(self) -> list[ChosenChannels]:
        """What --deconv names. Raises CnncError E010."""
        return [require_channels(self.graph, text, "--deconv") for text in self.options.deconv]

    @cached_property
    def search(self) -> TestSearch:
        """The strongest activations of all layers that --maximize and --deconv name."""
        layers = list(dict.fromkeys(each.layer for each in (*self.maximized, *self.projected)))
        part = self.test_part(SEARCH, "searching the strongest activations")
        return search((part.graph, self.subject.weights), part.batches(), layers, part.text)

    @cached_property
    def examples(self) -> list[Example]:
        """The inputs that the command line names, in the order of its help. Raises CnncError for one that cannot be read."""
        examples = self.given
        if self.options.example is not None:
            examples = [*examples, dataset_example(self.subject, self.require_data(), self.options.example)]
        return examples

    @cached_property
    def given(self) -> list[Example]:
        """The files and sentences that the command line names; of one file at most INPUTS examples."""
        examples: list[Example] = []
        for path in self.options.images:
            read = file_examples(self.subject, path)
            if len(read) > INPUTS:
                self.options.report(f"{path} holds {len(read):,} examples; the first {INPUTS} are shown")
            examples += read[:INPUTS]
        return [*examples, *self.sentences]

    @cached_property
    def sentences(self) -> list[Example]:
        """The sentences that the command line names."""
        return [sentence_example(self.subject, sentence) for sentence in self.options.sentences]


def open_inspection(options: InspectOptions, subject: TrainedNetwork) -> Inspection:
    """Reads the data, which name the classes and words of a network that is not trained.

    Public data are downloaded only if an option needs them. Raises CnncError if those that --data names cannot be read.
    """
    try:
        data = open_data(subject.network, options.data, options.report, subject, options.needs_data)
    except CnncError as error:
        if options.data is not None:
            raise
        return Inspection(options, subject, None, error.diagnostics[0].message, error)
    scores = subject.graph.by_name[subject.graph.outputs[0]].type.channels
    if not subject.classes and len(data.classes) == scores:
        subject = subject._replace(classes=data.classes)
    if not subject.vocabulary:
        subject = subject._replace(vocabulary=data.vocabulary)
    return Inspection(options, subject, data)
