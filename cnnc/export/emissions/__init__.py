"""How ONNX says each layer. Importing this package fills the table `EMISSIONS`."""

from cnnc.export.emissions import activation, conv, dense, filter, merge, norm, pool, reshape, sequence

__all__ = ["activation", "conv", "dense", "filter", "merge", "norm", "pool", "reshape", "sequence"]
