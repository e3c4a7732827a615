"""The backward nodes of every layer, one file per family. Importing this package fills `BACKWARDS`."""

from cnnc.onnx.train_step.ops import (
    activation,
    conv,
    dense,
    filter,
    local,
    merge,
    norm,
    pool,
    reshape,
    sequence,
    spectrogram,
)

__all__ = [
    "activation",
    "conv",
    "dense",
    "filter",
    "local",
    "merge",
    "norm",
    "pool",
    "reshape",
    "sequence",
    "spectrogram",
]
