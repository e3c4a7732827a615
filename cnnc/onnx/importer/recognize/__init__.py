"""Recognizes the layers of the language in an ONNX graph."""
