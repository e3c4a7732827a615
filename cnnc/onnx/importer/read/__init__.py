"""Reads an untrusted ONNX file into plain Python objects and checks every part of it."""
