"""Rewrites an ONNX graph, before its layers are recognized, into one that computes the same in simpler terms."""
