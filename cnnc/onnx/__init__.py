"""ONNX: export, quantization, running and importing models. Only this package imports onnx and onnxruntime.

onnxruntime has sent usage data since version 1.29 unless the environment variable ORT_DISABLE_TELEMETRY is set, which it reads
when it is imported. It is set here, so that nothing about a model leaves the machine; a value that the user has set stays.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
