"""Tests of how ONNX says a layer."""
