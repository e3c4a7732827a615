"""Runs a graph forward and backward in NumPy: the engine, its table of layers, the kernels below them."""
