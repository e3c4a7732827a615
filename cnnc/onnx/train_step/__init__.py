"""The training step as an ONNX graph of plain operators: forward, backward and update."""
