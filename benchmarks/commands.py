"""`cnnc check` as a user waits for it, and inside a process.

In: nothing. Out: seconds of whole processes, in turn with the bare imports of what the command line is made of; and
seconds a check takes in a process, also of networks of growing length.
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
    """Seconds of a Python process."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def starts(rounds: int) -> dict[str, float]:
    """Medians of whole processes: the imports, and the check of two models."""
    commands = {
        "imports": ["-c", IMPORTS],
        "lenet5": ["-m", "cnnc", "check", str(MODELS / "lenet5.cnn")],
        "resnet50": ["-m", "cnnc", "check", str(MODELS / "resnet50.cnn")],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(process(*command))
    return {name: median(found) for name, found in times.items()}


def inside(layers: tuple[int, ...] = (1000, 10000)) -> dict[str, float]:
    """Seconds of a check, the second of its kind, by network."""
    from cnnc.network import check

    texts = {name: (MODELS / f"{name}.cnn").read_text() for name in ("lenet5", "resnet50")}
    texts |= {f"{n} layers": f"net Long\ninput 8x16x16\nrepeat {n // 2} {{ conv 8 k=3 p=1; relu }}\n" for n in layers}
    found = {}
    for name, text in texts.items():
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            check(text).require_graph()
            times.append(time.perf_counter() - begun)
        found[name] = min(times)
    return found
