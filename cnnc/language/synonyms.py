"""What other frameworks and textbooks call the layers, for whoever writes them so here.

In: a word that is no layer. Out: an edit for the help line of the error, and the word it was meant to be.
"""

from __future__ import annotations

import re

_ELSEWHERE = {
    "avgpool": "pool avg",
    "averagepooling": "pool avg",
    "adaptiveavgpool": "global_pool avg",
    "globalaveragepooling": "global_pool avg",
    "globalavgpool": "global_pool avg",
    "globalmaxpooling": "global_pool max",
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
    "linear": "fc",
    "embedding": "embed",
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
_TRAIN = ("data", "augment", "loss", "optimizer", "schedule", "batch", "epochs", "seed", "stop", "metric")


def known_elsewhere(word: str) -> str:
    """`pool max` for `MaxPool2d`; empty where the word is not known."""
    return _ELSEWHERE.get(re.sub(r"_|[1-3]d$", "", word.lower()), "")


def of_the_train_section(word: str) -> bool:
    return word in _TRAIN
