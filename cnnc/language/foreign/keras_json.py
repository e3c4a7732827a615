"""The JSON of a Keras model (`model.to_json()`): a list of layers, each with its class and configuration."""

from __future__ import annotations

import json
import re
from typing import Any

from cnnc.language.foreign.keras import layer_lines, without_axes
from cnnc.language.foreign.layers import Lines, Translation, Untranslated

LINE = re.compile(r"(?P<at>\"(?:class_name|keras_version|module)\"\s*:\s*\"[\w.]+\")")


def translate(text: str) -> Lines:
    """The statements of the network; without any if the JSON is damaged."""
    translation = Translation()
    try:
        model = json.loads(text)
        for layer in model["config"]["layers"]:
            if len(_inputs(layer)) > 1:
                raise Untranslated("a merge")
            given = dict(layer["config"])
            shape = given.get("batch_shape") or given.get("batch_input_shape")
            if shape:
                given["batch_input_shape"] = shape
            translation.add(*layer_lines(without_axes(layer["class_name"]), given, first=not translation.statements))
    except (Untranslated, ValueError, KeyError, TypeError, IndexError, RecursionError):
        translation.cut = True
    return translation.lines()


def _inputs(layer: dict[str, Any]) -> list[Any]:
    nodes = layer.get("inbound_nodes") or [[]]
    return nodes[0] if isinstance(nodes[0], list) else []
