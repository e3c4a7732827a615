"""`needs_cuda` marks tests that run on a GPU; without one they are skipped, with the reason."""

from __future__ import annotations

import pytest

from cnnc.diagnostics import CnncError
from cnnc.network import check
from cnnc.onnx.emit.model import emit
from cnnc.onnx.run.session import Session
from cnnc.reference.initializers import initialize


def _why_not() -> str:
    """Why onnxruntime does not start the CUDA provider; "" if it does."""
    graph = check("input 3; fc 2").require_graph()
    try:
        Session(emit(graph, initialize(graph, 0), {}).SerializeToString(), "a model", "cuda")
    except CnncError as error:
        return error.diagnostics[0].message
    return ""


WHY_NOT = _why_not()
needs_cuda = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
