"""Finding the legal sizes of a network with symbols (`input 3xHxW`).

In: a function that lowers the file at given sizes of the symbols, and the sizes that the user fixed. Out: `Explored`: the
network lowered at one legal size, a `SizeSurvey` of all legal sizes with a formula for every tensor, and diagnostics: E314 if
the layers or their parameters depend on a size, and the nearest legal sizes if the ones asked for are illegal.

Shapes at other sizes come from the ops' own rules (cnnc/graph/sizes.py), without lowering again. Only where the source
computes with a size (`crop H/2`; `Lowered.sized`) is it lowered again for each size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from cnnc.core.arguments import BadValue
from cnnc.core.caller import option
from cnnc.core.tensor import TensorType, format_shape
from cnnc.diagnostics import CnncError, Diagnostic, Edit
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import (
    Failure,
    ShapeEvaluator,
    SizeSurvey,
    StepLimit,
    TooMuchWork,
    TypesAt,
    size_dependent_layer,
    survey_sizes,
    symbol_sizes,
    with_types,
)
from cnnc.language import syntax
from cnnc.language.edits import before
from cnnc.language.expressions import AlreadyReported
from cnnc.language.lower import Lowered
from cnnc.ops.dense import Input
from cnnc.ops.local import Local

# Sizes to try for the symbols until one is legal: common image sizes, then a dense range.
_IMAGE_SIZES = (224, 256, 572, 512, 1024, 128, 64, 32, 28, 96, 299, 227, 100, 48, 16, 8)
_CANDIDATES = (*_IMAGE_SIZES, *range(1, 200), *range(200, 800, 4))

MAX_SEARCH_STEPS = 5_000
"""The statements that are lowered at most in the search for a legal size, a fraction of a second; two sizes are always tried."""

MAX_SURVEY_STEPS = 40_000
"""The statements that are lowered at most in the survey of a source that computes with a size, about a second."""


class LowerAt(Protocol):
    """Lowers the file: takes a function from a symbol to its size, whether the user fixed the sizes, and whether the size is
    only tried, so that the first error ends it."""

    def __call__(self, sizes: Callable[[str], int], fixed: bool, tried: bool = False) -> Lowered: ...


Resize = Callable[[Mapping[str, int]], Graph | Failure]
"""The graph for other sizes of the symbols, or why there is none."""


class Explored(NamedTuple):
    """The file lowered at one size; its survey, None without symbols or legal sizes; and diagnostics about sizes."""

    lowered: Lowered
    survey: SizeSurvey | None
    diagnostics: tuple[Diagnostic, ...] = ()


class _OtherLayers(Exception):
    """Another size gives a network of other layers."""


def explore(
    lower_at: LowerAt,
    fixed: Mapping[str, int],
    preferred: Mapping[str, int],
    data_shapes: Mapping[str, tuple[int, ...]],
    text: str,
    whole: bool = True,
) -> Explored:
    """Lowers the file; if it has symbols, finds a legal size for them and surveys all others.

    `fixed` are the sizes that the user asks for (`--at`). Other symbols are first tried at the `preferred` sizes, or, without
    these, at the size of the images of the train section's data set; `data_shapes` are the shapes of known data sets.
    `text` is the source. A file of which a part could not be parsed is not `whole`: a search that tries every size would
    mostly find that the rest fits at none, so only a few are tried. Raises CnncError E010 if `fixed` names a size that is not a symbol.
    """
    divisors = _divisors(text)
    candidates = _CANDIDATES if whole else _IMAGE_SIZES
    explored = _explore(lower_at, fixed, preferred, divisors, candidates)
    if explored.survey is not None and not (fixed or preferred):
        preferred = _sizes_of_data(explored.lowered, data_shapes)
        if preferred:
            return _explore(lower_at, fixed, preferred, divisors, candidates)
    return explored


def resizer(base: Lowered, lower_at: LowerAt) -> Resize:
    """A function that gives the graph for other sizes. `base` is the file lowered at one legal size."""
    graph, shapes = base.graph, _shapes_at(base, lower_at)
    assert graph is not None

    def resize(sizes: Mapping[str, int]) -> Graph | Failure:
        if base.sized:
            lowered = lower_at(lambda name: sizes[name], False)
            return lowered.graph or _failure(lowered)
        types = shapes(sizes)
        return types if isinstance(types, Failure) else with_types(graph, types)

    return resize


def survey_of_part(graph: Graph, symbols: Mapping[str, int]) -> SizeSurvey | None:
    """The survey of the layers of a file with errors, which are legal at these sizes; None if no rule is found for them.

    Assertions are left out, and so is arithmetic with sizes.
    """
    if not graph.nodes:
        return None
    try:
        return survey_sizes(graph, ShapeEvaluator(graph, lambda sizes: ()).at, symbols)
    except (KeyError, IndexError, StopIteration):  # a symbol of an input that could not be lowered
        return None


def _divisors(text: str) -> set[int]:
    """The numbers that the source divides by: rules about sizes used in arithmetic repeat with them."""
    return {int(n) for n in re.findall(r"[/%]\s*(\d{1,3})\b", text)} - {0}


def _sizes_of_data(lowered: Lowered, data_shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The sizes of the symbols for the images of the train section's data set; {} if their shape is not known."""
    if lowered.graph is None or lowered.train is None:
        return {}
    for statement in (s for body in lowered.train.call.bodies for s in body.statements):
        if isinstance(statement, syntax.Call) and statement.op.text == "data" and statement.arguments:
            value = statement.arguments[0].value
            shape = data_shapes.get(value.name) if isinstance(value, syntax.Word) else None
            if shape is None:
                return {}
            sizes = symbol_sizes(lowered.graph, {lowered.graph.inputs[0].name: shape})
            return {} if isinstance(sizes, Failure) else sizes
    return {}


def _explore(
    lower_at: LowerAt,
    fixed: Mapping[str, int],
    preferred: Mapping[str, int],
    divisors: Iterable[int],
    candidates: Sequence[int],
) -> Explored:
    first = lower_at(lambda name: fixed.get(name, preferred.get(name, 224)), bool(fixed))
    _require_symbols(fixed, first.symbols)
    if not first.symbols or not (first.graph is not None or _only_size_errors(first)):
        return Explored(first, None)
    base, tried = (first, 1) if first.graph is not None else _first_legal(lower_at, candidates, fixed or preferred)
    if base is None or base.graph is None:
        return Explored(first if fixed else _no_legal_size(first, tried), None)
    shapes = _shapes_at(base, lower_at)
    try:
        survey = survey_sizes(base.graph, shapes, base.symbols, divisors if base.sized else ())
        if base.sized:
            dependent = _parameters_change(base, lower_at, survey)
        else:
            dependent = size_dependent_layer(base.graph, shapes, survey)
    except _OtherLayers:
        return Explored(base, None, (_layers_depend_on_size(base.graph, base.symbols),))
    except TooMuchWork:
        return Explored(base, None, (_too_much_work(base),))
    if dependent is not None:
        shown = tuple(d for d in base.diagnostics if d.code not in ("W107", "W113"))  # true of this size
        return Explored(
            base.replace(diagnostics=shown), survey, (_parameters_depend_on_size(base.graph, survey, *dependent),)
        )
    if first.graph is None and fixed:
        return Explored(_with_nearest_sizes(first, survey, fixed), survey)
    return Explored(first if fixed else base, survey)


def _require_symbols(fixed: Mapping[str, int], symbols: Mapping[str, int]) -> None:
    """Raises CnncError E010 if one of the fixed sizes is not a symbol of the file."""
    unknown = [name for name in fixed if name not in symbols]
    if unknown:
        help = (
            f"the file's symbols are {', '.join(symbols)}"
            if symbols
            else f"the file has no symbols: remove `{option('at')}`"
        )
        raise CnncError.of("E010", f"{option('at')}: no input has a size `{unknown[0]}`", help=help)


def _only_size_errors(lowered: Lowered) -> bool:
    """Whether all errors may be due to the size that was tried."""
    codes = [d.code for d in lowered.diagnostics if d.severity == "error"]
    return all(c.startswith("E3") or c == "E401" or (lowered.sized and c in ("E103", "E203")) for c in codes)


def _first_legal(lower_at: LowerAt, candidates: Sequence[int], asked: Mapping[str, int]) -> tuple[Lowered | None, int]:
    """The file lowered at the first candidate size that is legal, the same for all symbols (None if none of those tried
    is), and the number of sizes tried. The first candidate has been tried before, unless other sizes were `asked` for."""
    steps = 0
    for tried, size in enumerate(candidates, 1):
        if tried == 1 and not asked:
            continue
        lowered = lower_at(lambda name, size=size: size, False, True)  # type: ignore[misc]
        if lowered.graph is not None:
            return lowered, tried
        steps += lowered.steps
        if steps > MAX_SEARCH_STEPS and tried > 1:
            return None, tried
    return None, len(candidates)


def _shapes_at(base: Lowered, lower_at: LowerAt) -> TypesAt:
    """A function that gives the type of every node for other sizes, from the ops' rules or by lowering again."""
    graph = base.graph
    assert graph is not None
    if not base.sized:
        return ShapeEvaluator(graph, lambda sizes: _asserted_shapes(base, sizes)).at

    budget = StepLimit(MAX_SURVEY_STEPS)

    def lower_again(sizes: Mapping[str, int]) -> dict[str, TensorType] | Failure:
        budget.take(base.steps)
        lowered = lower_at(lambda name: sizes[name], False, True)
        if lowered.graph is None:
            return _failure(lowered)
        if lowered.graph.by_name.keys() != graph.by_name.keys():
            raise _OtherLayers
        return {node.name: node.type for node in lowered.graph.nodes}

    return lower_again


def _failure(lowered: Lowered) -> Failure:
    """The first diagnostic of a file that is illegal at the size that was tried."""
    return Failure("", lowered.diagnostics[0].message if lowered.diagnostics else "")


def _asserted_shapes(base: Lowered, sizes: Mapping[str, int]) -> Iterable[tuple[str, tuple[int, ...] | None]]:
    """The shapes that the source asserts at these sizes, by node; None if the expression has no value there."""
    values = base.root.values
    original = {name: values[name] for name in sizes}
    values.update(sizes)
    try:
        for assertion in base.shape_assertions:
            try:
                yield assertion.node, assertion.shape()
            except (BadValue, CnncError, AlreadyReported):
                yield assertion.node, None
    finally:
        values.update(original)


def _parameters_change(base: Lowered, lower_at: LowerAt, survey: SizeSurvey) -> tuple[Node, str] | None:
    """The first layer whose parameters have other shapes at another legal size, and the symbol to blame.

    As `size_dependent_layer`, for a source that computes with a size, so that the layers change with it.
    """
    assert base.graph is not None
    for symbol, rule in survey.legal.items():
        other = rule.other_size(survey.reference[symbol])
        if other is None:
            continue
        sizes = {**survey.reference, symbol: other}
        graph = lower_at(lambda name, sizes=sizes: sizes[name], False).graph  # type: ignore[misc]
        for node in graph.nodes if graph is not None else ():
            known = base.graph.by_name[node.name]
            assert graph is not None
            if [p.shape for p in graph.parameters(node)] != [p.shape for p in base.graph.parameters(known)]:
                return known, symbol
    return None


# --- diagnostics ---------------------------------------------------------------------------------------------


def _layers_depend_on_size(graph: Graph, symbols: Iterable[str]) -> Diagnostic:
    names = " and ".join(symbols)
    message = f"the layers depend on {names}, but a network has the same layers at every size"
    help = "count with a `let` instead of a symbol, or give the input a fixed size"
    return Diagnostic("E314", message, graph.inputs[0].span, help=help)


def _parameters_depend_on_size(graph: Graph, survey: SizeSurvey, node: Node, symbol: str) -> Diagnostic:
    message = f"the parameters of {node.name} depend on {symbol}, but a network has the same parameters at every size"
    if isinstance(node.op, Local):  # of one position it would be a conv
        fixed = "give the input a fixed size"
        return Diagnostic("E314", message, node.span, calls=node.calls, help=fixed, edits=_fixed_input(graph, survey))
    help = "put `{}` before it, or give the input a fixed size"
    edits = (before(node.span, "global_pool avg", help),) if node.span is not None and not node.calls else ()
    return Diagnostic("E314", message, node.span, calls=node.calls, help=help.format("global_pool avg"), edits=edits)


def _too_much_work(base: Lowered) -> Diagnostic:
    """E113 for a network whose legal sizes take too long to find."""
    assert base.graph is not None
    names = " and ".join(base.symbols)
    reason = (
        f"the source computes with a size and has {base.steps:,} statements" if base.sized else "they repeat rarely"
    )
    message = f"finding the legal sizes of {names} takes too long: {reason}, and the network has {len(base.graph.nodes):,} layers"
    span, help = base.graph.inputs[0].span, "give the input a fixed size"
    lets = "".join(f"let {name} = {size}; " for name, size in base.symbols.items())
    edits = (Edit(span._replace(end=span.start), lets, f"{help}: `{{}}`"),) if span is not None else ()
    return Diagnostic("E113", message, span, help=help, edits=edits)


def _fixed_input(graph: Graph, survey: SizeSurvey) -> tuple[Edit, ...]:
    """The edit that writes numbers for the symbols of the only input that has them: near 32, as in small images."""
    node, *others = (node for node in graph.inputs if isinstance(node.op, Input) and any(node.op.symbols))
    assert isinstance(node.op, Input)
    shape = tuple(zip(node.op.symbols, node.op.shape, strict=True))
    written = "x".join(symbol or str(n) for symbol, n in shape)
    if others or node.span is None or written not in node.span.text:
        return ()
    sizes = format_shape(tuple((survey.legal[symbol].closest(32) or n) if symbol else n for symbol, n in shape))
    fixed = node.span.text.replace(written, sizes, 1)
    return (Edit(node.span, fixed, "give the input a fixed size: `{}`"),)


def _no_legal_size(lowered: Lowered, tried: int) -> Lowered:
    """Errors that say that no size is legal; `lowered` is the file at the first of the `tried` sizes."""
    names = " and ".join(lowered.symbols)
    sizes = ", ".join(f"{name}={size}" for name, size in lowered.symbols.items())
    which = f"up to {max(_CANDIDATES)}" if tried == len(_CANDIDATES) else f"among the {tried} tried"
    diagnostics = tuple(
        d._replace(message=f"no size of {names} {which} is legal; at {sizes}: {d.message}")
        if d.severity == "error"
        else d
        for d in lowered.diagnostics
    )
    return lowered.replace(diagnostics=diagnostics)


def _with_nearest_sizes(lowered: Lowered, survey: SizeSurvey, fixed: Mapping[str, int]) -> Lowered:
    """The first error at the sizes that the user asked for, with the nearest legal sizes; the others follow from it."""
    sizes = ", ".join(f"{name}={size}" for name, size in fixed.items())
    advice = []
    for symbol, size in fixed.items():
        rule = survey.legal[symbol]
        if not rule.allows(size):
            near = [f"{symbol}={n}" for n in rule.neighbours(size) if n is not None]
            nearest = f"the nearest legal size{'s are' if len(near) > 1 else ' is'} {' and '.join(near)}"
            advice.append(f"{nearest} ({rule})")
    first = next(d for d in lowered.diagnostics if d.severity == "error")
    diagnostic = first._replace(message=f"at {sizes}: {first.message}")
    if advice:
        diagnostic = diagnostic._replace(words="; ".join(advice)).with_edits(())
    return lowered.replace(diagnostics=(diagnostic,))
