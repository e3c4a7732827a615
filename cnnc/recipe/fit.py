"""Whether the statements of a train section fit each other, the data set, and the network.

In: a recipe, the statements it was read from, and the graph. Out: diagnostics E506 to E521 and W502 to W520. Facts about
data sets come from their names (`data/catalog.py`); what only their files tell is checked when `cnnc train` has read them
(E602, E610). Each rule is a function in `RULES`, with the statements that it reads: where one of them has errors, the rule
is left out, so that one mistake gives one error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cnnc.core.caller import written_settings
from cnnc.data.catalog import DESCRIBES, KNOWN, OPTIONS, READ_FROM_FILES
from cnnc.diagnostics import Diagnostic, Edit, Note, Span, nearest
from cnnc.graph.graph import Graph, Node
from cnnc.language import syntax
from cnnc.language.edits import after, as_written, did_you_mean, first_that_works, replaced, without, without_statement
from cnnc.language.lints import are_in_a_row
from cnnc.ops.activation import Activation, Identity, Scale
from cnnc.ops.norm import BatchNorm
from cnnc.ops.reshape import Flatten, Reshape
from cnnc.ops.spectrogram import Spectrogram
from cnnc.recipe.augmentation import Augment
from cnnc.recipe.declaration import kinds_of
from cnnc.recipe.losses import BALANCED, Loss
from cnnc.recipe.metrics import Metric, metric_named
from cnnc.recipe.recipe import Recipe
from cnnc.recipe.words import unknown_kind


class FittedSection(NamedTuple):
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


Rule = Callable[[FittedSection], Iterator[Diagnostic]]


def check_fit(
    recipe: Recipe, calls: Mapping[str, Sequence[syntax.Call]], unread: Collection[str], graph: Graph | None
) -> list[Diagnostic]:
    """The diagnostics of all rules. `unread` are the keywords of statements with errors; the graph is None if it has any."""
    name_errors = list(_data_name(recipe, calls["data"][0])) or list(_data_options(recipe, calls["data"][0]))
    if graph is None:
        return [*name_errors, *([] if {"loss", "metric"} & set(unread) else _metrics(recipe, calls.get("metric", [])))]
    section = FittedSection(recipe, calls, graph)
    skipped = {*unread, *(["data"] if name_errors else [])}
    diagnostics = [*name_errors]
    for rule, keywords in RULES.items():
        if not skipped.intersection(keywords):
            diagnostics += rule(section)
    return diagnostics


def _data_name(recipe: Recipe, call: syntax.Call) -> Iterator[Diagnostic]:
    """E506, E512: whether the data set is known, and has a path where it needs one."""
    data = recipe.data
    if data.name in READ_FROM_FILES:
        if data.path is None:
            edits: tuple[Edit, ...] = (Edit(call.arguments[0].span, f'{data.name} "path"', "write `data {}`"),)
            yield Diagnostic("E512", f"data {data.name} needs a file or folder in quotes", call.span, edits=edits)
    elif data.name not in KNOWN:
        names = [*KNOWN, *READ_FROM_FILES]
        yield unknown_kind("E506", f"unknown data set `{data.name}`", call, names, "the data sets are")
    elif data.path is not None:
        help = "remove the path; the option --data or the variable CNNC_DATA names the folder of its files"
        span = call.arguments[1].span
        yield Diagnostic("E512", f"data {data.name} takes no path", span, help=help, edits=(without(span, help),))


def _data_options(recipe: Recipe, call: syntax.Call) -> Iterator[Diagnostic]:
    """E517: arguments of `data` that only other kinds of data take, or that describe one that is not given."""
    data, given = recipe.data, {a.key.text: a for a in call.arguments if a.key is not None}
    for name, argument in given.items():
        kinds, described, message = OPTIONS.get(name), DESCRIBES.get(name), ""
        if kinds is not None and (data.name not in kinds or data.is_npz):
            message = f"data {data.name} takes no {name}=; it is an argument of {' and '.join(kinds)}"
        elif described is not None and data.name == "images" and described not in given:
            message = f"{name}= describes what {described}= names; {described}= is not given"
        elif name == "masks" and "labels" in given:
            message = "the targets are in a table, labels=, or in masks=, not in both"
        if message:
            left_out = [name, "labels"] if name == "masks" and "labels" in given else [name]
            edits = tuple(without(given[key].span, f"leave {key}= out") for key in left_out)
            yield Diagnostic("E517", message, argument.span, edits=edits)


def metrics(section: FittedSection) -> Iterator[Diagnostic]:
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
            help = f"metrics that fit are {', '.join(fitting)}"
            edits = (Edit(call.span, f"metric {fitting[0]}", f"{help}: `{{}}`"),) if fitting else ()
            yield Diagnostic("E513", message, call.span, help=help, edits=edits)


def augmentation(section: FittedSection) -> Iterator[Diagnostic]:
    """E514: whether the steps fit the input, the targets and the losses."""
    augment, graph = section.recipe.augment, section.graph
    if augment is None:
        return
    entry, call = graph.inputs[0], section.calls["augment"][0]
    is_series = entry.type.rank == 1 or (entry.type.rank == 0 and section.recipe.data.name == "series")
    if entry.type.dtype == "int64" or not (is_series or entry.type.rank == 2):
        message = f"augment needs an image or a series; the input {entry.name} is {entry.type}"
        edits = (without_statement(call.span, "leave `augment` out"),)
        yield Diagnostic("E514", message, call.span, notes=_type_note(entry), edits=edits)
        return
    fitting = augment.fitting(is_series)
    for rule in (_fits_input, _fits_targets, _fits_mixing):
        problem = rule(section, augment, fitting)
        if problem is not None:
            message, node, left_out = problem
            fitting = tuple(name for name in fitting if name not in left_out)
            yield Diagnostic("E514", message, call.span, notes=_type_note(node), **_kept(call, fitting, is_series))
            return


class _Misfit(NamedTuple):
    """What is wrong with a step of `augment`, the layer that a note shows, and the steps that cannot be used here."""

    message: str
    node: Node
    left_out: Sequence[str]


def _fits_input(section: FittedSection, augment: Augment, fitting: Sequence[str]) -> _Misfit | None:
    """Some steps change images, others series."""
    entry = section.graph.inputs[0]
    wrong = next((name for name, _ in augment.steps if name not in fitting), None)
    if wrong is None:
        return None
    changes = "series" if wrong in augment.of_series else "images"
    return _Misfit(f"{wrong} changes {changes}; the input {entry.name} is {entry.type}", entry, ())


def _fits_targets(section: FittedSection, augment: Augment, fitting: Sequence[str]) -> _Misfit | None:
    """Maps with as many axes as the input move with it; others cannot."""
    if section.recipe.data.has_labels_only and not any(loss.of_input for loss, _ in section.losses):
        return None
    graph, moving = section.graph, [name for name, _ in augment.steps if name in augment.moving]
    for output in _compared_outputs(section):
        if moving and _is_map(output) and output.type.rank != graph.inputs[0].type.rank:
            message = f"{moving[0]} moves {graph.inputs[0].type}; the target of {output.name} is {output.type}, which cannot move with it"
            return _Misfit(message, output, augment.moving)
    return None


def _fits_mixing(section: FittedSection, augment: Augment, fitting: Sequence[str]) -> _Misfit | None:
    """Mixing needs one input, and targets that can be mixed."""
    mixing, entry = [name for name, _ in augment.steps if name in augment.mixing], section.graph.inputs[0]
    if not mixing:
        return None
    if len(section.graph.inputs) > 1:
        message = f"{mixing[0]} mixes examples of one input; the network has {len(section.graph.inputs)}"
        return _Misfit(message, section.graph.inputs[1], augment.mixing)
    for loss, _ in section.losses:
        output = section.graph.by_name.get(loss.on or section.graph.outputs[0])
        if loss.compares_with != "labels" or output is None:
            continue
        if _is_map(output) and "mixup" in mixing:
            message = f"mixup blends two images, but a position of the label map of {output.name} has one label"
            return _Misfit(message, output, ("mixup",))
        if not _is_map(output) and not loss.takes_probabilities:
            message = f"{mixing[0]} makes a target of two classes; {loss.kind} compares with one"
            return _Misfit(message, entry, augment.mixing)
    return None


def _compared_outputs(section: FittedSection) -> Iterator[Node]:
    """The outputs that a loss compares with targets of the data."""
    for loss, _ in section.losses:
        output = section.graph.by_name.get(loss.on or section.graph.outputs[0])
        if output is not None and not loss.of_input:
            yield output


def _kept(call: syntax.Call, fitting: Sequence[str], is_series: bool) -> dict[str, Any]:
    """Help and edit that leave the steps that fit; without one that is written, an example."""
    *others, last = (name if name == "flip" else f"{name}=" for name in fitting)
    help = f"the steps that fit here are {', '.join(others)} and {last}"
    kept = [as_written(a) for a in call.arguments if (a.key.text if a.key is not None else "flip") in fitting]
    example = "jitter=0.05" if is_series else "noise=0.1"
    text = " ".join(["augment", *(kept or [example])])
    return {"help": help, "edits": (Edit(call.span, text, f"{help}: `{{}}`"),)}


def inputs(section: FittedSection) -> Iterator[Diagnostic]:
    """E507: whether the network has as many inputs as the data set, of its shape and element type."""
    data, graph, span = section.recipe.data, section.graph, section.data_call.span
    facts = READ_FROM_FILES.get(data.name)
    most = 1 if facts is None else facts.inputs
    if data.is_npz or most is None:
        return
    if data.labels is not None:
        most = len(graph.inputs)
    if len(graph.inputs) > most:
        names = " and ".join(node.name for node in graph.inputs)
        count = "one input" if most == 1 else f"one or {most} inputs"
        message = f"{data.name} has {count} per example; the network has {len(graph.inputs)}: {names}"
        help = "give several inputs by name in a file: `{}`"
        edits: tuple[Edit, ...] = (Edit(span, 'data npz "file.npz"', help),)
        if data.name == "images" and data.masks is None:
            help = "name the images of each example in a table: `{}`"
            edits = (Edit(span.source.span(span.end, span.end), ' labels="labels.csv"', help), *edits)
        yield Diagnostic("E507", message, span, notes=_type_note(graph.inputs[most]), edits=edits)
        return
    for entry in graph.inputs:
        yield from _input(section, entry)


def _input(section: FittedSection, entry: Node) -> Iterator[Diagnostic]:
    """E507 for one input."""
    data, span = section.recipe.data, section.data_call.span
    if data.name in KNOWN:
        shape = "x".join(map(str, KNOWN[data.name].shape))
        if entry.type.shape != KNOWN[data.name].shape:
            message = f"the images of {data.name} are {shape}; the network takes {entry.type}"
            edits = replaced(entry.span, r"\binput\s+(\[.*?\]|\S+)", f"input {shape}")
            help = f"give the input the shape {shape}"
            yield Diagnostic("E507", message, span, notes=_type_note(entry), help=help, edits=edits)
    elif data.name == "audio" and (entry.type.rank != 1 or entry.type.dtype != "float32"):
        message = f"recordings are waveforms, channels x samples; the network takes {entry.type}"
        help = f"declare an input of {data.samples or data.sample_rate:,} samples"
        edits = replaced(entry.span, r"\binput\b.*", f"input 1x{data.samples or data.sample_rate}")
        yield Diagnostic("E507", message, span, notes=_type_note(entry), help=help, edits=edits)
    elif data.name == "audio" and data.samples not in (None, entry.type.shape[1]):
        said = f"{data.seconds:g} s at {data.sample_rate} Hz are {data.samples:,} samples"
        help = f"declare an input of {data.samples:,} samples"
        shape = f"{entry.type.channels}x{data.samples}"
        edits = replaced(entry.span, r"\binput\s+(\[.*?\]|\S+)", f"input {shape}")
        message = f"{said}; the network takes {entry.type}"
        yield Diagnostic("E507", message, span, notes=_type_note(entry), help=help, edits=edits)
    elif data.name == "text" and (entry.type.dtype != "int64" or len(entry.type.shape) != 1):
        message = (
            f"the sentences of `data text` are rows of whole numbers, one per word; the network takes {entry.type}"
        )
        help = "declare an input of 20 words, of whole numbers, followed by an embed layer"
        edits = replaced(entry.span, r"\binput\b.*", "input 20 dtype=int64; embed 16 vocab=1000")
        yield Diagnostic("E507", message, span, notes=_type_note(entry), help=help, edits=edits)
    elif data.name != "text" and entry.type.dtype == "int64":
        message = f"`data {data.name}` gives fractional numbers; the network takes whole numbers (int64)"
        help = "leave `dtype=int64` out"
        edits = replaced(entry.span, r"\s+\bdtype\s*=\s*int64\b", "", help)
        yield Diagnostic("E507", message, span, notes=_type_note(entry), help=help, edits=edits)


def sample_rates(section: FittedSection) -> Iterator[Diagnostic]:
    """E518: whether the mel bands of a spectrogram are for the sample rate at which recordings are read."""
    data = section.recipe.data
    if data.name != "audio":
        return
    for node in section.graph.nodes:
        op = node.op
        if isinstance(op, Spectrogram) and op.mels is not None and op.sample_rate != data.sample_rate:
            message = (
                f"{node.name} has mel bands for {op.sample_rate:g} Hz; recordings are read at {data.sample_rate} Hz"
            )
            edits = _with_rate(node, data.sample_rate)
            notes = (Note(node.span, "the mel bands are here"),) if node.span is not None else ()
            help = "give both the same rate"
            yield Diagnostic("E518", message, section.data_call.span, notes=notes, help=help, edits=edits)


def _with_rate(node: Node, rate: int) -> tuple[Edit, ...]:
    """The edit that gives a spectrogram the rate of the recordings."""
    if node.span is None:
        return ()
    given = replaced(node.span, r"\brate\s*=\s*[\d.]+", f"rate={rate}")
    end = node.span.source.span(node.span.end, node.span.end)
    return given or (Edit(end, f" rate={rate}", "add `{}` to the spectrogram"),)


def losses(section: FittedSection) -> Iterator[Diagnostic]:
    """E508, E510, E511, E515: whether each loss has an output, and its target fits it."""
    graph = section.graph
    for loss, call in section.losses:
        name = loss.on or graph.outputs[0]
        if name not in graph.outputs:
            near = nearest(name, graph.outputs)
            help = f"the outputs are {', '.join(graph.outputs)}"
            on = next((a for a in call.arguments if a.key is not None and a.key.text == "on"), None)
            edits = did_you_mean(on.value.span, near) if on is not None else ()
            yield Diagnostic("E510", f"`{name}` is not an output", call.span, help=help, edits=edits)
        elif loss.compares_with == "values":
            yield from _value_target(section, loss, call, graph.by_name[name])
        else:
            yield from _label_target(section, loss, graph.by_name[name])
        if name in graph.outputs and not loss.of_input:
            yield from _masked_target(section, loss, call, graph.by_name[name])
            yield from _number_of_targets(section, loss, graph.by_name[name])


def _masked_target(section: FittedSection, loss: Loss, call: syntax.Call, output: Node) -> Iterator[Diagnostic]:
    """E508, E511: masks need a map of scores for each class, or one of numbers from 0 to 1 for two classes."""
    data, channels = section.recipe.data, output.type.channels
    if data.masks is None:
        return
    notes = _type_note(output)
    if output.type.rank != 2:
        code = "E508" if loss.compares_with == "labels" else "E511"
        message = f"masks have a label at each pixel; the output {output.type} has no rows and columns"
        help = "end with a convolution, without `flatten`, `fc` and `global_pool`"
        edits = replaced(
            output.span, r"\bfc\s+(\S+).*", f"conv {channels} k=1", "end with `{}`, without `flatten` before it"
        )
        yield Diagnostic(code, message, section.data_call.span, notes=notes, help=help, edits=edits)
    elif loss.compares_with == "values" and channels != 1:
        message = f"{loss.kind} compares masks with one channel, 0 or 1 at each pixel; the output is {output.type}"
        help = "end with `conv 1 k=1`, or compare the scores of several classes"
        edits = (Edit(call.span, "loss cross_entropy", f"{help}: `{{}}`"),)
        yield Diagnostic("E511", message, call.span, notes=notes, edits=edits)
    elif loss.compares_with == "labels":
        for key, named in (("colours", data.colours), ("classes", data.classes)):
            if named is not None and len(named) != channels:
                message = f"{key}= names {len(named)} class{'es' if len(named) != 1 else ''}; the output has {channels}, one per channel"
                edits = replaced(output.span, rf"\b{channels}\b", str(len(named)), f"end with {len(named)} channels")
                yield Diagnostic("E508", message, section.data_call.span, notes=notes, edits=edits)


def _number_of_targets(section: FittedSection, loss: Loss, output: Node) -> Iterator[Diagnostic]:
    """E508, E511: whether label= names as many columns as the output has numbers, or one column of labels."""
    names, size = section.recipe.data.label, output.type.size
    if names is None or len(names) == size or (loss.compares_with == "labels" and len(names) == 1):
        return
    columns = f"{len(names)} column{'s' * (len(names) != 1)}"
    code, expected = "E511", f"{size}, one for each number of the output {output.type}"
    if loss.compares_with == "labels":
        code, expected = "E508", f"one with the label, or {size}, one for each class"
    message = f"label= names {columns}; expected {expected}"
    edits = _last_fc(section.graph, output, len(names))
    yield Diagnostic(code, message, section.data_call.span, notes=_type_note(output), edits=edits)


def weights(section: FittedSection) -> Iterator[Diagnostic]:
    """E520: whether a list of weights has one for each class or channel of the output."""
    for loss, call in section.losses:
        output = section.graph.by_name.get(loss.on or section.graph.outputs[0])
        given = loss.balance
        if output is None or not isinstance(given, tuple) or len(given) in _fitting_lengths(loss, output):
            continue
        name, argument = next(
            (a.key.text, a) for a in call.arguments if a.key is not None and getattr(loss, a.key.text, None) is given
        )
        channels, unit = output.type.channels, "classes" if loss.compares_with == "labels" else "channels"
        message = f"{name} has {len(given)} numbers; the output {output.type} has {channels} {unit}"
        help = f"give one number for each, or `{name}={BALANCED}` computes them from the training examples"
        edits = (Edit(argument.span, f"{name}={BALANCED}", help),)
        yield Diagnostic("E520", message, argument.span, notes=_type_note(output), help=help, edits=edits)


def _fitting_lengths(loss: Loss, output: Node) -> tuple[int, ...]:
    """How many weights an output can take: one for each class; for channels also one for all."""
    return (output.type.channels,) if loss.compares_with == "labels" else (1, output.type.channels)


def sampling(section: FittedSection) -> Iterator[Diagnostic]:
    """E521: whether balanced sampling has labels; W520: whether balanced weights correct the same imbalance again."""
    recipe, call = section.recipe, section.data_call
    if recipe.data.sampling is None:
        return
    argument = next(a for a in call.arguments if a.key is not None and a.key.text == "sampling")
    edits = (without(argument.span, "leave `sampling=balanced` out"),)
    if all(loss.compares_with != "labels" for loss in recipe.losses):
        message = f"`sampling=balanced` needs labels; {recipe.losses[0].kind} compares with values"
        yield Diagnostic("E521", message, argument.span, edits=edits)
        return
    weighted = next((loss for loss in recipe.losses if loss.balance == BALANCED), None)
    if weighted is not None and weighted.compares_with == "labels":
        message = f"`sampling=balanced` and balanced weights of {weighted.kind} correct the same imbalance twice"
        help = "leave one of them out"
        yield Diagnostic("W520", message, argument.span, help=help, edits=(without(argument.span, help),))


def _value_target(section: FittedSection, loss: Loss, call: syntax.Call, output: Node) -> Iterator[Diagnostic]:
    """E511, E515: a loss on values needs numbers in the shape of the output."""
    data, entry = section.recipe.data, section.graph.inputs[0]
    same = output.type.shape == entry.type.shape and entry.type.dtype != "int64"
    if loss.of_input:
        if output.type.shape != entry.type.shape:
            message = f"the output {output.type} cannot be compared with the input {entry.type}"
            help = f"end with a layer whose output is {entry.type}"
            yield Diagnostic("E511", message, call.span, notes=_type_note(output), help=help)
    elif not data.may_have_values:
        message = f"`data {data.name}` has one label per example; {loss.kind} compares the output with numbers"
        on = f" on={loss.on}" if loss.on else ""
        weight = f" weight={loss.weight:g}" if loss.weight != 1 else ""
        end = call.span.source.span(call.span.end, call.span.end)
        edit = Edit(call.span, f"loss cross_entropy{on}{weight}")
        if same:
            edit = Edit(end, " target=input", "add `{}` to compare with the input, as an autoencoder does")
        elif output.type.size == 1:
            edit = Edit(section.data_call.span, 'data npz "file.npz"', "give numbers as targets in a file: `{}`")
        help = "a loss on labels is cross_entropy"
        yield Diagnostic("E515", message, call.span, notes=_type_note(output), help=help, edits=(edit,))


def _label_target(section: FittedSection, loss: Loss, output: Node) -> Iterator[Diagnostic]:
    """E508: a loss on labels needs a score for each class."""
    data, span, notes = section.recipe.data, section.data_call.span, _type_note(output)
    facts = KNOWN.get(data.name)
    count = len(facts.classes) if facts is not None else 0
    channels = output.type.channels
    if (data.has_labels_only or data.labels is not None) and _is_map(output):
        message = (
            f"`data {data.name}` has one label per {data.item}; the output {output.type} has scores at each position"
        )
        help = f"end with `global_pool avg` and `fc {count or channels}`"
        added = f"global_pool avg; fc {count or channels}"
        edits: tuple[Edit, ...] = (after(output.span, added, help),) if output.span is not None else ()
        yield Diagnostic("E508", message, span, notes=notes, help=help, edits=edits)
    elif count and channels != count:
        message = f"{data.name} has {count} classes; the network's output has shape {output.type}"
        help = f"end with one output per class, {count}"
        yield Diagnostic("E508", message, span, notes=notes, help=help, edits=_last_fc(section.graph, output, count))
    elif channels == 1:
        message = (
            f"{loss.kind} needs a score for each class, at least two; the network's output has shape {output.type}"
        )
        labels_only = data.has_labels_only or data.labels is not None
        help = "end with one output per class" if labels_only else _ONE_SCORE
        edits = _last_fc(section.graph, output, 2, "end with `{}` for two classes") if labels_only else ()
        yield Diagnostic("E508", message, span, notes=notes, help=help, edits=edits)


_ONE_SCORE = "end with 2 channels for two classes, or write `loss bce` for targets that are numbers from 0 to 1"


def batch_norms(section: FittedSection) -> Iterator[Diagnostic]:
    """E516: batch normalization over a single element per channel."""
    if section.recipe.batch == 1 and (node := single_element_norm(section.graph)) is not None:
        message = f"with `batch 1`, {node.name} normalizes over one element per channel, so its output is constant"
        span = section.calls["batch"][0].span
        edits = (Edit(span, "batch 32"),)
        yield Diagnostic("E516", message, span, notes=_note(node, "one element per example"), edits=edits)


def batch_size(section: FittedSection) -> Iterator[Diagnostic]:
    """W502: a batch larger than the training set."""
    facts, data = KNOWN.get(section.recipe.data.name), section.recipe.data
    if facts is not None:
        yield from larger_batch(section.recipe, facts.training - round(facts.training * data.val))


def larger_batch(recipe: Recipe, examples: int) -> Iterator[Diagnostic]:
    """W502 where a batch is larger than the number of training examples."""
    if recipe.batch > examples and "batch" in recipe.spans:
        message = f"batches of {recipe.batch:,} are larger than the training set of {examples:,} examples, so each epoch is one step"
        span = recipe.spans["batch"]
        yield Diagnostic("W502", message, span, edits=(Edit(span, "batch 32"),))


def scores(section: FittedSection) -> Iterator[Diagnostic]:
    """W503: an activation on the scores of a loss that applies softmax or sigmoid itself."""
    graph = section.graph
    for loss, _ in section.losses:
        output = graph.by_name.get(loss.on or graph.outputs[0])
        if output is None or not loss.included_layers or (loss.compares_with == "labels" and output.type.channels == 1):
            continue
        if not section.recipe.data.may_have_values and loss.compares_with == "values" and not loss.of_input:
            continue  # E515: the loss is another one
        is_included = output.op.keyword in loss.included_layers
        node = _without_reshapes(graph, graph.by_name[output.inputs[0]] if is_included else output)
        is_reported = isinstance(output.op, Activation) and are_in_a_row(output, node)
        if isinstance(node.op, Activation) and not isinstance(node.op, Scale) and not is_reported:
            yield _activation_on_scores(graph, loss, node, output)


def _without_reshapes(graph: Graph, node: Node) -> Node:
    """The layer whose elements a node has, in another shape."""
    while isinstance(node.op, Flatten | Identity | Reshape):
        node = graph.by_name[node.inputs[0]]
    return node


def _activation_on_scores(graph: Graph, loss: Loss, node: Node, output: Node) -> Diagnostic:
    """W503 for one activation."""
    message = f"{node.op.keyword} on the scores of {loss.kind}, which applies {loss.included_layers[0]} itself"
    if node.op.keyword in loss.included_layers:
        message = f"{loss.kind} applies {node.op.keyword} a second time, because {output.name} follows this one"
    edits = _moved_to_the_end(graph, node, output, loss) or _without_activation(graph, node, loss)
    return Diagnostic("W503", message, node.span, help="remove it", edits=edits, calls=node.calls)


def _moved_to_the_end(graph: Graph, node: Node, output: Node, loss: Loss) -> tuple[Edit, ...]:
    """The edit for the activation of the loss above a reshape: below it, the loss takes it in, and the model keeps it."""
    span, end = node.span, output.span
    is_included = node.op.keyword in loss.included_layers and not isinstance(output.op, Activation)
    if not is_included or span is None or end is None or span.source is not end.source or span.start >= end.start:
        return ()
    if not end.text.startswith(output.op.keyword):
        return ()  # the label names the output
    if span.text != node.op.keyword or len(graph.consumers[node.name]) > 1 or node.calls or output.calls:
        return ()
    removed = without_statement(span).span
    between = span.source.text[removed.end : end.end]
    text = between + after(end, node.op.keyword).text
    return (Edit(Span(span.source, removed.start, end.end), text, f"move it below {output.name}"),)


def _without_activation(graph: Graph, node: Node, loss: Loss) -> tuple[Edit, ...]:
    """The edit for an activation that should not be there: other layers and statements may use it, or refer to its name."""
    if node.span is None:
        return ()
    if len(graph.consumers[node.name]) > 1 or sum(n.span == node.span for n in graph.nodes) > 1:
        layer = f"conv {node.type.channels} k=1" if _is_map(node) else f"fc {node.type.channels}"
        return (after(node.span, layer),)
    has_label = not node.span.text.startswith(node.op.keyword)
    is_named = node.name in graph.outputs and (len(graph.outputs) > 1 or loss.on == node.name)
    keeps_name = (has_label or is_named) and "." not in node.name
    return (Edit(node.span, f"{node.name}: identity") if keeps_name else without_statement(node.span),)


def learning_rate(section: FittedSection) -> Iterator[Diagnostic]:
    """W504: a learning rate far outside the usual range of the optimizer."""
    optimizer = section.recipe.optimizer
    least, most = optimizer.usual_rates
    if least <= optimizer.lr <= most or "optimizer" not in section.calls:
        return
    call = section.calls["optimizer"][0]
    span = next((a.span for a in call.arguments if a.key is not None and a.key.text == "lr"), call.span)
    spec = next(spec for spec in optimizer.arguments if spec.name == "lr")
    far = "above" if optimizer.lr > most else "below"
    message = f"lr={optimizer.lr:g} is far {far} the usual learning rates of {optimizer.kind}, {least:g} to {most:g}"
    is_setting = span.source.name.startswith("--set")
    written = written_settings("train.optimizer.{}") if is_setting else "{}"
    edit = Edit(span, f"lr={0.01 if spec.required else spec.default:g}", f"write `{written}`")
    yield Diagnostic("W504", message, span, edits=(edit,))


def single_element_norm(graph: Graph) -> Node | None:
    """The first batch norm that sees one element per channel of each example; None if there is none."""
    return next(
        (n for n in graph.nodes if isinstance(n.op, BatchNorm) and math.prod(n.type.spatial) == 1),
        None,
    )


RULES: dict[Rule, tuple[str, ...]] = {
    inputs: ("data",),
    sample_rates: ("data",),
    losses: ("data", "loss"),
    weights: ("loss",),
    sampling: ("data", "loss"),
    metrics: ("loss", "metric"),
    augmentation: ("augment", "loss"),
    batch_norms: ("batch",),
    batch_size: ("batch", "data"),
    scores: ("loss",),
    learning_rate: ("optimizer",),
}
"""The rules, each with the statements that it reads."""


def _is_map(output: Node) -> bool:
    """Whether an output has several positions, such as a label map or an image."""
    return any(size != 1 for size in output.type.spatial)


def _last_fc(graph: Graph, output: Node, count: int, help: str = "end with `{}`") -> tuple[Edit, ...]:
    """Edits after which a network has `count` outputs: its last fc has as many, or another one follows."""
    edits = [after(output.span, f"fc {count}", help)] if output.span is not None else []
    node: Node | None = output
    while node is not None and len(node.inputs) == 1 and node.op.keyword != "fc" and not graph.parameters(node):
        node = graph.by_name[node.inputs[0]]
    if node is not None and node.op.keyword == "fc" and node.span is not None:
        edits = [*replaced(node.span, r"\bfc\s+\S+", f"fc {count}", help), *edits]
    return first_that_works(edits)


def _type_note(node: Node) -> tuple[Note, ...]:
    """Where the types differ: `takes 1x28x28` at an input, `outputs 10` at another layer."""
    return _note(node, f"{'outputs' if node.inputs else 'takes'} {node.type}")


def _note(node: Node, text: str) -> tuple[Note, ...]:
    return (Note(node.span, text),) if isinstance(node.span, Span) else ()
