"""The block calls of a network as a tree: what each call reads from outside, and what others read of it.

In: a graph. Out: the root `CallScope`, whose items are layers and the scopes of calls, in order. A call that cannot be a module
of its own is dissolved, its layers belong to the scope around it: one that holds an input of the network, or a layer that
shares parameters with a layer outside.

Example: `e1: double 64; pool max k=2` has the items [CallScope e1, Node pool1]; e1 reads input1 and is read by pool1.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from cnnc.graph.graph import ExpandedCall, Graph, Node
from cnnc.ops.dense import Input
from cnnc.torch.source.layers import Pieces, pieces_of


class CallScope:
    """One block call, or the whole network if `call` is None.

    `reads` are the nodes outside that its layers read, `read` its own nodes that others read. `twin` is the call whose
    parameters it uses, "" for its own.
    """

    def __init__(self, call: ExpandedCall | None) -> None:
        self.call = call
        self.items: list[Node | CallScope] = []
        self.reads: list[str] = []
        self.read: list[str] = []
        self.twin = ""

    @property
    def name(self) -> str:
        """The full name of the call, "" for the network."""
        return self.call.name if self.call is not None else ""


class CallTree(NamedTuple):
    """The root, all scopes by name, each after those inside it, and for each node the path of its scopes and its pieces."""

    root: CallScope
    scopes: Mapping[str, CallScope]
    paths: Mapping[str, tuple[str, ...]]
    pieces: Mapping[str, Pieces]


def relative_name(name: str, scope: str) -> str:
    """The name of a layer or call inside a scope: `conv1` for `e1.conv1` in `e1`."""
    return name[len(scope) + 1 :] if scope and name.startswith(f"{scope}.") else name


def build_tree(graph: Graph, padded: Collection[str] = ()) -> CallTree:
    """The tree of a graph that holds only the nodes that its outputs need; `padded` compute their padding from their input."""
    pieces = {
        node.name: pieces_of(node.op, graph.input_types(node), node.type, pads_at_run_time=node.name in padded)
        for node in graph.nodes
    }
    known = {call.name for call in graph.calls}
    dissolved = {name for node in graph.nodes for name in node.path if isinstance(node.op, Input) or name not in known}
    twins = _twins(graph, pieces)
    while True:
        paths = {node.name: tuple(name for name in node.path if name not in dissolved) for node in graph.nodes}
        problem = _unreachable(graph, paths, twins)
        if not problem:
            break
        dissolved |= problem
    return _assembled(graph, paths, twins, pieces)


def _twins(graph: Graph, pieces: Mapping[str, Pieces]) -> dict[str, str]:
    """The calls whose layers use the parameters of another call one by one, and compute the same: by name the other's."""
    members: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.path:
            members.setdefault(name, []).append(node)
    twins: dict[str, str] = {}
    for name, nodes in members.items():
        shared = [node for node in nodes if graph.parameters(node)]
        first = next(iter(shared), None)
        if first is None or not first.owner.endswith(first.name[len(name) :]):
            continue
        other = first.owner[: len(first.owner) - len(first.name) + len(name)]
        if other == name or other not in members:
            continue
        owners = {f"{other}{node.name[len(name) :]}" for node in shared}
        if {node.owner for node in shared} == owners and _outline(nodes, name, pieces) == _outline(
            members[other], other, pieces
        ):
            twins[name] = other
    return twins


def _outline(nodes: Iterable[Node], scope: str, pieces: Mapping[str, Pieces]) -> list[object]:
    """What the layers of a call compute, without the names outside."""
    inside = {node.name for node in nodes}
    return [
        (
            relative_name(node.name, scope),
            pieces[node.name],
            [relative_name(n, scope) if n in inside else "" for n in node.inputs],
        )
        for node in nodes
    ]


def _unreachable(graph: Graph, paths: Mapping[str, tuple[str, ...]], twins: Mapping[str, str]) -> set[str]:
    """Calls to dissolve, because a layer in them uses parameters that cannot be reached from there."""
    calls = {call: path[: path.index(call)] for path in paths.values() for call in path}  # with the calls around each
    found = set()
    for node in graph.nodes:
        if not node.owner or not graph.parameters(node) or not paths[node.name]:
            continue
        path = paths[node.name]
        covering = next((call for call in path if call in twins), None)
        if covering is not None:
            other = twins[covering]
            if other in calls and calls[other][: len(calls[covering])] == calls[covering]:
                continue
            found.add(covering)
        elif paths[node.owner][: len(path)] != path:
            found.add(path[-1])
    return found


def _assembled(
    graph: Graph, paths: Mapping[str, tuple[str, ...]], twins: Mapping[str, str], pieces: Mapping[str, Pieces]
) -> CallTree:
    calls = {call.name: call for call in graph.calls}
    root = CallScope(None)
    scopes = {"": root}
    for node in graph.nodes:
        around = root
        for name in paths[node.name]:
            if name not in scopes:
                scopes[name] = CallScope(calls[name])
                scopes[name].twin = twins.get(name, "")
                around.items.append(scopes[name])
            around = scopes[name]
        if node.inputs or pieces[node.name]:  # an input is an item where something is computed from it at once
            around.items.append(node)
    _add_edges(graph, paths, scopes)
    root.reads = [node.name for node in graph.inputs]
    for scope in scopes.values():
        if scope.call is not None:
            _sort_edges(scope, scope.call)
    return CallTree(root, dict(reversed(scopes.items())), paths, pieces)


def _add_edges(graph: Graph, paths: Mapping[str, tuple[str, ...]], scopes: Mapping[str, CallScope]) -> None:
    reads: dict[str, dict[str, None]] = {name: {} for name in scopes}
    read: dict[str, dict[str, None]] = {name: {} for name in scopes}
    for node in graph.nodes:
        for source in node.inputs:
            for name in paths[node.name]:
                if name not in paths[source]:
                    reads[name][source] = None
            for name in paths[source]:
                if name not in paths[node.name]:
                    read[name][source] = None
    for output in graph.outputs:
        for name in ("", *paths[output]):
            read[name][output] = None
    order = {node.name: number for number, node in enumerate(graph.nodes)}
    for name, scope in scopes.items():
        scope.reads = list(reads[name])
        scope.read = sorted(read[name], key=order.__getitem__) if name else list(graph.outputs)


def _sort_edges(scope: CallScope, call: ExpandedCall) -> None:
    """The tensor that enters the call comes first, then the layers given for parameters; of outputs the last layer first."""
    first = [call.input, *(layer for _, layer in call.layers)]
    scope.reads.sort(key=lambda name: first.index(name) if name in first else len(first))
    scope.read.sort(key=lambda name: name != call.output)
