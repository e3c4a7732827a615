"""What each operator of ONNX is in the language. Importing this package fills the table `IMPORTS`."""

from cnnc.onnx.importer.ops import activation, arithmetic, conv, dense, norm, pool, reshape, sizes

__all__ = ["activation", "arithmetic", "conv", "dense", "norm", "pool", "reshape", "sizes"]
