"""The example networks in models/, each read once in a run of the tests.

What marks the tests of a network is known without reading it, as every worker of pytest collects all tests;
tests/test_models.py compares it with the networks.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from cnnc.network import Network, load
from tests.paths import MODELS

FILES = sorted(MODELS.glob("*.cnn"))
TRAINED = [path for path in FILES if re.search(r"^train\b", path.read_text(encoding="utf-8"), re.MULTILINE)]
LARGE = {"alexnet", "alexnet_2012", "c3d", "resnet50", "unet", "vgg16"}
"""More than 12 million parameters: a round trip takes gigabytes or minutes."""
SMALL = {
    "allconv_cifar10",
    "autoencoder",
    "autoencoder_digits",
    "autoencoder_l1",
    "autoencoder_unpool",
    "convnetjs_cifar10",
    "digits",
    "keywords",
    "lenet5",
    "lenet5_1998",
    "mobilenet_cifar10",
    "motion",
    "pooling_cifar10",
    "segmentation_digits",
    "smoothing",
    "text_ranker",
    "waves",
}
"""Fewer than 20 million multiply-adds and 2 million parameters: an export is not slow."""


@cache
def network_of(path: Path) -> Network:
    return load(path)
