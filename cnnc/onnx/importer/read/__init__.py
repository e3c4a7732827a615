"""An untrusted ONNX file as plain Python values, every part of it checked."""
