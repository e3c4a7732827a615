"""The ONNX emission of every layer, one file per family. Importing this package fills the table `EMISSIONS`."""

from cnnc.onnx.emit.ops import activation, conv, dense, filter, local, merge, norm, pool, reshape, sequence, spectrogram

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
