"""The way back: an ONNX model becomes a text of the language, and a checkpoint of its weights."""
