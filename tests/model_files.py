"""The example networks in models/, each read once in a run of the tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cnnc.network import Network, load
from tests.paths import MODELS

FILES = sorted(MODELS.glob("*.cnn"))


@cache
def network_of(path: Path) -> Network:
    return load(path)
