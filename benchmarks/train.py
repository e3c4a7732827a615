"""One process of the training benchmark: `python -m benchmarks.train WHO NET SECONDS` prints one JSON object.

WHO is `cnnc`, `onnx` (the exported training step on onnxruntime), `engine` (the engine torch), `torch` (a loop written by
hand), or `textbook` (textbook im2col in NumPy). `torch` takes further settings: `torch-last` is channels last, `-cuda` the
device, `-compile` and `-bf16` are those of `cnnc train`, which `engine` takes, too: `engine-bf16-compile`. `turn`, with the
same settings, compares these two in one process. A step consists of forward pass, loss, backward pass and an update by SGD
with momentum; every step uses the same random examples. Out: examples per second (from the median step), and the peak
memory of the process and its workers, or of the device, in bytes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.nets import NETS, batch_of, peer

if TYPE_CHECKING:
    from cnnc.core.arrays import Array
    from cnnc.training.run import Engine


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


class CnncStep(NamedTuple):
    """A step of cnnc, the peak memory of the process and its workers so far, in bytes, and the parameters that it changes."""

    step: Callable[[], object]
    peak_memory: Callable[[], int]
    weights: Sequence[Array]


@contextmanager
def cnnc_step(name: str, engine: Engine) -> Iterator[CnncStep]:
    """A step of a training run on an engine."""
    from cnnc.core.process_memory import MemoryMeter
    from cnnc.network import load
    from cnnc.reference.parallel.threads import keep_memory, one_blas_thread
    from cnnc.training.loop import one_step, start
    from tests.random_dataset import random_dataset

    network = load(NETS / f"{name}.cnn", ["train.data.val=0"])
    batch = batch_of(name)
    meter = MemoryMeter()
    keep_memory()
    with TemporaryDirectory() as folder:
        run = start(network, random_dataset(network, batch), Path(folder), engine=engine)
        with one_blas_thread(), run.engine.running(run):
            examples = run.train.select(np.arange(batch))
            inputs, targets = (
                tuple(np.asarray(column[:]) for column in side) for side in (examples.inputs, examples.targets)
            )
            yield CnncStep(
                lambda: one_step(run, 0, 0, inputs, targets),
                lambda: run.engine.device_memory() or run.memory(meter)[1],
                [array for key, array in run.weights.items() if run.graph.weights[key].trainable],
            )


def measure_cnnc(name: str, seconds: float, engine: Engine) -> dict[str, float]:
    """Measures steps of a training run on an engine, for `seconds`."""
    with cnnc_step(name, engine) as ours:
        return {"rate": batch_of(name) / timed(ours.step, seconds), "memory": ours.peak_memory()}


def engine_named(who: str, *settings: str) -> Engine:
    """The engine of a contender: `cnnc`, `onnx`, or `engine` with the settings of PyTorch."""
    if who == "onnx":
        from cnnc.onnx.train_step.engine import OnnxEngine

        return OnnxEngine("cpu")
    if who == "engine":
        from cnnc.torch.engine import TorchEngine

        precision = "bf16" if "bf16" in settings else "float32"
        return TorchEngine(
            device_in(settings), precision, "compile" in settings, print_error, channels_last="last" in settings
        )
    from cnnc.training.numpy_engine import NumpyEngine

    return NumpyEngine()


def device_in(settings: Sequence[str]) -> str:
    """The device that the settings name."""
    return "cuda" if "cuda" in settings else "cpu"


def print_error(line: str) -> None:
    """Prints a line of the engine where it does not disturb the results."""
    print(line, file=sys.stderr)


def torch_step(name: str, *settings: str, weights: Sequence[Array] = ()) -> Callable[[], object]:
    """A step of a loop written by hand in PyTorch, on as many threads as cnnc; `settings` are last, bf16, compile, cuda.

    `weights` are the parameters to begin with, in the order of the module's; without them it draws its own.
    """
    import torch

    from cnnc.reference.parallel.threads import keep_memory, thread_count

    keep_memory()  # as in training
    torch.set_num_threads(thread_count())
    net, device = peer(name), device_in(settings)
    if weights:
        with torch.no_grad():
            for parameter, array in zip(net.module.parameters(), weights, strict=True):
                parameter.copy_(torch.from_numpy(array))
    net.module.to(device)
    batch = batch_of(name)
    is_text = name == "text"
    x = torch.randint(0, 5000 if is_text else 256, (batch, *net.shape), dtype=torch.int64 if is_text else torch.uint8)
    y = torch.randint(0, net.classes, (batch,))
    if "last" in settings:
        net.module.to(memory_format=torch.channels_last)
    model = torch.compile(net.module) if "compile" in settings else net.module
    optimizer = torch.optim.SGD(net.module.parameters(), 1e-3, momentum=0.9)
    loss = torch.nn.CrossEntropyLoss()

    def step() -> float:
        batch = x.to(device) if is_text else x.to(device).float().div_(255)
        if "last" in settings:
            batch = batch.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled="bf16" in settings):
            scores = model(batch)
        value = loss(scores.float(), y.to(device))
        value.backward()
        optimizer.step()
        return float(value.detach())

    return step


def measure_torch(name: str, seconds: float, *settings: str) -> dict[str, float]:
    """Measures the loop written by hand."""
    from cnnc.core.process_memory import MemoryMeter

    rate = batch_of(name) / timed(torch_step(name, *settings), seconds)
    if "cuda" in settings:
        import torch

        return {"rate": rate, "memory": torch.cuda.max_memory_allocated()}
    return {"rate": rate, "memory": MemoryMeter().process_peak}


def measure_in_turn(name: str, seconds: float, *settings: str) -> dict[str, float]:
    """How many times as fast the engine torch is as the loop written by hand: in CPU time on one thread, on a GPU by the clock.

    The two take turns step by step, so that other processes disturb both alike. They begin with the same weights: how long
    PyTorch's max pooling takes on a CPU depends on the order of the numbers in its windows.
    """
    import torch

    on_gpu = "cuda" in settings
    clock = time.perf_counter if on_gpu else time.process_time
    with cnnc_step(name, engine_named("engine", *settings)) as ours:
        theirs = torch_step(name, *settings, weights=ours.weights)
        ratios: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(ratios) < 5:
            times = [clock()]
            for step in (theirs, ours.step):
                step()
                if on_gpu:
                    torch.cuda.synchronize()
                times.append(clock())
            ratios.append((times[1] - times[0]) / (times[2] - times[1]))
    return {"speed": median(ratios[2:]), "pairs": len(ratios) - 2}


def main() -> None:
    (who, *settings), name, seconds = sys.argv[1].split("-"), sys.argv[2], float(sys.argv[3])
    if who == "textbook":
        from benchmarks.textbook import measure

        results = measure(name, seconds, timed)
    elif who == "turn":
        results = measure_in_turn(name, seconds, *settings)
    elif who == "torch":
        results = measure_torch(name, seconds, *settings)
    else:
        results = measure_cnnc(name, seconds, engine_named(who, *settings))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
