"""What other frameworks and textbooks call the layers, for whoever writes them so here.

In: a word that is no layer, or no key of one. Out: an edit for the help line of the error, and the word it was meant to be.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_ELSEWHERE = {
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
    "activation": "an activation is a layer of its own: write `relu`, or another, on the next line",
    "in_channels": "leave it out: what arrives is known",
    "in_features": "leave it out: what arrives is known",
}
_TRAIN = ("data", "augment", "loss", "optimizer", "schedule", "batch", "epochs", "seed", "stop", "metric")


def known_elsewhere(word: str) -> str:
    """`pool max` for `MaxPool2d`; empty where the word is not known."""
    return _ELSEWHERE.get(re.sub(r"_|[1-3]d$", "", word.lower()), "")


def key_elsewhere(key: str, known: Collection[str]) -> str | None:
    """The key, one of those known, that other frameworks call so; "" for one that no layer needs, None where it is unknown."""
    if key.lower() in _NEEDLESS:
        return ""
    meant = _KEYS.get(key.lower())
    return meant if meant in known else None


def needless(key: str) -> str:
    """What to do instead of giving a key that no layer has."""
    return _NEEDLESS.get(key.lower(), "")


def of_the_train_section(word: str) -> bool:
    return word in _TRAIN
