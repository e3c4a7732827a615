"""The train section, typed.

In: the train section as it was written, settings of the command line, and the graph. Out: a `Recipe`, or
a diagnostic for each thing that is wrong with it. It opens no data and loads no NumPy: `cnnc check`
reads recipes as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from cnnc.arguments import Choice, Declared, Flag, Real, String, Whole, arg
from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import CnncError, Diagnostic, Note, Span, in_order, nearest
from cnnc.graph import Graph
from cnnc.language import syntax
from cnnc.language.bind import bind
from cnnc.language.lower import TrainSection
from cnnc.record import Record


class Data(Declared):
    """What it learns from."""

    name: str = arg(String(), positional=True, help="name of the data set")
    val: float = arg(Real(0, 1, open_above=True), default=0.1, help="share of the training data held back to validate")


class Augment(Declared):
    """What is done to each picture before the network sees it in training."""

    flip: str | None = arg(Choice(("flip",)), default=None, positional=True, help="mirror every second image or so")
    crop: int = arg(Whole(0, 1024), default=0, help="pad by so many pixels, and crop the old size at random")
    shift: int = arg(Whole(0, 1024), default=0, help="move by up to so many pixels")
    rotate: float = arg(Real(0, 180), default=0, help="turn by up to so many degrees")
    noise: float = arg(Real(0, 1), default=0, help="add Gaussian noise of this deviation (the full range is 1)")
    cutout: int = arg(Whole(0, 1024), default=0, help="blank a square of this size")


class Loss(Declared):
    """What is made small."""

    kind: str = arg(Choice(("cross_entropy",)), positional=True, help="kind of loss")


class Sgd(Declared):
    """Stochastic gradient descent with momentum (Polyak 1964; Nesterov as in Sutskever et al. 2013)."""

    kind: str = arg(Choice(("sgd",)), positional=True, help="kind of optimizer")
    lr: float = arg(Real(0, open_below=True), help="learning rate")
    momentum: float = arg(Real(0, 1, open_above=True), default=0, help="share of the last step that goes on")
    nesterov: bool = arg(Flag(), default=False, help="look ahead along the momentum")
    weight_decay: float = arg(Real(0), default=0, help="L2 penalty on the weights, added to the gradient")


class Adam(Declared):
    """Adam (Kingma & Ba 2015), with bias correction."""

    kind: str = arg(Choice(("adam",)), positional=True, help="kind of optimizer")
    lr: float = arg(Real(0, open_below=True), default=0.001, help="learning rate")
    beta1: float = arg(Real(0, 1, open_above=True), default=0.9, help="decay of the mean of gradients")
    beta2: float = arg(Real(0, 1, open_above=True), default=0.999, help="decay of the mean of their squares")
    eps: float = arg(Real(0, open_below=True), default=1e-8, help="added to the root of the mean square")
    weight_decay: float = arg(Real(0), default=0, help="L2 penalty on the weights, added to the gradient")


class Constant(Declared):
    kind: str = arg(Choice(("constant",)), positional=True, help="kind of schedule")


class Step(Declared):
    kind: str = arg(Choice(("step",)), positional=True, help="kind of schedule")
    every: int = arg(Whole(1), help="number of epochs between steps")
    gamma: float = arg(Real(0, open_below=True), default=0.1, help="factor of each step")


class Cosine(Declared):
    """Half a cosine, from the full rate to nothing (Loshchilov & Hutter 2017)."""

    kind: str = arg(Choice(("cosine",)), positional=True, help="kind of schedule")


class Count(Declared):
    """A statement of one whole number: batch, epochs."""

    n: int = arg(Whole(1), positional=True, help="number")


class Seed(Declared):
    n: int = arg(Whole(0), positional=True, help="seed of every random choice")


Optimizer = Sgd | Adam
Schedule = Constant | Step | Cosine


class Recipe(Record):
    """How a network is trained. `places` says where each statement stands."""

    data: Data
    augment: Augment | None = None
    loss: Loss = Loss("cross_entropy")
    optimizer: Optimizer = Sgd("sgd", 0.01, 0.9, False, 0.0)
    schedule: Schedule = Constant("constant")
    batch: int = 32
    epochs: int = 10
    seed: int = 0
    quiet_fields: ClassVar[tuple[str, ...]] = ("places",)
    places: Mapping[str, Span] = {}


# A statement is one class, or one for each word it begins with.
_STATEMENTS: dict[str, type[Any] | dict[str, type[Any]]] = {
    "data": Data,
    "augment": Augment,
    "loss": Loss,
    "optimizer": {"sgd": Sgd, "adam": Adam},
    "schedule": {"constant": Constant, "step": Step, "cosine": Cosine},
    "batch": Count,
    "epochs": Count,
    "seed": Seed,
}
_LATER = ("clip", "stop", "metric")


def read(
    section: TrainSection, graph: Graph | None, settings: Mapping[str, syntax.Expression]
) -> tuple[Recipe | None, list[Diagnostic]]:
    """The recipe, and what is wrong with it. `settings` are values by path: `epochs`, `optimizer.lr`."""
    diagnostics: list[Diagnostic] = []
    calls = _apply_settings(_calls(section.call, diagnostics), section.call, settings, diagnostics)
    values: dict[str, Any] = {}
    for word, call in calls.items():
        cls = _class_of(word, call, diagnostics)
        if cls is None:
            continue
        bound = bind(cls, call, section.scope, 0)
        diagnostics += bound.diagnostics
        if bound.value is not None:
            values[word] = bound.value.n if isinstance(bound.value, Count | Seed) else bound.value
    if "data" not in calls:
        span = section.call.op.span
        diagnostics.append(Diagnostic("E504", "the train section names no data", span, help="add `data digits`"))
    elif "data" in values:
        diagnostics += _fit(values["data"], calls["data"], graph)
    if any(d.severity == "error" for d in diagnostics):
        return None, in_order(diagnostics)
    return Recipe(**values, places={word: call.span for word, call in calls.items()}), in_order(diagnostics)


def _calls(train: syntax.Call, diagnostics: list[Diagnostic]) -> dict[str, syntax.Call]:
    """The statements of the section by their words."""
    calls: dict[str, syntax.Call] = {}
    if train.arguments or len(train.bodies) != 1:
        span = train.arguments[0].span if train.arguments else train.span
        diagnostics.append(Diagnostic("E505", "train takes one body and nothing else", span, help="`train { ... }`"))
        return calls
    for statement in train.bodies[0].statements:
        if not isinstance(statement, syntax.Call) or statement.bodies or statement.label is not None:
            message = "a train section holds statements such as `batch 64`"
            diagnostics.append(Diagnostic("E505", message, statement.span))
            continue
        word = statement.op.text
        if word in calls:
            note = Note(calls[word].span, "the first")
            diagnostics.append(Diagnostic("E502", f"a second `{word}`", statement.span, notes=(note,)))
        elif word in _LATER:
            diagnostics.append(Diagnostic("E110", f"`{word}` is not supported yet", statement.span))
        elif word not in _STATEMENTS:
            near = nearest(word, _STATEMENTS)
            help = f"did you mean `{near}`?" if near else f"there are {', '.join(_STATEMENTS)}"
            diagnostics.append(Diagnostic("E501", f"unknown train statement `{word}`", statement.op.span, help=help))
        else:
            calls[word] = statement
    return calls


def _class_of(word: str, call: syntax.Call, diagnostics: list[Diagnostic]) -> type[Any] | None:
    entry = _STATEMENTS[word]
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
    calls: dict[str, syntax.Call],
    train: syntax.Call,
    settings: Mapping[str, syntax.Expression],
    diagnostics: list[Diagnostic],
) -> dict[str, syntax.Call]:
    """The statements with the command line's settings put in, as if they had been written so."""
    for path, value in settings.items():
        word, _, key = path.partition(".")
        if word not in _STATEMENTS:
            near = nearest(word, _STATEMENTS)
            help = f"did you mean `train.{near}`?" if near else ""
            diagnostics.append(Diagnostic("E115", f"no train statement `{word}` to set", value.span, help=help))
            continue
        op = syntax.Name(word, value.span)
        call = calls.get(word, syntax.Call(None, op, (), (), value.span))
        name = syntax.Name(key, value.span) if key else None
        new = syntax.Argument(name, value, value.span)
        if key:
            kept = tuple(a for a in call.arguments if a.key is None or a.key.text != key)
            arguments = (*kept, new)
        elif isinstance(_STATEMENTS[word], dict) and not _same_kind(call, value):
            arguments = (new,)  # the keys of another kind are not this one's
        else:
            arguments = (new, *(a for a in call.arguments if a.key is not None))
        calls[word] = call._replace(arguments=arguments)
    return calls


def _same_kind(call: syntax.Call, value: syntax.Expression) -> bool:
    first = call.arguments[0].value if call.arguments else None
    return isinstance(first, syntax.Word) and isinstance(value, syntax.Word) and first.name == value.name


def _fit(data: Data, call: syntax.Call, graph: Graph | None) -> list[Diagnostic]:
    """Whether the network's ends match a data set whose facts are known without opening it."""
    facts = KNOWN.get(data.name)
    if facts is None:
        near = nearest(data.name, KNOWN)
        help = f"did you mean `{near}`?" if near else f"there are {', '.join(KNOWN)}"
        return [Diagnostic("E506", f"unknown data set `{data.name}`", call.arguments[0].span, help=help)]
    if graph is None:
        return []
    found = []
    entry = graph.inputs[0]
    if entry.type.shape != facts.shape:
        shape = "x".join(map(str, facts.shape))
        note = (Note(entry.span, f"takes {entry.type}"),) if entry.span else ()
        found.append(
            Diagnostic(
                "E507",
                f"the images of {data.name} are {shape}; the network takes {entry.type}",
                call.span,
                notes=note,
                help=f"write `input {shape}`",
            )
        )
    exit_ = graph.by_name[graph.outputs[0]]
    if exit_.type.shape != (len(facts.classes),):
        note = (Note(exit_.span, f"makes {exit_.type}"),) if exit_.span else ()
        found.append(
            Diagnostic(
                "E508",
                f"{data.name} has {len(facts.classes)} classes; the network's output is {exit_.type}",
                call.span,
                notes=note,
                help=f"end with `fc {len(facts.classes)}`",
            )
        )
    return found


def require(recipe: Recipe | None, name: str) -> Recipe:
    """The recipe of a network that is to be trained. Raises CnncError E509 where it has none."""
    if recipe is None:
        raise CnncError.of(
            "E509",
            f"{name} has no train section",
            help="add `train { data digits; loss cross_entropy; optimizer sgd lr=0.05; epochs 5 }`",
        )
    return recipe
