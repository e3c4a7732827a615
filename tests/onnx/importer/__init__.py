"""Tests of cnnc/onnx/importer."""
