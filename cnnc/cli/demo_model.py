"""What a demo page is told about its model: inputs with their controls, outputs, layers and examples, as plain data.

In: the model as a session and a file, and its examples. Out: a `DemoPage`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.cli.demo_examples import DemoExamples
from cnnc.core.files import real_path
from cnnc.core.listing import listed
from cnnc.data.prediction_inputs import InputSpec
from cnnc.onnx.metadata import PRECISION, Facts
from cnnc.onnx.run.inspect import read_model
from cnnc.onnx.run.model_layers import ModelLayer, model_layers, observed_tail, source_line
from cnnc.onnx.run.predictions import model_inputs, model_outputs
from cnnc.onnx.run.session import Session
from cnnc.onnx.source_map import SourceMap, read_map
from cnnc.view.demo.page import DemoPage
from cnnc.view.web.runtime import WebRuntime

MOST_SLIDERS = 16
USUAL_SIZE = 64
"""The size that a symbol has before an input is given, where no example and no training says another."""

_FRAMES: Mapping[str, Mapping[str, Any]] = {
    "mnist": {
        "box": 20 / 28,
        "centre": "mass",
        "says": "Centre and scale the drawing, as MNIST does",
        "brush": 28 / 2.6,
    },
    "digits": {"box": 1, "centre": "box", "says": "Centre and scale the drawing, as the digits are", "brush": 8 / 1.2},
}
"""How the data sets of hand-written digits frame a digit: its share of the image, and what lies in the middle."""


def demo_page(
    session: Session, model: Path, content: bytes, source: Path, examples: DemoExamples | None, runtime: WebRuntime
) -> DemoPage:
    """The page of a model."""
    message = read_model(model)
    facts = session.facts
    layers = model_layers(message)
    blobs = {"model": content, "tail": observed_tail(message, layers)}
    lines = _source_lines(read_map(session.metadata), {layer.name for layer in layers} | set(session.inputs))
    packed = _packed(examples) if examples is not None else None
    if packed is not None:
        blobs["examples"] = packed[1]
    data = {
        "batch": max(1, session.batch),
        "inputs": [_input(spec, session, examples) for spec in model_inputs(session)],
        "outputs": [
            {"name": o.name, "kind": o.kind, "classes": list(o.classes), "isImage": o.is_image}
            for o in model_outputs(session, model)
        ],
        "layers": [_layer(layer, lines.get(layer.name, "")) for layer in layers],
        "layersNote": _layers_note(session, layers),
        "examples": packed[0] if packed is not None else None,
    }
    title = facts.name or message.graph.name or real_path(source).stem
    return DemoPage(title, _description(data, examples), tuple(_facts(session, content, source)), data, blobs, runtime)


# --- inputs


def _input(spec: InputSpec, session: Session, examples: DemoExamples | None) -> dict[str, Any]:
    """What the control of an input needs: how it is given, its shape, type, range and words."""
    facts = session.facts
    given = examples.feeds[spec.name] if examples is not None else None
    shape = tuple(size if isinstance(size, int) else str(size) for size in spec.shape)
    control = _control(spec)
    limits = facts.inputs.get(spec.name, {}).get("range")
    start = start_sizes(spec, facts, given)
    more: dict[str, Any] = {}
    if control == "image":
        more = _image(spec, facts, given, start)
        limits = limits or ([0, 1] if given is None or _is_unit(given) else _range(given))
    elif control == "sliders" and given is not None:
        columns = given.reshape(len(given), -1)
        more = {"bounds": [_range(column) for column in columns.T], "middle": _numbers(np.median(columns, 0))}
    elif given is not None and not spec.takes_words:
        limits = _range(given)
    if limits is None and spec.largest is not None:
        limits = [0, spec.largest]
    return {
        "name": spec.name,
        "control": control,
        "shape": list(shape),
        "dtype": spec.dtype,
        "batch": max(1, session.batch),
        "range": limits,
        "legal": {symbol: rule.as_dict() for symbol, rule in spec.legal.items()},
        "start": start,
        "vocabulary": list(spec.vocabulary),
        "columns": list(spec.columns),
        "line": source_line(read_map(session.metadata), spec.name),
        **more,
    }


def _control(spec: InputSpec) -> str:
    size = math.prod(size for size in spec.shape if isinstance(size, int))
    open_axes = sum(isinstance(size, str) for size in spec.shape)
    if spec.takes_words and spec.vocabulary:
        return "text"
    if spec.is_image:
        return "image"
    if not open_axes and size <= MOST_SLIDERS:
        return "sliders"
    if (
        len(spec.shape) in (1, 2)
        and not spec.takes_integers
        and open_axes < 2
        and isinstance(spec.shape[0], int) + (len(spec.shape) == 1)
    ):
        return "series"
    return "numbers"


def start_sizes(spec: InputSpec, facts: Facts, given: NDArray[Any] | None = None) -> dict[str, int]:
    """The size of each symbol before an input is given."""
    sizes = {}
    trained = facts.trained.get("sizes")
    for axis, symbol in enumerate(spec.shape):
        if not isinstance(symbol, str):
            continue
        rule = spec.legal.get(symbol)
        usual = trained.get(symbol) if isinstance(trained, dict) and isinstance(trained.get(symbol), int) else None
        wanted = int(given.shape[1 + axis]) if given is not None else usual or USUAL_SIZE
        sizes[symbol] = (rule.closest(wanted) if rule is not None else wanted) or wanted
    return sizes


def _image(spec: InputSpec, facts: Facts, given: NDArray[Any] | None, start: Mapping[str, int]) -> dict[str, Any]:
    """How a drawing is framed, the width of the pen in pixels, and whether it is dark on light, as the examples are; and the
    colour below transparent pixels, null where white or black are tried."""
    height, width = (size if isinstance(size, int) else start[size] for size in spec.shape[1:])
    side = min(height, width)
    frame = _FRAMES.get(str(facts.data.get("name")), {"box": 0, "centre": "mass", "says": "", "brush": 11})
    inverted = False
    if given is not None:
        edge = np.concatenate(
            [given[..., 0, :].ravel(), given[..., -1, :].ravel(), given[..., 0].ravel(), given[..., -1].ravel()]
        )
        inverted = bool(edge.mean() > (float(given.min()) + float(given.max())) / 2)
    return {
        "frame": {key: frame[key] for key in ("box", "centre", "says")},
        "brush": round(side / float(frame["brush"]), 1),
        "inverted": inverted,
        "background": _colour(facts.data_options.get("background")),
    }


def _colour(name: str | None) -> list[int] | None:
    """Red, green and blue of a colour of the language."""
    if name is None:
        return None
    digits = {"white": "ffffff", "grey": "808080", "black": "000000"}.get(name, name.removeprefix("#"))
    return list(bytes.fromhex(digits))


def _is_unit(given: NDArray[Any]) -> bool:
    return given.dtype == np.uint8 or (float(given.min()) >= 0 and float(given.max()) <= 1)


def _range(values: NDArray[Any]) -> list[float]:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return [low, high] if high > low else [low - 1, high + 1]


def _numbers(values: NDArray[Any]) -> list[float]:
    return [float(value) if np.isfinite(value) else 0.0 for value in values.ravel()]


# --- layers


def _source_lines(positions: SourceMap, present: Collection[str]) -> dict[str, str]:
    """How the source writes each layer of the model, after those before it that were folded into it or do nothing."""
    lines: dict[str, str] = {}
    before: list[str] = []
    for name in positions.positions:
        before.append(source_line(positions, name))
        if name in present:
            lines[name] = "; ".join(before)
            before = []
    return lines


def _layer(layer: ModelLayer, line: str) -> dict[str, Any]:
    return {
        "name": layer.name,
        "operator": layer.operator,
        "line": line,
        "inputs": list(layer.inputs),
        "constants": list(layer.constants),
        "attributes": {name: _finite(value) for name, value in layer.attributes.items()},
        "parameters": layer.parameters,
        "products": layer.products,
        "perInput": layer.per_input,
        "shown": layer.shown,
        "owner": layer.owner,
    }


def _finite(value: Any) -> Any:
    """A value for JSON: numbers that are not finite as 0, which no operator has in an attribute that the page reads."""
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return 0 if isinstance(value, float) and not math.isfinite(value) else value


def _layers_note(session: Session, layers: list[ModelLayer]) -> str:
    """Which layers of the source the exported graph does not have."""
    positions = read_map(session.metadata).positions
    present = {layer.name for layer in layers} | set(session.inputs)
    folded = [name for name in positions if name not in present]
    if not positions:
        return "The operators of the model."
    note = "The layers of the exported model"
    if folded:
        note += f"; folded into others, or without effect at inference: {listed(folded, 5)}"
    if session.metadata.get(PRECISION) == "int8":
        note += ". The numbers below are those before they are rounded to 8 bits, where a relu also takes effect"
    return f"{note}."


# --- examples


def _packed(examples: DemoExamples) -> tuple[dict[str, Any], bytes]:
    """Where each array of the examples is in their blob, and the blob."""
    parts: list[bytes] = []
    size = 0

    def entry(name: str, array: NDArray[Any]) -> dict[str, Any]:
        nonlocal size
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        described = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "offset": size}
        content = little.tobytes()
        content += b"\0" * (-len(content) % 8)
        parts.append(content)
        size += len(content)
        return described

    return {
        "count": examples.total,
        "names": list(examples.names),
        "note": examples.note,
        "random": examples.random,
        "inputs": [entry(name, array) for name, array in examples.feeds.items()],
        "outputs": [entry(name, array) for name, array in examples.outputs.items()],
    }, b"".join(parts)


# --- texts


_GIVEN_BY = {
    "text": "write a sentence",
    "sliders": "move the sliders",
    "series": "draw or paste a curve",
    "numbers": "paste numbers",
}


def _description(data: Mapping[str, Any], examples: DemoExamples | None) -> str:
    ways = list(dict.fromkeys(_way(entry) for entry in data["inputs"]))
    ways += ["choose an example"] if examples is not None else []
    said = f"{', '.join(ways[:-1])}, or {ways[-1]}" if len(ways) > 1 else ways[0]
    return f"This page runs the network in your browser: {said}, and see what every layer computes. Nothing leaves the page."


def _way(given: Mapping[str, Any]) -> str:
    if given["control"] == "image":
        return "draw or choose an image" if given["shape"][0] == 1 else "choose an image"
    return _GIVEN_BY[given["control"]]


def _facts(session: Session, content: bytes, source: Path) -> Iterator[tuple[str, str]]:
    facts = session.facts
    if facts.parameters is not None:
        yield "parameters", f"{facts.parameters:,}"
    if facts.macs is not None:
        yield "multiply-adds", f"{facts.macs:,}"
    if facts.data:
        yield "data set", str(facts.data.get("path") or facts.data.get("name"))
    test = facts.trained.get("test") or {}
    metric = str(facts.trained.get("metric", ""))
    if metric == "accuracy" and isinstance(test.get("right"), int) and isinstance(test.get("total"), int):
        yield "test", f"{test['right']:,} of {test['total']:,} right"
    elif isinstance(test.get(metric), int | float):
        yield "test", f"{metric} {test[metric]:.4g}"
    yield (
        "model",
        f"{len(content):,} bytes{', ' + session.metadata[PRECISION] if PRECISION in session.metadata else ''}",
    )
    yield "source", facts.file or source.name
    if facts.versions.get("cnnc"):
        yield "exported by", f"cnnc {facts.versions['cnnc']}"
