"""Running an ONNX model on onnxruntime: sessions, batches, predictions, timing."""
