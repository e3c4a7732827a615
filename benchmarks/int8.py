"""Measures the speed of int8 on onnxruntime, for single layers and networks: `python -m benchmarks.int8 [FILE.cnn ...]`.

Each network is measured in float32, with all layers in int8 that can be, and as `cnnc export --int8` places int8 (see
cnnc/onnx/quantize/placement.py). The three take turns, with batch 1 on one thread; a time is the least over all turns of
the median of a turn. Weights and input are random; accuracy is not measured.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from cnnc.data.dataset import Split
from cnnc.network import Network, check, load
from cnnc.onnx.emit.verify import random_weights
from cnnc.onnx.export import export
from cnnc.onnx.quantize import int8 as quantize
from cnnc.onnx.quantize.examples import CalibrationExamples
from cnnc.onnx.run.bench import random_feeds
from cnnc.onnx.run.session import Session
from cnnc.ops.dense import Input

LAYERS = (
    "input 1x28x28; conv 6 k=5 p=2; relu; pool max k=2",
    "input 3x32x32; conv 16 k=5 p=2; relu",
    "input 3x112x112; conv 64 k=7 s=2 p=3; relu",
    "input 4x32x32; conv 32 k=3 p=1; relu",
    "input 8x16x16; conv 32 k=3 p=1; relu",
    "input 16x16x16; conv 16 k=3 p=1; relu",
    "input 16x6x6; conv 16 k=3 p=1; relu",
    "input 64x8x8; conv 64 k=3 p=1; relu",
    "input 128x8x8; conv 128 k=1; relu",
    "input 64x16x16; conv 64 k=3 p=1 groups=64; relu",
    "input 64x8x8; conv 64 k=3 p=1 groups=4; relu",
    "input 32x128; conv 32 k=5 p=2; relu",
    "input 400; fc 120; relu",
    "input 512; fc 256; relu",
    "input 1024; fc 1024; relu",
)
EXAMPLES, TURNS = 16, 9


def models(network: Network, folder: Path) -> list[onnx.ModelProto]:
    """The model of a network in float32, with all layers in int8 that can be, and as `cnnc export --int8` exports it."""
    quantize.MAX_RELATIVE_ERROR = float("inf")  # untrained weights need not pass the accuracy check
    graph = network.require_graph()
    export(network, random_weights(graph, 0), folder / "float.onnx")
    float_model = onnx.load(folder / "float.onnx")
    random = np.random.default_rng(0)
    images = []
    for node in graph.inputs:
        assert isinstance(node.op, Input)
        assert node.op.fed().dtype == "float32", "only networks with float32 inputs can be measured"
        images.append(random.random((EXAMPLES, *node.type.shape), np.float32))
    split = Split(tuple(images), ())
    examples = CalibrationExamples(split, split, split)
    return [
        float_model,
        *(quantize.to_int8(float_model, network, examples, everywhere)[0] for everywhere in (True, False)),
    ]


def race(contenders: list[onnx.ModelProto]) -> list[float]:
    """Seconds per call of each model."""
    sessions = [Session(model.SerializeToString(), "model", "cpu", threads=1) for model in contenders]
    feeds = random_feeds(sessions[0], 1, {})
    medians: list[list[float]] = [[] for _ in sessions]  # of each turn
    for turn in range(TURNS + 1):
        for session, of_session in zip(sessions, medians, strict=True):
            times: list[float] = []
            begun = time.perf_counter()
            while len(times) < 5 or time.perf_counter() - begun < 0.05:
                start = time.perf_counter()
                session.run(feeds)
                times.append(time.perf_counter() - start)
            if turn:  # the first turn warms up
                of_session.append(median(times))
    return [min(turns) for turns in medians]


def main(files: list[str]) -> None:
    named = {Path(file).stem: load(Path(file)) for file in files} or {text: check(text) for text in LAYERS}
    print(
        "| network | float32, µs | all in int8, µs | as exported, µs | time relative to float32 | size relative to float32 |"
    )
    print("|---|---|---|---|---|---|")
    for name, network in named.items():
        with TemporaryDirectory() as folder:
            contenders = models(network, Path(folder))
        float32, everywhere, placed = race(contenders)
        times = " | ".join(f"{seconds * 1e6:,.1f}" for seconds in (float32, everywhere, placed))
        size = contenders[2].ByteSize() / contenders[0].ByteSize()
        print(f"| {name} | {times} | {placed / float32:.2f} | {size:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
