"""How ONNX says each layer. Importing this package fills the table `EMISSIONS`."""

from cnnc.export.emissions import activation, conv, dense, norm, pool, reshape

__all__ = ["activation", "conv", "dense", "norm", "pool", "reshape"]
