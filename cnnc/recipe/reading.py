"""Reads the train section into a `Recipe`.

In: the section as a syntax tree, settings of the command line, and the graph. Out: the recipe, or None and a diagnostic
for each error. It opens no data and loads no NumPy, as `cnnc check` reads recipes too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import Diagnostic, Edit, Note, Span, in_source_order, nearest
from cnnc.graph.graph import Graph, Node
from cnnc.language import syntax
from cnnc.language.bind import bind
from cnnc.language.edits import (
    after,
    as_written,
    did_you_mean,
    first_that_works,
    moved_before,
    rewritten,
    whole,
    without,
    without_statement,
)
from cnnc.language.lower import TrainSection
from cnnc.language.synonyms import train_setting
from cnnc.recipe.declaration import TRAIN_STATEMENTS, TrainStatement, kinds_of
from cnnc.recipe.losses import Loss
from cnnc.recipe.metrics import Metric, metric_named
from cnnc.recipe.recipe import Recipe
from cnnc.recipe.statements import Data

READ_FROM_FILES = ("images", "npz", "text", "series")  # the user's data: shapes and classes are known once it is opened

Calls = dict[str, list[syntax.Call]]


def read(
    section: TrainSection, graph: Graph | None, settings: Mapping[str, syntax.Expression]
) -> tuple[Recipe | None, list[Diagnostic]]:
    """The recipe, and the diagnostics. `settings` are values by path: `epochs`, `optimizer.lr`."""
    diagnostics: list[Diagnostic] = []
    calls = _apply_settings(_calls(section.call, diagnostics), section.call, settings, diagnostics)
    fields: dict[str, Any] = {}
    for keyword, statements in calls.items():
        for call in statements:
            cls = _class_of(keyword, call, diagnostics)
            if cls is not None:
                bound = bind(cls, _without_kind(cls, call), section.scope, 0)
                diagnostics += bound.diagnostics
                if bound.value is not None:
                    _enter(bound.value, fields)
    if "data" not in calls and not section.call.arguments:
        span = section.call.op.span
        edits = _added_data(section.call, graph)
        help = "name a data set, e.g. `data digits`"
        diagnostics.append(Diagnostic("E504", "the train section names no data", span, help=help, edits=edits))
    if any(d.severity == "error" for d in diagnostics):
        return None, in_source_order(diagnostics)
    recipe = Recipe(**fields, spans={keyword: statements[0].span for keyword, statements in calls.items()})
    diagnostics += _fit_data(recipe.data, calls["data"][0])
    diagnostics += _fit_metrics(recipe, calls.get("metric", []))
    if graph is not None:
        diagnostics += _fit_losses(recipe, calls, graph)
        diagnostics += _fit_augment(recipe, calls.get("augment", []), graph)
    has_errors = any(d.severity == "error" for d in diagnostics)
    return None if has_errors else recipe, in_source_order(diagnostics)


def _enter(statement: TrainStatement, fields: dict[str, Any]) -> None:
    """Adds a statement to the fields from which the Recipe is made."""
    name = statement.field or statement.keyword
    value = statement.recipe_value
    fields[name] = (*fields.get(name, ()), value) if statement.repeatable else value


def _repeatable(keyword: str) -> bool:
    return any(cls.repeatable for cls in TRAIN_STATEMENTS[keyword].values())


def _calls(train: syntax.Call, diagnostics: list[Diagnostic]) -> Calls:
    """The statements of the section by keyword."""
    calls: Calls = {}
    if train.arguments or len(train.bodies) != 1:
        span = train.arguments[0].span if train.arguments else train.span
        message = "train takes one body in braces and no arguments"
        help = "write its statements in one pair of braces"
        diagnostics.append(Diagnostic("E505", message, span, help=help, edits=_section_with_data(train)))
        return calls
    for statement in train.bodies[0].statements:
        if not isinstance(statement, syntax.Call) or statement.bodies or statement.label is not None:
            message = "a train section holds statements such as `batch 64`"
            help = "move the `let` above the train section"
            is_let = isinstance(statement, syntax.Let)
            edits = (moved_before(statement.span, train.span, help) if is_let else without_statement(whole(statement)),)
            diagnostics.append(Diagnostic("E505", message, statement.span, help=help if is_let else "", edits=edits))
            continue
        keyword = statement.op.text
        if keyword not in TRAIN_STATEMENTS:
            near = nearest(keyword, TRAIN_STATEMENTS)
            help = f"the statements are {', '.join(TRAIN_STATEMENTS)}"
            message = f"unknown train statement `{keyword}`"
            diagnostics.append(
                Diagnostic("E501", message, statement.op.span, help=help, edits=did_you_mean(statement.op.span, near))
            )
        elif keyword in calls and not _repeatable(keyword):
            note = Note(calls[keyword][0].span, "the first")
            message, edits = f"a second `{keyword}`", (without_statement(statement.span, "keep one of the two"),)
            diagnostics.append(Diagnostic("E502", message, statement.span, notes=(note,), edits=edits))
        else:
            calls.setdefault(keyword, []).append(statement)
    return calls


def _class_of(keyword: str, call: syntax.Call, diagnostics: list[Diagnostic]) -> type[TrainStatement] | None:
    """The class of a statement; None and a diagnostic E503 where its kind is missing or unknown."""
    kinds = TRAIN_STATEMENTS[keyword]
    if "" in kinds:
        return kinds[""]
    first = call.arguments[0] if call.arguments else None
    if first is None or not _names_kind(first) or not isinstance(first.value, syntax.Word):
        help = f"the kinds are {', '.join(kinds)}"
        text = " ".join([keyword, next(iter(kinds)), *map(as_written, call.arguments)])
        edits = (rewritten(call, text, f"write `{{}}`; {help}"),)
        diagnostics.append(Diagnostic("E503", f"{keyword} needs its kind", call.span, help=help, edits=edits))
        return None
    name = first.value.name
    if name not in kinds:
        near = nearest(name, kinds)
        help = f"the kinds are {', '.join(kinds)}"
        diagnostics.append(
            Diagnostic(
                "E503", f"unknown {keyword} `{name}`", first.span, help=help, edits=did_you_mean(first.value.span, near)
            )
        )
    return kinds.get(name)


def _names_kind(argument: syntax.Argument) -> bool:
    return argument.key is None or argument.key.text == "kind"


def _without_kind(cls: type[TrainStatement], call: syntax.Call) -> syntax.Call:
    """`optimizer adam lr=1` as a call of `optimizer adam` with the argument `lr=1`."""
    if not cls.kind:
        return call
    return call._replace(op=syntax.Name(f"{cls.keyword} {cls.kind}", call.op.span), arguments=call.arguments[1:])


def _apply_settings(
    calls: Calls,
    train: syntax.Call,
    settings: Mapping[str, syntax.Expression],
    diagnostics: list[Diagnostic],
) -> Calls:
    """The statements with the settings of the command line applied, as if they stood in the source."""
    for path, value in settings.items():
        keyword, _, key = path.partition(".")
        if keyword not in TRAIN_STATEMENTS:
            near = nearest(keyword, TRAIN_STATEMENTS)
            meant = f"train.{near}" if near else train_setting(keyword)
            help = f"the statements are {', '.join(TRAIN_STATEMENTS)}"
            named = value.span.source.span(0, len(f"train.{path}"))
            edits = did_you_mean(named, f"{meant}.{key}" if near and key else meant)
            diagnostics.append(
                Diagnostic("E115", f"no train statement `{keyword}` to set", named, help=help, edits=edits)
            )
            continue
        op = syntax.Name(keyword, value.span)
        call = (
            calls[keyword][0]
            if keyword in calls
            else syntax.Call(None, op, _default_arguments(keyword, value.span), (), value.span)
        )
        source, begin = value.span.source, len(f"train.{keyword}.")
        name = syntax.Name(key, source.span(begin, begin + len(key))) if key else None
        new = syntax.Argument(name, value, value.span if name is None else name.span.to(value.span))
        if key:
            kept = tuple(a for a in call.arguments if a.key is None or a.key.text != key)
            arguments = (*kept, new)
        elif "" not in TRAIN_STATEMENTS[keyword] and not _same_kind(call, value):
            arguments = (new,)  # another kind has other arguments
        else:
            arguments = (new, *(a for a in call.arguments if a.key is not None))
        calls[keyword] = [call._replace(arguments=arguments), *calls.get(keyword, [])[1:]]
    return calls


def _default_arguments(keyword: str, span: Span) -> tuple[syntax.Argument, ...]:
    """`sgd lr=0.01 momentum=0.9` for `optimizer`: the kind and arguments in effect where the section has no such statement."""
    default = {"loss": Recipe.losses[0], "optimizer": Recipe.optimizer, "schedule": Recipe.schedule}.get(keyword)
    if default is None:
        return ()
    values = {spec.name: getattr(default, spec.name) for spec in default.arguments}
    keys = (
        syntax.Argument(syntax.Name(spec.name, span), syntax.Number(values[spec.name], span), span)
        for spec in default.arguments
        if values[spec.name] != spec.default
    )
    return syntax.Argument(None, syntax.Word(default.kind, span), span), *keys


def _same_kind(call: syntax.Call, value: syntax.Expression) -> bool:
    first = call.arguments[0].value if call.arguments else None
    return isinstance(first, syntax.Word) and isinstance(value, syntax.Word) and first.name == value.name


def _fit_data(data: Data, call: syntax.Call) -> list[Diagnostic]:
    """Whether the data set is known, and has a path where it needs one."""
    if data.name in READ_FROM_FILES:
        if data.path is None:
            edits = (Edit(call.arguments[0].span, f'{data.name} "path"', "write `data {}`"),)
            message = f"data {data.name} needs a file or folder in quotes"
            return [Diagnostic("E512", message, call.span, edits=edits)]
        return []
    if data.name not in KNOWN:
        names = [*KNOWN, *READ_FROM_FILES]
        near = nearest(data.name, names)
        help = f"the data sets are {', '.join(names)}"
        value = call.arguments[0].value.span
        message = f"unknown data set `{data.name}`"
        return [Diagnostic("E506", message, call.arguments[0].span, help=help, edits=did_you_mean(value, near))]
    if data.path is not None:
        help = "remove the path; the option --data or the variable CNNC_DATA names the folder of its files"
        span = call.arguments[1].span
        edits = (without(span, help),)
        return [Diagnostic("E512", f"data {data.name} takes no path", span, help=help, edits=edits)]
    return []


def _fit_metrics(recipe: Recipe, calls: Sequence[syntax.Call]) -> list[Diagnostic]:
    """Whether each metric has a loss that compares with the same kind of target."""
    diagnostics = []
    targets = {loss.compares_with for loss in recipe.losses}
    for metric, call in zip(recipe.metrics, calls, strict=True):
        compares_with = metric_named(metric).compares_with
        if compares_with not in targets:
            loss = recipe.losses[0]
            message = f"{metric} needs a loss that compares with {compares_with}; {loss.kind} compares with {loss.compares_with}"
            fitting = [name for name, cls in kinds_of(Metric).items() if cls.compares_with in targets]
            help = f"metrics that fit are {', '.join(fitting)}"
            edits = (Edit(call.span, f"metric {fitting[0]}", f"{help}: `{{}}`"),) if fitting else ()
            diagnostics.append(Diagnostic("E513", message, call.span, help=help, edits=edits))
    return diagnostics


def _fit_augment(recipe: Recipe, calls: Sequence[syntax.Call], graph: Graph) -> list[Diagnostic]:
    """Whether the input is an image, and no step moves its pixels away from those of a target."""
    augment, entry = recipe.augment, graph.inputs[0]
    if augment is None:
        return []
    if entry.type.rank != 2 or entry.type.dtype == "int64":
        message = f"augment needs an image; the input {entry.name} is {entry.type}"
        edits = (without_statement(calls[0].span, "leave `augment` out"),)
        return [Diagnostic("E514", message, calls[0].span, notes=_type_note(entry), edits=edits)]
    moving = [name for name, _ in augment.steps if name in augment.moving]
    for loss in recipe.losses:
        output = graph.by_name.get(loss.on or graph.outputs[0])
        if moving and output is not None and any(n != 1 for n in output.type.spatial) and not loss.of_input:
            message = f"{moving[0]} moves the pixels of the input but not those of the target of {output.name}"
            help = "of the steps of augment, only noise= and cutout= fit here"
            kept = [as_written(a) for a in calls[0].arguments if a.key is not None and a.key.text not in augment.moving]
            edits = (
                Edit(calls[0].span, " ".join(["augment", *kept]) if kept else "augment noise=0.1", f"{help}: `{{}}`"),
            )
            return [Diagnostic("E514", message, calls[0].span, notes=_type_note(output), help=help, edits=edits)]
    return []


def _fit_losses(recipe: Recipe, calls: Calls, graph: Graph) -> list[Diagnostic]:
    """Whether input and outputs fit the data, where its shape is known, and each loss its target."""
    diagnostics = _fit_input(recipe.data, calls["data"][0], graph)
    losses = calls.get("loss", [calls["data"][0]])
    for loss, call in zip(recipe.losses, losses, strict=False):
        name = loss.on or graph.outputs[0]
        if name not in graph.outputs:
            near = nearest(name, graph.outputs)
            help = f"the outputs are {', '.join(graph.outputs)}"
            named = next((a for a in call.arguments if a.key is not None and a.key.text == "on"), None)
            edits = (Edit(named.value.span, near, "did you mean `{}`?"),) if near and named is not None else ()
            diagnostics.append(Diagnostic("E510", f"`{name}` is not an output", call.span, help=help, edits=edits))
        else:
            diagnostics += _fit_target(recipe.data, loss, call, calls["data"][0], graph, graph.by_name[name])
    return diagnostics


def _fit_input(data: Data, call: syntax.Call, graph: Graph) -> list[Diagnostic]:
    facts = KNOWN.get(data.name)
    entry = graph.inputs[0]
    if facts is None or entry.type.shape == facts.shape:
        return []
    shape = "x".join(map(str, facts.shape))
    message = f"the images of {data.name} are {shape}; the network takes {entry.type}"
    edits: tuple[Edit, ...] = ()
    if entry.span is not None:
        edits = (Edit(entry.span, re.sub(r"\binput\s+(\[.*?\]|\S+)", f"input {shape}", entry.span.text, count=1)),)
    help = f"give the input the shape {shape}"
    return [Diagnostic("E507", message, call.span, notes=_type_note(entry), help=help, edits=edits)]


def _fit_target(
    data: Data, loss: Loss, call: syntax.Call, data_call: syntax.Call, graph: Graph, output: Node
) -> list[Diagnostic]:
    if loss.compares_with == "values":
        entry = graph.inputs[0]
        if loss.of_input and output.type.shape != entry.type.shape:
            message = f"the output {output.type} cannot be compared with the input {entry.type}"
            help = f"end with a layer whose output is {entry.type}"
            return [Diagnostic("E511", message, call.span, notes=_type_note(output), help=help)]
        return []
    facts = KNOWN.get(data.name)
    if output.type.rank == 0 and facts is not None and output.type.channels != len(facts.classes):
        count = len(facts.classes)
        message = f"{data.name} has {count} classes; the network's output has shape {output.type}"
        help = f"end with one output per class, {count}"
        edits = _last_fc(graph, output, count)
        return [Diagnostic("E508", message, data_call.span, notes=_type_note(output), help=help, edits=edits)]
    if output.type.rank and facts is not None:
        message = f"{data.name} has one label per image; the output {output.type} is an image"
        count = len(facts.classes)
        if all(size == 1 for size in output.type.spatial) and output.type.channels == count:
            return []
        help = f"end with `global_pool avg` and `fc {count}`"
        edits = (after(output.span, f"global_pool avg; fc {count}", help),) if output.span is not None else ()
        return [Diagnostic("E508", message, data_call.span, notes=_type_note(output), help=help, edits=edits)]
    return []


def _last_fc(graph: Graph, output: Node, count: int) -> tuple[Edit, ...]:
    """Edits after which a network has `count` outputs: its last fc has as many, or another one follows."""
    edits = [after(output.span, f"fc {count}", "end with `{}`")] if output.span is not None else []
    node: Node | None = output
    while node is not None and len(node.inputs) == 1 and node.op.keyword != "fc" and not graph.parameters(node):
        node = graph.by_name[node.inputs[0]]
    if node is not None and node.op.keyword == "fc" and node.span is not None:
        text = re.sub(r"\bfc\s+\S+", f"fc {count}", node.span.text, count=1)
        edits.insert(0, Edit(node.span, text, "end with `{}`"))
    return first_that_works(edits)


def _added_data(train: syntax.Call, graph: Graph | None) -> tuple[Edit, ...]:
    """Statements that name data: a known set whose images fit the input, or the user's own."""
    if len(train.bodies) != 1:
        return ()
    shape = graph.inputs[0].type.shape if graph is not None else None
    fitting = [name for name, facts in KNOWN.items() if facts.shape == shape]
    opening = train.bodies[0].span
    at = opening.source.span(opening.start + 1, opening.start + 1)
    names = [*fitting, *KNOWN, 'npz "data.npz"']
    inside = "" if train.bodies[0].statements else " "
    return first_that_works([Edit(at, f" data {name};{inside}", "add `{}`") for name in names], most=6)


def _section_with_data(train: syntax.Call) -> tuple[Edit, ...]:
    """A train section whose arguments become its data statement."""
    body = train.bodies[0].span.text[1:-1].strip() if train.bodies else ""
    named = " ".join(map(as_written, train.arguments))
    span = whole(train)
    texts = [f"train {{ data {named}; {body} }}" if named else "", f"train {{ {body or 'data digits'} }}"]
    return first_that_works([Edit(span, text) for text in texts if text])


def _type_note(node: Node) -> tuple[Note, ...]:
    """Where the types differ: `takes 1x28x28` at an input, `outputs 10` at another layer."""
    verb = "outputs" if node.inputs else "takes"
    return (Note(node.span, f"{verb} {node.type}"),) if node.span else ()
