"""Finds the layers of a model: interprets its graph at several sizes and compares the results.

In: an `OnnxModel`. Out: a `LayerGraph`, the layers that the outputs need; or CnncError E621, which lists every node that
cannot be imported. While the graph is interpreted, an open batch or size is a number. Interpreting it again with other
numbers must give the same layers, else a layer depends on the size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

import cnnc.onnx.importer.ops  # noqa: F401  fills the table
from cnnc.core.arrays import Array
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.onnx.importer.read.model import ModelInput, OnnxModel, described
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.permutations import absorb_permutations
from cnnc.onnx.importer.recognize.values import Cause, Layer, LayerOutput, Unsupported, UnsupportedValue
from cnnc.onnx.importer.text.labels import suggested_output_name
from cnnc.ops.activation import Identity
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Input
from cnnc.ops.filter import Filter
from cnnc.ops.pool import Pool

TRIAL_BATCHES = (3, 5)  # two numbers for an open batch
TRIAL_SIZES = (224, 256, 64, 32, 128, 28, 96, 299, 16, 8, 12, 20, 40, 48, 320, 416, 512, 572, 1024, 7, 5)
"""Numbers tried for open sizes, until one is legal for the network."""
SIZE_INCREMENTS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)  # distances from the first size at which others are tried
SIZES_COMPARED = 4  # other sizes that must give the same layers
_FIX_BATCH = "export the model with a fixed batch size, of 1 for example, or let its reshapes leave the first axis open"
MAX_REPORTED = 100  # nodes listed in an error


class LayerGraph(NamedTuple):
    """Layers in topological order.

    `shared` maps a layer's id to the layer whose parameters it uses; `batch` is the model's fixed batch, None where it
    is open. `limits` are the nodes for which there is no layer at some sizes at which the model may run.
    """

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Layer, ...]
    outputs: tuple[Layer, ...]
    shared: Mapping[int, Layer]
    batch: int | None
    limits: tuple[Cause, ...] = ()
    from_cnnc: bool = False  # cnnc wrote the model, so names within blocks are counted names

    def parameter_owner(self, layer: Layer) -> Layer | None:
        """The other layer whose parameters this layer uses; None where it has its own."""
        return self.shared.get(id(layer))

    @property
    def sharing_ids(self) -> set[int]:
        """The ids of all layers that share parameters, owners included."""
        return {*self.shared, *(id(owner) for owner in self.shared.values())}


class UnsupportedGraph(Exception):
    """A graph cannot be imported at one choice of sizes; `causes` lists the nodes, `limits` those of them that the
    language has a layer for at other sizes."""

    def __init__(self, causes: Iterable[Cause], limits: Iterable[Cause] = ()) -> None:
        super().__init__()
        self.causes = tuple(dict.fromkeys(causes))
        self.limits = tuple(dict.fromkeys(limits))


def layer_graph_of(model: OnnxModel, name: str, at: Mapping[str, int] | None = None) -> LayerGraph:
    """The layers of a model; `at` fixes open sizes by name. Raises CnncError E621, E010."""
    fixed = {_symbol_of(k): v for k, v in (at or {}).items()}
    model = _with_symbols(model, fixed)
    symbols = _symbols(model)
    batch = _fixed_batch(model)
    first, first_size = _first_run(model, batch, symbols)
    layer_graph = _required_layers(model, first, batch)
    limits: tuple[Cause, ...] = ()
    if batch is None:
        _compare_with_other_batch(model, layer_graph, dict.fromkeys(symbols, first_size))
    if symbols:
        limits = _compare_with_other_sizes(model, layer_graph, batch, symbols, first_size)
    from_cnnc = model.producer.split(" ")[0] == "cnnc"
    shared = _shared_parameters(layer_graph.layers)
    return layer_graph._replace(name=name, shared=shared, limits=limits, from_cnnc=from_cnnc)


# --- sizes -------------------------------------------------------------------------------------------------


def _symbol_of(text: str) -> str:
    """The model's name of a size as a symbol of the language, in capitals."""
    symbol = "".join(c if c.isascii() and c.isalnum() else "_" for c in text).strip("_").upper()[:40]
    return symbol if symbol[:1].isalpha() else f"N_{symbol}".rstrip("_")


def _with_symbols(model: OnnxModel, fixed: Mapping[str, int]) -> OnnxModel:
    """The model with its open sizes as symbols of the language, or as numbers where `fixed` gives them.

    Raises CnncError E010 for a name in `fixed` that no open size has.
    """
    inputs, open_sizes = [], []
    for model_input in model.inputs:
        shape = _named_sizes(model_input.shape or ())
        open_sizes += [size for size in shape[1:] if isinstance(size, str)]
        sizes = (*shape[:1], *(fixed.get(size, size) if isinstance(size, str) else size for size in shape[1:]))
        inputs.append(model_input._replace(shape=sizes) if shape else model_input)
    unknown = next((name for name in fixed if name not in open_sizes), None)
    if unknown is not None:
        names = ", ".join(dict.fromkeys(open_sizes)) or "none"
        raise CnncError.of(
            "E010", f"--at: no input has an open size `{unknown}`", help=f"open sizes of the model: {names}"
        )
    return model.replaced(inputs=tuple(inputs))


def _named_sizes(shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The shape with its open sizes, apart from the batch, as symbols of the language."""
    sizes = [
        (_symbol_of(size) if size.isidentifier() else _default_symbol(axis, len(shape)))
        if isinstance(size, str)
        else size
        for axis, size in enumerate(shape[1:], 1)
    ]
    return (*shape[:1], *sizes)


def _default_symbol(axis: int, axes: int) -> str:
    """The symbol of an unnamed size: H and W of an image, T of a sequence."""
    return {2: "T", 3: "CT", 4: "CHW", 5: "CDHW"}.get(axes, "ABCDEFGHIJKLMNOP")[axis - 1]


def _symbols(model: OnnxModel) -> tuple[str, ...]:
    """The symbols of a model's open sizes, each once."""
    symbols = [s for model_input in model.inputs for s in (model_input.shape or ())[1:] if isinstance(s, str)]
    return tuple(dict.fromkeys(symbols))


def _fixed_batch(model: OnnxModel) -> int | None:
    """The fixed batch of a model, None where it is open. Raises CnncError E621 where inputs differ in it."""
    batches = {p.name: p.shape[0] for p in model.inputs if p.shape}
    if not batches:
        return None
    open_batch = next((size for size in batches.values() if isinstance(size, str)), None)
    batch = open_batch if open_batch is not None else next(iter(batches.values()))
    others = [p for p in model.inputs if p.shape and p.shape[0] != batch and isinstance(p.shape[0], int)]
    if others:
        known = next(name for name, size in batches.items() if size == batch)
        raise not_imported([_not_batch_first(p, known, batch) for p in others])
    return batch if isinstance(batch, int) else None


def _not_batch_first(model_input: ModelInput, known: str, batch: int | str) -> Cause:
    """The cause for an input whose first axis has another size than that of the input `known`."""
    shape = model_input.shape or ()
    size = f"the open batch {batch}".rstrip() if isinstance(batch, str) else f"{batch}"
    reason = f"its first axis is not the batch: it has the size {shape[0]}, and that of {known} is {size}"
    if isinstance(batch, str) and batch in shape[1:]:
        reason += f", which is axis {shape.index(batch)} here, as in the state of a recurrent layer"
    return Cause(
        model_input.name,
        "input",
        reason,
        "layers keep no state from one run to the next; export the model without it, or with the batch as first axis of "
        "every input",
    )


def _first_run(model: OnnxModel, batch: int | None, symbols: tuple[str, ...]) -> tuple[Interpreter, int]:
    """Interprets the graph at the first trial size that works; also returns that size.

    Raises CnncError E621 with the causes of the first size tried.
    """
    first_error: UnsupportedGraph | None = None
    for size in TRIAL_SIZES if symbols else TRIAL_SIZES[:1]:
        try:
            return _run(model, batch or TRIAL_BATCHES[0], dict.fromkeys(symbols, size)), size
        except UnsupportedGraph as error:
            first_error = first_error or error
    assert first_error is not None
    raise not_imported(first_error.causes)


def _run(model: OnnxModel, batch: int, sizes: Mapping[str, int]) -> Interpreter:
    """Interprets the graph at one choice of sizes. Raises UnsupportedGraph."""
    run = Interpreter(model, batch, sizes)
    run.run()
    causes: list[Cause] = []
    for name in model.outputs:
        value = run.values[name]
        if isinstance(value, UnsupportedValue):
            causes += value.causes
        elif not isinstance(value, LayerOutput):
            causes.append(Cause(name, "output", "it is a constant, or depends on sizes alone"))
        elif value.layer is None:
            try:
                run.values[name] = run.output_of(run.as_layer(value))
            except Unsupported as error:
                causes.append(Cause(name, "output", str(error), error.help))
    outputs = [
        value.layer for name in model.outputs if isinstance(value := run.values[name], LayerOutput) and value.layer
    ]
    absorb_permutations(run, outputs)
    causes += _placeholder_causes(run, outputs)
    if not run.inputs and not causes:
        causes.append(Cause(model.name or "the graph", "graph", "it has no input"))
    if causes:
        raise UnsupportedGraph(causes, run.limits)
    return run


def _placeholder_causes(run: Interpreter, outputs: Iterable[Layer]) -> list[Cause]:
    """The causes of the placeholders among the layers that these outputs need."""
    needed = {id(layer) for layer in outputs}
    for layer in reversed(run.layers):
        if id(layer) in needed:
            needed |= {id(dependency) for dependency in layer.dependencies}
    return [cause for layer, cause in run.placeholders.items() if layer in needed]


def _compare_with_other_batch(model: OnnxModel, layer_graph: LayerGraph, sizes: Mapping[str, int]) -> None:
    """Interprets the graph with another number of examples and compares the layers. Raises CnncError E621."""
    try:
        other = _run(model, TRIAL_BATCHES[1], sizes)
    except UnsupportedGraph as error:
        raise not_imported(
            [
                c._replace(reason=f"{c.reason} (with another batch size)", help=c.help or _FIX_BATCH)
                for c in error.causes
            ]
        ) from None
    different = _reconcile(layer_graph, _required_layers(model, other, None))
    if different is not None:
        reason = f"its {different.op.keyword} depends on the batch size, which the model leaves open"
        raise not_imported([_cause_of(model, different, reason, _FIX_BATCH)])


def _compare_with_other_sizes(
    model: OnnxModel, layer_graph: LayerGraph, batch: int | None, symbols: tuple[str, ...], first_size: int
) -> tuple[Cause, ...]:
    """Interprets the graph at other sizes and reconciles the layers.

    Returns the nodes that have no layer at some of these sizes. Raises CnncError E621 where the layers differ.
    """
    agreeing = 0
    causes: tuple[Cause, ...] = ()
    limits: tuple[Cause, ...] = ()
    fixed = ",".join(f"{name}={first_size}" for name in symbols)
    for increment in SIZE_INCREMENTS:
        sizes = {name: first_size + increment * position for position, name in enumerate(symbols, 1)}
        try:
            other = _run(model, batch or TRIAL_BATCHES[1], sizes)
        except UnsupportedGraph as error:  # not a legal size of the network
            causes, limits = causes or error.causes, limits or error.limits
            continue
        different = _reconcile(layer_graph, _required_layers(model, other, batch))
        if different is not None:
            reason = (
                f"its {different.op.keyword} depends on the open size{'s' * (len(symbols) > 1)} {' and '.join(symbols)}"
            )
            help = f"fix the size with --at, for example --at {fixed}"
            raise not_imported([_cause_of(model, different, reason, help)])
        agreeing += 1
        if agreeing == SIZES_COMPARED:
            break
    if not agreeing:
        what = " and ".join(symbols)
        help = f"fix the size with --at, for example --at {fixed}"
        raise not_imported(
            [c._replace(reason=f"{c.reason} (at another size of {what})", help=c.help or help) for c in causes]
        )
    return limits


def _cause_of(model: OnnxModel, layer: Layer, reason: str, help: str) -> Cause:
    """The cause that a layer is, by the node that it comes from."""
    op = next((node.op for node in model.nodes if node.name == layer.node_name), layer.op.keyword)
    return Cause(layer.node_name, op, reason, help)


def _reconcile(layer_graph: LayerGraph, other: LayerGraph) -> Layer | None:
    """Compares the layers of two runs and returns the first that differs, None where all agree.

    Padding that differs becomes the word that covers both.
    """
    for a, b in zip_longest(layer_graph.layers, other.layers):
        if a is not None and b is not None:
            _unify_padding(a, b)
        if a is None or b is None or not _same_op(a.op, b.op) or not _same_weights(a, b):
            return a or b
    return None


def _unify_padding(a: Layer, b: Layer) -> None:
    """Replaces padding that differs with the size by the word that means both, if there is one: `same` at a stride."""
    if type(a.op) is not type(b.op) or not isinstance(a.op, Conv | Pool | Filter) or a.op.p == getattr(b.op, "p", None):
        return
    for word in ("same", "same_lower"):
        if all(layer.op.rules(layer.inputs[0].type) == _window_rules(layer, word) for layer in (a, b)):  # type: ignore[attr-defined]
            a.op, b.op = a.op.replace(p=word), b.op.replace(p=word)
            return


def _window_rules(layer: Layer, word: str) -> object:
    """The window rules of a layer with this padding."""
    return layer.op.replace(p=word).rules(layer.inputs[0].type)  # type: ignore[attr-defined]


def _same_op(a: Op, b: Op) -> bool:
    return type(a) is type(b) and (a == b or isinstance(a, Input))


def _same_weights(a: Layer, b: Layer) -> bool:
    return a.weights.keys() == b.weights.keys() and all(_same_array(a.weights[n], b.weights[n]) for n in a.weights)


def _same_array(a: Array, b: Array) -> bool:
    """Whether two arrays are equal, without a look at the elements where they are the same memory."""
    return a.__array_interface__ == b.__array_interface__ or np.array_equal(a, b)


def not_imported(causes: Iterable[Cause]) -> CnncError:
    """The E621 that lists the nodes that cannot be imported."""
    distinct = tuple(dict.fromkeys(causes))
    diagnostics = [
        Diagnostic("E621", f"{_describe(c)} cannot be imported: {c.reason}", help=c.help)
        for c in distinct[:MAX_REPORTED]
    ]
    if len(distinct) > MAX_REPORTED:
        diagnostics.append(Diagnostic("E621", f"and {len(distinct) - MAX_REPORTED:,} more nodes cannot be imported"))
    error = NotImported(*diagnostics)
    error.causes = distinct
    return error


class NotImported(CnncError):
    """Nodes that cannot be imported; `causes` is what `--json` prints."""

    causes: tuple[Cause, ...] = ()


def _describe(cause: Cause) -> str:
    if cause.op not in ("input", "output", "graph"):
        return described(cause.name, cause.op)
    return f"the {cause.op} {cause.name if len(cause.name) <= 120 else f'{cause.name[:117]}...'}"


# --- required layers -----------------------------------------------------------------------------------------


def _required_layers(model: OnnxModel, run: Interpreter, batch: int | None) -> LayerGraph:
    """The layers that the outputs need, and all inputs.

    An output that is an input, or the same as another output, gets an identity layer.
    """
    outputs: list[Layer] = []
    for name in model.outputs:
        value = run.values[name]
        assert isinstance(value, LayerOutput)
        layer = run.as_layer(value)
        if isinstance(layer.op, Input) or layer in outputs:
            layer = run.add(Identity, layer)
        if name not in {p.name for p in model.inputs}:
            layer.suggested_name = suggested_output_name(name) or layer.suggested_name
        outputs.append(layer)
    needed = {id(layer) for layer in (*outputs, *run.inputs)}
    for layer in reversed(run.layers):
        if id(layer) in needed:
            needed |= {id(dependency) for dependency in layer.dependencies}
    layers = tuple(layer for layer in run.layers if id(layer) in needed)
    return LayerGraph("", layers, tuple(run.inputs), tuple(outputs), {}, batch)


def _shared_parameters(layers: Iterable[Layer]) -> dict[int, Layer]:
    """The layers whose parameters are those of an earlier layer: the same op class and the same initializers."""
    owners: dict[tuple[object, ...], Layer] = {}
    shared = {}
    for layer in layers:
        if not layer.initializers or not any(spec.name == "share" for spec in layer.op.arguments):
            continue
        shapes = tuple(sorted((n, a.shape) for n, a in layer.weights.items()))
        owner = owners.setdefault((type(layer.op), layer.initializers, shapes), layer)
        if owner is not layer and all(np.array_equal(owner.weights[n], layer.weights[n]) for n in layer.weights):
            shared[id(layer)] = owner
    return shared
