"""Reads the train section into a `Recipe`.

In: the section as a syntax tree, settings of the command line, and the graph. Out: the recipe, or None and a diagnostic
for each error. It opens no data and loads no NumPy, as `cnnc check` reads recipes too. fit.py checks that the statements
fit each other, the data set and the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnnc.core.arguments import LayerName
from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import Diagnostic, Edit, Note, Span, in_source_order, nearest
from cnnc.graph.graph import Graph
from cnnc.language import syntax
from cnnc.language.bind import bind
from cnnc.language.edits import (
    as_written,
    did_you_mean,
    first_that_works,
    moved_before,
    rewritten,
    setting_meant,
    whole,
    without_statement,
)
from cnnc.language.lower import MAX_DIAGNOSTICS, TrainSection
from cnnc.language.synonyms import train_setting
from cnnc.recipe.declaration import TRAIN_STATEMENTS, TrainStatement
from cnnc.recipe.fit import check_fit
from cnnc.recipe.recipe import Recipe
from cnnc.recipe.words import statement_meant, unknown_kind

Calls = dict[str, list[syntax.Call]]


def read(
    section: TrainSection, graph: Graph | None, settings: Mapping[str, syntax.Expression]
) -> tuple[Recipe | None, list[Diagnostic]]:
    """The recipe, and the diagnostics. `settings` are values by path: `epochs`, `optimizer.lr`."""
    diagnostics: list[Diagnostic] = []
    unread: set[str] = set()  # keywords of statements that have errors
    calls = _apply_settings(_calls(section.call, unread, diagnostics), section.call, settings, diagnostics)
    fields: dict[str, Any] = {}
    for keyword, statements in calls.items():
        for call in statements:
            statement = _statement(keyword, call, section, diagnostics)
            if statement is None:
                unread.add(keyword)
            else:
                _enter(statement, fields)
    is_read = len(section.call.bodies) == 1 and not section.call.arguments
    if is_read and "data" not in calls and "data" not in unread:
        span = section.call.op.span
        edits = _added_data(section.call, graph)
        help = "name a data set, e.g. `data digits`"
        diagnostics.append(Diagnostic("E504", "the train section names no data", span, help=help, edits=edits))
    recipe = None
    if "data" in fields:
        recipe = Recipe(**fields, spans={keyword: statements[0].span for keyword, statements in calls.items()})
        diagnostics += check_fit(recipe, calls, unread, graph)
    has_errors = any(d.severity == "error" for d in diagnostics)
    return None if has_errors else recipe, in_source_order(diagnostics)


def _statement(
    keyword: str, call: syntax.Call, section: TrainSection, diagnostics: list[Diagnostic]
) -> TrainStatement | None:
    """The statement with its arguments; None and diagnostics where they are wrong."""
    cls = _class_of(keyword, call, diagnostics)
    if cls is None:
        return None
    bound = bind(cls, _without_kind(cls, call), section.scope, 0)
    for spec in cls.arguments:
        span = bound.spans.get(spec.name)
        if isinstance(spec.kind, LayerName) and span is not None and section.top is not None:
            section.top.record_names(syntax.Word(span.text.rpartition("=")[2], span))
    diagnostics += bound.diagnostics
    return bound.value


def _enter(statement: TrainStatement, fields: dict[str, Any]) -> None:
    """Adds a statement to the fields from which the Recipe is made."""
    name = statement.field or statement.keyword
    value = statement.recipe_value
    fields[name] = (*fields.get(name, ()), value) if statement.repeatable else value


def _repeatable(keyword: str) -> bool:
    return any(cls.repeatable for cls in TRAIN_STATEMENTS[keyword].values())


def _calls(train: syntax.Call, unread: set[str], diagnostics: list[Diagnostic]) -> Calls:
    """The statements of the section by keyword. `unread` receives what an unknown statement may have been meant as."""
    calls: Calls = {}
    if train.arguments or len(train.bodies) != 1:
        span = train.arguments[0].span if train.arguments else train.span
        message = "train takes one body in braces and no arguments"
        help = "write its statements in one pair of braces"
        diagnostics.append(Diagnostic("E505", message, span, help=help, edits=_section_with_data(train)))
        return calls
    for statement in train.bodies[0].statements:
        if len(diagnostics) > MAX_DIAGNOSTICS:
            unread.update(TRAIN_STATEMENTS)
            break  # nobody reads more, and trying their edits takes time
        if isinstance(statement, syntax.Malformed):
            unread.update(TRAIN_STATEMENTS)  # it may have been any of them
            continue
        if isinstance(statement, syntax.Call) and statement.label is not None and not statement.bodies:
            edits = (_without_label(statement),)
            unread.update(TRAIN_STATEMENTS)
            message = f"`{statement.label.text}:` is a label, and statements of the train section have none"
            diagnostics.append(Diagnostic("E505", message, statement.span, help="remove the label", edits=edits))
            continue
        if not isinstance(statement, syntax.Call) or statement.bodies:
            message = "a train section holds statements such as `batch 64`"
            help = "move the `let` above the train section"
            is_let = isinstance(statement, syntax.Let)
            edits = (moved_before(statement.span, train.span, help) if is_let else without_statement(whole(statement)),)
            diagnostics.append(Diagnostic("E505", message, statement.span, help=help if is_let else "", edits=edits))
            continue
        keyword = statement.op.text
        if keyword not in TRAIN_STATEMENTS:
            diagnostics.append(_unknown_statement(statement, train.bodies[0], unread))
        elif keyword in calls and not _repeatable(keyword):
            note = Note(calls[keyword][0].span, "the first")
            message, edits = f"a second `{keyword}`", (without_statement(statement.span, "keep one of the two"),)
            diagnostics.append(Diagnostic("E502", message, statement.span, notes=(note,), edits=edits))
        else:
            calls.setdefault(keyword, []).append(statement)
    return calls


def _without_label(statement: syntax.Call) -> Edit:
    """The edit of `data: mnist`, which is `data mnist`, and of `a: epochs 5`."""
    assert statement.label is not None
    written = statement.span.text[statement.op.span.start - statement.span.start :]
    if statement.op.text in TRAIN_STATEMENTS:
        return Edit(statement.span, written)
    return Edit(statement.span, f"{statement.label.text} {written}")


def _unknown_statement(statement: syntax.Call, body: syntax.Body, unread: set[str]) -> Diagnostic:
    """E501, with the statement that was meant, whose keyword is added to `unread`; all are if none is similar."""
    keyword = statement.op.text
    meant = statement_meant(statement, [s for s in body.statements if isinstance(s, syntax.Call)])
    near = nearest(keyword, TRAIN_STATEMENTS) if not meant else None
    edits = meant if isinstance(meant, tuple) else did_you_mean(statement.op.span, near)
    help = meant if isinstance(meant, str) and meant else f"the statements are {', '.join(TRAIN_STATEMENTS)}"
    words = edits[0].text.split() if edits else []
    unread.update(word for word in words if word in TRAIN_STATEMENTS)
    unread.update(() if meant or near else TRAIN_STATEMENTS)
    return Diagnostic("E501", f"unknown train statement `{keyword}`", statement.op.span, help=help, edits=edits)


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
        message = f"unknown {keyword} `{name}`"
        diagnostics.append(unknown_kind("E503", message, call, list(kinds), "the kinds are"))
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
            meant = train_setting(path) or (f"train.{near}{path[len(keyword) :]}" if near else "")
            help = f"the statements are {', '.join(TRAIN_STATEMENTS)}"
            named = value.span.source.span(0, len(f"train.{path}"))
            edits = (setting_meant(value, meant),) if meant else ()
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
    texts = [
        f"train {{ data {named}{'; ' if body else ''}{body} }}" if named else "",
        f"train {{ {body or 'data digits'} }}",
    ]
    return first_that_works([Edit(span, text) for text in texts if text])
