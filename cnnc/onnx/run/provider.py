"""The names of the providers of onnxruntime; `auto` is the best one that is installed. Loads nothing of onnxruntime."""

from typing import Literal

Provider = Literal["auto", "cpu", "cuda", "tensorrt", "coreml", "dml", "openvino"]
