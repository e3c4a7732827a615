"""Import of ONNX models: a model becomes a .cnn source file and a checkpoint of its weights."""
