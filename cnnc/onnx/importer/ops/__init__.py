"""What each ONNX operator is in the language, one family of operators per file.

Importing this package fills the table `HANDLERS`. Functions named `decomposed_*` recognize a layer that an exporter, or
cnnc itself, writes as several operators.
"""

from cnnc.onnx.importer.ops import activation, arithmetic, conv, dense, local, norm, pool, reshape, shapes_and_types

__all__ = ["activation", "arithmetic", "conv", "dense", "local", "norm", "pool", "reshape", "shapes_and_types"]
