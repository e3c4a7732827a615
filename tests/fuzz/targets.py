"""All targets by name. The module of a target is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from tests.fuzz.target import Target

MODULES = {
    "source": "source",
    "idx": "data",
    "cifar": "data",
    "npz": "data",
    "tables": "data",
    "text": "data",
    "images": "data",
    "labelled": "data",
    "masked": "data",
    "shards": "data",
    "audio": "data",
    "inputs": "data",
    "importer": "models",
    "info": "models",
    "predict": "models",
    "checkpoint": "models",
    "editor": "editor",
}
"""The module of each target; it is called there as here, in capitals."""


def target_named(name: str) -> Target:
    """The target with a name of `MODULES`."""
    target: Target = getattr(import_module(f"tests.fuzz.{MODULES[name]}"), name.upper())
    return target
