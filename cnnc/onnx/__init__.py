"""ONNX: export, quantization, running and importing models. Only this package imports onnx and onnxruntime."""
