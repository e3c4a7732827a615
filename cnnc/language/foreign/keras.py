"""Keras (also TensorFlow and TFLearn): `Sequential`, `model.add(...)` and the functional style, in source order.

In: the text. Out: the layers up to the first that has no translation, such as a merge. `layer_lines` also serves other
formats whose layers have the names and arguments of Keras.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from cnnc.language.foreign import layers
from cnnc.language.foreign.layers import Lines, Translation, Untranslated
from cnnc.language.foreign.python import BareName, arguments, constants, name_of, parse

LINE = re.compile(
    r"(?m)^[^#\n]*?(?P<at>\b(?:import keras\b|from keras\b|import tensorflow\b|from tensorflow\b|import tflearn\b|tf\.\w+"
    r"|keras\.\w+|model\.add\(|Sequential\(|layers\.[A-Z]\w+\("
    r"|(?:Conv[123]D|LocallyConnected[12]D|Dense|MaxPooling[123]D|AveragePooling[123]D|BatchNormalization|GlobalAveragePooling[123]D|Flatten|Activation)\("
    r"|(?:conv_2d|max_pool_2d|fully_connected|input_data)\())[^\n]*"
)
_CONV = "filters kernel_size strides padding"
_PARAMETERS = {
    "Conv": _CONV,
    "ConvTranspose": _CONV,
    "LocallyConnected": _CONV,
    "SeparableConv": _CONV,
    "DepthwiseConv": "kernel_size strides padding",
    "Dense": "units activation",
    "MaxPooling": "pool_size strides padding",
    "AveragePooling": "pool_size strides padding",
    "Activation": "activation",
    "Dropout": "rate",
    "LeakyReLU": "negative_slope",
    "UpSampling": "size",
    "ZeroPadding": "padding",
    "Reshape": "target_shape",
    "Input": "shape",
    "InputLayer": "shape",
}
_CONVOLUTIONS = {"Conv": "conv", "ConvTranspose": "conv_transpose", "LocallyConnected": "local"}
_TFLEARN = {  # TFLearn's function, and the layer and parameters of Keras
    "conv_2d": ("Conv", "incoming filters kernel_size strides padding activation"),
    "max_pool_2d": ("MaxPooling", "incoming pool_size strides padding"),
    "avg_pool_2d": ("AveragePooling", "incoming pool_size strides padding"),
    "fully_connected": ("Dense", "incoming units activation"),
    "dropout": ("Dropout", "incoming keep"),
    "input_data": ("Input", "shape"),
    "batch_normalization": ("BatchNormalization", "incoming"),
    "local_response_normalization": ("LRN", "incoming"),
}


def translate(text: str) -> Lines:
    """The statements of the network."""
    program = parse(text)
    names = constants(program)
    translation = Translation()
    current = ""
    try:
        for statement in program:
            for call, argument in _layers_in(statement):
                if current and argument and argument not in (current, "model"):
                    raise Untranslated("a branch")
                name, given = _named(call, names)
                translation.add(*layer_lines(name, given, first=not translation.statements))
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                value = statement.value
                if isinstance(value, ast.Call) and any(True for _ in _layers_in(statement)):
                    current = statement.targets[0].id
    except Untranslated:
        translation.cut = True
    return translation.lines()


def _named(call: ast.Call, names: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and arguments of a layer, those of TFLearn translated."""
    name = name_of(call.func)
    if name in _TFLEARN:
        name, parameters = _TFLEARN[name]
        inner = ast.Call(call.func, call.args[1:], call.keywords) if name != "Input" else call
        given = arguments(inner, parameters.removeprefix("incoming "), names)
        if name in ("Conv", "MaxPooling", "AveragePooling"):
            given.setdefault("padding", "same")
        if name == "Dropout" and isinstance(given.get("keep"), float):
            given["rate"] = round(1 - given["keep"], 6)
        if name == "Input" and isinstance(given.get("shape"), list):
            given["shape"] = given["shape"][1:]
        return name, given
    base = without_axes(name)
    given = arguments(call, _PARAMETERS.get(base, ""), names)
    return base, given


def without_axes(name: str) -> str:
    """`MaxPooling` for `MaxPool2D`, by which name the tables of this module know it."""
    base = re.sub(r"[123]D(?=$|Transpose)", "", name).replace("Convolution", "Conv").replace("Avg", "Average")
    return re.sub(r"Pool$", "Pooling", base)


def _layers_in(statement: ast.stmt) -> list[tuple[ast.Call, str]]:
    """The layers of a statement in the order of application, each with the name of the tensor that it is applied to."""
    found: list[tuple[ast.Call, str]] = []
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Call) and _is_layer(node.func):
            if len(node.args) != 1 or isinstance(node.args[0], ast.List):
                raise Untranslated("a merge")
            inner = node.args[0]
            found.append((node.func, name_of(inner)))
            if isinstance(inner, ast.Call):  # layers applied in one expression, the innermost first
                pending.append(inner)
                found.reverse() if len(found) > 1 else None
        elif isinstance(node, ast.Call) and _is_layer(node):
            tflearn = name_of(node.func) in _TFLEARN and node.args
            found.append((node, name_of(node.args[0]) if tflearn else ""))
        else:
            pending += reversed(list(ast.iter_child_nodes(node)))
    return found


def _is_layer(call: ast.Call) -> bool:
    name = name_of(call.func)
    return name in _TFLEARN or (name[:1].isupper() and name not in ("Sequential", "Model", "Adam", "SGD", "RMSprop"))


def layer_lines(name: str, given: dict[str, Any], first: bool) -> list[str]:
    """The statements of a layer, named without its number of axes. `first` adds the input. Raises Untranslated."""
    shape = given.get("input_shape") or given.get("batch_input_shape", [None])[1:] or None
    lines = [_input(shape)] if first and shape else []
    if name in ("Input", "InputLayer"):
        return [_input(given.get("shape") or shape)]
    return [*lines, *_layer(name, given), *(_activation(given) if name != "Activation" else [])]


def _activation(given: dict[str, Any]) -> list[str]:
    value = given.get("activation")
    return layers.activation(value) if value is None or isinstance(value, str) else []


def _input(shape: Any) -> str:
    """The input of a shape with the channels last."""
    if not isinstance(shape, list) or not shape or not isinstance(shape[-1], int):
        raise Untranslated("a shape")
    return layers.input_shape(layers.whole(shape[-1]), *shape[:-1])


def _layer(name: str, given: dict[str, Any]) -> list[str]:
    if given.get("data_format") == "channels_first":
        raise Untranslated("channels first")
    padding = {"valid": 0}.get(str(given.get("padding", "valid")).lower(), given.get("padding"))
    padding = padding.lower() if isinstance(padding, str) else padding
    if name in _CONVOLUTIONS:
        k, s, d = given.get("kernel_size"), given.get("strides", 1), given.get("dilation_rate", 1)
        bias = given.get("use_bias", True)
        return [layers.conv(given.get("filters"), k, s, padding, d, given.get("groups", 1), bias, _CONVOLUTIONS[name])]
    if name == "DepthwiseConv" and given.get("depth_multiplier", 1) == 1:
        bias = "" if given.get("use_bias", True) else " bias=false"
        line = layers.conv(1, given.get("kernel_size"), given.get("strides", 1), padding)
        return [line.replace("conv 1", "conv c_in", 1) + " groups=c_in" + bias]
    if name == "Dense":
        return [f"fc {layers.whole(given.get('units'))}{'' if given.get('use_bias', True) else ' bias=false'}"]
    if name in ("MaxPooling", "AveragePooling"):
        kind = "max" if name.startswith("Max") else "avg"
        return [layers.pool(kind, given.get("pool_size", 2), given.get("strides"), padding)]
    if name in ("GlobalAveragePooling", "GlobalMaxPooling"):
        return [f"global_pool {'avg' if 'Average' in name else 'max'}", *([] if given.get("keepdims") else ["flatten"])]
    if name in ("Dropout", "SpatialDropout"):
        return [layers.dropout(given.get("rate"))]
    if name == "UpSampling" and given.get("interpolation", "nearest") == "nearest":
        return [f"upsample {layers.axes(given.get('size', 2))}"]
    if name == "ZeroPadding":
        return [f"pad {_padding_of(given.get('padding', 1))}"]
    if name == "LeakyReLU":
        return [f"leaky_relu {layers.number(given.get('negative_slope', given.get('alpha', 0.3)))}"]
    if name == "Activation" and isinstance(given.get("activation"), str | BareName):
        return layers.activation(given["activation"])
    if name == "ReLU":
        return ["relu6" if given.get("max_value") == 6 else "relu"]
    simple = {
        "Flatten": ["flatten"],
        "BatchNormalization": ["bn"],
        "Softmax": ["softmax"],
        "PReLU": ["prelu"],
        "LRN": ["lrn"],
    }
    if name in simple:
        return simple[name]
    raise Untranslated(name)


def _padding_of(value: Any) -> str:
    """`1`, or `[top, left, bottom, right]` for `((top, bottom), (left, right))`."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return layers.axes([side[0] for side in value] + [side[1] for side in value])
    return layers.axes(value)
