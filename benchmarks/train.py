"""One process of the training benchmark: `python -m benchmarks.train WHO NET SECONDS` prints one JSON object.

WHO is `cnnc`, `onnx` (the exported training step on onnxruntime), `torch`, `torch-last` (channels last) or `textbook` (textbook im2col in NumPy). A step consists of forward
pass, loss, backward pass and an update by SGD with momentum; every step uses the same random examples. Out: examples per
second (from the median step), and the peak memory of the process and its workers, in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.nets import NETS, batch_of, peer


def timed(step: Callable[[], object], seconds: float) -> float:
    """The median time of a step, in seconds, after two steps to warm up."""
    step()
    step()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    return median(times)


def measure_cnnc(name: str, seconds: float, engine: str = "numpy") -> dict[str, float]:
    """Measures steps of a training run on one of the two engines, for `seconds`."""
    from cnnc.core.process_memory import MemoryMeter
    from cnnc.network import load
    from cnnc.onnx.train_step.engine import OnnxEngine
    from cnnc.reference.parallel.threads import keep_memory, one_blas_thread
    from cnnc.training.loop import one_step, start
    from cnnc.training.numpy_engine import NumpyEngine
    from tests.random_dataset import random_dataset

    network = load(NETS / f"{name}.cnn", ["train.data.val=0"])
    batch = batch_of(name)
    meter = MemoryMeter()
    keep_memory()
    with TemporaryDirectory() as folder:
        computes = OnnxEngine("cpu") if engine == "onnxruntime" else NumpyEngine()
        run = start(network, random_dataset(network, batch), Path(folder), engine=computes)
        with one_blas_thread(), run.engine.running(run):
            examples = run.train.select(np.arange(batch))
            inputs, targets = (
                tuple(np.asarray(column[:]) for column in side) for side in (examples.inputs, examples.targets)
            )
            seconds = timed(lambda: one_step(run, 0, 0, inputs, targets), seconds)
            _, peak = run.memory(meter)
    return {"rate": batch / seconds, "memory": peak}


def measure_torch(name: str, seconds: float, last: bool) -> dict[str, float]:
    """Measures PyTorch in eager mode, on as many threads as cnnc; `last` uses channels-last tensors."""
    import torch

    from cnnc.core.process_memory import MemoryMeter
    from cnnc.reference.parallel.threads import thread_count

    torch.set_num_threads(thread_count())
    net = peer(name)
    batch = batch_of(name)
    x = torch.randint(0, 5000, (batch, *net.shape)) if name == "text" else torch.rand(batch, *net.shape)
    y = torch.randint(0, net.classes, (batch,))
    if last:
        net.module.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.module.parameters(), 1e-3, momentum=0.9)
    loss = torch.nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss(net.module(x), y).backward()
        optimizer.step()

    return {"rate": batch / timed(step, seconds), "memory": MemoryMeter().process_peak}


def main() -> None:
    who, name, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if who == "cnnc":
        results = measure_cnnc(name, seconds)
    elif who == "onnx":
        results = measure_cnnc(name, seconds, "onnxruntime")
    elif who == "textbook":
        from benchmarks.textbook import measure

        results = measure(name, seconds, timed)
    else:
        results = measure_torch(name, seconds, who == "torch-last")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
