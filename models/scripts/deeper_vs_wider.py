"""Compares deep with wide networks: the same numbers of parameters at several depths, trained alike.

Goodfellow, Bulatov, Ibarz, Arnoud & Shet (2014), "Multi-digit number recognition from Street View imagery using deep
convolutional neural networks", and Eigen, Rolfe, Fergus & LeCun (2014), "Understanding deep architectures using a
recursive convolutional network", found that depth helps at a constant number of parameters.

Each network has two stages of 3x3 convolutions with ReLU, max pooling by 2 after each, and one fully connected layer;
its width is the one whose number of parameters is closest to a budget. The first stage has the odd convolution. All are
trained with the same recipe on the same examples, once for each seed. The error is that on the test split after the last
epoch. With several budgets, the errors of a depth are a curve over the number of parameters.

`python -m cnnc.models.scripts.deeper_vs_wider` uses the bundled digits, `--data-set mnist --examples 5000` a part of
MNIST. It prints a Markdown table to stdout, and progress to stderr; `--svg FILE` draws the curves.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from cnnc import Network, check
from cnnc.data import KNOWN, load
from cnnc.data.dataset import Dataset
from cnnc.graph.graph import Graph
from cnnc.training.loop import start, train
from cnnc.view.axis import Axis
from cnnc.view.chart import Curve, CurvePoint, line_chart
from cnnc.view.drawing import Drawing
from cnnc.view.svg import svg_text

from .common import write

SOURCE = """net Depth{depth}
block stage(w, depth) {{
  repeat depth {{ conv w k=3 p=1; relu }}
  pool max k=2
}}
input {shape}
stage {width} {first}
stage {width} {second}
fc {classes}
softmax
train {{
  data {data} val=0
  augment shift={shift}
  optimizer adam lr=0.002
  schedule cosine
  batch 50
  epochs {epochs}
  seed {seed}
}}
"""


class DepthResult(NamedTuple):
    """The result of one network: its depth, width and graph, the error of each seed in per cent, seconds per epoch."""

    depth: int
    width: int
    graph: Graph
    errors: list[float]
    seconds: float

    @property
    def deviation(self) -> float:
        """The standard deviation of the errors, 0 for one seed."""
        return stdev(self.errors) if len(self.errors) > 1 else 0.0


def network_of(depth: int, width: int, options: argparse.Namespace, seed: int) -> Network:
    """The network of this depth and width, checked."""
    facts = KNOWN[options.data_set]
    text = SOURCE.format(
        depth=depth,
        width=width,
        first=math.ceil(depth / 2),
        second=depth // 2,
        shape="x".join(map(str, facts.shape)),
        classes=len(facts.classes),
        data=options.data_set,
        shift=max(1, facts.shape[-1] // 14),
        epochs=options.epochs,
        seed=seed,
    )
    return check(text, f"depth{depth}.cnn")


def width_closest_to_budget(depth: int, budget: int, options: argparse.Namespace) -> int:
    """The width at which a network of this depth is closest to the budget of parameters."""

    def parameters(width: int) -> int:
        return network_of(depth, width, options, 0).require_graph().total_parameters

    width = 1
    while parameters(width + 1) <= budget:
        width += 1
    return min((width, width + 1), key=lambda w: abs(parameters(w) - budget))


def measure(depth: int, budget: int, options: argparse.Namespace, data: Dataset) -> DepthResult:
    """Trains the network of this depth once for each seed, and measures its errors on the test split."""
    width = width_closest_to_budget(depth, budget, options)
    errors, begun = [], time.perf_counter()
    for seed in range(options.seeds):
        network = network_of(depth, width, options, seed)
        with TemporaryDirectory() as folder:
            run = start(network, data, Path(folder))
            train(run)
            score = run.objective.evaluate(run.weights, data.test)
        errors.append(100 * (1 - score.accuracy))
        print(f"depth {depth}, width {width}, seed {seed}: error {errors[-1]:.2f} %", file=sys.stderr)
    seconds = (time.perf_counter() - begun) / options.seeds / options.epochs
    return DepthResult(depth, width, network.require_graph(), errors, seconds)


def examples(options: argparse.Namespace) -> Dataset:
    """The data set with `--examples` training examples, drawn with seed 0."""
    data = load(options.data_set, options.data, lambda line: print(line, file=sys.stderr))
    count = min(options.examples or len(data.train), len(data.train))
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.train))[:count])
    return Dataset(data.name, data.classes, data.train.select(chosen), data.test)


def at_least_1(text: str) -> int:
    """The type of an option that takes a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-set", choices=tuple(KNOWN), default="digits")
    parser.add_argument("--data", type=Path, metavar="DIR", help="Folder of the data set. Default: CNNC_DATA.")
    parser.add_argument(
        "--examples", type=int, default=0, metavar="N", help="Number of training examples. Default: all."
    )
    parser.add_argument(
        "--parameters",
        type=at_least_1,
        nargs="+",
        default=[8_000],
        metavar="N",
        help="Budgets of parameters. Default: 8,000.",
    )
    parser.add_argument("--depths", type=at_least_1, nargs="+", default=[1, 2, 3, 4, 6, 8], metavar="N")
    parser.add_argument("--epochs", type=at_least_1, default=20, metavar="N")
    parser.add_argument(
        "--seeds", type=at_least_1, default=5, metavar="N", help="Training runs of each network. Default: 5."
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="Draw the error over the number of parameters.")
    options = parser.parse_args()
    if options.svg is not None and not options.svg.parent.is_dir():
        parser.error(f"--svg {options.svg}: there is no folder {options.svg.parent}")
    return options


def main() -> None:
    options = parse_options()
    data = examples(options)
    count, tests = len(data.train), len(data.test)
    print(f"{data.name}: {count:,} examples, {options.epochs} epochs, {options.seeds} seeds; {tests:,} test examples\n")
    print("| convolutions | width | parameters | MACs | test error (mean ± standard deviation) | seconds per epoch |")
    print("|---|---|---|---|---|---|")
    results = []
    for budget in options.parameters:
        for depth in options.depths:
            results.append(measure(depth, budget, options, data))
            print(row_of(results[-1]), flush=True)
    if options.svg:
        write(options.svg, svg_text(chart_of(results, data)).encode())


def row_of(result: DepthResult) -> str:
    """The row of the Markdown table."""
    return (
        f"| {result.depth} | {result.width} | {result.graph.total_parameters:,} | {result.graph.total_macs:,} "
        f"| {mean(result.errors):.2f} ± {result.deviation:.2f} % | {result.seconds:.1f} |"
    )


def chart_of(results: Sequence[DepthResult], data: Dataset) -> Drawing:
    """The error over the number of parameters, one curve per depth."""
    curves = []
    for depth in dict.fromkeys(result.depth for result in results):
        points = [
            CurvePoint(result.graph.total_parameters, mean(result.errors))
            for result in results
            if result.depth == depth
        ]
        curves.append(Curve(f"{depth} convolution{'s' * (depth > 1)}", tuple(sorted(points))))
    title = f"Deeper or wider: {data.name}, {len(data.train):,} examples"
    numbers = [f"{curve.name}: {', '.join(f'{p.y:.2f} % at {p.x:,}' for p in curve.points)}." for curve in curves]
    description = "\n".join(["Test error over the number of parameters.", *numbers])
    return line_chart(title, description, curves, Axis("parameters", log=True), Axis("test error in %", log=True))


if __name__ == "__main__":
    main()
