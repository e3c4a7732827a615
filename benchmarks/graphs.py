"""Measures exported graphs on onnxruntime: cnnc's export and PyTorch's exports of the same network.

In: networks of nets/. Out: for each, the size of the file in bytes, the latency at batch 1 in milliseconds, and the
examples per second at batch 64. `python -m benchmarks.graphs WHO NET FILE` writes a file, `python -m benchmarks.graphs
FILE` measures it in another process. WHO is cnnc, torch (PyTorch's TorchScript exporter, which writes smaller files) or
torch-new (PyTorch's default exporter).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.nets import NETS, peer

NAMES = ("lenet5", "convnetjs", "vgg", "resnet20", "separable")


def write(who: str, name: str, path: Path) -> None:
    """Exports the network of this name with random weights; `who` is cnnc, torch or torch-new."""
    if who == "cnnc":
        from cnnc.network import load
        from cnnc.onnx.emit.verify import random_weights
        from cnnc.onnx.export import export as export_network

        network = load(NETS / f"{name}.cnn")
        export_network(network, random_weights(network.require_graph(), 0), path)
        return
    import torch

    net = peer(name)
    # random, as after training: equal biases of 0 would be stored once for all layers
    for part in net.module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for tensor in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
                tensor.uniform_(0.5, 1.5)
    module = torch.nn.Sequential(net.module, torch.nn.Softmax(1)).eval()
    options: dict[str, Any] = {"input_names": ["input1"], "dynamo": who == "torch-new"}
    if who == "torch-new":
        options |= {"dynamic_shapes": ({0: torch.export.Dim("N")},), "external_data": False, "verbose": False}
    else:
        options |= {"dynamic_axes": {"input1": {0: "N"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.rand(2, *net.shape),), str(path), **options)


def measure(path: Path) -> dict[str, float]:
    """Latency at batch 1 (milliseconds) and throughput at batch 64 (examples per second), on two threads."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    metadata = session.get_modelmeta().custom_metadata_map
    results: dict[str, float] = {"bytes": path.stat().st_size}
    results["metadata"] = sum(len(text.encode()) for pair in metadata.items() for text in pair)
    for batch, key in ((1, "latency"), (64, "rate")):
        feed = {entry.name: np.random.default_rng(0).random((batch, *entry.shape[1:]), np.float32)}
        times: list[float] = []
        end = time.perf_counter() + 1.0
        while time.perf_counter() < end or len(times) < 5:
            begun = time.perf_counter()
            session.run(None, feed)
            times.append(time.perf_counter() - begun)
        results[key] = 1e3 * median(times) if batch == 1 else batch / median(times)
    return results


if __name__ == "__main__":
    if len(sys.argv) > 2:
        write(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    else:
        print(json.dumps(measure(Path(sys.argv[1]))))
