"""The only package that imports onnx and onnxruntime: export, quantization, running a model, import."""
