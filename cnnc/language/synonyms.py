"""Names that other frameworks and textbooks use for layers and their arguments.

In: a word that is not a layer, or a key that a layer does not have. Out: the name in this language, for the help of the
error: `MaxPool2d` is `pool max`, `filters` is `out`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_LAYERS = {
    "avgpool": "pool avg",
    "averagepooling": "pool avg",
    "adaptiveavgpool": "global_pool avg",
    "globalaveragepooling": "global_pool avg",
    "globalavgpool": "global_pool avg",
    "globalmaxpooling": "global_pool max",
    "gap": "global_pool avg",
    "maxpool": "pool max",
    "maxpooling": "pool max",
    "pooling": "pool max",
    "batchnorm": "bn",
    "batchnormalization": "bn",
    "cat": "concat",
    "concatenate": "concat",
    "convolution": "conv",
    "convtranspose": "conv_transpose",
    "deconv": "conv_transpose",
    "upconv": "conv_transpose",
    "dense": "fc",
    "depthwise": "conv c_in groups=c_in",
    "depthwiseconv": "conv c_in groups=c_in",
    "linear": "fc",
    "embedding": "embed",
    "for": "repeat",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "hardtanh": "hard_tanh",
    "leakyrelu": "leaky_relu",
    "localresponsenorm": "lrn",
    "logsoftmax": "log_softmax",
    "multiply": "mul",
    "pixelshuffle": "depth_to_space",
    "residual": "add",
    "shortcut": "add",
    "skip": "add",
    "subtract": "sub",
    "swish": "silu",
    "upsampling": "upsample",
    "zeropadding": "pad",
}
_KEYS = {
    "alpha": "slope",
    "channels": "out",
    "dilation_rate": "d",
    "epsilon": "eps",
    "features": "out",
    "filters": "out",
    "ksize": "k",
    "learning_rate": "lr",
    "negative_slope": "slope",
    "num_output": "out",
    "out_channels": "out",
    "out_features": "out",
    "pool_size": "k",
    "rate": "p",
    "scale": "n",
    "size": "k",
    "units": "out",
    "use_bias": "bias",
}
_NEEDLESS = {
    "activation": "an activation is a separate layer: write it on the next line, e.g. `relu`",
    "in_channels": "remove it: the number of input channels is inferred",
    "in_features": "remove it: the number of inputs is inferred",
}
_TRAIN = ("data", "augment", "loss", "optimizer", "schedule", "batch", "epochs", "seed", "stop", "metric")
_TRAIN_SETTINGS = {
    **{word: word for word in _TRAIN},
    "batch_size": "batch",
    "bs": "batch",
    "clip": "clip",
    "early_stopping": "stop.patience",
    "epoch": "epochs",
    "learning_rate": "optimizer.lr",
    "lr": "optimizer.lr",
    "max_epochs": "epochs",
    "momentum": "optimizer.momentum",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "patience": "stop.patience",
    "val": "data.val",
    "val_split": "data.val",
    "validation_split": "data.val",
    "warmup": "schedule.warmup",
    "wd": "optimizer.weight_decay",
    "weight_decay": "optimizer.weight_decay",
}


def layer_synonym(word: str) -> str:
    """The layer that other frameworks call `word`, with arguments: `pool max` for `MaxPool2d`. "" for another word."""
    return _LAYERS.get(re.sub(r"_|[1-3]d$", "", word.lower()), "")


def key_synonym(key: str, known: Collection[str]) -> str | None:
    """The one of the `known` keys that other frameworks call `key`; "" for a key that no layer needs, None for another key."""
    if key.lower() in _NEEDLESS:
        return ""
    translated = _KEYS.get(key.lower())
    return translated if translated in known else None


def needless_key_help(key: str) -> str:
    """Help for a key that no layer needs; "" for any other."""
    return _NEEDLESS.get(key.lower(), "")


def train_setting(name: str) -> str:
    """The path of a train statement or its argument that `--set NAME` probably means: `train.optimizer.lr`; "" if unknown."""
    path = _TRAIN_SETTINGS.get(name, name if name.partition(".")[0] in _TRAIN else "")
    return f"train.{path}" if path else ""


def is_train_statement(word: str) -> bool:
    """Whether the word is a statement of the train section."""
    return word in _TRAIN
