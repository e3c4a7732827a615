"""Measures `cnnc check`: as a process, and as a call in a running process.

Out: seconds of whole processes, compared with a process that only imports the libraries of the command line; and
seconds of a call of `check`, also for networks of 1,000 and 10,000 layers.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

MODELS = Path(__file__).parent.parent / "models"
IMPORTS = "import typer, rich.console, lark"


def process(*command: str) -> float:
    """The seconds that a Python process takes."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def starts(rounds: int) -> dict[str, float]:
    """Median seconds of three processes: the imports alone, and the check of two models."""
    commands = {
        "imports": ["-c", IMPORTS],
        "lenet5": ["-m", "cnnc", "check", str(MODELS / "lenet5.cnn")],
        "resnet50": ["-m", "cnnc", "check", str(MODELS / "resnet50.cnn")],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(process(*command))
    return {name: median(seconds) for name, seconds in times.items()}


def inside(layers: tuple[int, ...] = (1000, 10000)) -> dict[str, float]:
    """Seconds of `check` by network, the shorter of two calls."""
    from cnnc.network import check

    sources = {name: (MODELS / f"{name}.cnn").read_text() for name in ("lenet5", "resnet50")}
    sources |= {f"{n} layers": f"net Long\ninput 8x16x16\nrepeat {n // 2} {{ conv 8 k=3 p=1; relu }}\n" for n in layers}
    results = {}
    for name, text in sources.items():
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            check(text).require_graph()
            times.append(time.perf_counter() - begun)
        results[name] = min(times)
    return results
