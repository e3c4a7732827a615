"""Tests of export, quantization, running and import of ONNX models."""
