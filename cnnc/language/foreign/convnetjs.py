"""ConvNetJS: lines such as `layer_defs.push({type:'conv', sx:5, filters:16, stride:1, pad:2, activation:'relu'})`."""

from __future__ import annotations

import re
from typing import Any

from cnnc.language.foreign import layers
from cnnc.language.foreign.layers import Lines, Translation, Untranslated

LINE = re.compile(
    r"(?m)^[^\n]*?(?P<at>\blayer_defs\b|\bconvnetjs\.\w+|\{\s*['\"]?type['\"]?\s*:\s*['\"](?:input|conv|pool|fc|softmax)['\"])[^\n]*"
)
_LAYER = re.compile(r"\{([^{}]*\btype\b[^{}]*)\}")


def translate(text: str) -> Lines:
    """The statements of the network."""
    translation = Translation()
    try:
        for match in _LAYER.finditer(text):
            given = {
                k: layers.to_number(v)
                for k, v in re.findall(r"['\"]?(\w+)['\"]?\s*:\s*('[^']*'|\"[^\"]*\"|[\w.]+)", match[1])
            }
            translation.add(*_layer(given))
    except Untranslated:
        translation.cut = True
    return translation.lines()


def _layer(given: dict[str, Any]) -> list[str]:
    kind, stride, pad = given.get("type"), given.get("stride"), given.get("pad", 0)
    after = layers.activation(given.get("activation"))
    after += [layers.dropout(given["drop_prob"])] if "drop_prob" in given else []
    if kind == "input":
        sizes = [layers.whole(given.get(key)) for key in ("out_depth", "out_sy", "out_sx")]
        return [f"input {'x'.join(sizes)}" if sizes[1:] != ["1", "1"] else f"input {sizes[0]}"]
    if kind == "conv":
        return [layers.conv(given.get("filters"), given.get("sx"), 1 if stride is None else stride, pad), *after]
    if kind == "pool":
        return [layers.pool("max", given.get("sx"), 2 if stride is None else stride, pad)]
    if kind == "fc":
        return [f"fc {layers.whole(given.get('num_neurons'))}", *after]
    if kind in ("softmax", "svm"):
        return [f"fc {layers.whole(given.get('num_classes'))}", *(["softmax"] if kind == "softmax" else [])]
    return layers.activation(kind)
