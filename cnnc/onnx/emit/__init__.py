"""Graph and weights to an ONNX model, verified tensor by tensor."""
