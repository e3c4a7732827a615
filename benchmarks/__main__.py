"""Measures cnnc beside its peers and prints ratios: `python -m benchmarks [train] [kernels] [check] [graphs]`.

Each contender runs in a process of its own, in turn, for several rounds; the median counts. PyTorch and torchinfo are
peers that need not be installed; `--python` names an interpreter that has them, if this one has not.
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
    """The interpreter that runs the peers."""

    def __init__(self, python: str) -> None:
        self.python = python
        here = [path for path in sys.path if path.endswith("site-packages")]
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *here])}
        done = subprocess.run([python, "-c", "import torch"], capture_output=True, env=self.environment)
        self.there = done.returncode == 0
        if not self.there:
            print(
                "PyTorch is not installed: it is left out (--python names an interpreter that has it)", file=sys.stderr
            )

    def run(self, module: str, *words: str, own: bool = False) -> str:
        """What a module prints, in our interpreter or in theirs."""
        python = sys.executable if own else self.python
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} if own else self.environment
        done = subprocess.run(
            [python, "-m", module, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout


def train(peers: Peers, names: list[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Examples a second and memory of every contender on every network."""
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
    """The table of training."""
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
                f"{row['net']} with textbook im2col in NumPy: {row['textbook']['rate']:,.0f}/s, {times:.1f} times less",
            ]
    return "\n".join(lines)


def check(peers: Peers, rounds: int) -> dict[str, Any]:
    """How long checking takes."""
    found: dict[str, Any] = {"processes": commands.starts(rounds), "inside": commands.inside()}
    try:
        found["torchinfo"] = json.loads(peers.run("benchmarks.summaries")) if peers.there else {}
    except subprocess.CalledProcessError:
        print("torchinfo is not installed: it is left out", file=sys.stderr)
        found["torchinfo"] = {}
    return found


def check_text(found: dict[str, Any]) -> str:
    """Times and ratios of checking."""
    starts, inside = found["processes"], found["inside"]
    lines = [f"{commands.IMPORTS}: {starts['imports'] * 1e3:.0f} ms"]
    lines += [
        f"cnnc check {name}: {starts[name] * 1e3:.0f} ms, {starts[name] / starts['imports']:.2f} times the imports"
        for name in ("lenet5", "resnet50")
    ]
    for name, seconds in inside.items():
        line = f"inside a process, {name}: {seconds * 1e3:.1f} ms"
        theirs = found["torchinfo"].get(name)
        lines.append(line + (f"; torchinfo {theirs * 1e3:.1f} ms, {theirs / seconds:.1f} times" if theirs else ""))
    return "\n".join(lines)


def graph_rows(peers: Peers, rounds: int) -> list[dict[str, Any]]:
    """Each network's exported graph, ours and PyTorch's, on onnxruntime."""
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
    """The table of exported graphs; ratios are ours to those of PyTorch's exporters, by TorchScript and its default."""
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
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"what to measure: {', '.join(KINDS)} (all)")
    parser.add_argument("--nets", default=",".join(nets.NAMES), help="the networks to train")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each training measurement")
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="the interpreter that has the peers")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    odd = [kind for kind in asked.kinds if kind not in KINDS] + [
        n for n in asked.nets.split(",") if n not in nets.NAMES
    ]
    if odd:
        parser.error(f"there is no {odd[0]}")
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
