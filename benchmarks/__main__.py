"""Compares cnnc with PyTorch and torchinfo: `python -m benchmarks [train] [step] [torch] [kernels] [check] [graphs]`.

Each contender runs in a separate process; contenders take turns for several rounds, and the median is printed. PyTorch
and torchinfo are optional: `--python` names another interpreter that has them installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import commands, graphs, kernels, nets

ROOT = Path(__file__).parent.parent
WITHOUT_IMAGES = ("text", "dilated", "volume")
"""The networks that have no layout channels last."""
KINDS = ("train", "step", "torch", "kernels", "check", "graphs")


class Peers:
    """Runs modules in an interpreter that has PyTorch and torchinfo; `has_torch` says whether it has PyTorch."""

    def __init__(self, python: str) -> None:
        self.python = python
        packages = [path for path in sys.path if path.endswith("site-packages")]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *packages])}
        done = subprocess.run([python, "-c", "import torch"], capture_output=True, env=self.environment)
        self.has_torch = done.returncode == 0
        if not self.has_torch:
            print(
                "PyTorch is not installed, so it is skipped; name an interpreter that has it with --python PATH",
                file=sys.stderr,
            )

    def run(self, module: str, *arguments: str, this_interpreter: bool = False, threads: int | None = None) -> str:
        """The output of a module, run by the interpreter of the peers, or by this one; `threads` is CNNC_THREADS."""
        python = sys.executable if this_interpreter else self.python
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} if this_interpreter else self.environment
        if threads is not None:
            environment = {**environment, "CNNC_THREADS": str(threads)}
        done = subprocess.run(
            [python, "-m", module, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout


def medians(measurements: Sequence[Mapping[str, float]], keys: Iterable[str]) -> dict[str, float]:
    """The median of several measurements by key."""
    return {key: median(measurement[key] for measurement in measurements) for key in keys}


def measured(peers: Peers, name: str, contenders: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Examples per second (`rate`) and peak memory in bytes (`memory`) of every contender on a network, in turns."""
    measurements: dict[str, list[dict[str, float]]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who in contenders:
            print(f"  {name}: {who}", file=sys.stderr)
            here = not who.startswith("torch")
            output = peers.run("benchmarks.train", who, name, str(seconds), this_interpreter=here)
            measurements[who].append(json.loads(output))
    return {who: medians(measurements[who], ("rate", "memory")) for who in contenders}


def step(peers: Peers, names: list[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """The exported training step on onnxruntime, beside the NumPy trainer and PyTorch in its default memory format."""
    rows = []
    for name in names:
        contenders = ["onnx", "cnnc", *(["torch"] if peers.has_torch else [])]
        row = {"net": name, **measured(peers, name, contenders, rounds, seconds)}
        row["speed"] = row["onnx"]["rate"] / row["torch"]["rate"] if peers.has_torch else None
        rows.append(row)
    return rows


def step_text(rows: list[dict[str, Any]]) -> str:
    """The results of `step` as a Markdown table."""
    lines = ["| network | onnxruntime, examples/s | cnnc | PyTorch | onnxruntime / PyTorch |", "|---|---|---|---|---|"]
    for row in rows:
        rates = [f"{row[who]['rate']:,.0f}" if who in row else "" for who in ("onnx", "cnnc", "torch")]
        speed = f"{row['speed']:.2f}" if row["speed"] is not None else ""
        lines.append(f"| {' | '.join([row['net'], *rates, speed])} |")
    return "\n".join(lines)


SETTINGS = ("", "-last", "-compile", "-bf16", "-last-bf16")
"""The settings in which the engine torch is compared: eager, channels last, compiled, bf16, channels last with bf16."""


def torch_engine(peers: Peers, names: list[str], seconds: float, device: str) -> list[dict[str, Any]]:
    """How the engine torch compares with a loop written by hand, by network and setting: speed and peak memory.

    Both run on one thread, and take turns step by step in one process; memory is that of processes of their own, or of the
    device.
    """
    rows = []
    for name, setting in product(names, SETTINGS if peers.has_torch else ()):
        if "last" in setting and name in WITHOUT_IMAGES:
            continue
        setting += "-cuda" if device == "cuda" else ""
        print(f"  {name}: torch{setting}", file=sys.stderr)
        row = {"net": name, "setting": setting.strip("-").replace("-", " ") or "eager"}
        row |= json.loads(peers.run("benchmarks.train", f"turn{setting}", name, str(seconds), threads=1))
        memory = [
            json.loads(peers.run("benchmarks.train", f"{who}{setting}", name, "0.1", threads=1))["memory"]
            for who in ("engine", "torch")
        ]
        rows.append({**row, "memory": memory[0] / memory[1]})
    return rows


def torch_engine_text(rows: list[dict[str, Any]]) -> str:
    """The results of `torch_engine` as a Markdown table."""
    lines = ["| network | setting | speed, engine / loop | peak memory, engine / loop |", "|---|---|---|---|"]
    lines += [f"| {r['net']} | {r['setting']} | {r['speed']:.2f} | {r['memory']:.2f} |" for r in rows]
    return "\n".join(lines)


def train(peers: Peers, names: list[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Examples per second (`rate`) and peak memory in bytes (`memory`) of every contender on every network."""
    rows = []
    for name in names:
        contenders = ["cnnc", *(["textbook"] if name == "lenet5" else [])]
        if peers.has_torch:
            contenders += ["torch", *(["torch-last"] if name not in WITHOUT_IMAGES else [])]
        row = {"net": name, **measured(peers, name, contenders, rounds, seconds)}
        torches = [row[who] for who in contenders if who.startswith("torch")]
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
        ours, torches = row["cnnc"], [row[who] for who in row if who.startswith("torch")]
        cells = [row["net"], f"{ours['rate']:,.0f}"]
        cells += [f"{max(t['rate'] for t in torches):,.0f}", f"{row['speed']:.2f}"] if torches else ["", ""]
        cells += [f"{ours['memory'] / 1e6:.0f}"]
        cells += [f"{min(t['memory'] for t in torches) / 1e6:.0f}", f"{row['memory']:.2f}"] if torches else ["", ""]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        if "textbook" in row:
            rate, times = row["textbook"]["rate"], row["cnnc"]["rate"] / row["textbook"]["rate"]
            text = (
                f"{row['net']} with textbook im2col in NumPy: {rate:,.0f} examples/s; cnnc is {times:.1f} times as fast"
            )
            lines += ["", text]
    return "\n".join(lines)


def check(peers: Peers, rounds: int) -> dict[str, Any]:
    """Times of `cnnc check`, as processes and inside a process, and of torchinfo, in seconds."""
    results: dict[str, Any] = {"processes": commands.starts(rounds), "inside": commands.inside()}
    try:
        results["torchinfo"] = json.loads(peers.run("benchmarks.summaries")) if peers.has_torch else {}
    except subprocess.CalledProcessError:
        print("torchinfo is not installed, so it is skipped", file=sys.stderr)
        results["torchinfo"] = {}
    return results


def check_text(results: dict[str, Any]) -> str:
    """The results of `check` as lines of text."""
    starts, inside = results["processes"], results["inside"]
    lines = [f"{commands.IMPORTS}: {starts['imports'] * 1e3:.0f} ms"]
    for name in ("lenet5", "resnet50"):
        times = f"{starts[name] / starts['imports']:.2f} times as long as the imports"
        lines.append(f"cnnc check {name}: {starts[name] * 1e3:.0f} ms, {times}")
    for name, seconds in inside.items():
        line = f"in a running process, {name}: {seconds * 1e3:.1f} ms"
        theirs = results["torchinfo"].get(name)
        line += f"; torchinfo {theirs * 1e3:.1f} ms, {theirs / seconds:.1f} times as long" if theirs else ""
        lines.append(line)
    return "\n".join(lines)


def graph_rows(peers: Peers, rounds: int) -> list[dict[str, Any]]:
    """Measures each network's exported graph on onnxruntime: that of cnnc and those of PyTorch."""
    rows = []
    with TemporaryDirectory() as folder:
        for name in graphs.NAMES:
            row: dict[str, Any] = {"net": name}
            files = {}
            for who in ("cnnc", *(("torch", "torch-new") if peers.has_torch else ())):
                files[who] = Path(folder) / f"{name}-{who}.onnx"
                peers.run("benchmarks.graphs", who, name, str(files[who]), this_interpreter=who == "cnnc")
            measurements: dict[str, list[dict[str, float]]] = {who: [] for who in files}
            for _ in range(rounds):
                for who, path in files.items():
                    output = peers.run("benchmarks.graphs", str(path), this_interpreter=True)
                    measurements[who].append(json.loads(output))
            row |= {who: medians(measured, measured[0]) for who, measured in measurements.items()}
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
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="Where `torch` trains. Default: cpu.")
    parser.add_argument("--json", action="store_true", help="Print the results as one JSON object.")
    arguments = parser.parse_args()
    names = arguments.nets.split(",")
    unknown = [kind for kind in arguments.kinds if kind not in KINDS] + [n for n in names if n not in nets.NAMES]
    if unknown:
        parser.error(f"unknown kind or network `{unknown[0]}`")
    peers = Peers(arguments.python)
    results: dict[str, Any] = {}
    for kind in arguments.kinds or KINDS:
        print(f"measuring: {kind}", file=sys.stderr)
        match kind:
            case "train":
                results[kind] = train(peers, names, arguments.rounds, arguments.seconds)
                shown = train_text(results[kind])
            case "step":
                results[kind] = step(peers, names, arguments.rounds, arguments.seconds)
                shown = step_text(results[kind])
            case "torch":
                results[kind] = torch_engine(peers, names, arguments.seconds, arguments.device)
                shown = torch_engine_text(results[kind])
            case "kernels":
                results[kind] = kernels.measure()
                shown = kernels.text(results[kind])
            case "check":
                results[kind] = check(peers, arguments.rounds)
                shown = check_text(results[kind])
            case _:
                results[kind] = graph_rows(peers, arguments.rounds)
                shown = graphs_text(results[kind])
        if not arguments.json:
            print(shown, end="\n\n", flush=True)
    if arguments.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
