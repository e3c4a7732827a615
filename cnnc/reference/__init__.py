"""Runs a graph forward and backward in NumPy: the engine, the registry of layers, one module per layer family, kernels."""
