"""The layers of a model: what its graph is at one choice of sizes, held against another choice.

In: a `Model`. Out: `Net`, the layers that its outputs need, or every node in the way (CnncError E621). The
batch and sizes that the model leaves open are numbers while it is interpreted; two runs with other numbers
must find the same layers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

import cnnc.onnx.importer.ops  # noqa: F401  fills the table
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.onnx.importer.read.model import Model, Port
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Cause, Layer, Refusal, Refused, Value
from cnnc.onnx.importer.text.labels import output_hint
from cnnc.ops.activation import Identity
from cnnc.ops.base import Op
from cnnc.ops.conv import Conv
from cnnc.ops.dense import Input
from cnnc.ops.filter import Filter
from cnnc.ops.pool import Pool

BATCHES = (3, 5)  # two numbers for a batch that the model leaves open
SIZES = (224, 256, 64, 32, 128, 28, 96, 299, 16, 8, 12, 20, 40, 48, 320, 416, 512, 572, 1024, 7, 5)
STEPS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)  # how far from the first size others are tried
MAX_AGREED = 4  # other sizes that must give the same layers
MAX_TOLD = 100  # nodes without a counterpart


class Net(NamedTuple):
    """Layers in an order in which each follows those it reads; `shared` gives the owner of parameters used again."""

    name: str
    layers: tuple[Layer, ...]
    inputs: tuple[Layer, ...]
    outputs: tuple[Layer, ...]
    shared: Mapping[int, Layer]
    batch: int | None
    counted: bool = False  # whether the model comes from cnnc, whose names within blocks are counts

    def owner(self, layer: Layer) -> Layer | None:
        """The layer whose parameters a layer uses, where they are another's."""
        return self.shared.get(id(layer))

    @property
    def sharing(self) -> set[int]:
        """All layers that use another's parameters, or have theirs used, by their id."""
        return {*self.shared, *(id(owner) for owner in self.shared.values())}


class Refusals(Exception):
    """What stands in the way at one choice of sizes."""

    def __init__(self, causes: Iterable[Cause]) -> None:
        super().__init__()
        self.causes = tuple(dict.fromkeys(causes))


def net_of(model: Model, name: str, at: Mapping[str, int] | None = None) -> Net:
    """The network of a model; `at` gives sizes that it leaves open. Raises CnncError E621, E010."""
    fixed = {_symbol_of(k): v for k, v in (at or {}).items()}
    model = _with_symbols(model, fixed)
    symbols = _symbols(model)
    batch = _batch(model)
    first, number = _first(model, batch, symbols)
    net = _needed(model, first, batch)
    if batch is None or symbols:
        _require_same(model, net, batch, symbols, number)
    return net._replace(name=name, shared=_shared(net.layers), counted=model.producer.split(" ")[0] == "cnnc")


# --- sizes -------------------------------------------------------------------------------------------------


def _symbol_of(text: str) -> str:
    """A symbol of the language for what a model calls a size: capitals."""
    made = "".join(c if c.isascii() and c.isalnum() else "_" for c in text).strip("_").upper()[:40]
    return made if made[:1].isalpha() else f"N_{made}".rstrip("_")


def _with_symbols(model: Model, fixed: Mapping[str, int]) -> Model:
    """The model with symbols of the language for its open sizes, or the numbers given for them. Raises E010."""
    taken: list[str] = []

    def named(port: Port) -> Port:
        if not port.shape:
            return port
        sizes: list[int | str] = [port.shape[0]]
        for axis, size in enumerate(port.shape[1:], 1):
            if isinstance(size, str):
                taken.append(_symbol_of(size) if size.isidentifier() else _usual(axis, len(port.shape)))
                sizes.append(fixed.get(taken[-1], taken[-1]))
            else:
                sizes.append(size)
        return port._replace(shape=tuple(sizes))

    ports = tuple(named(port) for port in model.inputs)
    unknown = next((name for name in fixed if name not in taken), None)
    if unknown is not None:
        has = ", ".join(dict.fromkeys(taken)) or "none"
        raise CnncError.of("E010", f"--at: no input has an open size `{unknown}`", help=f"the model's are {has}")
    return Model(model.name, model.producer, model.opset, ports, model.outputs, model.steps, model.constants)


def _usual(axis: int, axes: int) -> str:
    """What a size without a name is called: H and W of an image, T of a sequence of words or numbers."""
    return {2: "T", 3: "CT", 4: "CHW", 5: "CDHW"}.get(axes, "ABCDEFGHIJKLMNOP")[axis - 1]


def _symbols(model: Model) -> tuple[str, ...]:
    found = [s for port in model.inputs for s in (port.shape or ())[1:] if isinstance(s, str)]
    return tuple(dict.fromkeys(found))


def _batch(model: Model) -> int | None:
    """The batch that the model fixes, or None where it leaves it open. Raises CnncError E621 where inputs differ."""
    found = {port.shape[0] for port in model.inputs if port.shape}
    numbers = {n for n in found if isinstance(n, int)}
    if len(numbers) > 1 or (numbers and len(found) > 1):
        causes = [Cause(p.name, "input", "its first axis is no batch: inputs differ in it") for p in model.inputs]
        raise refused(causes)
    return next(iter(numbers), None)


def _first(model: Model, batch: int | None, symbols: tuple[str, ...]) -> tuple[Interpreter, int]:
    """The first run without refusal, and the size it took. Raises CnncError E621 with the causes of the first one."""
    told: Refusals | None = None
    for size in SIZES if symbols else SIZES[:1]:
        try:
            return _run(model, batch or BATCHES[0], dict.fromkeys(symbols, size)), size
        except Refusals as error:
            told = told or error
    assert told is not None
    raise refused(told.causes)


def _run(model: Model, batch: int, sizes: Mapping[str, int]) -> Interpreter:
    run = Interpreter(model, batch, sizes)
    run.run()
    causes: list[Cause] = []
    for name in model.outputs:
        value = run.values[name]
        if isinstance(value, Refused):
            causes += value.causes
        elif not isinstance(value, Value):
            causes.append(Cause(name, "output", "it is a constant, or made of sizes alone"))
        elif value.layer is None:
            try:
                run.values[name] = run.value(run.plain(value))
            except Refusal as refusal:
                causes.append(Cause(name, "output", str(refusal)))
    causes += _holes(run, [v.layer for name in model.outputs if isinstance(v := run.values[name], Value)])
    if not run.inputs and not causes:
        causes.append(Cause(model.name or "the graph", "graph", "it has no input"))
    if causes:
        raise Refusals(causes)
    return run


def _holes(run: Interpreter, outputs: Iterable[Layer | None]) -> list[Cause]:
    """What was refused, and stands as a hole in the layers that these outputs need."""
    wanted = {id(layer) for layer in outputs}
    for layer in reversed(run.layers):
        if id(layer) in wanted:
            wanted |= {id(read) for read in layer.reads}
    return [cause for layer, cause in run.holes.items() if layer in wanted]


def _require_same(model: Model, net: Net, batch: int | None, symbols: tuple[str, ...], number: int) -> None:
    """Raises CnncError E621 where other sizes make other layers."""
    agreed = 0
    causes: tuple[Cause, ...] = ()
    for further in STEPS if symbols else (0,):
        sizes = {name: number + further * place for place, name in enumerate(symbols, 1)}
        try:
            other = _run(model, batch or BATCHES[1], sizes)
        except Refusals as error:  # not a size that the network takes
            causes = causes or error.causes
            continue
        _require_equal(net, _needed(model, other, batch), bool(symbols))
        agreed += 1
        if agreed == MAX_AGREED:
            return
    if not agreed:
        what = "the batch" if not symbols else f"{' and '.join(symbols)}, or of the batch"
        raise refused([c._replace(reason=f"{c.reason} (at another size of {what})") for c in causes])


def _require_equal(net: Net, other: Net, sizes: bool) -> None:
    """Raises CnncError E621 with the first layer that two runs disagree on."""
    for a, b in zip_longest(net.layers, other.layers):
        if a is not None and b is not None:
            _say_padding_alike(a, b)
        if a is None or b is None or not _same(a.op, b.op) or not _same_weights(a, b):
            layer = a or b
            reason = f"what it does depends on the batch{' or the size' if sizes else ''} ({layer.op.keyword})"
            raise refused([Cause(layer.step, layer.op.keyword, reason)])


def _say_padding_alike(a: Layer, b: Layer) -> None:
    """Padding that differs with the size by the word that is both, where there is one: `same` at a stride."""
    if type(a.op) is not type(b.op) or not isinstance(a.op, Conv | Pool | Filter) or a.op.p == getattr(b.op, "p", None):
        return
    for word in ("same", "same_lower"):
        if all(layer.op.rules(layer.inputs[0].type) == _with(layer, word) for layer in (a, b)):  # type: ignore[attr-defined]
            a.op, b.op = a.op.replace(p=word), b.op.replace(p=word)
            return


def _with(layer: Layer, word: str) -> object:
    """The window rules of a layer whose padding is this word."""
    return layer.op.replace(p=word).rules(layer.inputs[0].type)  # type: ignore[attr-defined]


def _same(a: Op, b: Op) -> bool:
    return type(a) is type(b) and (a == b or isinstance(a, Input))


def _same_weights(a: Layer, b: Layer) -> bool:
    return a.weights.keys() == b.weights.keys() and all(np.array_equal(a.weights[n], b.weights[n]) for n in a.weights)


def refused(causes: Iterable[Cause]) -> CnncError:
    """The error that lists nodes without a counterpart."""
    every = tuple(dict.fromkeys(causes))
    told = [Diagnostic("E621", f"{_named(c)} cannot be imported: {c.reason}") for c in every[:MAX_TOLD]]
    if len(every) > MAX_TOLD:
        told.append(Diagnostic("E621", f"and {len(every) - MAX_TOLD:,} more nodes cannot be imported"))
    error = NotImported(*told)
    error.causes = every
    return error


class NotImported(CnncError):
    """Nodes without a counterpart, as `--json` lists them."""

    causes: tuple[Cause, ...] = ()


def _named(cause: Cause) -> str:
    name = cause.name if len(cause.name) <= 120 else f"{cause.name[:117]}..."
    return f"the {cause.op} {name}" if cause.op in ("input", "output", "graph") else f"{cause.op} `{name}`"


# --- what is needed ------------------------------------------------------------------------------------------


def _needed(model: Model, run: Interpreter, batch: int | None) -> Net:
    """The layers that the outputs need, and all inputs; outputs that are inputs, or twice the same, get an identity."""
    outputs: list[Layer] = []
    for name in model.outputs:
        value = run.values[name]
        assert isinstance(value, Value)
        layer = run.plain(value)
        if isinstance(layer.op, Input) or layer in outputs:
            layer = run.add(Identity, layer)
        if name not in {p.name for p in model.inputs}:
            layer.hint = output_hint(name) or layer.hint
        outputs.append(layer)
    wanted = {id(layer) for layer in (*outputs, *run.inputs)}
    for layer in reversed(run.layers):
        if id(layer) in wanted:
            wanted |= {id(read) for read in layer.reads}
    layers = tuple(layer for layer in run.layers if id(layer) in wanted)
    return Net("", layers, tuple(run.inputs), tuple(outputs), {}, batch)


def _shared(layers: Iterable[Layer]) -> dict[int, Layer]:
    """The layers that have the parameters of one before them: the same kind, the same initializers."""
    owners: dict[tuple[object, ...], Layer] = {}
    found = {}
    for layer in layers:
        if not layer.keys or not any(spec.name == "share" for spec in layer.op.arguments):
            continue
        shapes = tuple(sorted((n, a.shape) for n, a in layer.weights.items()))
        owner = owners.setdefault((type(layer.op), layer.keys, shapes), layer)
        if owner is not layer and all(np.array_equal(owner.weights[n], layer.weights[n]) for n in layer.weights):
            found[id(layer)] = owner
    return found
