"""MATLAB: an array of layers, such as `convolution2dLayer(3, 8, 'Padding', 'same')`."""

from __future__ import annotations

import re
from typing import Any

from cnnc.language.foreign import layers
from cnnc.language.foreign.layers import Lines, Translation, Untranslated

LINE = re.compile(
    r"(?m)^[^%#\n]*?(?P<at>\b(?:[a-zA-Z]+[123]?d?Layer\b|layers\s*=\s*\[|layerGraph\(|trainingOptions\())"
)
_LAYER = re.compile(r"\b([a-zA-Z]+[123]?d?)Layer\b(?:\(((?:[^()]|\([^()]*\))*)\))?")


def translate(text: str) -> Lines:
    """The statements of the network."""
    translation = Translation()
    try:
        for match in _LAYER.finditer(re.sub(r"%[^\n]*|\.\.\.[^\n]*\n", "", text)):
            values, options = _arguments(match[2] or "")
            translation.add(*_layer(match[1], values, options))
    except Untranslated:
        translation.cut = True
    return translation.lines()


def _arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Positional values, and the options in pairs: `'Stride', 2` or `Stride=2`."""
    parts = re.findall(r"\[[^\]]*\]|'[^']*'|\"[^\"]*\"|\w+\s*=|[\w.]+", text)
    values: list[Any] = []
    options: dict[str, Any] = {}
    while parts:
        part = parts.pop(0)
        if part[0] in "'\"" or part.endswith("="):
            name = part.strip("'\"= ").lower()
            options[name] = layers.to_number(parts.pop(0)) if parts else ""
        else:
            values.append(layers.to_number(part))
    return values, options


def _layer(name: str, values: list[Any], options: dict[str, Any]) -> list[str]:
    first, second = [*values, None, None][:2]
    padding = options.get("padding", 0)
    if isinstance(padding, list) and len(padding) == 4:  # top, bottom, left, right
        padding = [padding[0], padding[2], padding[1], padding[3]]
    if name == "imageInput" and isinstance(first, list) and len(first) == 3:
        return [layers.input_shape(layers.whole(first[2]), layers.whole(first[0]), layers.whole(first[1]))]
    if name in ("convolution1d", "convolution2d", "convolution3d"):
        return [layers.conv(second, first, options.get("stride", 1), padding, options.get("dilationfactor", 1))]
    if name in ("maxPooling1d", "maxPooling2d", "averagePooling1d", "averagePooling2d"):
        return [layers.pool(name[:3].replace("ave", "avg"), first, options.get("stride", 1), padding)]
    if name == "fullyConnected":
        return [f"fc {layers.whole(first)}"]
    if name == "leakyRelu":
        return [f"leaky_relu {layers.number(0.01 if first is None else first)}"]
    if name == "dropout":
        return [layers.dropout(first)]
    if name in ("classification", "regression"):
        return []
    simple = {
        "batchNormalization": "bn",
        "globalAveragePooling2d": "global_pool avg",
        "globalMaxPooling2d": "global_pool max",
    }
    return [simple[name]] if name in simple else layers.activation(name)
