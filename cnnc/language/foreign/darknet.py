"""Darknet: sections such as `[convolutional]` with lines `key=value`."""

from __future__ import annotations

import re

from cnnc.language.foreign import layers
from cnnc.language.foreign.layers import Lines, Translation, Untranslated

LINE = re.compile(
    r"(?m)^[ \t]*(?P<at>\[(?:net|network|convolutional|deconvolutional|maxpool|avgpool|connected|shortcut|route|upsample|yolo"
    r"|region|softmax|dropout|local|reorg|cost|batchnorm|crop|detection)\]|(?:batch_normalize|filters|size|stride|pad|activation"
    r"|width|height|channels|subdivisions|momentum|decay|burn_in|max_batches|policy)[ \t]*=[ \t]*[\w.,-]+)"
)
_SECTION = re.compile(r"(?m)^[ \t]*\[(\w+)\]([^\[]*)")
_KEY = re.compile(r"(?m)^[ \t]*(\w+)[ \t]*=[ \t]*([^#\n]+)")


def translate(text: str) -> Lines:
    """The statements of the network."""
    translation = Translation()
    try:
        for section in _SECTION.finditer(re.sub(r"#[^\n]*", "", text)):
            keys = {key: layers.to_number(value) for key, value in _KEY.findall(section[2])}
            translation.add(*_layer(section[1], keys))
    except Untranslated:
        translation.cut = True
    return translation.lines()


def _layer(name: str, keys: dict[str, object]) -> list[str]:
    if name in ("net", "network"):
        height, width = keys.get("height"), keys.get("width")
        if not isinstance(height, int) or not isinstance(width, int):
            return []
        return [layers.input_shape(layers.whole(keys.get("channels", 3)), height, width)]
    size, stride = keys.get("size", 1), keys.get("stride", 1)
    if name in ("convolutional", "local", "connected"):
        bn = bool(keys.get("batch_normalize", 0))
        after = (["bn"] if bn else []) + layers.activation(keys.get("activation", "logistic"))
        if name == "connected":
            return [f"fc {layers.whole(keys.get('output', 1))}{' bias=false' if bn else ''}", *after]
        pad = (size // 2 if isinstance(size, int) else 0) if keys.get("pad") else keys.get("padding", 0)
        op = "local" if name == "local" else "conv"
        line = layers.conv(
            keys.get("filters", 1), size, stride, pad, keys.get("dilation", 1), keys.get("groups", 1), not bn, op
        )
        return [line, *after]
    if name == "maxpool":
        k = keys.get("size", stride)
        if not isinstance(k, int):
            raise Untranslated(k)
        total = keys.get("padding", k - 1)
        if not isinstance(total, int):
            raise Untranslated(total)
        begin, end = total // 2, total - total // 2
        even = "same" if k == 2 and total == 1 else [begin, begin, end, end]
        return [layers.pool("max", k, stride, begin if begin == end else even)]
    if name == "avgpool":
        return ["global_pool avg"]
    if name == "upsample":
        return [f"upsample {layers.whole(keys.get('stride', 2))}"]
    if name == "dropout":
        return [layers.dropout(keys.get("probability", 0.5))]
    if name == "softmax":
        return ["softmax"]
    raise Untranslated(name)
