"""YAML: the rows of a YOLO model (`[-1, 1, Conv, [64, 3, 2]]`), or a list of layers with keys such as `filters: 32`."""

from __future__ import annotations

import math
import re
from typing import Any

from cnnc.language.foreign import layers
from cnnc.language.foreign.keras import layer_lines
from cnnc.language.foreign.layers import Lines, Translation, Untranslated

_KEYS = (
    "layers|backbone|head|model|network|architecture|type|kind|class|op|name|nc|depth_multiple|width_multiple|scales|anchors"
    "|filters|out_channels|in_channels|out_features|kernel_size|kernel|stride|strides|padding|units|activation|pool_size|input"
    "|input_shape|features|rate|optimizer|epochs|batch_size"
)
_ITEMS = (
    r"[\[{]|[\"']?(?:type|name|class|op|layer|kind|module|conv\w*|dense|linear|fc|\w*pool\w*|batch_?norm\w*|bn|relu|flatten"
    r"|dropout|softmax|activation|input)\b"
)
LINE = re.compile(
    rf"(?m)^[ \t]*(?P<at>-[ \t]+(?:{_ITEMS})[^\n]*"
    rf"|(?:{_KEYS}):(?:[ \t]+(?:[\[\d\"'A-Z{{]|true|false|same|valid|relu\b)[^\n]*)?$)"
)
_ROW = re.compile(r"(?m)^[ \t]*-?[ \t]*\[\[?\s*(-?\d+|\[[^\]]*\])\s*,\s*(\w+)\s*,\s*([\w.]+)\s*,\s*\[([^\]]*)\]\s*\]")
_ITEM = re.compile(r"(?m)^([ \t]*)-[ \t]+([^\n]*(?:\n(?!\1-|\S)[^\n]*)*)")
_PAIR = re.compile(r"([A-Za-z_]\w*)\s*:\s*(\[[^\]]*\]|\([^)]*\)|[\w.\"'-]+)")
_LAYERS = {
    "conv": "Conv",
    "convolution": "Conv",
    "convolutional": "Conv",
    "dense": "Dense",
    "linear": "Dense",
    "fc": "Dense",
    "maxpool": "MaxPooling",
    "maxpooling": "MaxPooling",
    "avgpool": "AveragePooling",
    "averagepooling": "AveragePooling",
    "globalaveragepooling": "GlobalAveragePooling",
    "batchnorm": "BatchNormalization",
    "batchnormalization": "BatchNormalization",
    "bn": "BatchNormalization",
    "flatten": "Flatten",
    "dropout": "Dropout",
    "activation": "Activation",
    "input": "Input",
}
_NAMES = {  # the keys of Keras for those of others
    "out_channels": "filters",
    "channels": "filters",
    "out": "filters",
    "out_features": "units",
    "size": "kernel_size",
    "kernel": "kernel_size",
    "k": "kernel_size",
    "stride": "strides",
    "s": "strides",
    "p": "rate",
    "pad": "padding",
}


def translate(text: str) -> Lines:
    """The statements of the network."""
    text = re.sub(r"(?m)(^|[ \t])#[^\n]*", "", text)
    translation = Translation()
    try:
        rows = _ROW.findall(text)
        if rows:
            channels = re.search(r"(?m)^ch:\s*(\d+)", text)
            translation.add(layers.input_shape(channels[1] if channels else 3, None, None))
            width, most = _width(text)
        for source, repeats, module, arguments in rows:
            if source != "-1" or repeats != "1":
                raise Untranslated("a branch")
            translation.add(*_row(module.removeprefix("nn."), layers.to_number(f"[{arguments}]"), width, most))
        for item in _ITEM.finditer("" if rows else text):
            translation.add(*_item(item[2], first=not translation.statements))
    except Untranslated:
        translation.cut = True
    return translation.lines()


def _width(text: str) -> tuple[float, float]:
    """The factor on the channels of a YOLO model, and their maximum."""
    multiple = re.search(r"width_multiple:\s*([\d.]+)", text)
    if multiple is not None:
        return float(multiple[1]), math.inf
    scale = re.search(r"scales:[^\[]*\[\s*[\d.]+\s*,\s*([\d.]+)\s*,\s*([\d.]+)", text)
    return (float(scale[1]), float(scale[2])) if scale is not None else (1, math.inf)


def _row(module: str, values: list[Any], width: float, most: float) -> list[str]:
    """The statements of a module of YOLO: its `Conv` has a batch norm and SiLU, and pads by half the kernel."""
    if module == "Conv" and 1 <= len(values) <= 4 and isinstance(values[0], int):
        out = math.ceil(min(values[0], most) * width / 8) * 8
        k, s, p = [*values[1:], *[None] * 3][:3]
        k = 1 if k is None else k
        pad = p if isinstance(p, int) else (k // 2 if isinstance(k, int) else 0)
        return [layers.conv(out, k, 1 if s is None else s, pad, bias=False), "bn", "silu"]
    if module == "Upsample" and len(values) >= 2 and isinstance(values[1], int):
        return [f"upsample {values[1]}"]
    if module == "MaxPool2d" and values:
        return [layers.pool("max", *values[:3])]
    raise Untranslated(module)


def _item(text: str, first: bool) -> list[str]:
    """The statements of an item of a list, which names a layer and its arguments."""
    pairs = [(key, layers.to_number(value)) for key, value in _PAIR.findall(text)]
    given = {_NAMES.get(key.lower(), key.lower()): value for key, value in pairs}
    word = next((given[key] for key in ("type", "class", "class_name", "op", "layer", "kind") if key in given), "")
    if not isinstance(word, str) or not word:
        match = re.match(r"['\"]?(\w+)", text)
        word = match[1] if match else ""
    base = re.sub(r"_|[123]d$", "", word.lower())
    name = _LAYERS.get(base)
    if name is None:
        return layers.activation(base if base != "name" else "?")
    value = next((v for k, v in pairs if k == word), None)
    if value is not None:
        given.setdefault(
            {"Conv": "filters", "Dense": "units", "Dropout": "rate", "MaxPooling": "pool_size"}.get(name, ""), value
        )
    if name in ("MaxPooling", "AveragePooling") and "kernel_size" in given:
        given["pool_size"] = given["kernel_size"]
    if name == "Input":
        raise Untranslated("the layout of a shape in YAML is not known")
    if "bias" in given:
        given["use_bias"] = given["bias"]
    return layer_lines(name, given, first)
