"""ONNX models: passes, emission, the proof that a model computes what its network does.

Loading this package puts it where the function `cnnc.export` stood until then, so it can be called like that.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`cnnc.api.export`."""
        from importlib import import_module  # the API stands above this package

        return import_module("cnnc.api").export(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
