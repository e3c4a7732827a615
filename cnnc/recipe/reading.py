"""Reads the train section into a `Recipe`.

In: the section as a syntax tree, settings of the command line, and the graph. Out: the recipe, or None and a diagnostic
for each error. It opens no data and loads no NumPy, as `cnnc check` reads recipes too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import Diagnostic, Edit, Note, Span, in_source_order, nearest
from cnnc.graph.graph import Graph, Node
from cnnc.language import syntax
from cnnc.language.bind import bind
from cnnc.language.lower import TrainSection
from cnnc.language.synonyms import train_setting
from cnnc.recipe.declaration import TRAIN_STATEMENTS, TrainStatement, kinds_of
from cnnc.recipe.losses import Loss
from cnnc.recipe.metrics import Metric, metric_named
from cnnc.recipe.recipe import Recipe
from cnnc.recipe.statements import Data
from cnnc.recipe.words import kind_meant, statement_meant

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
    if "data" not in calls and not diagnostics and not _has_malformed(section.call):
        span = section.call.op.span
        diagnostics.append(Diagnostic("E504", "the train section names no data", span, help="add `data digits`"))
    if any(d.severity == "error" for d in diagnostics) or "data" not in calls:
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
        diagnostics.append(Diagnostic("E505", message, span, help="write `train { ... }`"))
        return calls
    for statement in train.bodies[0].statements:
        if isinstance(statement, syntax.Malformed):
            continue
        if not isinstance(statement, syntax.Call) or statement.bodies or statement.label is not None:
            message = "a train section holds statements such as `batch 64`"
            help = "move the `let` above the train section" if isinstance(statement, syntax.Let) else ""
            diagnostics.append(Diagnostic("E505", message, statement.span, help=help))
            continue
        keyword = statement.op.text
        if keyword not in TRAIN_STATEMENTS:
            diagnostics.append(_unknown_statement(statement, train.bodies[0]))
        elif keyword in calls and not _repeatable(keyword):
            note = Note(calls[keyword][0].span, "the first")
            message, help = f"a second `{keyword}`", "keep one of the two"
            diagnostics.append(Diagnostic("E502", message, statement.span, notes=(note,), help=help))
        else:
            calls.setdefault(keyword, []).append(statement)
    return calls


def _unknown_statement(statement: syntax.Call, body: syntax.Body) -> Diagnostic:
    """E501, with the statement that was meant."""
    keyword = statement.op.text
    meant = statement_meant(statement, [s for s in body.statements if isinstance(s, syntax.Call)])
    help = meant if isinstance(meant, str) else ""
    edits = meant if isinstance(meant, tuple) else ()
    near = nearest(keyword, TRAIN_STATEMENTS) if not meant else None
    if near:
        edits = (Edit(statement.op.span, near, "did you mean `{}`?"),)
    help = help or f"the statements are {', '.join(TRAIN_STATEMENTS)}"
    return Diagnostic("E501", f"unknown train statement `{keyword}`", statement.op.span, help=help, edits=edits)


def _unknown_kind(code: str, message: str, call: syntax.Call, kinds: Collection[str], what: str) -> Diagnostic:
    """E503 or E506, with the kind that was meant."""
    argument = call.arguments[0]
    meant = kind_meant(call)
    near = nearest(argument.value.span.text, kinds) if not meant else None
    edits = meant if isinstance(meant, tuple) else ()
    if near:
        edits = (Edit(argument.value.span, near, "did you mean `{}`?"),)
    help = meant if isinstance(meant, str) and meant else f"{what} {', '.join(kinds)}"
    return Diagnostic(code, message, argument.span, help=help, edits=edits)


def _has_malformed(train: syntax.Call) -> bool:
    return any(isinstance(statement, syntax.Malformed) for body in train.bodies for statement in body.statements)


def _class_of(keyword: str, call: syntax.Call, diagnostics: list[Diagnostic]) -> type[TrainStatement] | None:
    """The class of a statement; None and a diagnostic E503 where its kind is missing or unknown."""
    kinds = TRAIN_STATEMENTS[keyword]
    if "" in kinds:
        return kinds[""]
    first = call.arguments[0] if call.arguments else None
    if first is None or not _names_kind(first) or not isinstance(first.value, syntax.Word):
        help = f"write `{keyword} {next(iter(kinds))}`; the kinds are {', '.join(kinds)}"
        diagnostics.append(Diagnostic("E503", f"{keyword} needs its kind", call.span, help=help))
        return None
    name = first.value.name
    if name not in kinds:
        message = f"unknown {keyword} `{name}`"
        diagnostics.append(_unknown_kind("E503", message, call, kinds, "the kinds are"))
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
            help = f"did you mean `{meant}`?" if meant else f"the statements are {', '.join(TRAIN_STATEMENTS)}"
            diagnostics.append(Diagnostic("E115", f"no train statement `{keyword}` to set", value.span, help=help))
            continue
        op = syntax.Name(keyword, value.span)
        call = (
            calls[keyword][0]
            if keyword in calls
            else syntax.Call(None, op, _default_arguments(keyword, value.span), (), value.span)
        )
        name = syntax.Name(key, value.span) if key else None
        new = syntax.Argument(name, value, value.span)
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
            help = f'write `data {data.name} "path"`'
            return [Diagnostic("E512", f"data {data.name} needs a file or folder in quotes", call.span, help=help)]
        return []
    if data.name not in KNOWN:
        names = [*KNOWN, *READ_FROM_FILES]
        message = f"unknown data set `{data.name}`"
        return [_unknown_kind("E506", message, call, names, "the data sets are")]
    if data.path is not None:
        help = "remove the path; the option --data or the variable CNNC_DATA names the folder of its files"
        return [Diagnostic("E512", f"data {data.name} takes no path", call.arguments[1].span, help=help)]
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
            diagnostics.append(Diagnostic("E513", message, call.span, help=help))
    return diagnostics


def _fit_augment(recipe: Recipe, calls: Sequence[syntax.Call], graph: Graph) -> list[Diagnostic]:
    """Whether the input is an image, and no step moves its pixels away from those of a target."""
    augment, entry = recipe.augment, graph.inputs[0]
    if augment is None:
        return []
    if entry.type.rank != 2 or entry.type.dtype == "int64":
        message = f"augment needs an image; the input {entry.name} is {entry.type}"
        return [Diagnostic("E514", message, calls[0].span, notes=_type_note(entry), help="leave `augment` out")]
    moving = [name for name, _ in augment.steps if name in augment.moving]
    for loss in recipe.losses:
        output = graph.by_name.get(loss.on or graph.outputs[0])
        if moving and output is not None and any(n != 1 for n in output.type.spatial) and not loss.of_input:
            message = f"{moving[0]} moves the pixels of the input but not those of the target of {output.name}"
            help = "of the steps of augment, only noise= and cutout= fit here"
            return [Diagnostic("E514", message, calls[0].span, notes=_type_note(output), help=help)]
    return []


def _fit_losses(recipe: Recipe, calls: Calls, graph: Graph) -> list[Diagnostic]:
    """Whether input and outputs fit the data, where its shape is known, and each loss its target."""
    diagnostics = _fit_input(recipe.data, calls["data"][0], graph)
    losses = calls.get("loss", [calls["data"][0]])
    for loss, call in zip(recipe.losses, losses, strict=False):
        name = loss.on or graph.outputs[0]
        if name not in graph.outputs:
            near = nearest(name, graph.outputs)
            help = f"did you mean `{near}`?" if near else f"the outputs are {', '.join(graph.outputs)}"
            diagnostics.append(Diagnostic("E510", f"`{name}` is not an output", call.span, help=help))
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
    return [Diagnostic("E507", message, call.span, notes=_type_note(entry), help=f"write `input {shape}`")]


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
        return [Diagnostic("E508", message, data_call.span, notes=_type_note(output), help=f"end with `fc {count}`")]
    if output.type.rank and facts is not None:
        message = f"{data.name} has one label per image; the output {output.type} is an image"
        help = f"end with `global_pool avg` and `fc {len(facts.classes)}`"
        pooled = all(size == 1 for size in output.type.spatial) and output.type.channels == len(facts.classes)
        return [] if pooled else [Diagnostic("E508", message, data_call.span, notes=_type_note(output), help=help)]
    return []


def _type_note(node: Node) -> tuple[Note, ...]:
    """Where the types differ: `takes 1x28x28` at an input, `outputs 10` at another layer."""
    verb = "outputs" if node.inputs else "takes"
    return (Note(node.span, f"{verb} {node.type}"),) if node.span else ()
