"""Compares cnnc with PyTorch and torchinfo: `python -m benchmarks [train] [kernels] [check] [graphs]`.

Each contender runs in a separate process; contenders take turns for several rounds, and the median is printed. PyTorch
and torchinfo are optional: `--python` names another interpreter that has them installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import commands, graphs, kernels, nets

ROOT = Path(__file__).parent.parent
KINDS = ("train", "kernels", "check", "graphs")


class Peers:
    """Runs PyTorch and torchinfo, in an interpreter that has them; `there` says whether it has PyTorch."""

    def __init__(self, python: str) -> None:
        self.python = python
        here = [path for path in sys.path if path.endswith("site-packages")]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *here])}
        done = subprocess.run([python, "-c", "import torch"], capture_output=True, env=self.environment)
        self.there = done.returncode == 0
        if not self.there:
            print(
                "PyTorch is not installed, so it is skipped; name an interpreter that has it with --python PATH",
                file=sys.stderr,
            )

    def run(self, module: str, *words: str, own: bool = False) -> str:
        """The output of a module, run by this interpreter (`own`) or by that of the peers."""
        python = sys.executable if own else self.python
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} if own else self.environment
        done = subprocess.run(
            [python, "-m", module, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout


def train(peers: Peers, names: list[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Examples per second and peak memory of every contender on every network."""
    rows = []
    for name in names:
        whos = ["cnnc", *(["textbook"] if name == "lenet5" else [])]
        if peers.there:
            whos += ["torch", *(["torch-last"] if name not in ("text", "dilated", "volume") else [])]
        found: dict[str, list[dict[str, float]]] = {who: [] for who in whos}
        for _ in range(rounds):
            for who in whos:
                print(f"  {name}: {who}", file=sys.stderr)
                own = not who.startswith("torch")
                found[who].append(json.loads(peers.run("benchmarks.train", who, name, str(seconds), own=own)))
        row: dict[str, Any] = {"net": name}
        row |= {who: {k: median(m[k] for m in made) for k in ("rate", "memory")} for who, made in found.items()}
        torches = [row[who] for who in whos if who.startswith("torch")]
        if torches:
            row["speed"] = row["cnnc"]["rate"] / max(t["rate"] for t in torches)
            row["memory"] = row["cnnc"]["memory"] / min(t["memory"] for t in torches)
        rows.append(row)
    return rows


def train_text(rows: list[dict[str, Any]]) -> str:
    """The results of `train` as a Markdown table."""
    lines = ["| network | cnnc, examples/s | PyTorch (better layout) | speed | cnnc, MB | PyTorch, MB | memory |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        own, torches = row["cnnc"], [row[who] for who in row if who.startswith("torch")]
        cells = [row["net"], f"{own['rate']:,.0f}"]
        cells += [f"{max(t['rate'] for t in torches):,.0f}", f"{row['speed']:.2f}"] if torches else ["", ""]
        cells += [f"{own['memory'] / 1e6:.0f}"]
        cells += [f"{min(t['memory'] for t in torches) / 1e6:.0f}", f"{row['memory']:.2f}"] if torches else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        if "textbook" in row:
            times = row["cnnc"]["rate"] / row["textbook"]["rate"]
            lines += [
                "",
                f"{row['net']} with textbook im2col in NumPy: {row['textbook']['rate']:,.0f} examples/s; cnnc is {times:.1f} times as fast",
            ]
    return "\n".join(lines)


def check(peers: Peers, rounds: int) -> dict[str, Any]:
    """Times of `cnnc check`, as processes and inside a process, and of torchinfo, in seconds."""
    found: dict[str, Any] = {"processes": commands.starts(rounds), "inside": commands.inside()}
    try:
        found["torchinfo"] = json.loads(peers.run("benchmarks.summaries")) if peers.there else {}
    except subprocess.CalledProcessError:
        print("torchinfo is not installed, so it is skipped", file=sys.stderr)
        found["torchinfo"] = {}
    return found


def check_text(found: dict[str, Any]) -> str:
    """The results of `check` as lines of text."""
    starts, inside = found["processes"], found["inside"]
    lines = [f"{commands.IMPORTS}: {starts['imports'] * 1e3:.0f} ms"]
    lines += [
        f"cnnc check {name}: {starts[name] * 1e3:.0f} ms, {starts[name] / starts['imports']:.2f} times as long as the imports"
        for name in ("lenet5", "resnet50")
    ]
    for name, seconds in inside.items():
        line = f"in a running process, {name}: {seconds * 1e3:.1f} ms"
        theirs = found["torchinfo"].get(name)
        lines.append(
            line + (f"; torchinfo {theirs * 1e3:.1f} ms, {theirs / seconds:.1f} times as long" if theirs else "")
        )
    return "\n".join(lines)


def graph_rows(peers: Peers, rounds: int) -> list[dict[str, Any]]:
    """Measures each network's exported graph on onnxruntime: that of cnnc and those of PyTorch."""
    rows = []
    with TemporaryDirectory() as folder:
        for name in graphs.NAMES:
            row: dict[str, Any] = {"net": name}
            files = {}
            for who in ("cnnc", *(("torch", "torch-new") if peers.there else ())):
                files[who] = Path(folder) / f"{name}-{who}.onnx"
                peers.run("benchmarks.graphs", who, name, str(files[who]), own=who == "cnnc")
            made: dict[str, list[dict[str, float]]] = {who: [] for who in files}
            for _ in range(rounds):
                for who, path in files.items():
                    made[who].append(json.loads(peers.run("benchmarks.graphs", str(path), own=True)))
            row |= {who: {k: median(m[k] for m in found) for k in found[0]} for who, found in made.items()}
            rows.append(row)
    return rows


def graphs_text(rows: list[dict[str, Any]]) -> str:
    """The results of `graph_rows` as a Markdown table.

    Ratios are cnnc's number to that of PyTorch's TorchScript exporter, and to that of its default exporter.
    """
    lines = [
        "| network | latency at batch 1, ms | ratios | examples/s at batch 64 | ratios | bytes | ratios | metadata |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells, others = [row["net"]], [row[who] for who in ("torch", "torch-new") if who in row]
        for key, form in (("latency", ".3f"), ("rate", ",.0f"), ("bytes", ",.0f")):
            cells.append(format(row["cnnc"][key], form))
            cells.append(
                ", ".join(f"{row['cnnc'][key] / other[key]:{'.3f' if key == 'bytes' else '.2f'}}" for other in others)
            )
        lines.append(f"| {' | '.join([*cells, format(row['cnnc']['metadata'], ',.0f')])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"What to measure: {', '.join(KINDS)}. Default: all.")
    parser.add_argument(
        "--nets", default=",".join(nets.NAMES), help="Networks to train, separated by commas. Default: all."
    )
    parser.add_argument("--rounds", type=int, default=3, help="Measurements of each contender. Default: 3.")
    parser.add_argument("--seconds", type=float, default=4.0, help="Duration of each training measurement. Default: 4.")
    parser.add_argument(
        "--python", default=sys.executable, metavar="PATH", help="Interpreter that has PyTorch and torchinfo installed."
    )
    parser.add_argument("--json", action="store_true", help="Print the results as one JSON object.")
    asked = parser.parse_args()
    unknown = [kind for kind in asked.kinds if kind not in KINDS] + [
        n for n in asked.nets.split(",") if n not in nets.NAMES
    ]
    if unknown:
        parser.error(f"unknown kind or network `{unknown[0]}`")
    peers = Peers(asked.python)
    results: dict[str, Any] = {}
    for kind in asked.kinds or KINDS:
        print(f"measuring: {kind}", file=sys.stderr)
        match kind:
            case "train":
                results[kind] = train(peers, asked.nets.split(","), asked.rounds, asked.seconds)
                shown = train_text(results[kind])
            case "kernels":
                results[kind] = kernels.measure()
                shown = kernels.text(results[kind])
            case "check":
                results[kind] = check(peers, asked.rounds)
                shown = check_text(results[kind])
            case _:
                results[kind] = graph_rows(peers, asked.rounds)
                shown = graphs_text(results[kind])
        if not asked.json:
            print(shown, end="\n\n", flush=True)
    if asked.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
