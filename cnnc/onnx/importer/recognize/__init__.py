"""An ONNX graph, run on layers instead of numbers, becomes a list of layers."""
