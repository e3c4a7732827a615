"""The layers of the language, one family per module. Importing this package fills the table `OPS`."""

from cnnc.ops import activation, conv, dense, filter, local, merge, norm, pool, reshape, sequence, spectrogram
from cnnc.ops.base import OPS, Advice, Op, ShapeError, Window

__all__ = [
    "OPS",
    "Advice",
    "Op",
    "ShapeError",
    "Window",
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
