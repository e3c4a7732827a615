"""Spectrograms: two convolutions with cosines and sines, squares, and what follows; cnnc writes them so.

Worked case, `spectrogram k=400 s=160 mels=40`: the weights of the convolutions are (199, 1, 400). Their first row and the
angle between two rows give bin 1 and a transform of 400 samples; the edges of the triangles, in the 40 rows of the mel
Conv, give the scale and the band from 0 to 8,000 Hz at 16,000 Hz. A layer with these arguments must have the weights of the
model, else there is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cnnc.core.arguments import WordValue
from cnnc.core.arrays import Array
from cnnc.onnx.importer.ops.constants import shortest_float
from cnnc.onnx.importer.ops.padding import padded_input, padding_argument, window_arguments
from cnnc.onnx.importer.read.model import OnnxNode
from cnnc.onnx.importer.recognize.interpreter import Interpreter
from cnnc.onnx.importer.recognize.values import Layer
from cnnc.ops.spectrogram import EPS, MAX_TRANSFORM, SCALES, Spectrogram
from cnnc.reference.spectrogram import transform_matrices

RATES = (16_000, 8_000, 44_100, 48_000, 22_050, 32_000, 11_025, 24_000, 96_000, 12_000, 88_200, 4_000, 2_000, 1_000)
"""Sample rates that are tried, as the weights of mel bands hold frequencies only relative to the rate."""
_CLOSE = 2e-6  # of weights: the rounding of float32, and that of another program's cosines


class _Bands(NamedTuple):
    """The mel Conv: its weights (mels, bins), and the eps in its bias."""

    weights: Array
    eps: float | None


def decomposed_spectrogram(ctx: Interpreter, node: OnnxNode) -> Layer | None:
    """The spectrogram whose last node is this Reshape; None for other reshapes."""
    before = ctx.node_of(node.input_name(0))
    log = before is not None and before.op == "Log"
    if before is not None and log:
        before = ctx.node_of(before.input_name(0))
    if before is None or before.domain:
        return None
    eps, mel = None, None
    if before.op == "Conv":
        mel = _bands(ctx, before)
        eps = mel.eps if mel is not None else None
        before = ctx.node_of(before.input_name(0)) if mel is not None else None
    elif before.op == "Add" and log:
        eps = ctx.scalar(before.input_name(1))
        before = ctx.node_of(before.input_name(0))
    if before is None or before.op != "Add" or (eps is None) == log:
        return None
    parts = [_squared(ctx, name) for name in before.inputs]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        return None
    return _layer(ctx, parts[0], parts[1], mel, eps)


def _squared(ctx: Interpreter, name: str) -> OnnxNode | None:
    """The Conv whose square a tensor is."""
    square = ctx.node_of(name)
    if square is None or square.op != "Mul" or len(set(square.inputs)) != 1:
        return None
    conv = ctx.node_of(square.input_name(0))
    return conv if conv is not None and conv.op == "Conv" and len(conv.inputs) == 2 else None


def _kernel(ctx: Interpreter, conv: OnnxNode) -> Array | None:
    """The kernels (rows, columns) that a grouped Conv applies to each channel; None where channels have different ones."""
    weight = ctx.values.get(conv.input_name(1))
    groups = conv.get("group", 1)
    if not isinstance(weight, np.ndarray) or weight.ndim != 3 or groups < 1 or len(weight) % groups:
        return None
    each = weight.reshape(groups, len(weight) // groups, *weight.shape[1:])
    return each[0] if (each == each[:1]).all() else None


def _bands(ctx: Interpreter, conv: OnnxNode) -> _Bands | None:
    """The weights of a Conv of one tap, and the number in its bias; None for other convolutions."""
    kernel, bias = _kernel(ctx, conv), ctx.values.get(conv.input_name(2)) if conv.input_name(2) else None
    if kernel is None or kernel.shape[2] != 1 or any(conv.get("pads", ())) or conv.get("strides", (1,)) != (1,):
        return None
    if conv.input_name(2) and (not isinstance(bias, np.ndarray) or not bias.size or (bias != bias.flat[0]).any()):
        return None
    return _Bands(kernel[..., 0], None if bias is None else float(np.asarray(bias).flat[0]))


def _layer(ctx: Interpreter, cosine: OnnxNode, sine: OnnxNode, mel: _Bands | None, eps: float | None) -> Layer | None:
    """The layer with the weights of these nodes, added to the network; None where no arguments give them."""
    cosines, sines = _kernel(ctx, cosine), _kernel(ctx, sine)
    same = cosine.inputs[0] == sine.inputs[0] and cosine.attributes == sine.attributes
    if not same or cosines is None or sines is None or cosines.shape != sines.shape or cosines.shape[1] != 1:
        return None
    padded = padded_input(ctx, 0.0, cosine.input_name(0))
    x = padded.layer if padded is not None else ctx.layer_of(cosine.input_name(0))
    if x.rank != 1 or cosine.get("group", 1) != x.type.channels or cosine.get("dilations", (1,)) != (1,):
        return None
    window = window_arguments(x, cosine, cosines.shape[2:])
    p = window.p
    if padded is not None:
        p = padding_argument(padded.pads, x.type.spatial, window.k, window.s, window.d)
    wanted = np.concatenate([cosines[:, 0], sines[:, 0]])
    for arguments in _candidates(cosines[:, 0], sines[:, 0], mel):
        values = {**arguments, "k": window.k, "s": window.s, "p": p, "log": eps is not None}
        op = Spectrogram.make(1, **values, eps=EPS if eps is None else shortest_float(eps))
        matrices = transform_matrices(op)
        found = np.concatenate([matrices.cosines, matrices.sines])
        if found.shape != wanted.shape or np.abs(found - wanted).max() > _CLOSE:
            continue
        if mel is None or (matrices.mel is not None and _equal(matrices.mel, mel.weights)):
            return ctx.add_op(op, (x,))
    return None


def _equal(found: Array, wanted: Array) -> bool:
    return found.shape == wanted.shape and bool(np.abs(found - wanted).max() <= _CLOSE * np.abs(wanted).max())


def _candidates(cosines: Array, sines: Array, mel: _Bands | None) -> Iterator[dict[str, Any]]:
    """The arguments that may give these weights: `fft` and those of the mel bands."""
    rows, k = cosines.shape
    for length in dict.fromkeys((k, *_lengths(cosines, sines))):
        if not k <= length <= MAX_TRANSFORM:
            continue
        fft = {} if length == k else {"fft": length}
        if mel is None:
            yield fft
            continue
        first = round(float(np.arctan2(sines[0, 1], cosines[0, 1])) * length / (2 * np.pi)) if k > 1 else 0
        if mel.weights.shape[1] == rows:
            yield from ({**fft, **bands} for bands in _mel_arguments(mel.weights, first, length))


def _lengths(cosines: Array, sines: Array) -> Iterator[int]:
    """The lengths of the transform that the angle between the first two bins gives, and the number of bins."""
    rows, k = cosines.shape
    if rows > 1 and k > 2:
        tap = k // 2  # where the window is largest
        angles = np.unwrap(np.arctan2(sines[:, 1], cosines[:, 1]))
        if abs(angles[-1] - angles[0]) > 1e-6 and abs(cosines[0, tap]) + abs(sines[0, tap]) > 0:
            yield round(float(2 * np.pi * (rows - 1) / (angles[-1] - angles[0])))
    yield from (2 * rows - 2, 2 * rows - 1)


def _mel_arguments(weights: Array, first: int, length: int) -> Iterator[dict[str, Any]]:
    """The arguments of mel bands that may have these weights (mels, bins), whose first column is bin `first`."""
    edges = _edges(weights, first)
    if len(edges) < 2:
        return
    positions = np.array(sorted(edges))
    for rate in RATES:
        hertz = np.array([edges[n] for n in positions]) * rate / length
        for name, scale in SCALES.items():
            mel = np.array([scale.mel(float(f)) for f in hertz])
            slope, offset = np.polyfit(positions, mel, 1)
            if np.abs(slope * positions + offset - mel).max() > 0.01:
                continue
            low, high = (scale.hz(float(slope * n + offset)) for n in (0, len(weights) + 1))
            for digits in (0, 3):
                bands: dict[str, Any] = {"mels": len(weights), "rate": rate}
                bands |= {"low": max(0.0, round(low, digits)), "high": min(rate / 2, round(high, digits))}
                yield _without_defaults({**bands, "scale": WordValue(name)})


def _without_defaults(bands: dict[str, Any]) -> dict[str, Any]:
    defaults = {"rate": 16_000, "low": 0.0, "high": bands["rate"] / 2, "scale": "htk"}
    return {key: value for key, value in bands.items() if key not in defaults or value != defaults[key]}


def _edges(weights: Array, first: int) -> dict[int, float]:
    """The edges of triangles in bins, as fractions, by number: edge n is where band n begins and band n - 2 ends."""
    edges = {}
    for band, row in enumerate(np.asarray(weights, np.float64)):
        used = np.flatnonzero(row)
        if len(used) < 2:
            continue
        peak = int(row.argmax())
        for side, edge in ((used[used < peak], band), (used[used > peak], band + 2)):
            if len(side) > 1:
                a, b = int(side[0]), int(side[-1])
                edges[edge] = first + a - row[a] * (b - a) / (row[b] - row[a])
    return edges
