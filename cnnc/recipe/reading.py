"""Reads the train section.

In: the section as it was written, settings of the command line, and the graph. Out: a `Recipe`, or a diagnostic
for each thing that is wrong with it. It opens no data and loads no NumPy: `cnnc check` reads recipes as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import Diagnostic, Note, in_order, nearest
from cnnc.graph.graph import Graph, Node
from cnnc.language import syntax
from cnnc.language.bind import bind
from cnnc.language.lower import TrainSection
from cnnc.recipe.metrics import METRICS, OF_LABELS
from cnnc.recipe.statements import SEVERAL, STATEMENTS, Clip, Count, CrossEntropy, Data, Loss, Metric, Recipe, Seed

READ_FROM_FILES = ("images", "npz", "text", "series")  # data of one's own: its facts are known when it is opened

Calls = dict[str, list[syntax.Call]]


def read(
    section: TrainSection, graph: Graph | None, settings: Mapping[str, syntax.Expression]
) -> tuple[Recipe | None, list[Diagnostic]]:
    """The recipe, and what is wrong with it. `settings` are values by path: `epochs`, `optimizer.lr`."""
    diagnostics: list[Diagnostic] = []
    calls = _apply_settings(_calls(section.call, diagnostics), section.call, settings, diagnostics)
    found: dict[str, list[Any]] = {}
    for word, statements in calls.items():
        for call in statements:
            cls = _class_of(word, call, diagnostics)
            if cls is not None:
                bound = bind(cls, call, section.scope, 0)
                diagnostics += bound.diagnostics
                if bound.value is not None:
                    found.setdefault(word, []).append(_plain(bound.value))
    if "data" not in calls and not section.call.arguments:
        span = section.call.op.span
        diagnostics.append(Diagnostic("E504", "the train section names no data", span, help="add `data digits`"))
    if any(d.severity == "error" for d in diagnostics):
        return None, in_order(diagnostics)
    values: dict[str, Any] = {_FIELDS.get(w, w): tuple(made) if w in SEVERAL else made[0] for w, made in found.items()}
    places = {word: statements[0].span for word, statements in calls.items()}
    recipe = Recipe(**values, places=places)
    diagnostics += _fit_data(recipe.data, calls["data"][0])
    diagnostics += _fit_metrics(recipe, calls.get("metric", []))
    if graph is not None:
        diagnostics += _fit_losses(recipe, calls, graph)
        diagnostics += _fit_augment(recipe, calls.get("augment", []), graph)
    clean = not any(d.severity == "error" for d in diagnostics)
    return recipe if clean else None, in_order(diagnostics)


_FIELDS = {"loss": "losses", "metric": "metrics"}


def _plain(value: Any) -> Any:
    """A statement of one value as that value."""
    if isinstance(value, Count | Seed | Clip):
        return value.n
    return value.kind if isinstance(value, Metric) else value


def _calls(train: syntax.Call, diagnostics: list[Diagnostic]) -> Calls:
    """The statements of the section by their words."""
    calls: Calls = {}
    if train.arguments or len(train.bodies) != 1:
        span = train.arguments[0].span if train.arguments else train.span
        diagnostics.append(Diagnostic("E505", "train takes one body and nothing else", span, help="`train { ... }`"))
        return calls
    for statement in train.bodies[0].statements:
        if not isinstance(statement, syntax.Call) or statement.bodies or statement.label is not None:
            message = "a train section holds statements such as `batch 64`"
            help = "a `let` stands before the train section" if isinstance(statement, syntax.Let) else ""
            diagnostics.append(Diagnostic("E505", message, statement.span, help=help))
            continue
        word = statement.op.text
        if word in calls and word not in SEVERAL:
            note = Note(calls[word][0].span, "the first")
            message, help = f"a second `{word}`", "keep one of the two"
            diagnostics.append(Diagnostic("E502", message, statement.span, notes=(note,), help=help))
        elif word not in STATEMENTS:
            near = nearest(word, STATEMENTS)
            help = f"did you mean `{near}`?" if near else f"there are {', '.join(STATEMENTS)}"
            diagnostics.append(Diagnostic("E501", f"unknown train statement `{word}`", statement.op.span, help=help))
        else:
            calls.setdefault(word, []).append(statement)
    return calls


def _class_of(word: str, call: syntax.Call, diagnostics: list[Diagnostic]) -> type[Any] | None:
    entry = STATEMENTS[word]
    if isinstance(entry, type):
        return entry
    first = call.arguments[0] if call.arguments else None
    if first is None or first.key is not None or not isinstance(first.value, syntax.Word):
        help = f"write `{word} {next(iter(entry))}`; there are {', '.join(entry)}"
        diagnostics.append(Diagnostic("E503", f"{word} needs its kind", call.span, help=help))
        return None
    name = first.value.name
    if name not in entry:
        near = nearest(name, entry)
        help = f"did you mean `{near}`?" if near else f"there are {', '.join(entry)}"
        diagnostics.append(Diagnostic("E503", f"unknown {word} `{name}`", first.span, help=help))
    return entry.get(name)


def _apply_settings(
    calls: Calls,
    train: syntax.Call,
    settings: Mapping[str, syntax.Expression],
    diagnostics: list[Diagnostic],
) -> Calls:
    """The statements with the command line's settings put in, as if they had been written so."""
    for path, value in settings.items():
        word, _, key = path.partition(".")
        if word not in STATEMENTS:
            near = nearest(word, STATEMENTS)
            help = f"did you mean `train.{near}`?" if near else ""
            diagnostics.append(Diagnostic("E115", f"no train statement `{word}` to set", value.span, help=help))
            continue
        op = syntax.Name(word, value.span)
        call = calls[word][0] if word in calls else syntax.Call(None, op, (), (), value.span)
        name = syntax.Name(key, value.span) if key else None
        new = syntax.Argument(name, value, value.span)
        if key:
            kept = tuple(a for a in call.arguments if a.key is None or a.key.text != key)
            arguments = (*kept, new)
        elif isinstance(STATEMENTS[word], dict) and not _same_kind(call, value):
            arguments = (new,)  # the keys of another kind are not this one's
        else:
            arguments = (new, *(a for a in call.arguments if a.key is not None))
        calls[word] = [call._replace(arguments=arguments), *calls.get(word, [])[1:]]
    return calls


def _same_kind(call: syntax.Call, value: syntax.Expression) -> bool:
    first = call.arguments[0].value if call.arguments else None
    return isinstance(first, syntax.Word) and isinstance(value, syntax.Word) and first.name == value.name


def _fit_data(data: Data, call: syntax.Call) -> list[Diagnostic]:
    """Whether the data set is known, and has a path where it needs one."""
    if data.name in READ_FROM_FILES:
        if data.path is None:
            help = f'write `data {data.name} "path"`'
            return [Diagnostic("E512", f"data {data.name} needs a file or folder in quotes", call.span, help=help)]
        return []
    if data.name not in KNOWN:
        names = [*KNOWN, *READ_FROM_FILES]
        near = nearest(data.name, names)
        help = f"did you mean `{near}`?" if near else f"there are {', '.join(names)}"
        return [Diagnostic("E506", f"unknown data set `{data.name}`", call.arguments[0].span, help=help)]
    if data.path is not None:
        help = "where its files lie is said by --data or CNNC_DATA"
        return [Diagnostic("E512", f"data {data.name} takes no path", call.arguments[1].span, help=help)]
    return []


def _fit_metrics(recipe: Recipe, calls: Sequence[syntax.Call]) -> list[Diagnostic]:
    """Whether there is a loss for each metric to be counted on: labels for some, values for the others."""
    found = []
    kinds = {isinstance(loss, CrossEntropy) for loss in recipe.losses}
    for metric, call in zip(recipe.metrics, calls, strict=True):
        if (metric in OF_LABELS) not in kinds:
            of, other = ("labels", "values") if metric in OF_LABELS else ("values", "labels")
            fitting = [name for name in METRICS if (name in OF_LABELS) in kinds]
            message = f"{metric} is counted on a loss that compares with {of}; the {recipe.losses[0].kind} here compares with {other}"
            help = f"there are {', '.join(fitting)}"
            found.append(Diagnostic("E513", message, call.span, help=help))
    return found


def _fit_augment(recipe: Recipe, calls: Sequence[syntax.Call], graph: Graph) -> list[Diagnostic]:
    """Whether what is augmented is a picture, and nothing moves away from the targets that lie on it place by place."""
    how, entry = recipe.augment, graph.inputs[0]
    if how is None:
        return []
    note = (Note(entry.span, f"takes {entry.type}"),) if entry.span else ()
    if entry.type.rank != 2 or entry.type.dtype == "int64":
        message = f"augment is for pictures; the input {entry.name} is {entry.type}"
        return [Diagnostic("E514", message, calls[0].span, notes=note, help="leave `augment` out")]
    moves = [word for word in ("flip", "crop", "shift", "rotate") if getattr(how, word)]
    for loss in recipe.losses:
        output = graph.by_name.get(loss.on or graph.outputs[0])
        if moves and output is not None and any(n != 1 for n in output.type.spatial) and not _of_input(loss):
            message = f"{moves[0]} moves the pictures, and not what {output.name} is compared with place by place"
            note = (Note(output.span, f"makes {output.type}"),) if output.span else ()
            return [Diagnostic("E514", message, calls[0].span, notes=note, help="keep noise= and cutout= alone")]
    return []


def _of_input(loss: Loss) -> bool:
    return getattr(loss, "target", None) == "input"


def _fit_losses(recipe: Recipe, calls: Calls, graph: Graph) -> list[Diagnostic]:
    """Whether the network's ends match its data, where that is known, and each loss its target."""
    found = _fit_input(recipe.data, calls["data"][0], graph)
    losses = calls.get("loss", [calls["data"][0]])
    for loss, call in zip(recipe.losses, losses, strict=False):
        name = loss.on or graph.outputs[0]
        if name not in graph.outputs:
            near = nearest(name, graph.outputs)
            help = f"did you mean `{near}`?" if near else f"the outputs are {', '.join(graph.outputs)}"
            found.append(Diagnostic("E510", f"`{name}` is no output", call.span, help=help))
        else:
            found += _fit_target(recipe.data, loss, call, calls["data"][0], graph, graph.by_name[name])
    return found


def _fit_input(data: Data, call: syntax.Call, graph: Graph) -> list[Diagnostic]:
    facts = KNOWN.get(data.name)
    entry = graph.inputs[0]
    if facts is None or entry.type.shape == facts.shape:
        return []
    shape = "x".join(map(str, facts.shape))
    note = (Note(entry.span, f"takes {entry.type}"),) if entry.span else ()
    message = f"the images of {data.name} are {shape}; the network takes {entry.type}"
    return [Diagnostic("E507", message, call.span, notes=note, help=f"write `input {shape}`")]


def _fit_target(
    data: Data, loss: Loss, call: syntax.Call, data_call: syntax.Call, graph: Graph, output: Node
) -> list[Diagnostic]:
    note = (Note(output.span, f"makes {output.type}"),) if output.span else ()
    if not isinstance(loss, CrossEntropy):
        entry = graph.inputs[0]
        if loss.target == "input" and output.type.shape != entry.type.shape:
            message = f"the output {output.type} cannot match the input {entry.type}"
            help = f"end with something that makes {entry.type}"
            return [Diagnostic("E511", message, call.span, notes=note, help=help)]
        return []
    facts = KNOWN.get(data.name)
    if output.type.rank == 0 and facts is not None and output.type.channels != len(facts.classes):
        count = len(facts.classes)
        message = f"{data.name} has {count} classes; the network's output is {output.type}"
        return [Diagnostic("E508", message, data_call.span, notes=note, help=f"end with `fc {count}`")]
    if output.type.rank and facts is not None:
        message = f"{data.name} has one label an image; the output {output.type} is an image"
        help = f"end with `global_pool avg` and `fc {len(facts.classes)}`"
        pooled = all(size == 1 for size in output.type.spatial) and output.type.channels == len(facts.classes)
        return [] if pooled else [Diagnostic("E508", message, data_call.span, notes=note, help=help)]
    return []
