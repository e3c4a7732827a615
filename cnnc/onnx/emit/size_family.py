"""The graph of a network with symbols at many of its legal sizes: how emission sees what depends on a size.

In: a network, and what the passes do. Out: `Family`, or None where all sizes are fixed. A number that is the same
at every legal size is written into the model as it is; for another the model works it out when it runs.
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

Passed = Callable[[Graph], Graph]
"""What the passes make of a graph."""

_FEW, _MANY = 64, 600  # sizes to look at: of a text that uses them as numbers, which is lowered for each; of others


class Member(NamedTuple):
    """The graph at one size: that of `symbol`, the others being those of the reference."""

    symbol: str
    size: int
    graph: Graph


class Family(NamedTuple):
    """`complete` says that every size that could make a difference is among the members."""

    survey: SizeSurvey
    members: tuple[Member, ...]
    complete: bool

    def nodes(self, name: str) -> Iterator[tuple[Graph, Node]]:
        """The node of that name in each graph."""
        for member in self.members:
            yield member.graph, member.graph.by_name[name]

    def formula(self, points: list[int]) -> tuple[str, SizeFormula] | None:
        """The symbol and function that give a number at every member; None where there is no such."""
        found = []
        for symbol in self.survey.legal:
            of = [(m.size, n) for m, n in zip(self.members, points, strict=True) if m.symbol == symbol]
            if len({n for _, n in of}) > 1:
                found.append((symbol, fit_formula(of, self.survey.period)))
        if len(found) != 1:
            return None
        symbol, function = found[0]
        return None if function is None else (symbol, function)

    def shape(self, name: str, shape: tuple[int, ...]) -> list[int | str]:
        """The shape of a node's value as ONNX writes it: numbers, the symbols, and names for what follows from them."""
        formulas = self.survey.formulas.get(name, ())
        if len(formulas) != len(shape):
            return list(shape)
        made: list[int | str] = []
        for axis, formula in enumerate(formulas):
            said = f"{name}.{axis}" if formula == "?" else formula.replace("⌊", "floor(").replace("⌋", ")")
            made.append(int(said) if said.isdigit() else said)
        return made


def family(network: Network, graph: Graph, passed: Passed) -> Family | None:
    """The family of a network whose passes made `graph`. Raises CnncError E806, at the layer that cannot be for every size."""
    survey = network.survey
    if survey is None or network.at or not survey.reference:
        return None
    members, complete = [], not graph.sized
    for symbol, rule in survey.legal.items():
        sizes = list(_looked_at(rule, survey.period))
        most = _FEW if graph.sized else _MANY
        complete = complete and len(sizes) <= most
        for size in sizes[:: -(-len(sizes) // most)] if len(sizes) > most else sizes:
            at = {**survey.reference, symbol: size}
            made = passed(network.graph_at(at)) if graph.sized else resize_graph(graph, at)
            if not isinstance(made, Failure):
                members.append(Member(symbol, size, made))
    found = Family(survey, tuple(members), complete)
    if graph.sized:
        _require_alike(graph, found)
    return found


def proof_sizes(network: Network) -> tuple[Mapping[str, int], ...]:
    """Two legal sizes, a small and a larger one, no two symbols alike where that is legal; one where there is no other."""
    survey = network.survey
    if survey is None or network.at:
        return ({},)
    small, large = dict(survey.reference), dict(survey.reference)
    for place, (symbol, rule) in enumerate(survey.legal.items()):
        small[symbol] = _from(rule, max(rule.minimum, survey.period) + place)
        large[symbol] = _from(rule, small[symbol] + survey.period + 1 + place)
    # sizes that are legal each for itself may not be so together: then one symbol moves alone
    alone = [{**survey.reference, symbol: size} for sizes in (small, large) for symbol, size in sizes.items()]
    fitting = [sizes for sizes in (small, large, *alone, survey.reference) if _fits(network, sizes)]
    first = fitting[0]
    return (first, *[other for other in fitting if other != first][:1])


def _fits(network: Network, sizes: Mapping[str, int]) -> bool:
    return network.resize is not None and not isinstance(network.resize(sizes), Failure)


def _from(rule: LegalSizes, size: int) -> int:
    """The first legal size from here on, or else the last."""
    below, above = rule.neighbours(size - 1)
    found = above or below
    return size if found is None else found


def _looked_at(rule: LegalSizes, period: int) -> Iterator[int]:
    """Legal sizes: all below the minimum, those of two periods from there, and a few far above."""
    yield from rule.extra
    if rule.residues:
        last = rule.minimum + 2 * max(period, rule.period, 4)
        yield from (n for n in range(rule.minimum, last) if rule.allows(n))
        for far in (2 * last, 3 * last):
            yield from (n for n in rule.neighbours(far)[1:] if n is not None)


def _require_alike(graph: Graph, found: Family) -> None:
    """Raises CnncError E806 at a layer whose arguments depend on a size in a way that no ONNX graph can follow."""
    for node in graph.nodes:
        if isinstance(node.op, Input | Reshape | Crop | Pad | Slice):
            continue
        if any(other.op != node.op for _, other in found.nodes(node.name)):
            raise varies(node, found)


def varies(node: Node, found: Family) -> CnncError:
    """E806: the model cannot be written for every size, because of this layer."""
    reference = ",".join(f"{symbol}={size}" for symbol, size in found.survey.reference.items())
    return CnncError(
        Diagnostic(
            "E806",
            f"{node.name} depends on a size in a way that a model for every size cannot follow",
            node.span,
            calls=node.calls,
            help=f"`--at {reference}` exports a model of one size",
        )
    )
