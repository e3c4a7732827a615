"""Size families: the graph of a network with symbolic sizes, resized to many legal sizes.

Input: a network, and a function that runs the passes. Output: `SizeFamily`, or None where all sizes are fixed. Emission
evaluates an attribute at every member: if it is the same everywhere, it becomes a constant of the model; otherwise the
model computes it at run time.

Worked case: `input 1xHxW; conv 2 k=3 s=2 p=same`. The padding that `same` needs is (0, 1) per axis at even sizes and
(1, 1) at odd ones, so the model gets Shape, arithmetic and Pad nodes. With `upsample 2; concat a` of the input after it,
H and W must be even; all members agree on (0, 1), and the model gets `pads=[0, 0, 1, 1]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.graph.graph import Graph, Node
from cnnc.graph.sizes import Failure, LegalSizes, SizeFormula, SizeSurvey, fit_formula, resize_graph
from cnnc.network import Network
from cnnc.ops.dense import Input
from cnnc.ops.reshape import Crop, Pad, Reshape, Slice

RunPasses = Callable[[Graph], Graph]
"""Runs the selected passes over a graph."""

# sizes tried per symbol: where the source uses sizes as numbers and is lowered anew for each, and otherwise
_MAX_LOWERED_SIZES, _MAX_RESIZED_SIZES = 64, 600


class Member(NamedTuple):
    """The graph with `symbol` at `size` and every other symbol at its reference size."""

    symbol: str
    size: int
    graph: Graph


class SizeFamily(NamedTuple):
    """The graphs of one network at many sizes. `complete` says that every size that can make a difference is a member."""

    survey: SizeSurvey
    members: tuple[Member, ...]
    complete: bool

    def nodes(self, name: str) -> Iterator[tuple[Graph, Node]]:
        """Each member's graph with its node of this name."""
        for member in self.members:
            yield member.graph, member.graph.by_name[name]

    def formula(self, points: list[int]) -> tuple[str, SizeFormula] | None:
        """The symbol and the function of its size that give `points`, one number per member; None if no single one does."""
        candidates = []
        for symbol in self.survey.legal:
            samples = [(m.size, n) for m, n in zip(self.members, points, strict=True) if m.symbol == symbol]
            if len({n for _, n in samples}) > 1:
                candidates.append((symbol, fit_formula(samples, self.survey.period)))
        if len(candidates) != 1:
            return None
        symbol, function = candidates[0]
        return None if function is None else (symbol, function)

    def shape(self, name: str, shape: tuple[int, ...]) -> list[int | str]:
        """The shape of a node's output for ONNX: numbers, symbols, and formulas such as floor((H+1)/2) as dimension names."""
        formulas = self.survey.formulas.get(name, ())
        if len(formulas) != len(shape):
            return list(shape)
        sizes: list[int | str] = []
        for axis, formula in enumerate(formulas):
            text = f"{name}.{axis}" if formula == "?" else formula.replace("⌊", "floor(").replace("⌋", ")")
            sizes.append(int(text) if text.isdigit() else text)
        return sizes


def build_size_family(network: Network, graph: Graph, run_passes: RunPasses) -> SizeFamily | None:
    """The size family of a network; None where all sizes are fixed. `graph` is its graph after the passes.

    Raises CnncError E806 at a layer that one model cannot express for every size.
    """
    survey = network.symbolic_sizes
    if survey is None or not survey.reference:
        return None
    members, complete = [], not graph.sized
    for symbol, rule in survey.legal.items():
        sizes = list(_sizes_to_try(rule, survey.period))
        limit = _MAX_LOWERED_SIZES if graph.sized else _MAX_RESIZED_SIZES
        complete = complete and len(sizes) <= limit
        for size in sizes[:: -(-len(sizes) // limit)] if len(sizes) > limit else sizes:
            at = {**survey.reference, symbol: size}
            member = run_passes(network.graph_at(at)) if graph.sized else resize_graph(graph, at)
            if not isinstance(member, Failure):
                members.append(Member(symbol, size, member))
    family = SizeFamily(survey, tuple(members), complete)
    if graph.sized:
        _require_same_ops(graph, family)
    return family


def verification_sizes(network: Network) -> tuple[Mapping[str, int], ...]:
    """The sizes to verify a model at: a small and a larger legal assignment, no two symbols equal where that is legal.

    One assignment where no other is legal, an empty one for a network without symbols.
    """
    survey = network.symbolic_sizes
    if survey is None:
        return ({},)
    small, large = dict(survey.reference), dict(survey.reference)
    for index, (symbol, rule) in enumerate(survey.legal.items()):
        small[symbol] = _legal_size_from(rule, max(rule.minimum, survey.period) + index)
        large[symbol] = _legal_size_from(rule, small[symbol] + survey.period + 1 + index)
    # sizes that are legal one by one may not be legal together; then only one symbol moves
    single = [{**survey.reference, symbol: size} for sizes in (small, large) for symbol, size in sizes.items()]
    fitting = [sizes for sizes in (small, large, *single, survey.reference) if _fits(network, sizes)]
    first = fitting[0]
    return (first, *[other for other in fitting if other != first][:1])


def _fits(network: Network, sizes: Mapping[str, int]) -> bool:
    return network.resize is not None and not isinstance(network.resize(sizes), Failure)


def _legal_size_from(rule: LegalSizes, size: int) -> int:
    """The smallest legal size from `size` on, or else the largest below it."""
    below, above = rule.neighbours(size - 1)
    nearest = above or below
    return size if nearest is None else nearest


def _sizes_to_try(rule: LegalSizes, period: int) -> Iterator[int]:
    """Legal sizes: all below the minimum, those of two periods from there, and a few much larger ones."""
    yield from rule.extra
    if rule.residues:
        last = rule.minimum + 2 * max(period, rule.period, 4)
        yield from (n for n in range(rule.minimum, last) if rule.allows(n))
        for far in (2 * last, 3 * last):
            yield from (n for n in rule.neighbours(far)[1:] if n is not None)


def _require_same_ops(graph: Graph, family: SizeFamily) -> None:
    """Raises CnncError E806 at a layer whose arguments depend on a size in a way that no ONNX graph can express."""
    for node in graph.nodes:
        if isinstance(node.op, Input | Reshape | Crop | Pad | Slice):
            continue
        if any(other.op != node.op for _, other in family.nodes(node.name)):
            raise size_dependence_error(node, family)


def size_dependence_error(node: Node, family: SizeFamily) -> CnncError:
    """E806: one model cannot express this layer for every size."""
    return CnncError(
        Diagnostic(
            "E806",
            f"{node.name} depends on a size in a way that one model for every size cannot express",
            node.span,
            calls=node.calls,
            help=f"{at_option(family.survey)} exports a model for one size",
        )
    )


def at_option(survey: SizeSurvey) -> str:
    """The option that fixes every symbol to its reference size, for the help of an error: `--at H=224,W=224`."""
    sizes = ",".join(f"{symbol}={size}" for symbol, size in survey.reference.items())
    return f"`--at {sizes}`"
