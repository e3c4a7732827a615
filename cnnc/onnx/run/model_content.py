"""The content of a model as one message, with the weights that are in a second file.

content = model_content(Path("lenet5.onnx"), "lenet5.onnx", 1 << 28)    # at most 256 MiB
"""

from __future__ import annotations

import math
from pathlib import Path

from cnnc.core.files import read_bytes
from cnnc.diagnostics import CnncError
from cnnc.onnx.run.complete_model import embedded_model, external_tensors
from cnnc.onnx.run.inspect import parse_model, read_model, require_weights


def model_content(path: Path, name: str, limit: int) -> bytes:
    """The bytes of a model; `name` is for messages. Raises CnncError E604 if a file of weights is missing, E903 above the limit."""
    model = read_model(path)
    require_weights(model, path)
    size = path.stat().st_size + sum(4 * math.prod(tensor.dims) for tensor in external_tensors(model))  # of floats
    if size > limit:
        message = f"{name} has {size >> 20} MiB; a page holds at most {limit >> 20} MiB"
        raise CnncError.of("E903", message, help="export it in a lower precision: `cnnc export RUN --int8`")
    content = read_bytes(path, limit)
    return embedded_model(parse_model(content, path), path).SerializeToString() if external_tensors(model) else content
