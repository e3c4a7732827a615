"""Caffe: a prototxt of `layer { type: "Convolution" ... }`."""

from __future__ import annotations

import re

from cnnc.language.foreign import layers
from cnnc.language.foreign.layers import Lines, Translation, Untranslated

LINE = re.compile(
    r"(?m)^[ \t]*(?P<at>layers?[ \t]*\{|type:[ \t]*[\"']?(?:Convolution|CONVOLUTION|Pooling|POOLING|InnerProduct|INNER_PRODUCT|ReLU"
    r"|RELU|Input|Data|DATA|Softmax\w*|Dropout|BatchNorm|Scale|Eltwise|LRN)[\"']?|(?:bottom|top):[ \t]*\"|input_dim:[ \t]*\d"
    r"|\w+_param[ \t]*\{|(?:num_output|kernel_size|stride|pad):[ \t]*\d|name:[ \t]*\")"
)


def translate(text: str) -> Lines:
    """The statements of the network."""
    text = re.sub(r"#[^\n]*", "", text)
    translation = Translation()
    try:
        dims = re.findall(r"input_dim:\s*(\d+)", text) or re.findall(r"\bdim:\s*(\d+)", text)
        if len(dims) >= 4:
            translation.add("input " + "x".join(dims[1:4]))
        top = ""
        for body in _layers(text):
            kind = _first(body, "type").replace("_", "").lower()
            if kind in ("input", "data", "imagedata", "accuracy", "hdf5data"):
                continue
            bottoms = re.findall(r"\bbottom:\s*[\"']([^\"']*)", body)
            if len(bottoms) != 1 or (top and bottoms[0] != top):
                if kind.startswith("softmax"):
                    break  # with a loss: the end of the network
                raise Untranslated("a branch")
            translation.add(*_layer(kind, body))
            top = _first(body, "top")
    except Untranslated:
        translation.cut = True
    return translation.lines()


def _layers(text: str) -> list[str]:
    """The texts between the braces of each layer."""
    bodies = []
    for match in re.finditer(r"(?m)^[ \t]*layers?[ \t]*\{", text):
        depth = 0
        for brace in re.finditer(r"[{}]", text[match.start() : match.start() + 5000]):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                bodies.append(text[match.end() : match.start() + brace.start()])
                break
    return bodies


def _first(body: str, key: str) -> str:
    match = re.search(rf"\b{key}:\s*[\"']?([\w./-]+)", body)
    return match[1] if match else ""


def _number(body: str, key: str, default: int | float | None = None) -> int | float | None:
    value = layers.to_number(_first(body, key))
    return value if isinstance(value, int | float) else default


def _both(body: str, key: str, default: int, stem: str = "") -> object:
    """A number for both axes (`kernel_size`), or one for each (`kernel_h`, `kernel_w`)."""
    stem = stem or key
    height, width = _number(body, f"{stem}_h"), _number(body, f"{stem}_w")
    return [height, width] if height is not None and width is not None else _number(body, key, default)


def _layer(kind: str, body: str) -> list[str]:
    k, s, p = _both(body, "kernel_size", 0, "kernel"), _both(body, "stride", 1), _both(body, "pad", 0)
    bias = _first(body, "bias_term") != "false"
    if kind in ("convolution", "deconvolution"):
        groups, d = _number(body, "group", 1), _number(body, "dilation", 1)
        op = "conv" if kind == "convolution" else "conv_transpose"
        return [layers.conv(_number(body, "num_output"), k, s, p, d, groups, bias, op)]
    if kind == "pooling":
        pool = "avg" if _first(body, "pool") == "AVE" else "max"
        if _first(body, "global_pooling") == "true":
            return [f"global_pool {pool}"]
        line = layers.pool(pool, k, s, p, ceil=True)
        return [line + (" count_pad=true" if pool == "avg" and layers.axes(p) != "0" else "")]
    if kind == "innerproduct":
        return [f"fc {layers.whole(_number(body, 'num_output'))}{'' if bias else ' bias=false'}"]
    if kind == "relu":
        slope = _number(body, "negative_slope", 0)
        return [f"leaky_relu {layers.number(slope)}" if slope else "relu"]
    if kind == "lrn":
        size, alpha, beta = (_number(body, *d) for d in (("local_size", 5), ("alpha", 1), ("beta", 0.75)))
        return [f"lrn size={layers.whole(size)} alpha={layers.number(alpha)} beta={layers.number(beta)}"]
    if kind == "dropout":
        return [layers.dropout(_number(body, "dropout_ratio", 0.5))]
    simple = {
        "batchnorm": "bn affine=false",
        "scale": "affine",
        "softmax": "softmax",
        "sigmoid": "sigmoid",
        "tanh": "tanh",
    }
    if kind in simple:
        return [simple[kind]]
    raise Untranslated(kind)
