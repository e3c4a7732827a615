"""Whether the statements of a train section fit each other, the data set, and the network.

In: a recipe, the statements it was read from, and the graph. Out: diagnostics E506 to E516 and W502. Facts about data sets
come from their names (`data/catalog.py`); what only their files tell is checked when `cnnc train` has read them (E602,
E610). Each rule is a function in `RULES`, with the statements that it reads: where one of them has errors, the rule is left
out, so that one mistake gives one error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from cnnc.data.catalog import KNOWN, READ_FROM_FILES
from cnnc.diagnostics import Diagnostic, Note, Span, nearest
from cnnc.graph.graph import Graph, Node
from cnnc.language import syntax
from cnnc.ops.norm import BatchNorm
from cnnc.recipe.declaration import kinds_of
from cnnc.recipe.losses import Loss
from cnnc.recipe.metrics import Metric, metric_named
from cnnc.recipe.recipe import Recipe


class Section(NamedTuple):
    """A recipe, its statements by keyword, and the network's graph."""

    recipe: Recipe
    calls: Mapping[str, Sequence[syntax.Call]]
    graph: Graph

    @property
    def data_call(self) -> syntax.Call:
        """The `data` statement."""
        return self.calls["data"][0]

    @property
    def losses(self) -> Iterator[tuple[Loss, syntax.Call]]:
        """Each loss with its statement, the `data` statement where the section has none."""
        return zip(self.recipe.losses, self.calls.get("loss", [self.data_call]), strict=True)


Rule = Callable[[Section], Iterator[Diagnostic]]


def check_fit(
    recipe: Recipe, calls: Mapping[str, Sequence[syntax.Call]], unread: Collection[str], graph: Graph | None
) -> list[Diagnostic]:
    """The diagnostics of all rules. `unread` are the keywords of statements with errors; the graph is None if it has any."""
    name_errors = list(_data_name(recipe, calls["data"][0]))
    if graph is None:
        return [*name_errors, *([] if {"loss", "metric"} & set(unread) else _metrics(recipe, calls.get("metric", [])))]
    section = Section(recipe, calls, graph)
    skipped = {*unread, *(["data"] if name_errors else [])}
    found = [*name_errors]
    for rule, keywords in RULES.items():
        if not skipped.intersection(keywords):
            found += rule(section)
    return found


def _data_name(recipe: Recipe, call: syntax.Call) -> Iterator[Diagnostic]:
    """E506, E512: whether the data set is known, and has a path where it needs one."""
    data = recipe.data
    if data.name in READ_FROM_FILES:
        if data.path is None:
            message, help = f"data {data.name} needs a file or folder in quotes", f'write `data {data.name} "path"`'
            yield Diagnostic("E512", message, call.span, help=help)
    elif data.name not in KNOWN:
        names = [*KNOWN, *READ_FROM_FILES]
        near = nearest(data.name, names)
        help = f"did you mean `{near}`?" if near else f"the data sets are {', '.join(names)}"
        yield Diagnostic("E506", f"unknown data set `{data.name}`", call.arguments[0].span, help=help)
    elif data.path is not None:
        help = "remove the path; the option --data or the variable CNNC_DATA names the folder of its files"
        yield Diagnostic("E512", f"data {data.name} takes no path", call.arguments[1].span, help=help)


def metrics(section: Section) -> Iterator[Diagnostic]:
    """E513: whether each metric has a loss that compares with the same kind of target."""
    return _metrics(section.recipe, section.calls.get("metric", []))


def _metrics(recipe: Recipe, calls: Sequence[syntax.Call]) -> Iterator[Diagnostic]:
    targets = {loss.compares_with for loss in recipe.losses}
    for metric, call in zip(recipe.metrics, calls, strict=True):
        compares_with = metric_named(metric).compares_with
        if compares_with not in targets:
            loss = recipe.losses[0]
            message = f"{metric} needs a loss that compares with {compares_with}; {loss.kind} compares with {loss.compares_with}"
            fitting = [name for name, cls in kinds_of(Metric).items() if cls.compares_with in targets]
            yield Diagnostic("E513", message, call.span, help=f"metrics that fit are {', '.join(fitting)}")


def augmentation(section: Section) -> Iterator[Diagnostic]:
    """E514: whether the input is an image, and no step moves its pixels away from those of a target."""
    augment, graph = section.recipe.augment, section.graph
    if augment is None:
        return
    entry, span = graph.inputs[0], section.calls["augment"][0].span
    if entry.type.rank != 2 or entry.type.dtype == "int64":
        message = f"augment needs an image; the input {entry.name} is {entry.type}"
        yield Diagnostic("E514", message, span, notes=_type_note(entry), help="leave `augment` out")
        return
    # labels do not move with their images
    moving = (
        [] if section.recipe.data.has_labels_only else [name for name, _ in augment.steps if name in augment.moving]
    )
    for loss, _ in section.losses:
        output = graph.by_name.get(loss.on or graph.outputs[0])
        if moving and output is not None and _is_map(output) and not loss.of_input:
            message = f"{moving[0]} moves the pixels of the input but not those of the target of {output.name}"
            help = "of the steps of augment, only noise= and cutout= fit here"
            yield Diagnostic("E514", message, span, notes=_type_note(output), help=help)
            return


def inputs(section: Section) -> Iterator[Diagnostic]:
    """E507: whether the network has as many inputs as the data set, of its shape and element type."""
    data, graph, span = section.recipe.data, section.graph, section.data_call.span
    facts = READ_FROM_FILES.get(data.name)
    most = 1 if facts is None else facts.inputs
    if data.is_npz or most is None:
        return
    if len(graph.inputs) > most:
        names = " and ".join(node.name for node in graph.inputs)
        count = "one input" if most == 1 else f"one or {most} inputs"
        message = f"{data.name} has {count} per example; the network has {len(graph.inputs)}: {names}"
        help = 'give several inputs by name in a file: `data npz "file.npz"`'
        yield Diagnostic("E507", message, span, notes=_type_note(graph.inputs[most]), help=help)
        return
    for entry in graph.inputs:
        yield from _input(section, entry)


def _input(section: Section, entry: Node) -> Iterator[Diagnostic]:
    """E507 for one input."""
    data, span = section.recipe.data, section.data_call.span
    if data.name in KNOWN:
        shape = "x".join(map(str, KNOWN[data.name].shape))
        if entry.type.shape != KNOWN[data.name].shape:
            message = f"the images of {data.name} are {shape}; the network takes {entry.type}"
            yield Diagnostic("E507", message, span, notes=_type_note(entry), help=f"write `input {shape}`")
    elif data.name == "text" and (entry.type.dtype != "int64" or len(entry.type.shape) != 1):
        message = (
            f"the sentences of `data text` are rows of whole numbers, one per word; the network takes {entry.type}"
        )
        help = "declare an input of 20 words as `input 20 dtype=int64`, followed by an `embed` layer"
        yield Diagnostic("E507", message, span, notes=_type_note(entry), help=help)
    elif data.name != "text" and entry.type.dtype == "int64":
        message = f"`data {data.name}` gives fractional numbers; the network takes whole numbers (int64)"
        yield Diagnostic("E507", message, span, notes=_type_note(entry), help="leave `dtype=int64` out")


def losses(section: Section) -> Iterator[Diagnostic]:
    """E508, E510, E511, E515: whether each loss has an output, and its target fits it."""
    graph = section.graph
    for loss, call in section.losses:
        name = loss.on or graph.outputs[0]
        if name not in graph.outputs:
            near = nearest(name, graph.outputs)
            help = f"did you mean `{near}`?" if near else f"the outputs are {', '.join(graph.outputs)}"
            yield Diagnostic("E510", f"`{name}` is not an output", call.span, help=help)
        elif loss.compares_with == "values":
            yield from _value_target(section, loss, call, graph.by_name[name])
        else:
            yield from _label_target(section, graph.by_name[name])


def _value_target(section: Section, loss: Loss, call: syntax.Call, output: Node) -> Iterator[Diagnostic]:
    """E511, E515: a loss on values needs numbers in the shape of the output."""
    data, entry = section.recipe.data, section.graph.inputs[0]
    same = output.type.shape == entry.type.shape and entry.type.dtype != "int64"
    if loss.of_input:
        if output.type.shape != entry.type.shape:
            message = f"the output {output.type} cannot be compared with the input {entry.type}"
            help = f"end with a layer whose output is {entry.type}"
            yield Diagnostic("E511", message, call.span, notes=_type_note(output), help=help)
    elif data.has_labels_only:
        message = f"`data {data.name}` has one label per example; {loss.kind} compares the output with numbers"
        on = f" on={loss.on}" if loss.on else ""
        weight = f" weight={loss.weight:g}" if loss.weight != 1 else ""
        help = (
            "add `target=input` to compare with the input, as an autoencoder does"
            if same
            else f"write `loss cross_entropy{on}{weight}`"
        )
        yield Diagnostic("E515", message, call.span, notes=_type_note(output), help=help)


def _label_target(section: Section, output: Node) -> Iterator[Diagnostic]:
    """E508: a loss on labels needs a score for each class."""
    data, span, notes = section.recipe.data, section.data_call.span, _type_note(output)
    facts = KNOWN.get(data.name)
    count = len(facts.classes) if facts is not None else 0
    channels = output.type.channels
    if data.has_labels_only and _is_map(output):
        message = (
            f"`data {data.name}` has one label per {data.item}; the output {output.type} has scores at each position"
        )
        help = f"end with `global_pool avg` and `fc {count or channels}`"
        yield Diagnostic("E508", message, span, notes=notes, help=help)
    elif count and channels != count:
        message = f"{data.name} has {count} classes; the network's output has shape {output.type}"
        yield Diagnostic("E508", message, span, notes=notes, help=f"end with `fc {count}`")
    elif channels == 1:
        message = (
            f"cross_entropy needs a score for each class, at least two; the network's output has shape {output.type}"
        )
        help = "end with `fc 2` for two classes" if data.has_labels_only else _ONE_SCORE
        yield Diagnostic("E508", message, span, notes=notes, help=help)


_ONE_SCORE = "end with 2 channels for two classes, or write `loss bce` for targets that are numbers from 0 to 1"


def batch_norms(section: Section) -> Iterator[Diagnostic]:
    """E516: batch normalization over a single element per channel."""
    if section.recipe.batch == 1 and (node := single_element_norm(section.graph)) is not None:
        message = f"with `batch 1`, {node.name} normalizes over one element per channel, so its output is constant"
        span = section.calls["batch"][0].span
        yield Diagnostic("E516", message, span, notes=_note(node, "one element per example"), help="write `batch 32`")


def batch_size(section: Section) -> Iterator[Diagnostic]:
    """W502: a batch larger than the training set."""
    facts, data = KNOWN.get(section.recipe.data.name), section.recipe.data
    if facts is not None:
        yield from larger_batch(section.recipe, facts.training - round(facts.training * data.val))


def larger_batch(recipe: Recipe, examples: int) -> Iterator[Diagnostic]:
    """W502 where a batch is larger than the number of training examples."""
    if recipe.batch > examples and "batch" in recipe.spans:
        message = f"batches of {recipe.batch:,} are larger than the training set of {examples:,} examples, so each epoch is one step"
        yield Diagnostic("W502", message, recipe.spans["batch"], help="write `batch 32`")


def single_element_norm(graph: Graph) -> Node | None:
    """The first batch norm that sees one element per channel of each example; None if there is none."""
    return next(
        (n for n in graph.nodes if isinstance(n.op, BatchNorm) and math.prod(n.type.spatial) == 1),
        None,
    )


RULES: dict[Rule, tuple[str, ...]] = {
    inputs: ("data",),
    losses: ("data", "loss"),
    metrics: ("loss", "metric"),
    augmentation: ("augment", "loss"),
    batch_norms: ("batch",),
    batch_size: ("batch", "data"),
}
"""The rules, each with the statements that it reads."""


def _is_map(output: Node) -> bool:
    """Whether an output has several positions, such as a label map or an image."""
    return any(size != 1 for size in output.type.spatial)


def _type_note(node: Node) -> tuple[Note, ...]:
    """Where the types differ: `takes 1x28x28` at an input, `outputs 10` at another layer."""
    return _note(node, f"{'outputs' if node.inputs else 'takes'} {node.type}")


def _note(node: Node, text: str) -> tuple[Note, ...]:
    return (Note(node.span, text),) if isinstance(node.span, Span) else ()
